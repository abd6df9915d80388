import type { Session } from '../model/session.ts'
import type { OwnedShard } from './owned-shard.ts'
import type { ShardLevels } from './shard-metrics.ts'

/** What was last heard of a shard's partitions: ends, and when the newest message that was matched was published. */
export interface Standing {
  messagesEnd: number
  matchedAt: number
  inboxEnd: number
}

/** How a shard stands now. Looks at every session of it. */
export function shardLevels(owned: OwnedShard, standing: Standing | undefined, all: Iterable<Session>, now: number): ShardLevels {
  const { shard, source, client } = owned
  const lagRecords = Math.max(0, (standing?.messagesEnd ?? 0) - source.position)
  let [sessions, owedMessages, owedBytes, oldestAt] = [0, 0, 0, now]
  for (const session of all) {
    if (session.isOver) continue
    const { length, bytes, oldest } = session.queue
    sessions++
    owedMessages += length
    owedBytes += bytes
    if (oldest && oldest.at < oldestAt) oldestAt = oldest.at
  }
  return {
    shard,
    lagRecords,
    lagMs: lagRecords > 0 && standing?.matchedAt ? Math.max(0, now - standing.matchedAt) : 0,
    inboxLagRecords: Math.max(0, (standing?.inboxEnd ?? 0) - owned.inboxPosition),
    outstandingBytes: source.outstandingBytes,
    groupsBehind: source.lanes.count,
    groupsBehindRecords: source.lanes.behind,
    sessions,
    attached: client.attachedCount,
    owedMessages,
    owedBytes,
    oldestOwedMs: now - oldestAt,
  }
}
