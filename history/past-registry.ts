/**
 * The registry as of a moment. Its topic is compacted, but nothing younger than the history window is: so the records below a
 * position, folded as every process folds them, are the registry of that time. A snapshot below it is a shorter way to the same.
 */
import { type Log, LogClosed } from '../log/log.ts'
import { readBetween } from '../log/read-between.ts'
import type { TopicNames } from '../log/topics.ts'
import { type HistoryKept, historyMarker, keptSince, readHistoryKept } from '../model/history-kept.ts'
import { readRegistryRecord, readSnapshotRecord } from '../model/registry-follower.ts'
import { newestRegistrySnapshot, recordsOfSnapshot, recordsSince } from '../model/registry-snapshot.ts'
import { RegistryView } from '../model/registry-view.ts'
import { BeforeHistory } from './before-history.ts'
import { firstTime } from './moment.ts'

export interface PastRegistry {
  readonly view: RegistryView
  /** From when on every moment can be asked for, milliseconds since the epoch. */
  readonly since: number
}

/** Without the name of its snapshots every record below the moment is read. */
export type PastRegistryTopics = Pick<TopicNames, 'registry'> & Partial<Pick<TopicNames, 'registry-snapshots'>>

/** `registry`: the first offset that is not part of it. */
interface RegistryMoment {
  readonly at: number
  readonly registry: number
}

const markerKey = `marker/${historyMarker}`

/**
 * The registry at a moment: what stands below `registry` in the topic. Rejects with BeforeHistory for one of which something may have
 * been compacted. `now`: milliseconds since the epoch. `kept` is how far back the topic holds every change, by who follows it; without it that is
 * looked for among what came after the moment.
 */
export async function registryAt(
  log: Log,
  topics: PastRegistryTopics,
  moment: RegistryMoment,
  { now, kept }: { readonly now: number; readonly kept?: HistoryKept | undefined },
): Promise<PastRegistry> {
  const topic = topics.registry
  const [starts, ends] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic)])
  const [start, end] = [starts.get(0) ?? 0, ends.get(0) ?? 0]
  const to = Math.min(moment.registry, end)
  const view = (await viewFromSnapshot(log, topics, moment.at, to)) ?? (await viewFromStart(log, topic, start, to))
  view.skipTo(to)
  const known = kept ?? readHistoryKept((await markerAfter(log, topic, to, end)) ?? view.markerProperties(historyMarker))
  const first = end > start ? await firstTime(log, topic, 0, start) : undefined
  const since = known === undefined ? null : Math.max(keptSince(known, now), first ?? 0)
  // With nothing behind it, it is the registry of now.
  if (moment.registry < end && (since === null || moment.at < since)) throw new BeforeHistory(since)
  return { view, since: since ?? moment.at }
}

async function viewFromStart(log: Log, topic: string, start: number, to: number): Promise<RegistryView> {
  const view = new RegistryView()
  for await (const records of readBetween(log, topic, 0, { from: start, to })) for (const record of records) view.apply(readRegistryRecord(record))
  return view
}

/** Undefined where there is no snapshot below the moment, or it does not lead there. */
async function viewFromSnapshot(log: Log, topics: PastRegistryTopics, at: number, to: number): Promise<RegistryView | undefined> {
  const snapshots = topics['registry-snapshots']
  if (snapshots === undefined) return undefined
  try {
    const snapshot = await newestRegistrySnapshot(log, snapshots, { position: to, at })
    if (!snapshot) return undefined
    const view = new RegistryView()
    for await (const records of recordsOfSnapshot(log, snapshots, snapshot)) for (const record of records) view.apply(readSnapshotRecord(record))
    view.skipTo(snapshot.position)
    for await (const record of recordsSince(log, topics.registry, snapshot, to)) view.apply(readRegistryRecord(record))
    return view
  } catch (error) {
    // Whatever else it is: every record is read, which tells what cannot be read at all.
    if (error instanceof LogClosed) throw error
    return undefined
  }
}

/** The newest note of how far back the topic holds every change, where one came after the moment. */
async function markerAfter(log: Log, topic: string, from: number, to: number): Promise<string | undefined> {
  let found: string | undefined
  for await (const records of readBetween(log, topic, 0, { from, to })) {
    for (const record of records) if (record.key?.toString() === markerKey) found = readRegistryRecord(record).entry?.properties
  }
  return found
}
