/** One test per rate, by the name of its setting: what happens above it, and that it counts under Event Grid's ThrottleType (spec 1.20). */
import { afterEach, describe, expect, test } from '@jest/globals'
import type { PublishPacket } from '../../../mqtt/packet.ts'
import { type Environment, type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness | null = null
const clients: RawClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await harness?.stop()
  harness = null
})

async function start(environment: Environment): Promise<Harness> {
  harness = await startHarness(environment)
  return harness
}

async function attached(port: number, clientId: string, version: 4 | 5 = 5): Promise<RawClient> {
  const client = await RawClient.attached(port, connectPacket(clientId, { protocolVersion: version }))
  clients.push(client)
  return client
}

const throttled = (running: Harness, type: string) => running.metric('loggerhead_mqtt_throttling_enforcements_total', { throttle_type: type })
const publish = (qos: 0 | 1, packetId: number, payload: Buffer | string = ''): PublishPacket => ({
  type: 'publish',
  topic: 't',
  payload: Buffer.from(payload),
  qos,
  dup: false,
  retain: false,
  packetId,
})
const subscribe = (packetId: number, qos: 0 | 1 = 0) =>
  ({ type: 'subscribe', packetId, filters: [{ filter: 't', qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }], properties: {} }) as const
/** How long something took, in ms: a rate promises a lower bound, which a slow machine cannot break. */
async function lasts(what: () => Promise<unknown>): Promise<number> {
  const since = performance.now()
  await what()
  return performance.now() - since
}

test.each([
  ['SESSION_PUBLISHES_IN_PER_SECOND_MAX', 'IncomingPublishPacketsPerConnection'],
  ['PUBLISHES_IN_PER_SECOND_MAX', 'IncomingPublishPacketsPerNamespace'],
])('%s: what is above it is read later, all of it is acknowledged in order, and it counts as %s', async (setting, type) => {
  const running = await start({ [setting]: '20' })
  const client = await attached(running.port, 'fast')
  const ms = await lasts(async () => {
    client.send(...Array.from({ length: 40 }, (_, i) => publish(1, i + 1)))
    await client.next('puback', 40)
  })
  expect(client.of('puback').map(({ packetId }) => packetId)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
  // Twenty at once, then twenty at 20 a second, the last of which owes nothing yet.
  expect(ms).toBeGreaterThanOrEqual(900)
  expect(await throttled(running, type)).toBeGreaterThanOrEqual(1)
})

test('SESSION_PUBLISHES_IN_PER_SECOND_MAX: a client above it keeps no other waiting, QoS 0 is not lost, and its keep alive waits too', async () => {
  const running = await start({ SESSION_PUBLISHES_IN_PER_SECOND_MAX: '5' })
  const fast = await RawClient.attached(running.port, connectPacket('fast', { keepAlive: 1 }))
  clients.push(fast)
  const calm = await attached(running.port, 'calm')
  fast.send(...Array.from({ length: 20 }, (_, i) => publish(0, i)), publish(1, 77))
  calm.send(publish(1, 1))
  await calm.next('puback')
  expect(fast.of('puback')).toEqual([])
  await fast.next('puback')
  await running.router.until(() => running.router.of('Message', 'fast').length === 21)
})

test.each([
  ['SESSION_BYTES_IN_PER_SECOND_MAX', 'InboundBandwidthPerConnection'],
  ['BYTES_IN_PER_SECOND_MAX', 'InboundBandwidthPerNamespace'],
])('%s: more bytes than that are read later, and it counts as %s', async (setting, type) => {
  const running = await start({ [setting]: '65536' })
  const client = await attached(running.port, 'large')
  const ms = await lasts(async () => {
    for (let i = 1; i <= 4; i++) client.send(publish(1, i, Buffer.alloc(40_000)))
    await client.next('puback', 4)
  })
  expect(ms).toBeGreaterThanOrEqual(400)
  expect(await throttled(running, type)).toBeGreaterThanOrEqual(1)
})

test.each([
  ['SESSION_SUBSCRIBES_PER_SECOND_MAX', 'SubscribeOperationsPerConnection'],
  ['SUBSCRIBES_PER_SECOND_MAX', 'SubscribeOperationsPerNamespace'],
])('%s: SUBSCRIBE and UNSUBSCRIBE above it are answered later, and it counts as %s', async (setting, type) => {
  const running = await start({ [setting]: '4' })
  const client = await attached(running.port, 'c')
  const ms = await lasts(async () => {
    for (let i = 1; i <= 7; i += 2) client.send(subscribe(i), { type: 'unsubscribe', packetId: i + 1, filters: ['t'], properties: {} })
    await client.next('unsuback', 4)
  })
  expect(client.of('suback').map(({ reasonCodes }) => reasonCodes[0])).toEqual([0, 0, 0, 0])
  expect(ms).toBeGreaterThanOrEqual(700)
  expect(await throttled(running, type)).toBeGreaterThanOrEqual(1)
})

describe.each([
  ['ends with its connection', 0],
  ['is kept', 600],
] as const)('to a session that %s', (_what, sessionExpiryInterval) => {
  async function subscribed(running: Harness): Promise<RawClient> {
    const subscriber = await RawClient.attached(running.port, connectPacket('subscriber', { properties: { sessionExpiryInterval } }))
    clients.push(subscriber)
    subscriber.send(subscribe(1, 1))
    await subscriber.next('suback')
    return subscriber
  }

  test.each([
    ['SESSION_PUBLISHES_OUT_PER_SECOND_MAX', '6', 'OutboundPublishPacketsPerConnection'],
    ['PUBLISHES_OUT_PER_SECOND_MAX', '6', 'OutboundPublishPacketsPerNamespace'],
    ['SESSION_BYTES_OUT_PER_SECOND_MAX', '16384', 'OutboundBandwidthPerConnection'],
    ['BYTES_OUT_PER_SECOND_MAX', '16384', 'OutboundBandwidthPerNamespace'],
  ])('%s %s: QoS 1 above it waits and comes in order, QoS 0 is dropped and counted, and it counts as %s', async (setting, rate, type) => {
    const running = await start({ [setting]: rate })
    const subscriber = await subscribed(running)
    const publisher = await attached(running.port, 'publisher')
    const payload = (i: number) => Buffer.from(String(i).padEnd(3000))
    const ms = await lasts(async () => {
      publisher.send(...Array.from({ length: 22 }, (_, i) => publish(1, i + 1, payload(i))))
      await publisher.next('puback', 22)
      // More than two and a half seconds are owed for what has come: QoS 0 finds it so on a slow machine too.
      publisher.send(publish(0, 0, 'lost'), publish(1, 23, payload(22)))
      await subscriber.next('publish', 23)
    })
    expect(subscriber.of('publish').map((message) => Number.parseInt(message.payload.toString(), 10))).toEqual(Array.from({ length: 23 }, (_, i) => i))
    expect(ms).toBeGreaterThanOrEqual(300)
    expect(await running.metric('loggerhead_deliveries_dropped_total', { reason: 'throttled' })).toBe(1)
    expect(await throttled(running, type)).toBeGreaterThanOrEqual(1)
  })
})

test('SESSION_BYTES_OUT_PER_SECOND_MAX: the properties of a message count as its payload does', async () => {
  const running = await start({ SESSION_BYTES_OUT_PER_SECOND_MAX: '16384' })
  const subscriber = await attached(running.port, 'subscriber')
  subscriber.send(subscribe(1, 1))
  await subscriber.next('suback')
  const publisher = await attached(running.port, 'publisher')
  const userProperties = [['name', 'v'.repeat(2000)]] as const
  const ms = await lasts(async () => {
    publisher.send(...Array.from({ length: 15 }, (_, i) => ({ ...publish(1, i + 1), properties: { userProperties } })))
    await subscriber.next('publish', 15)
  })
  expect(ms).toBeGreaterThanOrEqual(300)
  expect(await throttled(running, 'OutboundBandwidthPerConnection')).toBeGreaterThanOrEqual(1)
})

test('OUTBOUND_OWED_BYTES_MAX bounds what waits for a rate: more of it ends the connection with 0x97', async () => {
  const running = await start({ SESSION_PUBLISHES_OUT_PER_SECOND_MAX: '1', OUTBOUND_OWED_BYTES_MAX: '4096' })
  const subscriber = await RawClient.attached(running.port, connectPacket('subscriber', { properties: { sessionExpiryInterval: 600 } }))
  clients.push(subscriber)
  subscriber.send(subscribe(1, 1))
  await subscriber.next('suback')
  const publisher = await attached(running.port, 'publisher')
  publisher.send(...Array.from({ length: 8 }, (_, i) => publish(1, i + 1, Buffer.alloc(2000))))
  expect(await subscriber.next('disconnect')).toMatchObject({ reasonCode: 0x97 })
  expect(await running.reached('OUTBOUND_OWED_BYTES_MAX')).toBe(1)
})

test.each([
  [5, 0x9f],
  [4, 0x88],
] as const)(
  'SESSION_CONNECTS_PER_SECOND_MAX: version %i gets %i (3.1.1: server unavailable) when it comes back too soon, another client gets in',
  async (version, reasonCode) => {
    const running = await start({ SESSION_CONNECTS_PER_SECOND_MAX: '1' })
    // Nothing but the sending is between the two.
    const both = await Promise.all([0, 1].map(() => RawClient.open(running.port, version)))
    clients.push(...both)
    for (const client of both) client.send(connectPacket('again', { protocolVersion: version }))
    const codes = await Promise.all(both.map(async (client) => (await client.next('connack')).reasonCode))
    expect(codes.sort()).toEqual([0, reasonCode])
    await attached(running.port, 'other', version)
    expect(await throttled(running, 'ConnectPacketsPerSession')).toBe(1)
  },
)
