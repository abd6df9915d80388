import { expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import type { Probe } from '../../../door/canary-client.ts'
import { HealthCheck, judge } from '../../../door/health.ts'
import { createMetrics } from '../../../door/metrics.ts'

const arrived: Probe = { gateway: 'gateway', arrived: true, ms: 4.2 }
const failed: Probe = { gateway: 'gateway-2', arrived: false, stopped: 'puback', reason: 'after 3000 ms', partitions: [0] }

function check(probes: () => Promise<readonly Probe[]>, clock: { now: number }, lateMs = 60_000, onAsked = () => {}) {
  const rounds = { count: 0, statuses: 0 }
  const health = new HealthCheck({
    durability: 'single copy in the page cache',
    probe: () => {
      rounds.count++
      return probes()
    },
    statuses: async () => {
      rounds.statuses++
      onAsked()
      return []
    },
    lateMs,
    freshMs: 1000,
    now: () => clock.now,
    metrics: createMetrics(new Registry()),
  })
  return { health, rounds }
}

test('when every canary came back it is 200 with the time of each gateway', () => {
  expect(judge([arrived], [], 'replicated')).toEqual({ status: 'ok', durability: 'replicated', gateways: [{ id: 'gateway', ms: 4.2 }] })
})

test('one gateway of two that fails is failing, with the hop and the reason', () => {
  expect(judge([arrived, failed], [], 'd')).toEqual({
    status: 'failing',
    durability: 'd',
    gateways: [{ id: 'gateway', ms: 4.2 }],
    hop: 'kafka',
    reason: 'gateway gateway-2 gave no PUBACK (partition 0): after 3000 ms',
  })
})

test('no gateway at all is failing', () => {
  expect(judge([], [], 'd')).toMatchObject({ status: 'failing', hop: 'gateway' })
})

test('those who ask during a round share it, and its result stays good for HEALTH_FRESH', async () => {
  const clock = { now: 0 }
  const { health, rounds } = check(async () => [arrived], clock)
  const [first, second] = await Promise.all([health.check(), health.check()])
  expect(second).toBe(first)
  clock.now = 999
  expect(await health.check()).toBe(first)
  expect(rounds.count).toBe(1)
  clock.now = 1000
  await health.check()
  expect(rounds.count).toBe(2)
})

test('nothing is sent while nobody asks, and the services are asked only when a canary failed', async () => {
  const clock = { now: 0 }
  let probes: readonly Probe[] = [arrived]
  const { health, rounds } = check(async () => probes, clock)
  expect(rounds).toEqual({ count: 0, statuses: 0 })
  await health.check()
  expect(rounds).toEqual({ count: 1, statuses: 0 })
  clock.now = 5000
  probes = [failed]
  expect(await health.check()).toMatchObject({ status: 'failing' })
  expect(rounds).toEqual({ count: 2, statuses: 1 })
})

test('the services are asked while a late canary is waited for, so that the answer comes when its time is up', async () => {
  const asked = Promise.withResolvers<void>()
  // The canary fails only after the services were asked.
  const { health, rounds } = check(() => asked.promise.then(() => [failed]), { now: 0 }, 5, asked.resolve)
  expect(await health.check()).toMatchObject({ status: 'failing' })
  expect(rounds.statuses).toBe(1)
})
