import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { DeadLetterReason } from '../../../../events/retry-schedule.ts'
import type { OwedEvent } from '../../../../router/push/owed-event.ts'
import { PushEvents } from '../../../../router/subscriptions/push-events.ts'
import { SubscriptionWorld, until } from './world.ts'

let world: SubscriptionWorld
beforeEach(async () => {
  world = await SubscriptionWorld.open()
  await world.subscribe('alarms')
})
afterEach(() => world.close())

const source = (): PushEvents => new PushEvents({ subscription: world.find('alarms'), headersOf: () => ({}) })
const never = new AbortController().signal
const idOf = ({ body }: OwedEvent): string => JSON.parse(body.toString()).id
const failure = (event: OwedEvent): OwedEvent => ({ ...event, deliveryCount: 1, retryAt: world.time + 10_000, lastResult: 'Busy', lastAttemptAt: world.time })

/** Gives as many as there are, one after the other. */
async function take(from: PushEvents, count: number): Promise<readonly OwedEvent[]> {
  const all: OwedEvent[] = []
  while (all.length < count) all.push(...(await from.next(1, 1_000_000, never)))
  return all
}

test('events are given once, in order, and what was delivered does not come again after a crash', async () => {
  for (const id of ['1', '2', '3']) await world.publish(id)
  const first = source()
  const given = await take(first, 3)
  expect(given.map(idOf)).toEqual(['1', '2', '3'])
  first.delivered(given.slice(0, 2))
  await until(
    () => world.find('alarms').ledger.size,
    (size) => size === 1,
  )
  await world.begin()
  expect((await take(source(), 1)).map(idOf)).toEqual(['3'])
})

test('PU-05 a failed attempt is remembered with its count and the time of the next one, and those before it that were on their way come again', async () => {
  for (const id of ['1', '2']) await world.publish(id)
  const first = source()
  const [, second] = (await take(first, 2)) as [OwedEvent, OwedEvent]
  first.failed([failure(second)])
  await world.begin()
  const again = await take(source(), 2)
  expect(again.map((event) => [idOf(event), event.deliveryCount, event.lastResult, event.retryAt])).toEqual([
    ['2', 1, 'Busy', world.time + 10_000],
    ['1', 0, null, 0],
  ])
})

test('PU-12 an event that is given up is a dead letter, and settled', async () => {
  await world.publish('1')
  const first = source()
  const [event] = (await take(first, 1)) as [OwedEvent]
  await first.givenUp({ ...event, deliveryCount: 10, lastResult: 'Busy', lastAttemptAt: world.time }, DeadLetterReason.deliveryCount)
  expect(world.deadLetters).toMatchObject([{ event: { id: '1' }, deadletterProperties: { deliveryattempts: 10, deliveryresult: 'Busy' } }])
  expect(world.find('alarms').ledger.size).toBe(0)
})

test('whoever waits for an event is let go by the signal, and told when the subscription is over here', async () => {
  const from = source()
  const leaving = new AbortController()
  const waiting = from.next(1, 1, leaving.signal)
  leaving.abort()
  expect(await waiting).toEqual([])
  const told = from.next(1, 1, never)
  world.subscriptions.disown(0)
  await expect(told).rejects.toThrow('over')
})
