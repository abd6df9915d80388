import { describe, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import type { Records } from '../../../schemas/records.ts'
import type { Will } from '../../../schemas/session-records.ts'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import type { SimConnection, SimGateway } from '../../simulation/sim-gateway.ts'
import { type RouterProcess, World } from '../../simulation/world.ts'

let world: World

inFrozenTime(() => world)

async function given(environment: Readonly<Record<string, string>> = {}): Promise<{ router: RouterProcess; gateway: SimGateway }> {
  const { KAFKA_PARTITIONS } = environment
  world = await new World({ environment, ...(KAFKA_PARTITIONS && { partitions: Number(KAFKA_PARTITIONS) }) }).start()
  await world.register('permissionBindings', 'all-pub', { clientGroupName: '$anonymous', topicSpaceName: 'all', permission: 'Publisher' })
  const gateway = await world.startGateway('gw')
  return { gateway, router: await world.startRouter('r1') }
}

async function connected(gateway: SimGateway, clientId: string, options: Parameters<SimGateway['connect']>[1] = {}): Promise<SimConnection> {
  const connection = gateway.connect(clientId, options)
  await world.until(() => connection.phase === 'open', `${clientId} is answered`)
  return connection
}

const received = (connection: SimConnection, count: number) =>
  world.until(() => connection.received.length >= count, `${count} deliveries, got ${connection.texts}`)
const told = (connection: SimConnection) => connection.received.map(({ text, retain }) => `${text}${retain ? ' retained' : ''}`)
const kept = { retain: true }
/** Time stands still otherwise: what comes later is received later. */
const later = () => world.pass(100)
const all = (topic: 'messages' | 'sessions' | 'inbox' | 'retained') =>
  Array.from({ length: world.partitions }, (_, shard) => world.records(topic, shard)).flat()
const named = (topic: 'messages' | 'sessions' | 'inbox', name: string) => all(topic).filter(({ record }) => record.name === name)

for (const expiry of [0, 100]) {
  describe(expiry === 0 ? 'retained, to a session that ends with its connection' : 'retained, to a persistent session', () => {
    const options = { expiry, cleanStart: true }

    test('comes to a new subscription, once for each topic, and before what is published afterwards', async () => {
      const { gateway } = await given()
      for (let i = 0; i < 6; i++) await gateway.publish(`a/${i % 3}`, `${i}`, kept)
      await gateway.publish('b', 'other', kept)
      await later()
      const connection = await connected(gateway, 'c', options)
      await connection.subscribe('a/+')
      await later()
      for (let i = 0; i < 3; i++) await gateway.publish(`a/${i}`, `live ${i}`, i === 1 ? kept : {})
      await received(connection, 6)
      for (let i = 0; i < 3; i++) {
        const ofTopic = connection.received.filter(({ topic }) => topic === `a/${i}`)
        expect(ofTopic.map(({ text, retain }) => `${text} ${retain}`)).toEqual([`${i + 3} true`, `live ${i} false`])
      }
    })

    test('does not come before the live messages of a stretch that is matched in the same turn', async () => {
      const { gateway } = await given()
      await gateway.publish('a', 'old', kept)
      await later()
      const connection = await connected(gateway, 'c', options)
      // Both are in the log before the router reads either.
      void connection.subscribe('a')
      void gateway.publish('a', 'new')
      await received(connection, 2).catch(() => {})
      expect(told(connection).indexOf('old retained')).toBeLessThan(told(connection).includes('new') ? told(connection).indexOf('new') : 1)
    })

    test('survives its router: the next one has read it, and repeats nothing to who has it', async () => {
      const { gateway, router } = await given()
      for (let i = 0; i < 5; i++) await gateway.publish(`a/${i}`, `${i}`, kept)
      await gateway.publish('a/3', '', kept)
      await later()
      const before = await connected(gateway, 'before', options)
      await before.subscribe('a/#')
      await received(before, 4)
      for (const delivery of [...before.received]) before.acknowledge(delivery)
      // Its progress is journaled now and then.
      await world.pass(2_000)
      router.kill()
      await world.startRouter('r2')
      const after = await connected(gateway, 'after', options)
      await after.subscribe('a/#')
      await received(after, 4)
      expect(told(after).sort()).toEqual(['0', '1', '2', '4'].map((text) => `${text} retained`))
      await world.pass(2_000)
      expect(told(before)).toHaveLength(4)
    })

    test('a subscription that nobody served is served by the next router', async () => {
      const { gateway, router } = await given()
      for (let i = 0; i < 5; i++) await gateway.publish(`a/${i}`, `${i}`, kept)
      await world.pass(2_000)
      const connection = await connected(gateway, 'c', options)
      router.kill()
      await connection.subscribe('a/#')
      await world.startRouter('r2')
      await received(connection, 5)
      await world.pass(2_000)
      expect(told(connection).sort()).toEqual(['0', '1', '2', '3', '4'].map((text) => `${text} retained`))
    })
  })
}

test('a huge match to a persistent session is owed whole, in records of bounded size', async () => {
  const { gateway } = await given()
  const topics = Array.from({ length: 5_000 }, (_, i) => `many/${i}`)
  await Promise.all(topics.map((topic) => gateway.publish(topic, topic, kept)))
  await later()
  const connection = await connected(gateway, 'c', { receiveMaximum: 100, onDelivery: (to, delivery) => to.acknowledge(delivery) })
  await connection.subscribe('many/#')
  await received(connection, topics.length)
  expect(new Set(connection.received.map(({ topic }) => topic)).size).toBe(topics.length)
  expect(named('inbox', 'IndexedRetained').length).toBeGreaterThan(2)
})

test('RE-01: what does not fit is delivered and not retained, and what it replaces is gone', async () => {
  const { gateway } = await given({ RETAINED_MESSAGE_BYTES_MAX: '1024' })
  await gateway.publish('a', 'small', kept)
  await later()
  const live = await connected(gateway, 'live', { expiry: 0 })
  await live.subscribe('a')
  await later()
  await gateway.publish('a', 'x'.repeat(2_000), kept)
  await received(live, 2)
  const connection = await connected(gateway, 'c', { expiry: 0 })
  await connection.subscribe('a')
  await later()
  await gateway.publish('a', 'end')
  await received(connection, 1)
  expect(connection.texts).toEqual(['end'])
})

test('RETAINED_BYTES_MAX: what no longer fits is delivered and not retained', async () => {
  const { gateway } = await given({ RETAINED_BYTES_MAX: '65536', KAFKA_PARTITIONS: '1' })
  const live = await connected(gateway, 'live', { expiry: 0 })
  await live.subscribe('#')
  await later()
  await gateway.publish('first', 'x'.repeat(40_000), kept)
  await gateway.publish('second', 'y'.repeat(40_000), kept)
  await received(live, 2)
  const connection = await connected(gateway, 'c', { expiry: 0 })
  await connection.subscribe('#')
  await received(connection, 1)
  await gateway.publish('end', 'end')
  await received(connection, 2)
  expect(connection.received.map(({ topic }) => topic)).toEqual(['first', 'end'])
})

test('RE-01 RETAINED_MESSAGES_MAX: a topic more is delivered and not retained, one that is retained may be replaced', async () => {
  const { gateway } = await given({ RETAINED_MESSAGES_MAX: '2', KAFKA_PARTITIONS: '1' })
  for (const text of ['1', '2', '3', '1 again']) await gateway.publish(text.slice(0, 1), text, kept)
  await later()
  const connection = await connected(gateway, 'c', { expiry: 0 })
  await connection.subscribe('+')
  await received(connection, 2)
  await gateway.publish('e', 'end')
  await received(connection, 3)
  expect(connection.texts.toSorted()).toEqual(['1 again', '2', 'end'])
})

test('M5-14: a namespace narrows size and number of retained messages at once; what is retained stays', async () => {
  const { gateway } = await given({ KAFKA_PARTITIONS: '1' })
  await gateway.publish('a', 'x'.repeat(2_000), kept)
  await gateway.publish('b', 'b', kept)
  await later()
  await world.register('namespace', 'default', { limits: { preset: 'open', retainedMessages: 2, retainedMessageBytes: 1024 } })
  await gateway.publish('c', 'c', kept)
  await gateway.publish('b', 'y'.repeat(2_000), kept)
  await gateway.publish('d', 'd', kept)
  await later()
  const connection = await connected(gateway, 'c', { expiry: 0 })
  await connection.subscribe('+')
  await received(connection, 2)
  await gateway.publish('e', 'end')
  await received(connection, 3)
  expect(connection.received.map(({ topic }) => topic).toSorted()).toEqual(['a', 'd', 'e'])
})

test('a new owner writes under its own epoch before it reads what is retained, so that Kafka refuses the former', async () => {
  const { gateway } = await given()
  await gateway.publish('a', 'x', kept)
  const fences = () => all('retained').filter(({ record }) => record.name === 'ShardOwned').length
  const before = fences()
  await world.startRouter('r2')
  await world.until(() => fences() > before, 'the new owner has written under its own epoch')
})

const will = (delaySeconds: number): Will => ({
  topic: 'will',
  payload: Buffer.from('gone'),
  qos: 1,
  retain: false,
  delaySeconds,
  messageExpiryInterval: null,
  payloadFormatIndicator: null,
  contentType: null,
  responseTopic: null,
  correlationData: null,
  userProperties: [],
})

describe('wills', () => {
  const fired = () => named('sessions', 'WillFired')
  const published = () => named('messages', 'Message')
  const messageOf = (text: string): Records['Message'] =>
    published()
      .map(({ record }) => record.value as Records['Message'])
      .find(({ payload }) => payload.toString() === text) as Records['Message']

  test('of a gateway that died are published by the router, once', async () => {
    const { gateway } = await given()
    for (const clientId of ['a', 'b', 'c']) await connected(gateway, clientId, { will: will(0) })
    gateway.crash()
    await world.startGateway('gw')
    await world.until(() => fired().length === 3, 'they are fired')
    await world.pass(2_000)
    expect(published()).toHaveLength(3)
  })

  test('are published once when gateway and router died together', async () => {
    const { gateway, router } = await given()
    await connected(gateway, 'a', { will: will(0) })
    gateway.crash()
    router.kill()
    await world.startGateway('gw')
    await world.startRouter('r2')
    await world.until(() => fired().length === 1, 'it is fired')
    expect(published()).toHaveLength(1)
  })

  test('that wait are cancelled by a connection that comes while no router is there', async () => {
    const { gateway, router } = await given()
    const other = await world.startGateway('other')
    await connected(gateway, 'a', { will: will(5) })
    gateway.crash()
    await world.startGateway('gw')
    await world.until(() => named('sessions', 'Detached').length === 1, 'it is detached')
    router.kill()
    other.connect('a')
    await world.pass(20_000)
    await world.startRouter('r2')
    await world.pass(10_000)
    expect([published().length, fired().length, named('sessions', 'WillDue').length]).toEqual([0, 0, 0])
  })

  test('that wait are published by the next router when the delay has passed meanwhile', async () => {
    const { gateway, router } = await given()
    await connected(gateway, 'a', { will: will(5) })
    gateway.crash()
    await world.startGateway('gw')
    await world.until(() => named('sessions', 'Detached').length === 1, 'it is detached')
    router.kill()
    await world.pass(10_000)
    await world.startRouter('r2')
    await world.until(() => fired().length === 1, 'it is fired')
    expect([published().length, named('sessions', 'WillDue').length]).toEqual([1, 1])
  })

  test('that are in the log are not published again by a successor that finds no WillFired', async () => {
    const { gateway, router } = await given()
    await connected(gateway, 'a', { will: will(0) })
    gateway.crash()
    await world.startGateway('gw')
    await world.until(() => published().length === 1, 'it is published')
    router.kill()
    // As if the router had died between the two.
    const shard = partitionOf(Buffer.from('a'), world.partitions)
    const partition = world.store.partition(world.topics.sessions, shard)
    if (partition) partition.records = partition.records.filter(({ offset }) => !fired().some((each) => each.offset === offset))
    await world.startRouter('r2')
    await world.until(() => fired().length === 1, 'the successor says that it is fired')
    expect(published()).toHaveLength(1)
  })

  test.each(['killed', 'stopped'] as const)(
    'that a stopped router publishes once more change nothing, also when the owner of their topic was %s meanwhile',
    async (how) => {
      const { gateway, router } = await given()
      const other = await world.startGateway('other')
      const subscriber = await connected(other, 'sub', { onDelivery: (each, delivery) => setImmediate(() => each.acknowledge(delivery)) })
      await subscriber.subscribe('will')
      await connected(gateway, 'a', { will: { ...will(0), retain: true } })
      gateway.crash()
      await world.startGateway('gw')
      await received(subscriber, 1)
      await other.publish('will', 'newer', kept)
      await received(subscriber, 2)
      await world.pass(1_000)
      if (how === 'killed') router.kill()
      else await router.stop()
      await world.startRouter('r2')
      await other.publish('will', 'gone', { ...kept, messageId: messageOf('gone').messageId })
      await other.publish('will', 'last')
      await received(subscriber, 3)
      await world.pass(1_000)
      expect(subscriber.texts).toEqual(['gone', 'newer', 'last'])
      const visitor = await connected(other, 'visitor')
      await visitor.subscribe('will')
      await received(visitor, 1)
      expect(told(visitor)).toEqual(['newer retained'])
    },
  )

  test('are not published by who may not publish any more', async () => {
    const { gateway } = await given()
    await connected(gateway, 'a', { will: will(0) })
    await world.register('permissionBindings', 'all-pub', null)
    await world.pass(1_000)
    gateway.crash()
    await world.startGateway('gw')
    await world.until(() => fired().length === 1, 'it is decided')
    expect(fired()[0]?.record.value).toMatchObject({ outcome: 'unauthorized' })
    expect(published()).toEqual([])
  })
})
