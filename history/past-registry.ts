/**
 * The registry as of a moment. Its topic is compacted, but nothing younger than the history window is: so the records below a
 * position, folded as every process folds them, are the registry of that time.
 */
import type { Log } from '../log/log.ts'
import { readBetween } from '../log/read-between.ts'
import { historyMarker, keptSince, readHistoryKept } from '../model/history-kept.ts'
import { readRegistryRecord } from '../model/registry-follower.ts'
import { RegistryView } from '../model/registry-view.ts'
import { BeforeHistory } from './before-history.ts'

export interface PastRegistry {
  readonly view: RegistryView
  /** From when on every moment can be asked for, milliseconds since the epoch. */
  readonly since: number
}

const markerKey = `marker/${historyMarker}`

/**
 * The registry at a moment: what stands below `registry` in the topic. Rejects with BeforeHistory for one of which something may have
 * been compacted. `now`: milliseconds since the epoch.
 */
export async function registryAt(log: Log, topic: string, moment: { readonly at: number; readonly registry: number }, now: number): Promise<PastRegistry> {
  const view = new RegistryView()
  let first: number | undefined
  let kept: string | undefined
  const [starts, ends] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic)])
  const end = ends.get(0) ?? 0
  for await (const records of readBetween(log, topic, 0, { from: starts.get(0) ?? 0, to: end })) {
    for (const record of records) {
      first ??= record.timestamp
      const isPart = record.offset < moment.registry
      if (!isPart && record.key?.toString() !== markerKey) continue
      const read = readRegistryRecord(record)
      if (read.key === markerKey) kept = read.entry?.properties
      if (isPart) view.apply(read)
    }
  }
  view.skipTo(Math.min(moment.registry, end))
  const known = readHistoryKept(kept)
  const since = known === undefined ? null : Math.max(keptSince(known, now), first ?? 0)
  // With nothing behind it, it is the registry of now.
  if (moment.registry < end && (since === null || moment.at < since)) throw new BeforeHistory(since)
  return { view, since: since ?? moment.at }
}
