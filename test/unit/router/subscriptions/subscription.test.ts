import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { Ledger } from '../../../../router/subscriptions/ledger.ts'
import { Subscription } from '../../../../router/subscriptions/subscription.ts'
import { readDeliveries } from '../../../../router/subscriptions/subscriptions.ts'
import { type EventReader, TopicReader } from '../../../../router/subscriptions/topic-reader.ts'
import { SubscriptionWorld, until } from './world.ts'

let world: SubscriptionWorld
beforeEach(async () => {
  world = await SubscriptionWorld.open()
})
afterEach(() => world.close())

/** Receives until there are as many. */
async function some(subscription: Subscription, count: number, eventsMax = count): Promise<Awaited<ReturnType<SubscriptionWorld['receive']>>> {
  const all: Awaited<ReturnType<SubscriptionWorld['receive']>>[number][] = []
  await until(
    async () => all.push(...(await world.receive(subscription, eventsMax - all.length))),
    (length) => length >= count,
  )
  return all
}
const ids = (received: readonly { id: unknown }[]) => received.map(({ id }) => id)
const tokens = (received: readonly { token: string }[]) => received.map(({ token }) => token)

test('an event is received once while it is locked, and gone once it is acknowledged', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  const received = await some(alarms, 1)
  expect(received).toMatchObject([{ id: '1', count: 1 }])
  expect(await world.receive(alarms)).toEqual([])
  expect(await alarms.acknowledge(tokens(received))).toEqual({ succeeded: tokens(received), failed: [] })
  world.time += 3_600_000
  expect(await world.receive(alarms)).toEqual([])
  // No lock is honoured twice.
  expect((await alarms.acknowledge(tokens(received))).failed).toMatchObject([{ code: 'TokenLost' }])
})

test('events come in the order of their partition, up to as many as were asked for', async () => {
  const alarms = await world.subscribe('alarms')
  for (const id of ['1', '2', '3']) await world.publish(id)
  expect(ids(await some(alarms, 2))).toEqual(['1', '2'])
  expect(ids(await some(alarms, 1))).toEqual(['3'])
})

test('NT-10 only what the filters want is received, and what is not wanted holds nothing up', async () => {
  const alarms = await world.subscribe('alarms', {}, { filtersConfiguration: { filters: [{ operatorType: 'NumberGreaterThan', key: 'data.t', value: 20 }] } })
  await world.publish('cold', { data: '{"t":1}' })
  await world.publish('hot', { data: '{"t":21}' })
  await world.publish('odd', { data: 'no json' })
  const received = await some(alarms, 1, 10)
  expect(ids(received)).toEqual(['hot'])
  await alarms.acknowledge(tokens(received))
  await until(
    () => alarms.ledger.position(0),
    (position) => position === 3,
  )
})

test('UnmatchedEventCount: an event that no subscription of the topic wants counts once, whichever of them read it', async () => {
  const only = (...includedEventTypes: string[]) => ({ filtersConfiguration: { includedEventTypes } })
  // The first by name is over, and the second is paused: neither reads on.
  await world.subscribe('a-over', {}, { ...only('none'), expirationTimeUtc: new Date(world.time + 1_000).toISOString() })
  const destination = { endpointType: 'WebHook', properties: { endpointUrl: 'https://hooks.example.com/' } }
  const body = { deliveryConfiguration: { deliveryMode: 'Push', push: { destination } }, ...only('none'), deliveryState: 'Paused' }
  expect((await world.api.send('PUT', 'topics/doors/eventSubscriptions/b-paused', { body })).status).toBe(201)
  const opened = await world.subscribe('c-opened', {}, only('opened'))
  const closed = await world.subscribe('d-closed', {}, only('closed'))
  world.time += 2_000
  for (const type of ['closed', 'opened', 'lost', 'found']) await world.publish(type, { type })
  await until(
    () => [opened, closed].map(({ ledger }) => ledger.position(0)),
    // The last ones are passed over.
    () => (world.counts.filtered ?? 0) >= 6 + 4,
  )
  expect(world.counts.unmatched).toBe(2)
})

test('what is no CloudEvent is counted and passed over', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publishRaw('nonsense')
  await world.publish('1')
  expect(ids(await some(alarms, 1))).toEqual(['1'])
  expect(world.counts.unreadable).toBe(1)
})

test('an event whose data is nested too deep to be written again is counted and passed over', async () => {
  const alarms = await world.subscribe('alarms')
  const data = `${'['.repeat(5_000)}${']'.repeat(5_000)}`
  await world.publishRaw(`{"specversion":"1.0","id":"deep","source":"s","type":"t","data":${data}}`, 'application/cloudevents+json')
  await world.publish('1')
  expect(ids(await some(alarms, 1))).toEqual(['1'])
  expect(world.counts.unreadable).toBe(1)
})

test('whatever reading one record throws, those behind it are received', async () => {
  const whole = await world.subscribe('whole')
  const log = world.api.log
  const reader: EventReader = new TopicReader({ log, topic: 'loggerhead.default.topic.doors', fetchBytesMax: 1_048_576, onTrouble: () => {} })
  const eventOf = reader.eventOf.bind(reader)
  reader.eventOf = (record) => {
    if (record.offset === 0) throw new RangeError('Maximum call stack size exceeded')
    return eventOf(record)
  }
  const unreadable: number[] = []
  const alarms = new Subscription({
    topic: 'doors',
    name: 'alarms',
    properties: whole.properties,
    ledger: new Ledger([0, 0]),
    reader,
    deadLetters: undefined,
    limits: { unsettledMax: 10, aheadBytesMax: 1_048_576 },
    counters: {
      givenUp: () => {},
      lost: (_reason, count) => unreadable.push(count),
      read: () => {},
      received: () => {},
      limitReached: () => {},
    },
    now: () => world.time,
    write: async () => {},
    onTrouble: () => {},
    onMoving: () => {},
    isUnmatched: () => false,
  })
  await world.publish('1')
  await world.publish('2')
  expect(ids(await some(alarms, 1))).toEqual(['2'])
  expect(unreadable).toEqual([1])
  alarms.close()
  await reader.close()
})

test('an expired lock makes the event available again, with its count one higher', async () => {
  const alarms = await world.subscribe('alarms', { receiveLockDurationInSeconds: 60 })
  await world.publish('1')
  const first = await some(alarms, 1)
  world.time += 59_999
  expect(await world.receive(alarms)).toEqual([])
  world.time += 1
  expect((await alarms.acknowledge(tokens(first))).failed).toMatchObject([{ code: 'TokenLost' }])
  expect(await some(alarms, 1)).toMatchObject([{ id: '1', count: 2 }])
})

test('a released event is available again at once, or after the delay', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  await alarms.release(tokens(await some(alarms, 1)), 0)
  const again = await some(alarms, 1)
  expect(again).toMatchObject([{ count: 2 }])
  await alarms.release(tokens(again), 60_000)
  world.time += 59_999
  expect(await world.receive(alarms)).toEqual([])
  world.time += 1
  expect(await some(alarms, 1)).toMatchObject([{ count: 3 }])
})

test('an event that comes again is read without those behind it', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  await some(alarms, 1)
  for (const id of ['2', '3']) await world.publish(id)
  await some(alarms, 2)
  world.time += 60_000
  const { log } = world.api
  const read = log.read.bind(log)
  const sizes: number[] = []
  log.read = async (...asked) => {
    const stretch = await read(...asked)
    sizes.push(stretch.records.length)
    return stretch
  }
  expect(await some(alarms, 1)).toMatchObject([{ id: '1', count: 2 }])
  expect(sizes).toEqual([1])
})

test('a lock is renewed from when that is asked for, and not beyond an hour after it was taken', async () => {
  const alarms = await world.subscribe('alarms', { receiveLockDurationInSeconds: 300 })
  await world.publish('1')
  const held = tokens(await some(alarms, 1))
  for (let minutes = 4; minutes <= 60; minutes += 4) {
    world.time += 240_000
    expect((await alarms.renew(held)).succeeded).toEqual(held)
  }
  world.time += 240_000
  expect((await alarms.renew(held)).failed).toMatchObject([{ code: 'TokenLost' }])
  expect((await alarms.acknowledge(held)).succeeded).toEqual(held)
})

test('PU-12 after its last delivery an event is a dead letter with the documented properties', async () => {
  const alarms = await world.subscribe('alarms', { maxDeliveryCount: 2 })
  await world.publish('1', { data: '{"a":1}' })
  await some(alarms, 1)
  world.time += 60_000
  await some(alarms, 1)
  world.time += 60_000
  alarms.tick()
  await until(
    () => world.deadLetters.length,
    (count) => count === 1,
  )
  expect(world.deadLetters[0]).toEqual({
    event: { specversion: '1.0', id: '1', source: 'test', type: 'opened', datacontenttype: 'application/json', data: { a: 1 } },
    source: { partition: 0, offset: 0 },
    deadletterProperties: {
      deadletterreason: 'Maximum delivery attempts was exceeded',
      deliveryattempts: 2,
      publishutc: '2027-01-15T08:00:00.000Z',
      deliveryattemptutc: '2027-01-15T08:01:00.000Z',
    },
  })
  await until(
    () => alarms.ledger.size,
    (size) => size === 0,
  )
  expect(await world.receive(alarms)).toEqual([])
})

test('redrive: what is redriven is received again, and no list of it is kept for a pusher that is not there', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  await alarms.acknowledge(tokens(await some(alarms, 1)))
  world.reads = [{ sources: [{ partition: 0, offset: 0 }], done: async () => {} }]
  for (let again = 0; again < 2; again++) {
    expect(await alarms.redrive(0)).toEqual({ redriven: 1, gone: 0, isAll: true })
    const received = await some(alarms, 1)
    expect(received).toMatchObject([{ id: '1', count: 1 }])
    await alarms.acknowledge(tokens(received))
  }
  expect(alarms.takeRedriven()).toEqual([])
})

test('PU-12 a rejected event is a dead letter and never received again, also when the router dies right after', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  const received = await some(alarms, 1)
  expect((await alarms.reject(tokens(received))).succeeded).toHaveLength(1)
  await world.begin()
  const again = world.find('alarms')
  again.tick()
  await until(
    () => again.ledger.size,
    (size) => size === 0,
  )
  expect(world.deadLetters.at(-1)).toMatchObject({ deadletterProperties: { deadletterreason: 'Rejected by the consumer', deliveryattempts: 1 } })
  expect(await world.receive(again)).toEqual([])
})

test('PU-12 a router that loses the subscription while an event cannot be read for its dead letter leaves it to the next owner', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  const received = await some(alarms, 1)
  // What was brought last is not asked for again.
  await world.publish('2')
  await until(
    () => (alarms.status() as { ahead: number }).ahead,
    (ahead) => ahead === 1,
  )
  const { log } = world.api
  const read = log.read.bind(log)
  let isAsked = false
  let fail = (_: Error): void => {}
  const failing = new Promise<never>((_, reject) => {
    fail = reject
  })
  log.read = () => {
    isAsked = true
    return failing
  }
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown): void => void unhandled.push(error)
  process.on('unhandledRejection', onUnhandled)
  try {
    await alarms.reject(tokens(received))
    expect(isAsked).toBe(true)
    world.subscriptions.disown(0)
    fail(new Error('Kafka does not answer'))
    // Rejections that nobody handles are told before the next turn.
    await new Promise((resolve) => setImmediate(resolve))
  } finally {
    process.off('unhandledRejection', onUnhandled)
    log.read = read
  }
  expect(unhandled).toEqual([])
  await world.begin()
  const next = world.find('alarms')
  next.tick()
  await until(
    () => world.deadLetters.length,
    (count) => count === 1,
  )
})

test('NT-08 an event whose time to live is over is not received: a dead letter, or dropped and counted when there is no place for it', async () => {
  const alarms = await world.subscribe('alarms', { eventTimeToLive: 'PT1M' })
  await world.publish('old', { time: world.time - 60_000 })
  await world.publish('new')
  expect(ids(await some(alarms, 1, 10))).toEqual(['new'])
  expect(world.deadLetters).toMatchObject([
    { event: { id: 'old' }, deadletterProperties: { deadletterreason: 'Time to live was exceeded', deliveryattempts: 0 } },
  ])
  world.keeps = undefined
  const other = await world.subscribe('other', { eventTimeToLive: 'PT1M' })
  await world.publish('older', { time: world.time - 60_000 })
  await until(
    async () => {
      other.tick()
      return world.counts['dropped: Time to live was exceeded']
    },
    (count) => count === 1,
  )
})

test('locks, counts and positions are there again after the router dies', async () => {
  const alarms = await world.subscribe('alarms')
  for (const id of ['1', '2', '3', '4']) await world.publish(id)
  const received = await some(alarms, 3)
  await alarms.acknowledge([received[0]!.token])
  await alarms.release([received[1]!.token], 0)
  await world.begin()
  const again = world.find('alarms')
  expect(await some(again, 2, 10)).toMatchObject([
    { id: '2', count: 2 },
    { id: '4', count: 1 },
  ])
  expect((await again.acknowledge([received[2]!.token])).succeeded).toHaveLength(1)
  expect((await again.acknowledge([received[0]!.token])).failed).toMatchObject([{ code: 'TokenLost' }])
})

test('a receiver that waits gets an event as soon as it is published', async () => {
  const alarms = await world.subscribe('alarms')
  const waiting = alarms.receive(1, 60_000, new AbortController().signal)
  await world.publish('1', { partition: 1 })
  expect((await waiting).map(({ event }) => event.attributes.id)).toEqual(['1'])
})

test('a receiver that hangs up takes nothing', async () => {
  const alarms = await world.subscribe('alarms')
  const gone = new AbortController()
  const waiting = alarms.receive(1, 60_000, gone.signal)
  gone.abort()
  expect(await waiting).toEqual([])
  await world.publish('1')
  expect(await some(alarms, 1)).toMatchObject([{ count: 1 }])
})

test('a router that lost its shard is refused by the log, and says nothing', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  const received = await some(alarms, 1)
  const before = world.subscriptions
  await world.begin()
  await expect(alarms.acknowledge(tokens(received))).rejects.toThrow()
  expect(world.refused.length).toBeGreaterThan(0)
  await before.close()
})

test('at SUBSCRIPTION_UNSETTLED_MAX nothing further is given out until something is settled', async () => {
  await world.close()
  world = await SubscriptionWorld.open({ unsettledMax: 2 })
  const alarms = await world.subscribe('alarms')
  for (const id of ['1', '2', '3']) await world.publish(id)
  const received = await some(alarms, 2, 10)
  expect(ids(received)).toEqual(['1', '2'])
  expect(await world.receive(alarms)).toEqual([])
  expect(world.counts.SUBSCRIPTION_UNSETTLED_MAX).toBeGreaterThan(0)
  await alarms.acknowledge([received[0]!.token])
  expect(ids(await some(alarms, 1))).toEqual(['3'])
})

test('above SUBSCRIPTION_AHEAD_BYTES_MAX no further events are read, and none is missed', async () => {
  await world.close()
  world = await SubscriptionWorld.open({ aheadBytesMax: 4096 })
  const alarms = await world.subscribe('alarms')
  for (let i = 0; i < 30; i++) await world.publish(String(i), { data: JSON.stringify('x'.repeat(1000)) })
  const seen: unknown[] = []
  await until(
    async () => {
      const received = await world.receive(alarms)
      expect(received.length).toBeLessThanOrEqual(5)
      await alarms.acknowledge(tokens(received))
      seen.push(...ids(received))
      return seen.length
    },
    (count) => count === 30,
  )
  expect(seen).toEqual(Array.from({ length: 30 }, (_, i) => String(i)))
})

test('a changed filter counts for what was read and not given out', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1', { type: 'opened' })
  await world.publish('2', { type: 'closed' })
  await until(
    () => (alarms.status() as { ahead: number }).ahead,
    (ahead) => ahead === 2,
  )
  const changed = await world.subscribe('alarms', {}, { filtersConfiguration: { includedEventTypes: ['closed'] } })
  expect(ids(await some(changed, 1, 10))).toEqual(['2'])
})

test('what a deleted subscription owed is gone from the log, and one made anew under its name begins anew', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  const received = await some(alarms, 1)
  await world.api.send('DELETE', 'topics/doors/eventSubscriptions/alarms')
  await until(
    () => readDeliveries(world.api.log, world.api.topics.deliveries, 0),
    (found) => found.size === 0,
  )
  const again = await world.subscribe('alarms')
  expect(await world.receive(again)).toEqual([])
  expect((await again.acknowledge(tokens(received))).failed).toMatchObject([{ code: 'TokenLost' }])
  await world.publish('2')
  expect(ids(await some(again, 1))).toEqual(['2'])
})

test('what was deleted while no router was there is forgotten by the next', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  await some(alarms, 1)
  world.subscriptions.disown(0)
  await world.api.send('DELETE', 'topics/doors/eventSubscriptions/alarms')
  await world.subscribe('other').catch(() => {})
  await world.begin()
  await until(
    () => readDeliveries(world.api.log, world.api.topics.deliveries, 0),
    (found) => !found.has('doors/alarms'),
  )
})

test('events that the log does not hold any more are counted and passed over', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  await world.publish('2')
  await some(alarms, 1)
  world.subscriptions.disown(0)
  const topic = world.api.store.topics.get('loggerhead.default.topic.doors')!
  const [first] = topic.partitions as unknown as { records: unknown[]; startOffset: number }[]
  first!.records.splice(0, 2)
  first!.startOffset = 2
  await world.publish('3')
  await world.begin()
  world.time += 60_000
  expect(ids(await some(world.find('alarms'), 1, 10))).toEqual(['3'])
  await until(
    () => world.counts.gone,
    (gone) => gone === 2,
  )
})

test('how far a subscription is stands in a consumer group, for tools that watch lag', async () => {
  const alarms = await world.subscribe('alarms')
  await world.publish('1')
  await some(alarms, 1)
  for (let second = 0; second < 5; second++) world.subscriptions.tick()
  const group = 'loggerhead.default.topic.doors.alarms'
  await until(
    () => world.api.store.committed.get(group)?.get('loggerhead.default.topic.doors/0'),
    (offset) => offset === 1,
  )
})

test('tokens that never were any are bad', async () => {
  const alarms = await world.subscribe('alarms')
  const bad = ['', 'x', 'ä', 'A'.repeat(1000), Buffer.from('0.0.short').toString('base64url')]
  expect((await alarms.acknowledge(bad)).failed.map(({ code }) => code)).toEqual(bad.map(() => 'BadToken'))
})

test('NT-08 while dead letters cannot be written, what is too old is not received either, and what stands behind it is', async () => {
  let write = (): void => {}
  world.keeping = new Promise((resolve) => {
    write = resolve
  })
  const alarms = await world.subscribe('alarms', { eventTimeToLive: 'PT1M' })
  for (let i = 0; i < 70; i++) await world.publish(`old${i}`, { time: world.time - 60_000 })
  await world.publish('new')
  expect(ids(await some(alarms, 1, 100))).toEqual(['new'])
  expect(world.deadLetters.length).toBeLessThan(70)
  write()
  await until(
    () => {
      alarms.tick()
      return world.deadLetters.length
    },
    (count) => count === 70,
  )
})

test('a Kafka topic that was made anew by hand is read from its beginning, and that the former one is gone is counted', async () => {
  const alarms = await world.subscribe('alarms')
  for (let i = 0; i < 20; i++) await world.publish(`old${i}`)
  await alarms.acknowledge(tokens(await some(alarms, 19)))
  const [locked] = await some(alarms, 1)
  const topic = 'loggerhead.default.topic.doors'
  await world.api.log.deleteTopics([topic])
  await world.api.log.createTopics([{ name: topic, partitions: 2, replication: 1, settings: {} }])
  await world.publish('new0')
  await world.publish('new1')
  await until(
    () => (alarms.status() as { ahead: number }).ahead,
    (ahead) => ahead === 2,
  )
  expect(world.counts.gone).toBe(1)
  expect((await alarms.acknowledge(tokens([locked!]))).failed).toMatchObject([{ code: 'TokenLost' }])
  const received = await some(alarms, 2)
  expect(ids(received)).toEqual(['new0', 'new1'])
  await alarms.acknowledge([received[0]!.token])
  // Also whoever comes after a crash.
  await world.begin()
  const next = world.find('alarms')
  expect((await next.acknowledge([received[1]!.token])).succeeded).toHaveLength(1)
  await world.publish('new2')
  expect(ids(await some(next, 1, 10))).toEqual(['new2'])
})
