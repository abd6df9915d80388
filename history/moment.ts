/** A moment of the past as offsets: what stands below them in each topic had happened, and nothing else. */
import type { Log } from '../log/log.ts'
import { unlessGone } from '../log/read-between.ts'
import type { TopicNames } from '../log/topics.ts'
import { BeforeHistory } from './before-history.ts'
import type { Bound } from './replay-range.ts'

export interface Moment {
  /** Milliseconds since the epoch; of positions, the time of the latest message that they name. */
  readonly at: number
  /** In `registry`: the first offset that is not part of it, like the others. */
  readonly registry: number
  /** By partition. */
  readonly sessions: ReadonlyMap<number, number>
  readonly inbox: ReadonlyMap<number, number>
  readonly messages: ReadonlyMap<number, number>
}

export type MomentTopics = Pick<TopicNames, 'registry' | 'sessions' | 'inbox' | 'messages'>

/**
 * The moment that a bound names. A time takes what was written before it, by the writers' clocks. Positions name messages: it is the moment in
 * which the latest of them came into the log, and they are no part of it. Rejects with BeforeHistory when a message that is named is gone.
 */
export async function momentOf(log: Log, topics: MomentTopics, bound: Exclude<Bound, { readonly kind: 'ago' }>): Promise<Moment> {
  const at = bound.kind === 'time' ? bound.at : await timeOf(log, topics.messages, bound.offsets)
  const [registry, sessions, inbox, messages] = await Promise.all([
    log.offsetsAt(topics.registry, at),
    log.offsetsAt(topics.sessions, at),
    log.offsetsAt(topics.inbox, at),
    log.offsetsAt(topics.messages, at),
  ])
  const moment = { at, registry: registry.get(0) ?? 0, sessions, inbox }
  if (bound.kind === 'time') return { ...moment, messages }
  const ends = await log.endOffsets(topics.messages)
  const { offsets } = bound
  // What is named beyond the end is not there.
  return {
    ...moment,
    messages: new Map([...messages].map(([partition, offset]) => [partition, Math.min(offsets.get(partition) ?? offset, ends.get(partition) ?? offset)])),
  }
}

/** Now: everything that stands in the log. */
export async function present(log: Log, topics: MomentTopics, now: number): Promise<Moment> {
  const [registry, sessions, inbox, messages] = await Promise.all([
    log.endOffsets(topics.registry),
    log.endOffsets(topics.sessions),
    log.endOffsets(topics.inbox),
    log.endOffsets(topics.messages),
  ])
  return { at: now, registry: registry.get(0) ?? 0, sessions, inbox, messages }
}

/** When the latest of these messages was written; now, where the log ends before it. */
async function timeOf(log: Log, topic: string, offsets: ReadonlyMap<number, number>): Promise<number> {
  const [starts, ends] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic)])
  let latest = 0
  for (const [partition, offset] of offsets) {
    const end = ends.get(partition)
    const start = starts.get(partition) ?? 0
    if (end === undefined || offset >= end) return Date.now()
    if (offset < start) throw new BeforeHistory((await firstTime(log, topic, partition, start)) ?? null)
    latest = Math.max(latest, (await firstTime(log, topic, partition, offset)) ?? 0)
  }
  return latest
}

/** The time of the first record from the offset on; undefined where there is none, or none any more. */
export async function firstTime(log: Log, topic: string, partition: number, offset: number): Promise<number | undefined> {
  return (await unlessGone(log.read(topic, partition, offset, 1)))?.records.find((record) => record.offset >= offset)?.timestamp
}
