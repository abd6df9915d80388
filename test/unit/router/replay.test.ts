/** Replays of sessions: what was published before comes once and in order, joins what is published now, and survives whoever dies. */
import { describe, expect, jest, test } from '@jest/globals'
import type { Counter } from 'prom-client'
import { isMarker, isReplayed } from '../../../model/session-queue.ts'
import type { ReplayRequest } from '../../../schemas/session-records.ts'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import { Random } from '../../simulation/random.ts'
import type { ConnectOptions, Delivery, SimConnection, SimGateway } from '../../simulation/sim-gateway.ts'
import type { RouterProcess, World } from '../../simulation/world.ts'
import { count } from '../../support/available.ts'
import { numbered, Reader, replay, startReplays } from './replay-world.ts'

let world: World

inFrozenTime(() => world)

async function start(environment: Readonly<Record<string, string>> = {}, random?: Random) {
  const started = await startReplays(environment, random)
  world = started.world
  return started
}

/** The texts of a topic in the order of the log. */
const logged = (topic: string): string[] =>
  [0, 1].flatMap((source) =>
    world
      .records('messages', source)
      .flatMap(({ record }) => (record.name === 'Message' && record.value.topic === topic ? [record.value.payload.toString()] : [])),
  )

async function figure({ figures }: RouterProcess, name: string): Promise<number> {
  const { values } = await (figures.getSingleMetric(name) as Counter).get()
  return values[0]?.value ?? 0
}

describe('what was published before', () => {
  test('comes once, in the order of the log, marked, and with an end', async () => {
    const { gateway } = await start()
    await world.startRouter('r0')
    for (const text of numbered(0, 300)) await gateway.publish(`a/${Number(text) % 3}`, text)
    await gateway.publish('b/0', 'another')
    const reader = new Reader()
    await (await reader.connect(gateway)).subscribe(replay('a/+', { to: '2100-01-01T00:00:00.000Z' }, { subscriptionIdentifier: 7 }))
    await world.until(() => reader.markers.length > 0, 'the end marker')
    expect(reader.got).toHaveLength(300)
    for (const topic of ['a/0', 'a/1', 'a/2']) expect(reader.of(topic)).toEqual(numbered(0, 300).filter((text) => `a/${Number(text) % 3}` === topic))
    expect(reader.got.every(({ source, dup, identifiers }) => isReplayed(source) && !dup && identifiers[0] === 7)).toBe(true)
    expect(reader.markers).toMatchObject([{ filter: 'a/+', messages: 300, live: false }])
    // It is over: nothing of what comes now is for it.
    await gateway.publish('a/0', 'later')
    await world.pass(2_000)
    expect(reader.got).toHaveLength(300)
  })

  test('begins and ends where it is asked to, by time and by position', async () => {
    const { gateway } = await start()
    await world.startRouter('r0')
    const placed: { text: string; source: number; offset: number; at: number }[] = []
    for (const text of numbered(0, 20)) {
      const at = world.now()
      placed.push({ text, at, ...(await gateway.publish('t', text)) })
      await world.pass(1_000)
    }
    const asked = async (name: string, but: Partial<ReplayRequest>): Promise<string[]> => {
      const reader = new Reader()
      await (await reader.connect(gateway, name)).subscribe(replay('t', but))
      await world.until(() => reader.markers.length > 0, `the end marker of ${name}`)
      return reader.texts
    }
    const time = (index: number): string => new Date((placed[index] as { at: number }).at).toISOString()
    const position = (index: number): string => `${placed[index]?.source}:${placed[index]?.offset}`
    expect(await asked('times', { from: time(5), to: time(9) })).toEqual(['5', '6', '7', '8'])
    expect(await asked('positions', { from: position(5), to: position(9) })).toEqual(['5', '6', '7', '8'])
    expect(await asked('elsewhere', { from: `${1 - (placed[0]?.source as number)}:0`, to: position(9) })).toEqual([])
    expect(await asked('backwards', { from: time(9), to: time(5) })).toEqual([])
    expect(await asked('onwards', { from: time(18) })).toEqual(['18', '19'])
  })

  test('is of one publisher where one is asked for, and of others than oneself with No Local', async () => {
    const { gateway } = await start()
    await world.startRouter('r0')
    for (const text of numbered(0, 30)) await gateway.publish('t', text, { clientId: ['one', 'two', 'reader'][Number(text) % 3] as string })
    const reader = new Reader()
    const connection = await reader.connect(gateway)
    await connection.subscribe(replay('t', { client: 'two' }))
    await world.until(() => reader.markers.length > 0, 'the end marker')
    expect(reader.texts).toEqual(numbered(0, 30).filter((text) => Number(text) % 3 === 1))
    await gateway.publish('t', 'from one', { clientId: 'one' })
    await gateway.publish('t', 'from two', { clientId: 'two' })
    await world.until(() => reader.texts.includes('from two'), 'what two publishes now')
    expect(reader.texts).not.toContain('from one')
    const other = new Reader()
    await (await other.connect(gateway, 'other')).unsubscribe('t')
    const third = new Reader()
    await (await third.connect(gateway, 'reader')).subscribe(replay('+', { to: '2100-01-01T00:00:00.000Z' }, { noLocal: true }))
    await world.until(() => third.markers.length > 0, 'the end marker')
    expect(third.texts).toEqual([...numbered(0, 30).filter((text) => Number(text) % 3 !== 2), 'from one', 'from two'])
  })

  test('is told once where a publish stands twice, and though it has expired', async () => {
    const { gateway } = await start()
    await world.startRouter('r0')
    const publisher = await new Reader().connect(gateway, 'publisher')
    await publisher.publishExactlyOnce(1, 't', 'twice')
    await publisher.publishExactlyOnce(1, 't', 'twice')
    await gateway.publish('t', 'expired', { messageExpiryInterval: 1 })
    await world.pass(5_000)
    const reader = new Reader()
    await (await reader.connect(gateway)).subscribe(replay('t'))
    await world.until(() => reader.markers.length > 0, 'the end marker')
    expect(reader.texts).toEqual(['twice', 'expired'])
  })

  test('comes at the speed that was asked for', async () => {
    const { gateway } = await start()
    await world.startRouter('r0')
    const from = new Date(world.now()).toISOString()
    for (const text of numbered(0, 10)) {
      await gateway.publish('t', text)
      await world.pass(10_000)
    }
    const reader = new Reader()
    await (await reader.connect(gateway)).subscribe(replay('t', { from, to: '2100-01-01T00:00:00.000Z', speed: 10 }))
    const seen: number[] = []
    for (let second = 0; second < 12; second++) {
      await world.pass(1_000)
      seen.push(reader.got.length)
    }
    expect(reader.markers).toHaveLength(1)
    for (const [second, got] of seen.entries()) expect(Math.abs(got - Math.min(10, second + 2))).toBeLessThanOrEqual(1)
  })

  test('REPLAY_WINDOW_MESSAGES: waits for a client that takes little', async () => {
    const { gateway } = await start({ REPLAY_WINDOW_MESSAGES: '50' })
    const router = await world.startRouter('r0')
    for (let i = 0; i < 3_000; i++) void gateway.publish('t', String(i))
    await world.turns(50)
    const taken: Delivery[] = []
    const connection = gateway.connect('slow', { receiveMaximum: 5, onDelivery: (_, delivery) => taken.push(delivery) })
    await world.until(() => connection.phase === 'open', 'it is answered')
    await connection.subscribe(replay('t'))
    await world.pass(5_000)
    expect(taken).toHaveLength(5)
    // One record's worth.
    expect(await figure(router, 'loggerhead_replayed_messages_total')).toBeLessThanOrEqual(1_000)
  })

  test.each([
    ['REPLAY_RATE_MAX', 2],
    ['ROUTER_REPLAY_RATE_MAX', 1],
  ])('%s holds on average', async (limit, shares) => {
    const { gateway } = await start({ [limit]: '500' })
    const router = await world.startRouter('r0')
    for (let i = 0; i < 6_000; i++) void gateway.publish('t', String(i))
    await world.turns(50)
    for (const name of ['one', 'two']) await (await new Reader({ receiveMaximum: 1_000 }).connect(gateway, name)).subscribe(replay('t'))
    await world.pass(8_000)
    const replayed = await figure(router, 'loggerhead_replayed_messages_total')
    // A record of a thousand of each replay at once, and what the bucket holds.
    expect(replayed).toBeGreaterThan(3_000)
    expect(replayed).toBeLessThanOrEqual(shares * (8 * 500 + 500) + 2 * 1_000)
  })
})

describe('many replays', () => {
  test('ROUTER_REPLAY_READ_MAX: what matches nothing is read at that rate on average', async () => {
    const { gateway } = await start({ ROUTER_REPLAY_READ_MAX: String(1024 * 1024), HISTORY_INDEX_RECORDS: '0' })
    const router = await world.startRouter('r0')
    const text = 'x'.repeat(10_000)
    for (let i = 0; i < 1_500; i++) void gateway.publish('t', text)
    await world.turns(50)
    await (await new Reader().connect(gateway)).subscribe(replay('+/nothing'))
    await world.pass(4_000)
    const read = await figure(router, 'loggerhead_replay_read_bytes_total')
    // A second's worth and a turn at once.
    expect(read).toBeGreaterThan(4 * 1024 * 1024)
    expect(read).toBeLessThanOrEqual((4 + 1 + 1.25) * 1024 * 1024)
  })

  test('SESSION_REPLAYS_MAX: a further replay of a session begins when another is over, and all of it comes', async () => {
    const { gateway } = await start({ SESSION_REPLAYS_MAX: '1' })
    await world.startRouter('r0')
    for (const text of numbered(0, 400)) await gateway.publish(Number(text) % 2 === 0 ? 'a' : 'b', text)
    const reader = new Reader({ receiveMaximum: 20 })
    const connection = await reader.connect(gateway)
    const to = '2100-01-01T00:00:00.000Z'
    await connection.subscribe(replay('a', { to }))
    await connection.subscribe(replay('b', { to }))
    await connection.subscribe(replay('+'))
    await world.until(() => reader.markers.length === 3, 'three end markers')
    expect(reader.markers.map(({ filter, messages }) => [filter, messages])).toEqual([
      ['a', 200],
      ['b', 200],
      ['+', 400],
    ])
    expect(reader.texts.slice(0, 400)).toEqual([
      ...numbered(0, 400).filter((text) => Number(text) % 2 === 0),
      ...numbered(0, 400).filter((text) => Number(text) % 2 === 1),
    ])
  })

  test('ROUTER_REPLAYS_OPEN_MAX: replays that have to let go of what they hold find their places again', async () => {
    const { gateway } = await start({ ROUTER_REPLAYS_OPEN_MAX: '1', REPLAY_WINDOW_MESSAGES: '20' })
    await world.startRouter('r0')
    for (const text of numbered(0, 500)) await gateway.publish(`t/${Number(text) % 3}`, text)
    const readers = Array.from({ length: 5 }, () => new Reader({ receiveMaximum: 10 }))
    for (const [i, reader] of readers.entries()) await (await reader.connect(gateway, `reader-${i}`)).subscribe(replay('t/+'))
    await world.until(() => readers.every(({ markers }) => markers.length === 1), 'the join of all')
    await gateway.publish('t/0', '500')
    await world.until(() => readers.every(({ got }) => got.length >= 501), 'what comes live')
    for (const reader of readers) for (const topic of ['t/0', 't/1', 't/2']) expect(reader.of(topic)).toEqual(logged(topic))
  })
})

describe('the join', () => {
  test.each(Array.from({ length: count(8, 100) }, (_, i) => 1 + i * 7919))(
    'seed %d: with publishers at full speed nothing is missing, nothing comes twice, and each topic stays in order',
    async (seed) => {
      const random = new Random(seed)
      const { gateways } = await start({}, random)
      await world.startRouter('r0')
      if (random.chance(0.5)) await world.startRouter('r1')
      const topics = ['a/x', 'a/y', 'a/z']
      let published = 0
      const publish = (): void => {
        const topic = random.pick(topics)
        void random.pick(gateways).publish(topic, String(published++), { qos: random.below(3) })
      }
      for (let i = 0; i < random.below(400); i++) publish()
      const reader = new Reader({ expiry: random.chance(0.5) ? 100_000 : 0, receiveMaximum: 1 + random.below(50) })
      const connection = await reader.connect(random.pick(gateways))
      void connection.subscribe(replay(random.pick(['a/+', '$replay/-PT1H/a/#']), {}, { qos: random.below(3) }))
      for (let i = 0; i < 300 || reader.markers.length === 0; i++) {
        if (i < 2_000) publish()
        await world.turns(random.below(2))
        // A replay goes so many messages a second beside what is published.
        jest.advanceTimersByTime(1)
        if (i > 5_000) throw new Error('it never joins')
      }
      await world.until(() => reader.got.length >= published, `all of it comes, ${reader.got.length} of ${published} did`)
      await world.pass(1_000)
      for (const topic of topics) expect(reader.of(topic)).toEqual(logged(topic))
      expect(reader.markers).toHaveLength(1)
      expect(reader.got.some(({ source }) => isReplayed(source))).toBe(true)
      expect(reader.got.some(({ source }) => !isReplayed(source))).toBe(true)
    },
    60_000,
  )

  test.each(Array.from({ length: count(8, 100) }, (_, i) => 3 + i * 104_729))(
    'seed %d: nor when routers and gateways die and the client comes and goes in the middle of it',
    async (seed) => {
      const random = new Random(seed)
      const { gateways: alive } = await start({ SNAPSHOT_RECORDS: '100', REPLAY_WINDOW_MESSAGES: '20' }, random)
      const gateways = [...alive]
      let router = await world.startRouter('r0')
      const topics = ['a/x', 'a/y', 'a/z']
      const sent = new Map(topics.map((topic) => [topic, [] as string[]]))
      const inLog: Promise<unknown>[] = []
      let published = 0
      // Only what the log has counts: a gateway that dies takes with it what it had not written.
      const publish = (): void => {
        const topic = random.pick(topics)
        const text = String(published++)
        inLog.push(gateways[0]?.publish(topic, text, { qos: 1 + random.below(2) }).then(() => sent.get(topic)?.push(text)) as Promise<unknown>)
      }
      for (let i = 0; i < 200; i++) publish()
      const first: Delivery[] = []
      const seen = new Set<string>()
      let isOver = false
      const options: ConnectOptions = {
        expiry: 100_000,
        receiveMaximum: 1 + random.below(20),
        onDelivery: (each, delivery) => {
          if (isMarker(delivery.source)) isOver = true
          else if (!seen.has(delivery.text)) first.push(delivery)
          else expect(delivery.dup).toBe(true)
          seen.add(delivery.text)
          let turns = random.below(4)
          const later = (): void => void (turns-- > 0 ? setImmediate(later) : each.acknowledge(delivery))
          later()
        },
      }
      const connect = (): SimConnection => (gateways[1] as SimGateway).connect('reader', options)
      let connection = connect()
      await world.until(() => connection.phase === 'open', 'it is answered')
      await connection.subscribe(replay('a/+', {}, { qos: 2 }))
      for (let i = 0; i < 400 || !isOver; i++) {
        if (i > 12_000) throw new Error('it never joins')
        // A client that takes one at a time, and is away in between, takes less than is published: some day it is enough.
        if (i < 1_000) publish()
        await world.turns(random.below(3))
        jest.advanceTimersByTime(5)
        if (connection.phase === 'closed' || random.chance(0.02)) connection = connect()
        else if (random.below(50) === 0) connection.close('ConnectionLost')
        if (random.chance(0.01)) {
          router.kill()
          router = await world.startRouter(`r${i}`)
        }
        if (random.chance(0.005)) {
          gateways[1]?.crash()
          gateways[1] = await world.startGateway('gw-1')
        }
      }
      connection = connect()
      await Promise.all(inLog)
      await world.until(() => first.length >= published, `all of it comes, ${first.length} of ${published} did`)
      for (const topic of topics) {
        for (const qos of [1, 2]) {
          const line = first.filter((each) => each.topic === topic && each.qos === qos).map(({ text }) => Number(text))
          expect(line).toEqual(line.toSorted((a, b) => a - b))
        }
        expect(first.filter((each) => each.topic === topic)).toHaveLength(sent.get(topic)?.length as number)
      }
    },
    120_000,
  )
})

test.each(['0', '16'])('HISTORY_INDEX_RECORDS %s: one topic among many is found whole, and with an index most is not read', async (records) => {
  const { gateway } = await start({ HISTORY_INDEX_RECORDS: records })
  const router = await world.startRouter('r0')
  for (let i = 0; i < 4_000; i++) void gateway.publish(`t/${i % 1_000}`, `${i} ${'x'.repeat(300)}`)
  await world.turns(50)
  // The index is written once a second.
  await world.pass(2_000)
  const reader = new Reader()
  await (await reader.connect(gateway)).subscribe(replay('t/77/#', { to: '2100-01-01T00:00:00.000Z' }))
  await world.until(() => reader.markers.length > 0, 'the end marker')
  expect(reader.texts.map((text) => Number(text.split(' ')[0]))).toEqual([77, 1_077, 2_077, 3_077])
  const read = await figure(router, 'loggerhead_replay_read_bytes_total')
  if (records === '0') expect(read).toBeGreaterThan(4_000 * 300)
  else expect(read).toBeLessThan((4_000 * 300) / 5)
})

test('a replay that is not wanted any more ends, and another one of the same filter begins anew', async () => {
  const { gateway } = await start({ REPLAY_WINDOW_MESSAGES: '10' })
  await world.startRouter('r0')
  for (let i = 0; i < 4_000; i++) void gateway.publish('t', `${i} ${'x'.repeat(400)}`)
  await world.turns(50)
  const reader = new Reader()
  const connection = await reader.connect(gateway)
  await connection.subscribe(replay('t'))
  await world.until(() => reader.got.length > 100, 'some of it')
  await connection.unsubscribe('t')
  await world.pass(2_000)
  const { length } = reader.got
  expect(length).toBeLessThan(4_000)
  expect(reader.markers).toEqual([])
  await connection.subscribe(replay('t'))
  await world.until(() => reader.markers.length > 0, 'the end marker')
  expect(reader.got).toHaveLength(length + 4_000)
})

test('what was read when the log failed is read again: nothing is missing', async () => {
  const { gateway } = await start({ HISTORY_INDEX_RECORDS: '0' })
  const router = await world.startRouter('r0')
  for (let i = 0; i < 2_000; i++) void gateway.publish('t', `${i} ${'x'.repeat(800)}`)
  await world.turns(50)
  const read = router.log.read.bind(router.log)
  let reads = 0
  router.log.read = async (...given) => {
    // Replays alone fetch pieces of this size.
    if (given[0] === world.topics.messages && given[3] === 256 * 1024 && ++reads % 3 === 2) throw new Error('the leader has moved')
    return await read(...given)
  }
  const reader = new Reader()
  await (await reader.connect(gateway)).subscribe(replay('t', { to: '2100-01-01T00:00:00.000Z' }))
  await world.until(() => reader.markers.length > 0, 'the end marker')
  expect(reads).toBeGreaterThan(2)
  expect(reader.texts.map((text) => text.split(' ')[0])).toEqual(numbered(0, 2_000))
})

test.each([
  ['what is published', 't/live', 100],
  ['the broker’s own probes', '$loggerhead/canary/0', 3_000],
])('%s beside it: a replay begins with so much', async (_, topic, most) => {
  const { gateway } = await start()
  const router = await world.startRouter('r0')
  for (let i = 0; i < 3_000; i++) void gateway.publish('t', String(i))
  await world.turns(50)
  await world.pass(2_000)
  const connection = await new Reader({ receiveMaximum: 1_000 }).connect(gateway)
  await gateway.publish(topic, 'now')
  await world.turns(20)
  await connection.subscribe(replay('t', { to: '2100-01-01T00:00:00.000Z' }))
  // No time goes by.
  await world.turns(200)
  const replayed = await figure(router, 'loggerhead_replayed_messages_total')
  expect(replayed).toBeGreaterThan(most / 10)
  expect(replayed).toBeLessThanOrEqual(most)
})
