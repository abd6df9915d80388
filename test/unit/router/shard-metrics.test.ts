import { expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { observeShards, type RouterLevels } from '../../../router/shard-metrics.ts'

const shard = {
  shard: 3,
  lagRecords: 7,
  lagMs: 1500,
  inboxLagRecords: 2,
  outstandingBytes: 100,
  groupsBehind: 2,
  groupsBehindRecords: 70,
  sessions: 5,
  attached: 4,
  owedMessages: 9,
  owedBytes: 900,
  oldestOwedMs: 60_000,
}

function observed() {
  const registry = new Registry()
  const state = { reads: 0, levels: { shards: [shard], gateways: new Map([['gateway', 12]]), registryUnconfirmedMs: 20, shardsOfNamespace: 4 } as RouterLevels }
  observeShards(registry, () => {
    state.reads++
    return state.levels
  })
  return { registry, state }
}

test('a scrape looks at the sessions once and tells every level of every shard', async () => {
  const { registry, state } = observed()
  const text = await registry.metrics()
  expect(state.reads).toBe(1)
  for (const line of [
    'loggerhead_router_lag_records{shard="3"} 7',
    'loggerhead_router_lag_seconds{shard="3"} 1.5',
    'loggerhead_router_inbox_lag_records{shard="3"} 2',
    'loggerhead_router_outstanding_bytes{shard="3"} 100',
    'loggerhead_shared_groups_behind{shard="3"} 2',
    'loggerhead_shared_behind_records{shard="3"} 70',
    'loggerhead_sessions{shard="3"} 5',
    'loggerhead_sessions_attached{shard="3"} 4',
    'loggerhead_queued_messages{shard="3"} 9',
    'loggerhead_queued_bytes{shard="3"} 900',
    'loggerhead_queued_oldest_seconds{shard="3"} 60',
    'loggerhead_gateway_queued_bytes{gateway="gateway"} 12',
    'loggerhead_shards 4',
    'loggerhead_router_registry_unconfirmed_seconds 0.02',
  ])
    expect(text).toContain(line)
})

test('a shard that goes to another router is gone at the next scrape', async () => {
  const { registry, state } = observed()
  await registry.metrics()
  state.levels = { ...state.levels, shards: [] }
  await new Promise((resolve) => setImmediate(resolve))
  expect(await registry.metrics()).not.toContain('shard="3"')
})
