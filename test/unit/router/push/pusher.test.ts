/** What a pusher holds while dead letters wait for their place. */
import { expect, test } from '@jest/globals'
import { Pacing } from '../../../../events/pacing.ts'
import type { OwedEvent } from '../../../../router/push/owed-event.ts'
import { PushBudget } from '../../../../router/push/push-budget.ts'
import { Pusher, type PusherOptions, type PushSource } from '../../../../router/push/pusher.ts'
import { until } from '../subscriptions/world.ts'

const body = Buffer.alloc(1_000)
const event = (offset: number): OwedEvent => ({
  partition: 0,
  offset,
  key: null,
  body,
  headers: {},
  publishedAt: 0,
  deliveryCount: 0,
  retryAt: 0,
  lastResult: null,
  lastAttemptAt: null,
})

test.each([
  ['PUSH_BYTES_HELD_MAX', { bytesMax: 3 * body.length }],
  ['PUSH_EVENTS_HELD_MAX', { eventsMax: 3 }],
])('%s: dead letters that wait for their place count, until they are settled', async (_limit, most: Partial<PusherOptions>) => {
  let taken = 0
  const settle: (() => void)[] = []
  const source: PushSource = {
    next: async () => [event(taken++)],
    delivered: () => {},
    failed: () => {},
    givenUp: () => new Promise((resolve) => settle.push(resolve)),
  }
  const pusher = new Pusher({
    source,
    target: { deliver: async () => ({ status: 400 }) },
    queue: { policy: { schedule: [10], maxDeliveryCount: 10, timeToLiveMs: 60_000 }, batch: null, isOrdered: false, requestsMax: 8 },
    probations: { busyMs: 0, socketErrorMs: 0, configurationMs: 0 },
    leastWaitMaxMs: 10,
    perMinute: null,
    pacing: new Pacing(),
    eventsMax: 1_000,
    bytesMax: 1_000_000,
    budget: new PushBudget(8),
    isOwner: () => true,
    counters: { attempted: () => {} },
    now: () => 0,
    chance: () => 0,
    onFailed: (error) => {
      throw error
    },
    ...most,
  })
  const waiting = (count: number) =>
    until(
      () => settle.length,
      (length) => length === count,
    )
  await waiting(3)
  // Nobody has asked for a fourth: what would is done before the next turn.
  await new Promise((resolve) => setImmediate(resolve))
  expect(taken).toBe(3)
  expect(pusher.status).toMatchObject({ events: 0, bytes: 3 * body.length, deadLettersWaiting: 3 })
  settle[0]!()
  await waiting(4)
  expect(taken).toBe(4)
  await pusher.close()
})
