import { expect, test } from '@jest/globals'
import { type DeliveryAnswer, judgeDelivery } from '../../../../events/delivery-result.ts'
import type { OwedEvent } from '../../../../router/push/owed-event.ts'
import { type Batch, PushQueue, type PushQueueOptions } from '../../../../router/push/push-queue.ts'
import fc from '../../../support/fast-check.ts'

const owed = (offset: number, more: Partial<OwedEvent> = {}): OwedEvent => ({
  partition: 0,
  offset,
  key: null,
  body: Buffer.from(String(offset).padStart(10)),
  headers: {},
  publishedAt: 0,
  deliveryCount: 0,
  retryAt: 0,
  lastResult: null,
  lastAttemptAt: null,
  ...more,
})
const policy = { schedule: [10_000, 30_000, 60_000, 300_000], maxDeliveryCount: 10, timeToLiveMs: 3_600_000 } as const
const open: PushQueueOptions = { policy, batch: null, isOrdered: false, requestsMax: 100 }
const none = () => 0

function queueOf(options: Partial<PushQueueOptions>, ...events: readonly OwedEvent[]): PushQueue {
  const queue = new PushQueue({ ...open, ...options })
  for (const event of events) queue.add(event)
  return queue
}

/** Everything that may go at that time. */
function sent(queue: PushQueue, now = 0): Batch[] {
  const batches: Batch[] = []
  while (queue.peek(now).kind === 'send') batches.push(queue.cut())
  return batches
}
const offsets = (batches: readonly Batch[]) => batches.map(({ events }) => events.map(({ offset }) => offset))
const finish = (queue: PushQueue, batch: Batch | undefined, answer: DeliveryAnswer | number, now = 0) =>
  queue.finish(batch!, judgeDelivery(typeof answer === 'number' ? { status: answer } : answer, now), now, none)

test('events go one by one, in the order in which they came, no more at a time than may be under way', () => {
  const queue = queueOf({ requestsMax: 2 }, owed(1), owed(2), owed(3))
  const [first, second, ...more] = sent(queue)
  expect(offsets([first!, second!])).toEqual([[1], [2]])
  expect(more).toEqual([])
  expect(finish(queue, second, 200).delivered.map(({ offset }) => offset)).toEqual([2])
  expect(offsets(sent(queue))).toEqual([[3]])
  expect(queue).toMatchObject({ size: 2, bytes: 20, requests: 2 })
})

test('PU-08: a batch holds no more events and, beyond its first, no more bytes than it should', () => {
  expect(offsets(sent(queueOf({ batch: { eventsMax: 2, bytesMax: 1_000 } }, owed(1), owed(2), owed(3))))).toEqual([[1, 2], [3]])
  expect(offsets(sent(queueOf({ batch: { eventsMax: 9, bytesMax: 22 } }, owed(1), owed(2), owed(3))))).toEqual([[1, 2], [3]])
  expect(offsets(sent(queueOf({ batch: { eventsMax: 9, bytesMax: 5 } }, owed(1), owed(2))))).toEqual([[1], [2]])
})

test('ordered: more events of one key wait for one that failed than a call takes arguments', () => {
  const count = 150_000
  const queue = queueOf({ isOrdered: true })
  for (let offset = 0; offset < count; offset++) queue.add(owed(offset, { key: 'a' }))
  const [batch] = sent(queue)
  finish(queue, batch, 500)
  expect([queue.size, offsets(sent(queue, 10_000))]).toEqual([count, [[0]]])
})

test('PU-09: events whose headers differ do not share a batch', () => {
  const at = (offset: number, site: string) => owed(offset, { headers: { 'x-site': site } })
  expect(offsets(sent(queueOf({ batch: { eventsMax: 9, bytesMax: 1_000 } }, at(1, 'a'), at(2, 'a'), at(3, 'b'))))).toEqual([[1, 2], [3]])
})

test('PU-08: a batch is delivered or not as a whole', () => {
  const queue = queueOf({ batch: { eventsMax: 9, bytesMax: 1_000 } }, owed(1), owed(2))
  const [batch] = sent(queue)
  expect(finish(queue, batch, 500).again.map(({ offset, deliveryCount, retryAt, lastResult }) => [offset, deliveryCount, retryAt, lastResult])).toEqual([
    [1, 1, 10_000, 'Failed'],
    [2, 1, 10_000, 'Failed'],
  ])
  expect(queue.peek(0)).toEqual({ kind: 'wait', until: 10_000 })
  expect(offsets(sent(queue, 10_000))).toEqual([[1, 2]])
})

test('PU-08: a batch that is refused as wrong is sent event by event, and only what is refused by itself is given up', () => {
  const queue = queueOf({ batch: { eventsMax: 9, bytesMax: 1_000 } }, owed(1), owed(2), owed(3))
  const [batch] = sent(queue)
  expect(finish(queue, batch, 400)).toMatchObject({ givenUp: [], again: [{ offset: 1 }, { offset: 2 }, { offset: 3 }] })
  queue.add(owed(4))
  queue.add(owed(5))
  const single = sent(queue)
  expect(offsets(single).sort()).toEqual([[1], [2], [3], [4, 5]])
  const of = (offset: number) => single.find(({ events }) => events[0]?.offset === offset)
  expect(finish(queue, of(1), 200).delivered).toHaveLength(1)
  expect(finish(queue, of(2), 400).givenUp).toMatchObject([{ event: { offset: 2, deliveryCount: 1 }, reason: 'Undeliverable due to client error' }])
})

test('PU-08: where each event has one attempt, a batch that is refused as wrong costs only the one that is wrong', () => {
  const queue = queueOf({ policy: { ...policy, maxDeliveryCount: 1 }, batch: { eventsMax: 9, bytesMax: 1_000 } }, owed(1), owed(2), owed(3))
  const [batch] = sent(queue)
  expect(finish(queue, batch, 413).again.map(({ deliveryCount }) => deliveryCount)).toEqual([0, 0, 0])
  const single = sent(queue)
  expect(offsets(single)).toEqual([[1], [2], [3]])
  const outcomes = [200, 413, 200].map((status, index) => finish(queue, single[index], status))
  expect(outcomes.map(({ delivered, givenUp }) => [delivered.length, givenUp.length])).toEqual([
    [1, 0],
    [0, 1],
    [1, 0],
  ])
  expect(queue.size).toBe(0)
})

test('PU-05: a failed event waits by the schedule, and others go meanwhile', () => {
  const queue = queueOf({}, owed(1))
  let now = 0
  const waits: number[] = []
  for (let attempt = 1; attempt <= 6; attempt++) {
    finish(queue, sent(queue, now)[0], 500, now)
    const next = queue.peek(now)
    const until = next.kind === 'wait' ? next.until : now
    waits.push((until - now) / 1000)
    now = until
  }
  expect(waits).toEqual([10, 30, 60, 300, 300, 300])
  queue.add(owed(2))
  expect(offsets(sent(queue, now - 1))).toEqual([[2]])
})

test('PU-07: what was tried often enough, or is too old, is given up and not sent', () => {
  const queue = queueOf({ policy: { ...policy, timeToLiveMs: 60_000, maxDeliveryCount: 2 } }, owed(1, { deliveryCount: 1 }), owed(2))
  const [first, second] = sent(queue)
  expect(finish(queue, first, 500).givenUp).toMatchObject([{ event: { offset: 1, deliveryCount: 2 }, reason: 'Maximum delivery attempts was exceeded' }])
  finish(queue, second, 500, 55_000)
  expect(queue.peek(64_999)).toEqual({ kind: 'wait', until: 65_000 })
  expect(queue.peek(65_000)).toMatchObject({ kind: 'givenUp', event: { offset: 2 }, reason: 'Time to live was exceeded' })
  queue.add(owed(3, { deliveryCount: 2 }))
  expect(queue.peek(0)).toMatchObject({ kind: 'givenUp', event: { offset: 3 }, reason: 'Maximum delivery attempts was exceeded' })
  expect(queue).toMatchObject({ size: 0, bytes: 0 })
})

test('PU-10: after a failure the whole subscription rests, then one request at a time asks whether the webhook is back', () => {
  const queue = queueOf({}, owed(1), owed(2), owed(3), owed(4))
  const [first] = [queue.peek(0).kind === 'send' ? queue.cut() : undefined]
  finish(queue, first, { failed: 'network' }, 1_000)
  expect(queue.peek(1_000)).toEqual({ kind: 'wait', until: 31_000 })
  const [probe, ...more] = sent(queue, 31_000)
  expect(offsets([probe!, ...more])).toEqual([[2]])
  finish(queue, probe, 200, 31_500)
  expect(offsets(sent(queue, 31_500))).toEqual([[3], [4], [1]])
})

test('PU-10: a rest is not cut short by a shorter one, and expiry goes on in it', () => {
  const queue = queueOf({ policy: { ...policy, timeToLiveMs: 100_000 } }, owed(1), owed(2), owed(3))
  const [first, second] = sent(queue)
  finish(queue, first, 401, 0)
  finish(queue, second, 503, 0)
  expect(queue.restsUntil).toBe(300_000)
  expect(queue.peek(100_000)).toMatchObject({ kind: 'givenUp', event: { offset: 2 } })
})

test('ordered: of one key nothing overtakes, other keys go on', () => {
  const queue = queueOf({ isOrdered: true }, owed(1, { key: 'a' }), owed(2, { key: 'a' }), owed(3, { key: 'b' }), owed(4))
  const [a, b, free] = sent(queue)
  expect(offsets([a!, b!, free!])).toEqual([[1], [3], [4]])
  finish(queue, a, 500)
  expect(offsets(sent(queue, 9_999))).toEqual([])
  const [again] = sent(queue, 10_000)
  expect(offsets([again!])).toEqual([[1]])
  finish(queue, again, 200, 10_000)
  expect(offsets(sent(queue, 10_000))).toEqual([[2]])
})

test('ordered: several events of one key share a batch in their order', () => {
  const queue = queueOf(
    { isOrdered: true, batch: { eventsMax: 3, bytesMax: 1_000 } },
    ...[1, 2, 3, 4].map((offset) => owed(offset, { key: 'a' })),
    owed(5, { key: 'b' }),
  )
  const [first, second] = sent(queue)
  expect(offsets([first!, second!])).toEqual([[1, 2, 3], [5]])
  finish(queue, first, 500)
  expect(offsets(sent(queue, 10_000))).toEqual([[1, 2, 3]])
})

test('ordered: an event that is given up lets the next one of its key go', () => {
  const queue = queueOf({ isOrdered: true }, owed(1, { key: 'a' }), owed(2, { key: 'a' }))
  finish(queue, sent(queue)[0], 400)
  expect(offsets(sent(queue))).toEqual([[2]])
})

test('whatever a webhook answers, every event is settled once, a key’s in order where that is promised', () => {
  const statuses = fc.constantFrom(200, 200, 200, 200, 400, 413, 500, 503, 408, 0)
  const batches = fc.option(fc.record({ eventsMax: fc.integer({ min: 1, max: 5 }), bytesMax: fc.integer({ min: 1, max: 60 }) }))
  const world = fc.record({
    keys: fc.array(fc.constantFrom(null, 'a', 'b', 'c'), { maxLength: 30 }),
    isOrdered: fc.boolean(),
    batch: batches,
    requestsMax: fc.integer({ min: 1, max: 4 }),
  })
  fc.assert(
    fc.property(world, fc.infiniteStream(fc.tuple(statuses, fc.nat())), ({ keys, isOrdered, batch, requestsMax }, answers) => {
      const queue = queueOf({ isOrdered, batch, requestsMax }, ...keys.map((key, offset) => owed(offset, { key })))
      const settled: OwedEvent[] = []
      const underWay: Batch[] = []
      let now = 0
      while (queue.size > 0) {
        const next = queue.peek(now)
        if (next.kind === 'send') {
          const cut = queue.cut()
          expect(cut.events.length).toBeGreaterThan(0)
          underWay.push(cut)
          expect(underWay.length).toBeLessThanOrEqual(requestsMax)
        } else if (next.kind === 'givenUp') settled.push(next.event)
        else if (underWay.length > 0) {
          const { value } = answers.next()
          const [status, which] = value as [number, number]
          const [ended] = underWay.splice(which % underWay.length, 1)
          const { delivered, givenUp } = finish(queue, ended, status === 0 ? { failed: 'network' } : status, now)
          settled.push(...delivered, ...givenUp.map(({ event }) => event))
        } else now = next.until
      }
      expect(settled.map(({ offset }) => offset).sort((a, b) => a - b)).toEqual(keys.map((_, offset) => offset))
      if (!isOrdered) return
      for (const key of ['a', 'b', 'c']) {
        const order = settled.filter((event) => event.key === key).map(({ offset }) => offset)
        expect(order).toEqual([...order].sort((a, b) => a - b))
      }
    }),
  )
})
