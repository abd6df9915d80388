import { describe, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import type { SimConnection, SimGateway } from '../../simulation/sim-gateway.ts'
import { type RouterProcess, World } from '../../simulation/world.ts'

let world: World

inFrozenTime(() => world)

async function given(
  environment: Readonly<Record<string, string>>,
  limits?: object,
): Promise<{ readonly gateway: SimGateway; readonly router: RouterProcess }> {
  world = await new World({ environment }).start()
  if (limits) await world.register('namespace', 'default', { limits })
  return { gateway: await world.startGateway('gw'), router: await world.startRouter('r1') }
}

async function connected(gateway: SimGateway, options: Parameters<SimGateway['connect']>[1] = {}): Promise<SimConnection> {
  const connection = gateway.connect('c', options)
  await world.until(() => connection.phase !== 'attaching', 'it is answered')
  return connection
}

async function away(gateway: SimGateway, ...filters: Parameters<SimConnection['subscribe']>): Promise<void> {
  const connection = await connected(gateway)
  await connection.subscribe(...filters)
  connection.close('ConnectionLost')
}

const publish = async (gateway: SimGateway, count: number, from = 0): Promise<void> => {
  for (let i = from; i < from + count; i++) await gateway.publish('a', `${i}`)
  await world.pass(500)
}

const shard = () => partitionOf(Buffer.from('c'), world.partitions)
const ends = () => world.records('sessions', shard()).flatMap(({ record }) => (record.name === 'SessionEnded' ? [record.value.reason] : []))
const drops = () =>
  world.records('inbox', shard()).flatMap(({ record }) => (record.name === 'Dropped' ? [{ reason: record.value.reason, numbers: record.value.numbers }] : []))

describe('endSession', () => {
  test('in the preset eventgrid the 101st message ends a session that is not connected [SE-07]', async () => {
    const { gateway } = await given({}, { preset: 'eventgrid' })
    await away(gateway, 'a')
    await publish(gateway, 100)
    expect(ends()).toEqual([])
    await publish(gateway, 1)
    await world.until(() => ends().length > 0, 'it ends')
    expect(ends()).toEqual(['SessionOverflow'])
    expect((await connected(gateway)).sessionPresent).toBe(false)
  })

  test('a connected session may be owed what the deployment allows; what is left at its end is held against the namespace’s limit', async () => {
    const { gateway } = await given({}, { preset: 'open', sessionQueueMessages: 5 })
    const connection = await connected(gateway, { receiveMaximum: 1 })
    await connection.subscribe('a')
    await publish(gateway, 8)
    expect([connection.phase, ends()]).toEqual(['open', []])
    connection.close('ConnectionLost')
    await world.until(() => ends().length > 0, 'it ends')
    expect(ends()).toEqual(['SessionOverflow'])
  })

  test('SESSION_QUEUE_SECONDS_MAX: a message that has waited too long ends the session, by the clock alone', async () => {
    const { gateway } = await given({ SESSION_QUEUE_SECONDS_MAX: '10' })
    await away(gateway, 'a')
    await publish(gateway, 1)
    await world.pass(8_000)
    expect(ends()).toEqual([])
    await world.until(() => ends().length > 0, 'it ends', 4_000)
    expect(ends()).toEqual(['SessionOverflow'])
  })
})

test('sessions that end are counted by Event Grid’s reasons [SE-08]', async () => {
  const { gateway, router } = await given({ SESSION_QUEUE_MESSAGES_MAX: '2' })
  await away(gateway, 'a')
  await publish(gateway, 3)
  await world.until(() => ends().length === 1, 'it overflows')
  const transient = gateway.connect('t', { expiry: 0, cleanStart: true })
  await world.until(() => transient.phase === 'open', 'it is open')
  transient.close('ConnectionLost')
  const expiring = gateway.connect('e', { expiry: 1 })
  await world.until(() => expiring.phase === 'open', 'it is open')
  expiring.close('ConnectionLost')
  await world.pass(4_000)
  const ended = (await router.figures.getSingleMetric('loggerhead_mqtt_dropped_sessions_total')?.get())?.values ?? []
  expect(Object.fromEntries(ended.map(({ labels, value }) => [labels.drop_reason, value]))).toEqual({
    SessionOverflow: 1,
    TransientSession: 1,
    SessionExpiry: 1,
  })
})

describe('dropOldest', () => {
  const dropOldest = { SESSION_QUEUE_FULL: 'dropOldest', SESSION_QUEUE_MESSAGES_MAX: '3' }

  test('the session goes on and gets the newest in order; what it misses is a record with the reason', async () => {
    const { gateway } = await given(dropOldest)
    await away(gateway, 'a')
    await publish(gateway, 5)
    const connection = await connected(gateway)
    await world.until(() => connection.received.length === 3, 'three come')
    expect([connection.sessionPresent, connection.texts]).toEqual([true, ['2', '3', '4']])
    expect(drops().map(({ reason }) => reason)).not.toContain('tooOld')
    expect(drops().flatMap(({ numbers }) => numbers)).toEqual([0, 1])
  })

  test('the next owner of the shard and a snapshot tell the same queue', async () => {
    const { gateway, router } = await given(dropOldest)
    await away(gateway, 'a')
    await publish(gateway, 5)
    await router.stop()
    const second = await world.startRouter('r2')
    await publish(gateway, 1, 5)
    second.kill()
    await world.startRouter('r3')
    const connection = await connected(gateway)
    await world.until(() => connection.received.length === 3, 'three come')
    expect(connection.received.map(({ text }) => text)).toEqual(['3', '4', '5'])
  })

  test('a limit of bytes or age does the same, and a namespace chooses it for itself', async () => {
    const { gateway } = await given({}, { preset: 'open', sessionQueueSeconds: 10, sessionQueueFull: 'dropOldest' })
    await away(gateway, 'a')
    await publish(gateway, 2)
    await world.pass(6_000)
    await publish(gateway, 1, 2)
    await world.pass(5_000)
    expect(drops()).toEqual([{ reason: 'tooOld', numbers: [0, 1] }])
    await world.register('namespace', 'default', { limits: { preset: 'open', sessionQueueBytes: 1024, sessionQueueFull: 'dropOldest' } })
    await gateway.publish('a', 'x'.repeat(940))
    await world.until(() => drops().length > 1, 'the older one goes')
    expect(drops()[1]).toEqual({ reason: 'queueFull', numbers: [2] })
  })

  test('a limit that is lowered holds for what waits already', async () => {
    const { gateway } = await given({})
    await away(gateway, 'a')
    await publish(gateway, 4)
    await world.register('namespace', 'default', { limits: { preset: 'open', sessionQueueMessages: 1, sessionQueueFull: 'dropOldest' } })
    await world.until(() => drops().length > 0, 'it is dropped')
    expect(drops()).toEqual([{ reason: 'queueFull', numbers: [0, 1, 2] }])
  })

  test('a QoS 2 message that the client may have begun to receive is seen through: its packet id must not be taken for another message’s', async () => {
    const { gateway } = await given({ ...dropOldest, SESSION_QUEUE_MESSAGES_MAX: '4' })
    const first = await connected(gateway, { receiveMaximum: 2 })
    await first.subscribe({ filter: 'a', qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0, subscriptionIdentifier: null, replay: null })
    for (let i = 0; i < 3; i++) await gateway.publish('a', `${i}`, { qos: 2 })
    await world.until(() => first.received.length === 2, 'two are under way')
    first.close('ConnectionLost')
    for (let i = 3; i < 7; i++) await gateway.publish('a', `${i}`, { qos: 2 })
    await world.pass(500)
    expect(drops().flatMap(({ numbers }) => numbers)).toEqual([2, 3, 4])
    const second = await connected(gateway, { onDelivery: (each, delivery) => setImmediate(() => each.acknowledge(delivery)) })
    await world.until(() => second.received.length === 4 && second.released.length === 4, 'four come and are released')
    expect(second.texts).toEqual(['0 dup', '1 dup', '5', '6'])
  })

  test('what is on its way to a connected client is not dropped', async () => {
    const { gateway } = await given(dropOldest)
    const connection = await connected(gateway, { receiveMaximum: 2 })
    await connection.subscribe('a')
    await publish(gateway, 6)
    expect(connection.texts).toEqual(['0', '1'])
    expect(drops().flatMap(({ numbers }) => numbers)).toEqual([2, 3, 4])
    for (const delivery of [...connection.received]) connection.acknowledge(delivery)
    await world.until(() => connection.received.length === 3, 'the newest comes')
    expect(connection.texts).toEqual(['0', '1', '5'])
  })
})
