/** What a pusher is given of a subscription, and what the log knows of it when another owner comes. */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { compileHeaders } from '../../../../events/delivery-headers.ts'
import { DeadLetterReason } from '../../../../events/retry-schedule.ts'
import type { OwedEvent } from '../../../../router/push/owed-event.ts'
import { SubscriptionSource } from '../../../../router/push/subscription-source.ts'
import type { Unsettled } from '../../../../router/subscriptions/ledger.ts'
import type { Subscription } from '../../../../router/subscriptions/subscription.ts'
import { SubscriptionWorld, until } from '../subscriptions/world.ts'

let world: SubscriptionWorld
beforeEach(async () => {
  world = await SubscriptionWorld.open()
  const destination = { endpointType: 'WebHook', properties: { endpointUrl: 'https://hooks.example.com/alarms' } }
  const body = { deliveryConfiguration: { deliveryMode: 'Push', push: { destination } } }
  expect((await world.api.send('PUT', 'topics/doors/eventSubscriptions/alarms', { body })).status).toBe(201)
})
afterEach(() => world.close())

const alarms = (): Subscription => world.find('alarms')
const headers = compileHeaders([{ name: 'x-site', type: 'Static', properties: { value: 'north' } }])
const sourceOf = (subscription = alarms()): SubscriptionSource => new SubscriptionSource({ subscription, headers, onDelivered: () => {} })
/** The next events, until there are as many. */
async function take(source: SubscriptionSource, count: number): Promise<OwedEvent[]> {
  const taken: OwedEvent[] = []
  while (taken.length < count) taken.push(...(await source.next(count - taken.length, 1_000_000, AbortSignal.timeout(5_000))))
  return taken
}
const offsets = (events: readonly OwedEvent[]) => events.map(({ offset }) => offset)
const unsettled: Unsettled = {
  partition: 0,
  offset: 0,
  publishedAt: 0,
  deliveryCount: 0,
  lock: '',
  lockedSince: 0,
  until: 0,
  lastAttemptAt: null,
  lastResult: null,
}
/** Until the log has what was noted. */
const noted = (subscription: Subscription, offset: number) =>
  until(
    () => subscription.ledger.get({ partition: 0, offset })?.deliveryCount,
    (count) => count !== undefined && count > 0,
  )
const failed = (event: OwedEvent, retryAt: number): OwedEvent => ({
  ...event,
  deliveryCount: event.deliveryCount + 1,
  retryAt,
  lastResult: 'Failed',
  lastAttemptAt: world.time,
})

test('events come once each, in the CloudEvents JSON format, with the operator’s headers', async () => {
  await world.publish('1', { data: '{"a":1}' })
  await world.publish('2')
  const source = sourceOf()
  const events = await take(source, 2)
  expect(events[0]).toMatchObject({ partition: 0, offset: 0, key: null, headers: { 'x-site': 'north' }, deliveryCount: 0, retryAt: 0, publishedAt: world.time })
  expect(JSON.parse(events[0]!.body.toString())).toEqual({
    specversion: '1.0',
    id: '1',
    source: 'test',
    type: 'opened',
    datacontenttype: 'application/json',
    data: { a: 1 },
  })
  expect(await source.next(10, 1_000_000, AbortSignal.timeout(10))).toEqual([])
})

test('what was delivered does not come again after a crash once its position is noted; what was only given out does', async () => {
  for (const id of ['1', '2', '3', '4']) await world.publish(id)
  const source = sourceOf()
  const events = await take(source, 4)
  source.delivered([events[0]!, events[1]!, events[3]!])
  alarms().tick()
  await world.begin()
  // The fourth was delivered, and the position cannot pass the third.
  expect(offsets(await take(sourceOf(), 2))).toEqual([2, 3])
})

test('PU-07: the number of failed attempts, and when the next one is due, survive a crash', async () => {
  await world.publish('1')
  await world.publish('2')
  const source = sourceOf()
  const [first, second] = await take(source, 2)
  source.failed([failed(first!, world.time + 10_000)])
  source.delivered([second!])
  await noted(alarms(), 0)
  alarms().tick()
  await world.begin()
  const [again] = await take(sourceOf(), 1)
  expect(again).toMatchObject({ offset: 0, deliveryCount: 1, retryAt: world.time + 10_000, lastResult: 'Failed', lastAttemptAt: world.time })
})

test('ordered: after a crash an event that had failed comes before those behind it', async () => {
  for (const id of ['1', '2', '3']) await world.publish(id)
  const source = sourceOf()
  const [, second] = await take(source, 3)
  source.failed([failed(second!, world.time)])
  await noted(alarms(), 1)
  await world.begin()
  const order = offsets(await take(sourceOf(), 3))
  expect(order.indexOf(1)).toBeLessThan(order.indexOf(2))
  expect([...order].sort()).toEqual([0, 1, 2])
})

test('a source that takes the place of another is given what that one had', async () => {
  await world.publish('1')
  await take(sourceOf(), 1)
  expect(offsets(await take(sourceOf(), 1))).toEqual([0])
})

test('PUSH_BYTES_HELD_MAX: what another source had comes in no more bytes at a time than there is room for, and in order', async () => {
  for (const id of ['1', '2', '3']) await world.publish(id, { data: JSON.stringify('x'.repeat(1_000)) })
  await take(sourceOf(), 3)
  const source = sourceOf()
  const next = async () => offsets(await source.next(10, 2_800, AbortSignal.timeout(5_000)))
  expect([await next(), await next()]).toEqual([[0, 1], [2]])
})

test('PU-12, PU-14: what is given up becomes a dead letter with its headers and its place, and is settled', async () => {
  await world.publish('1')
  const source = sourceOf()
  const [event] = await take(source, 1)
  await source.givenUp(failed(event!, 0), DeadLetterReason.clientError)
  expect(world.deadLetters).toMatchObject([
    {
      event: { id: '1' },
      customDeliveryProperties: { 'x-site': 'north' },
      deadletterProperties: { deadletterreason: 'Undeliverable due to client error', deliveryattempts: 1, deliveryresult: 'Failed' },
      source: { partition: 0, offset: 0 },
    },
  ])
  expect(alarms().ledger.size).toBe(0)
})

test('rewind: events come again from there on, whatever had become of them, also after a crash', async () => {
  for (const id of ['1', '2', '3']) await world.publish(id)
  const source = sourceOf()
  const [first, second, third] = await take(source, 3)
  source.delivered([first!, third!])
  source.failed([failed(second!, world.time + 1_000)])
  await noted(alarms(), 1)
  await alarms().rewind(new Map([[0, 1]]))
  expect(await take(sourceOf(), 2)).toMatchObject([
    { offset: 1, deliveryCount: 0, retryAt: 0 },
    { offset: 2, deliveryCount: 0, retryAt: 0 },
  ])
  await world.begin()
  expect(offsets(await take(sourceOf(), 2))).toEqual([1, 2])
})

test('rewind: an event whose dead letter was being written comes again, also after a crash, whatever becomes of the dead letter', async () => {
  await world.publish('1')
  const source = sourceOf()
  const [event] = await take(source, 1)
  const kept = Promise.withResolvers<void>()
  world.keeping = kept.promise
  const givenUp = source.givenUp(failed(event!, 0), DeadLetterReason.clientError)
  await alarms().rewind(new Map([[0, 0]]))
  expect(offsets(await take(sourceOf(), 1))).toEqual([0])
  kept.resolve()
  await givenUp
  expect([world.deadLetters.length, alarms().ledger.size]).toEqual([1, 1])
  alarms().tick()
  await alarms().confirm()
  await world.begin()
  expect(offsets(await take(sourceOf(), 1))).toEqual([0])
})

test('redrive: a source that is there already is given them, and what it holds stays with it; asked for twice at once they come once', async () => {
  for (const id of ['1', '2']) await world.publish(id)
  const source = sourceOf()
  const [first] = await take(source, 2)
  await source.givenUp(failed(first!, 0), DeadLetterReason.deliveryCount)
  world.reads = [{ sources: [{ partition: 0, offset: 0 }], done: async () => {} }]
  const answers = await Promise.all([alarms().redrive(0), alarms().redrive(0)])
  expect(answers.reduce((sum, { redriven }) => sum + redriven, 0)).toBe(1)
  expect(offsets(await take(source, 1))).toEqual([0])
  expect(await source.next(10, 1_000_000, AbortSignal.timeout(10))).toEqual([])
})

test('redrive: a source that begins before the log has it is given them once, and what becomes of them stands behind it', async () => {
  await world.publish('1')
  const before = sourceOf()
  await before.givenUp(failed((await take(before, 1))[0]!, 0), DeadLetterReason.deliveryCount)
  world.reads = [{ sources: [{ partition: 0, offset: 0 }], done: async () => {} }]
  const writing = Promise.withResolvers<void>()
  world.writing = writing.promise
  const redriven = alarms().redrive(0)
  await until(
    () => alarms().ledger.size,
    (size) => size === 1,
  )
  const source = sourceOf()
  const [event] = await take(source, 1)
  source.failed([failed(event!, world.time + 1_000)])
  writing.resolve()
  expect(await redriven).toMatchObject({ redriven: 1 })
  expect(await source.next(10, 1_000_000, AbortSignal.timeout(10))).toEqual([])
  source.delivered([event!])
  await alarms().confirm()
  await world.begin()
  expect(alarms().ledger.size).toBe(0)
})

test('redrive: what was read again since a rewind, and not given out yet, comes once', async () => {
  for (const id of ['1', '2']) await world.publish(id)
  const before = sourceOf()
  await take(before, 2)
  await alarms().rewind(new Map([[0, 0]]))
  await until(
    () => (alarms().status() as { ahead: number }).ahead,
    (ahead) => ahead === 2,
  )
  world.reads = [{ sources: [{ partition: 0, offset: 1 }], done: async () => {} }]
  await alarms().redrive(0)
  const source = sourceOf()
  expect(offsets(await take(source, 2)).sort()).toEqual([0, 1])
  expect(await source.next(10, 1_000_000, AbortSignal.timeout(10))).toEqual([])
})

test('redrive: more at once than a call takes arguments', async () => {
  await world.publish('1')
  const redriven = Array.from({ length: 200_000 }, (_, offset): Unsettled => ({ ...unsettled, partition: 0, offset }))
  const subscription = new Proxy(alarms(), {
    get: (of, name) => {
      if (name === 'takeRedriven') return () => redriven.splice(0)
      const value = Reflect.get(of, name)
      return typeof value === 'function' ? value.bind(of) : value
    },
  })
  expect(offsets(await take(sourceOf(subscription), 1))).toEqual([0])
})

test('redrive: dead letters whose events are not settled yet stay where they are', async () => {
  await world.publish('1')
  const source = sourceOf()
  const [event] = await take(source, 1)
  const kept = Promise.withResolvers<void>()
  world.keeping = kept.promise
  const givenUp = source.givenUp(failed(event!, 0), DeadLetterReason.deliveryCount)
  let done = 0
  world.reads = [{ sources: [{ partition: 0, offset: 0 }], done: async () => void done++ }]
  expect([await alarms().redrive(0), done]).toEqual([{ redriven: 0, gone: 0, isAll: true }, 0])
  kept.resolve()
  await givenUp
  expect([await alarms().redrive(0), done]).toEqual([{ redriven: 1, gone: 0, isAll: true }, 1])
})

test('redrive: dead letters come again as new, those that the topic does not hold any more are counted', async () => {
  await world.close()
  world = await SubscriptionWorld.open()
  const letters = [
    {
      sources: [
        { partition: 0, offset: 0 },
        { partition: 0, offset: 99 },
      ],
      done: async () => void isDone++,
    },
  ]
  let isDone = 0
  world.reads = letters
  const destination = { endpointType: 'WebHook', properties: { endpointUrl: 'https://hooks.example.com/alarms' } }
  await world.api.send('PUT', 'topics/doors/eventSubscriptions/alarms', { body: { deliveryConfiguration: { deliveryMode: 'Push', push: { destination } } } })
  await world.publish('1')
  const source = sourceOf()
  const [event] = await take(source, 1)
  await source.givenUp(failed(event!, 0), DeadLetterReason.deliveryCount)
  world.time += 1_000
  expect(await alarms().redrive(0)).toEqual({ redriven: 1, gone: 1, isAll: true })
  expect(isDone).toBe(1)
  expect(await take(sourceOf(), 1)).toMatchObject([{ offset: 0, deliveryCount: 0, publishedAt: world.time }])
})

test('a dead letter that says it comes of a partition that is not there is passed over', async () => {
  const { log } = world.api
  const read = log.read.bind(log)
  log.read = async (topic, partition, ...rest) => {
    if (topic === 'loggerhead.default.topic.doors' && partition > 1) throw new Error('Kafka knows no such partition')
    return read(topic, partition, ...rest)
  }
  await world.publish('1')
  const source = sourceOf()
  await source.givenUp((await take(source, 1))[0]!, DeadLetterReason.deliveryCount)
  const sources = [
    { partition: 2_000_000_000, offset: 0 },
    { partition: -1, offset: 0 },
    { partition: 0, offset: -1 },
    { partition: 0, offset: 0 },
  ]
  world.reads = [{ sources, done: async () => {} }]
  expect(await alarms().redrive(0)).toEqual({ redriven: 1, gone: 3, isAll: true })
})

test('what a pusher had in hand is received once the subscription is a queue, also after a crash', async () => {
  for (const id of ['1', '2', '3']) await world.publish(id)
  const source = sourceOf()
  const [first, second] = await take(source, 3)
  source.delivered([first!])
  source.failed([failed(second!, world.time + 1_000)])
  await noted(alarms(), 1)
  const body = { deliveryConfiguration: { deliveryMode: 'Queue' } }
  expect((await world.api.send('PUT', 'topics/doors/eventSubscriptions/alarms', { body })).status).toBe(200)
  await until(
    () => alarms().properties.deliveryConfiguration.deliveryMode,
    (mode) => mode === 'Queue',
  )
  const [third] = await world.receive(alarms())
  expect(third).toMatchObject({ id: '3', count: 1 })
  expect(alarms().hold(10, 1_000_000)).toEqual([])
  world.time += 1_000
  const [again] = await world.receive(alarms())
  expect(again).toMatchObject({ id: '2', count: 2 })
  await alarms().acknowledge([third!.token])
  await world.begin()
  expect((await alarms().acknowledge([again!.token])).succeeded).toHaveLength(1)
  expect(await world.receive(alarms())).toEqual([])
})

test('rewind: also to before where the subscription began, and after a crash', async () => {
  for (const id of ['1', '2']) await world.publish(id)
  await world.subscribe('late')
  await world.find('late').rewind(new Map([[0, 0]]))
  await world.begin()
  const late = world.find('late')
  await until(
    () => (late.status() as { ahead: number }).ahead,
    (ahead) => ahead === 2,
  )
  expect(await world.receive(late)).toMatchObject([{ id: '1' }, { id: '2' }])
})

test('a source whose subscription is over gives nothing more', async () => {
  const source = sourceOf()
  const waiting = source.next(1, 1, new AbortController().signal)
  world.subscriptions.disown(0)
  expect(await waiting).toEqual([])
  expect(await source.next(1, 1, new AbortController().signal)).toEqual([])
})

test('a subscription that another router took sends nothing: Kafka does not confirm it', async () => {
  const before = alarms()
  await before.confirm()
  await world.begin()
  await expect(before.confirm()).rejects.toThrow()
})
