/** Where a question about the past begins and ends in each partition of `messages`. */
import type { Log } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import { hasWildcard } from '../mqtt/topic.ts'
import type { FixedBound } from './replay-range.ts'

export interface Place {
  /** The partition. */
  readonly source: number
  /** The first offset to be read. */
  readonly next: number
  /** The first that is not; null goes on. */
  readonly end: number | null
  /** From when on records stand there, milliseconds since the epoch; 0 when that is not known. */
  readonly time: number
}

/**
 * Partitions that may hold what matches the filter: one without wildcards is a topic, and a topic is in one, and in those that it had while there were
 * fewer of them.
 */
export function sourcesOf(filter: string, partitions: number, formerly: readonly number[] = []): readonly number[] {
  if (hasWildcard(filter)) return Array.from({ length: partitions }, (_, source) => source)
  return [...new Set([...formerly, partitions].map((count) => partitionOf(filter, count)))]
}

/** Asks the log; what it no longer holds, or not yet, is left out. Without `to` partitions that `from` does not name are read from their ends on. */
export async function resolvePlaces(options: {
  readonly log: Log
  readonly topic: string
  readonly filter: string
  readonly partitions: number
  /** How many there were before, each number once. */
  readonly formerly?: readonly number[] | undefined
  readonly from: FixedBound
  readonly to: FixedBound | null
}): Promise<readonly Place[]> {
  const { log, topic, filter, partitions, formerly, from, to } = options
  const [starts, ends, froms, tos] = await Promise.all([
    log.startOffsets(topic),
    log.endOffsets(topic),
    offsetsOf(log, topic, from),
    to === null ? undefined : offsetsOf(log, topic, to),
  ])
  const isContinued = from.kind === 'positions' && isFromBefore(from.offsets, filter, formerly ?? [])
  return sourcesOf(filter, partitions, formerly).flatMap((source) => {
    const start = starts.get(source) ?? 0
    const last = ends.get(source) ?? start
    const asked = froms.get(source) ?? (isContinued ? start : undefined)
    if (to !== null && (asked === undefined || tos?.get(source) === undefined)) return []
    const next = Math.min(Math.max(asked ?? last, start), last)
    const end = to === null ? null : Math.max(next, Math.min(tos?.get(source) ?? last, last))
    return [{ source, next, end, time: from.kind === 'time' ? from.at : 0 }]
  })
}

/** Whether the positions are of all that was to be read when there were fewer partitions: the others have nothing but what came after. */
function isFromBefore(positions: ReadonlyMap<number, number>, filter: string, formerly: readonly number[]): boolean {
  return formerly.some((count, index) => {
    const then = sourcesOf(filter, count, formerly.slice(0, index))
    return then.length === positions.size && then.every((source) => positions.has(source))
  })
}

const offsetsOf = async (log: Log, topic: string, bound: FixedBound): Promise<ReadonlyMap<number, number>> =>
  bound.kind === 'time' ? log.offsetsAt(topic, bound.at) : bound.offsets
