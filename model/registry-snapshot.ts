/**
 * Snapshots of the registry in the topic `registry-snapshots`: the beginning of `registry` as compaction would leave it, the newest record of each key as
 * it stands there. A start reads the newest snapshot and what came after, instead of every change of the history window.
 *
 * A snapshot is only ever a shorter way to the same state. Who begins with one holds it against the topic: the record that it ends with must stand where
 * it says, and behind that no offset may be missing, so that nothing can have been deleted and compacted since. Otherwise everything is read.
 */
import type { Log, LogRecord } from '../log/log.ts'
import { readBetween } from '../log/read-between.ts'
import { readableRecord } from '../schemas/codec.ts'
import type { RegistrySnapshotClosed, SnapshotRecord } from '../schemas/registry-records.ts'

export interface RegistrySnapshot extends RegistrySnapshotClosed {
  /** Offset of its closing record in `registry-snapshots`. */
  readonly offset: number
}

/** There is a snapshot, but it does not lead to what the registry is. */
export class SnapshotUnusable extends Error {
  constructor(snapshot: Pick<RegistrySnapshot, 'position'>, why: string) {
    super(`the snapshot of the registry at ${snapshot.position} cannot be used: ${why}`)
    this.name = 'SnapshotUnusable'
  }
}

/** Records at the end of the topic that are no snapshot, and are looked behind. */
const strayMax = 1_000

/**
 * The newest that is closed; undefined when there is none. `below`: one of the registry at that position or before, and closed before that time,
 * milliseconds since the epoch.
 */
export async function newestRegistrySnapshot(
  log: Log,
  topic: string,
  below: { readonly position: number; readonly at: number } = { position: Number.POSITIVE_INFINITY, at: Number.POSITIVE_INFINITY },
): Promise<RegistrySnapshot | undefined> {
  const [starts, ends] = await Promise.all([
    log.startOffsets(topic),
    Number.isFinite(below.at) ? log.offsetsAt(topic, Math.max(0, below.at)) : log.endOffsets(topic),
  ])
  const start = starts.get(0) ?? 0
  let at = (ends.get(0) ?? 0) - 1
  for (let steps = 0; at >= start && steps < strayMax; steps++) {
    const value = (await log.read(topic, 0, at, 1)).records.find(({ offset }) => offset === at)?.value
    const record = value ? readableRecord(value) : undefined
    if (record?.name === 'RegistrySnapshotClosed' && record.value.position <= below.position) return { ...record.value, offset: at }
    // Of one that was not brought to its end, or is of a later position, all chunks at once.
    at -= record?.name === 'RegistrySnapshotChunk' ? record.value.chunk + 1 : record?.name === 'RegistrySnapshotClosed' ? record.value.chunks + 1 : 1
  }
  return undefined
}

/** Its records, in the order of their offsets, a chunk at a time. Throws SnapshotUnusable when they are not all there. */
export async function* recordsOfSnapshot(log: Log, topic: string, snapshot: RegistrySnapshot): AsyncGenerator<readonly SnapshotRecord[]> {
  let [chunk, count, last] = [0, 0, -1]
  for await (const some of readBetween(log, topic, 0, { from: snapshot.from, to: snapshot.offset })) {
    for (const { value } of some) {
      const record = value ? readableRecord(value) : undefined
      if (record?.name !== 'RegistrySnapshotChunk' || record.value.writer !== snapshot.writer || record.value.position !== snapshot.position) continue
      const { records } = record.value
      if (record.value.chunk !== chunk) throw new SnapshotUnusable(snapshot, `chunk ${record.value.chunk} stands where ${chunk} should`)
      for (const each of records) {
        if (each.offset <= last || each.offset >= snapshot.position) throw new SnapshotUnusable(snapshot, `a record of ${each.offset} follows one of ${last}`)
        last = each.offset
      }
      chunk++
      count += records.length
      yield records
    }
  }
  if (chunk !== snapshot.chunks || count !== snapshot.records)
    throw new SnapshotUnusable(snapshot, `it has ${chunk} chunks with ${count} records instead of ${snapshot.chunks} with ${snapshot.records}`)
}

/**
 * What stands in `registry` from the snapshot's position up to `to`, or the end there is now, as it is read. Throws SnapshotUnusable when that cannot be all that
 * came since: then what was read until there is right, and what comes is not known.
 */
export async function* recordsSince(log: Log, topic: string, snapshot: RegistrySnapshot, to = Number.POSITIVE_INFINITY): AsyncGenerator<LogRecord> {
  const end = Math.min(to, (await log.endOffsets(topic)).get(0) ?? 0)
  if (snapshot.position < 1 || snapshot.position > end) throw new SnapshotUnusable(snapshot, `${topic} ends at ${end}`)
  let next = snapshot.position - 1
  const ends = `the record that it ends with is not in ${topic}`
  for await (const records of readBetween(log, topic, 0, { from: next, to: end })) {
    for (const record of records) {
      if (record.offset !== next) throw new SnapshotUnusable(snapshot, next < snapshot.position ? ends : `${topic} has been compacted at ${next}`)
      next++
      if (record.offset >= snapshot.position) yield record
      else if (record.timestamp !== snapshot.lastAt) throw new SnapshotUnusable(snapshot, ends)
    }
  }
  if (next < end) throw new SnapshotUnusable(snapshot, `${topic} could be read up to ${next} of ${end} only`)
}

/** What a start makes of a snapshot. */
export interface FromSnapshot {
  /** Each record that stands in it, in order. */
  onStanding(record: SnapshotRecord): void
  /** All of them have come. */
  onRestored(snapshot: RegistrySnapshot): void
  /** Each record behind it, up to the end there was. */
  onRecord(record: LogRecord): void
}

/** Reads the newest snapshot and what came after. Undefined when there is none; rejects when there is and it does not lead to the end. */
export async function readFromSnapshot(
  log: Log,
  topics: { readonly registry: string; readonly snapshots: string },
  { onStanding, onRestored, onRecord }: FromSnapshot,
): Promise<RegistrySnapshot | undefined> {
  const snapshot = await newestRegistrySnapshot(log, topics.snapshots)
  if (!snapshot) return undefined
  for await (const records of recordsOfSnapshot(log, topics.snapshots, snapshot)) for (const record of records) onStanding(record)
  let isRestored = false
  for await (const record of recordsSince(log, topics.registry, snapshot)) {
    if (!isRestored) onRestored(snapshot)
    isRestored = true
    onRecord(record)
  }
  if (!isRestored) onRestored(snapshot)
  return snapshot
}
