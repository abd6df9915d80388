/** How the shards of a router stand, read when somebody scrapes: a shard that goes to another router is gone from here at once. */
import type { Registry } from 'prom-client'
import { levelElsewhere } from '../telemetry/counted.ts'

export interface ShardLevels {
  readonly shard: number
  /** Records of `messages` that are not done yet, up to the end as the last fetch told it. */
  readonly lagRecords: number
  /** Time since the newest message that was matched was published while others wait behind it, ms; 0 when none does. */
  readonly lagMs: number
  /** Records of the inbox that are not folded yet. */
  readonly inboxLagRecords: number
  /** Bytes of messages matched and not yet done. */
  readonly outstandingBytes: number
  /** Shared subscriptions whose members have enough, and how many records the one furthest behind has still to look at. */
  readonly groupsBehind: number
  readonly groupsBehindRecords: number
  /** Sessions that are not over, and those of them that have a connection. */
  readonly sessions: number
  readonly attached: number
  /** Owed to persistent sessions. */
  readonly owedMessages: number
  readonly owedBytes: number
  /** How long the oldest of it has waited, ms. */
  readonly oldestOwedMs: number
}

export interface RouterLevels {
  readonly shards: readonly ShardLevels[]
  /** Bytes on their way to each gateway. */
  readonly gateways: ReadonlyMap<string, number>
  readonly registryUnconfirmedMs: number
  /** Shards of the namespace, whoever owns them. */
  readonly shardsOfNamespace: number
}

/** Levels of a scrape are read once: that takes a look at every session. */
function oncePerTurn<T>(read: () => T): () => T {
  let known: { readonly value: T } | null = null
  return () => {
    if (known) return known.value
    known = { value: read() }
    setImmediate(() => {
      known = null
    })
    return known.value
  }
}

export function observeShards(registry: Registry, read: () => RouterLevels): void {
  const levels = oncePerTurn(read)
  const ofShard = (name: string, help: string, read: (shard: ShardLevels) => number): void =>
    levelElsewhere({ registry, name: `loggerhead_${name}`, help, labelNames: ['shard'] }, () =>
      levels().shards.map((shard) => [{ shard: String(shard.shard) }, read(shard)] as const),
    )
  ofShard('router_lag_records', 'Messages in the log that are not matched and done yet', ({ lagRecords }) => lagRecords)
  ofShard('router_lag_seconds', 'Age of the newest message that was matched, while others wait behind it', ({ lagMs }) => lagMs / 1000)
  ofShard('router_inbox_lag_records', 'Records of the inbox that are not folded yet', ({ inboxLagRecords }) => inboxLagRecords)
  ofShard('router_outstanding_bytes', 'Bytes of messages matched and not yet done', ({ outstandingBytes }) => outstandingBytes)
  ofShard('shared_groups_behind', 'Shared subscriptions whose members have enough: their messages wait in the log', ({ groupsBehind }) => groupsBehind)
  ofShard(
    'shared_behind_records',
    'Messages in the log that the shared subscription furthest behind has still to look at',
    ({ groupsBehindRecords }) => groupsBehindRecords,
  )
  ofShard('sessions', 'Sessions that are not over, with and without a connection', ({ sessions }) => sessions)
  ofShard('sessions_attached', 'Sessions with a connection', ({ attached }) => attached)
  ofShard('queued_messages', 'Messages owed to persistent sessions', ({ owedMessages }) => owedMessages)
  ofShard('queued_bytes', 'Bytes of messages owed to persistent sessions', ({ owedBytes }) => owedBytes)
  ofShard('queued_oldest_seconds', 'How long the oldest message owed to a persistent session has waited', ({ oldestOwedMs }) => oldestOwedMs / 1000)
  levelElsewhere({ registry, name: 'loggerhead_gateway_queued_bytes', help: 'Bytes on their way to a gateway', labelNames: ['gateway'] }, () =>
    [...levels().gateways].map(([gateway, bytes]) => [{ gateway }, bytes] as const),
  )
  levelElsewhere(
    { registry, name: 'loggerhead_router_registry_unconfirmed_seconds', help: 'Time since the registry was last confirmed', labelNames: [] },
    () => [[{}, levels().registryUnconfirmedMs / 1000]],
  )
  levelElsewhere({ registry, name: 'loggerhead_shards', help: 'Shards of the namespace, whichever router has them', labelNames: [] }, () => [
    [{}, levels().shardsOfNamespace],
  ])
}

/** For docs/metrics.md. */
export const declareMetrics = (fresh: () => Registry): void =>
  observeShards(fresh(), () => {
    throw new TypeError('only declared')
  })
