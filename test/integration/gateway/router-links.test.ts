import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import type { Message } from '../../../schemas/message.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { loggedMessage } from '../../support/logged-message.ts'
import type { FakeRouter } from './fake-router.ts'
import { type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness
let router: FakeRouter
beforeEach(async () => {
  harness = await startHarness()
  router = harness.router
  router.delivers = false
})
afterEach(() => harness.stop())

const message = (payload: string, rest: Partial<Message> = {}): Buffer =>
  Buffer.from(encodeMessage(loggedMessage({ receivedAt: Date.now(), payload: Buffer.from(payload), ...rest })))

const to = (connection: number, rest: object = {}) => ({
  connection,
  qos: 1 as const,
  dup: false,
  retain: false,
  number: -1,
  subscriptionIdentifiers: [],
  ...rest,
})
const shardOf = (clientId: string): number => partitionOf(clientId, 2)
const connectionOf = (clientId: string): number => router.of('Attached', clientId).at(-1)?.connection as number
const payloads = (client: RawClient): string[] => client.of('publish').map(({ payload }) => payload.toString())

async function attached(clientId: string, expiry = 0, rest: object = {}): Promise<RawClient> {
  return RawClient.attached(harness.port, connectPacket(clientId, { cleanStart: false, properties: { sessionExpiryInterval: expiry, ...rest } }))
}

async function ping(client: RawClient): Promise<void> {
  const count = client.of('pingresp').length + 1
  client.send({ type: 'pingreq' })
  await client.next('pingresp', count)
}

/** Everything sent to the gateway before has been taken. */
async function settled(through: FakeRouter): Promise<void> {
  const nonce = Math.floor(Math.random() * 1e9)
  through.send({ kind: 'ping', nonce })
  await through.until(() => through.received.some((frame) => frame.kind === 'pong' && frame.nonce === nonce))
}

test('a repeated stretch of direct messages reaches a client once, and is confirmed again', async () => {
  const client = await attached('c')
  const connection = connectionOf('c')
  const messages = [5, 6].map((offset) => ({ source: 0, offset, value: message(String(offset)), receivers: [to(connection)] }))
  router.send({ kind: 'direct', shard: 0, term: 1, from: 5, to: 7, messages })
  router.send({ kind: 'direct', shard: 0, term: 1, from: 5, to: 7, messages })
  router.send({
    kind: 'direct',
    shard: 0,
    term: 1,
    from: 6,
    to: 9,
    messages: [...messages, { source: 0, offset: 8, value: message('8'), receivers: [to(connection)] }],
  })
  await settled(router)
  await client.next('publish', 3)
  await ping(client)
  expect(payloads(client)).toEqual(['5', '6', '8'])
  expect(router.received.filter((frame) => frame.kind === 'received').map((frame) => (frame as { to: number }).to)).toEqual([7, 7, 9])
})

test('frames of a lower term have no effect and are counted', async () => {
  const client = await attached('c', 100)
  const connection = connectionOf('c')
  const shard = shardOf('c')
  const next = await harness.newRouter({ term: 2 })
  router.send({ kind: 'owed', shard, term: 1, messages: [{ source: 0, offset: 1, value: message('stale'), receivers: [to(connection, { number: 0 })] }] })
  router.send({ kind: 'close', shard, term: 1, connection, reasonCode: 0x98, reason: 'ServerInitiatedDisconnect' })
  await settled(router)
  next.send({ kind: 'owed', shard, term: 2, messages: [{ source: 0, offset: 1, value: message('good'), receivers: [to(connection, { number: 0 })] }] })
  await settled(next)
  await client.next('publish')
  expect(payloads(client)).toEqual(['good'])
  expect(await harness.metric('loggerhead_stale_frames_total')).toBeGreaterThanOrEqual(2)
})

test('a new owner learns what each live session was sent and has not acknowledged, and how far direct messages came', async () => {
  const client = await attached('durable', 100)
  await attached('transient')
  const connection = connectionOf('durable')
  const shard = shardOf('durable')
  const owed = [3, 4, 6].map((number) => ({ source: 0, offset: number, value: message(String(number)), receivers: [to(connection, { number })] }))
  router.send({ kind: 'owed', shard, term: 1, messages: owed })
  router.send({ kind: 'direct', shard, term: 1, from: 0, to: 42, messages: [] })
  await client.next('publish', 3)
  expect(client.of('publish').map(({ packetId }) => packetId)).toEqual([4, 5, 7])
  client.send({ type: 'puback', packetId: 5, reasonCode: 0 })
  await router.until(() => router.acks.length === 1)
  expect(router.acks).toEqual([{ connection, number: 4, outcome: 0 }])
  const next = await harness.newRouter({ term: 2 })
  await next.until(() => next.received.filter((frame) => frame.kind === 'shardState').length === 2)
  const state = next.received.find((frame) => frame.kind === 'shardState' && frame.shard === shard)
  const durable = { connection, session: router.session('durable')?.id, sent: 7, unacknowledged: [3, 6], received: [] }
  // A session that ends with its connection is told too: the owner closes what it knows to be over.
  const transient = { connection: connectionOf('transient'), session: router.session('transient')?.id, sent: -1, unacknowledged: [], received: [] }
  const sessions = shardOf('transient') === shard ? [durable, transient] : [durable]
  expect(state).toEqual({ kind: 'shardState', shard, term: 2, receivedTo: 42, sessions })
})

test('a number sent twice goes out once; one that was acknowledged is acknowledged again', async () => {
  const client = await attached('c', 100)
  const shard = shardOf('c')
  const owed = {
    kind: 'owed' as const,
    shard,
    term: 1,
    messages: [{ source: 0, offset: 1, value: message('x'), receivers: [to(connectionOf('c'), { number: 0 })] }],
  }
  router.send(owed)
  router.send(owed)
  await client.next('publish')
  client.send({ type: 'puback', packetId: 1, reasonCode: 0 })
  await router.until(() => router.acks.length === 1)
  router.send(owed)
  await router.until(() => router.acks.length === 2)
  await ping(client)
  expect(payloads(client)).toEqual(['x'])
})

test('the packet id derives from the number, over the end of the range [MQTT-2.2.1-4]', async () => {
  const client = await attached('c', 100)
  const messages = [65_534, 65_535].map((number) => ({
    source: 0,
    offset: number,
    value: message(String(number)),
    receivers: [to(connectionOf('c'), { number, dup: true })],
  }))
  router.send({ kind: 'owed', shard: shardOf('c'), term: 1, messages })
  await client.next('publish', 2)
  expect(client.of('publish').map(({ packetId, dup }) => [packetId, dup])).toEqual([
    [65_535, true],
    [1, true],
  ])
})

test('what expired on the way is not sent but reported; what lives is told the time that is left', async () => {
  const client = await attached('c', 100)
  const old = message('old', { messageExpiryInterval: 5, receivedAt: Date.now() - 5001 })
  const young = message('young', { messageExpiryInterval: 100, receivedAt: Date.now() - 40_500 })
  const connection = connectionOf('c')
  const messages = [old, young].map((value, number) => ({ source: 0, offset: number, value, receivers: [to(connection, { number })] }))
  router.send({ kind: 'owed', shard: shardOf('c'), term: 1, messages })
  const received = await client.next('publish')
  expect(received.payload.toString()).toBe('young')
  expect(received.properties?.messageExpiryInterval).toBe(60)
  await router.until(() => router.acks.length === 1)
  expect(router.acks).toEqual([{ connection, number: 0, outcome: 1 }])
})

test('what is larger than the client’s Maximum Packet Size is not sent but reported', async () => {
  const client = await attached('c', 100, { maximumPacketSize: 100 })
  const connection = connectionOf('c')
  const messages = ['x'.repeat(100), 'y'].map((payload, number) => ({
    source: 0,
    offset: number,
    value: message(payload),
    receivers: [to(connection, { number })],
  }))
  router.send({ kind: 'owed', shard: shardOf('c'), term: 1, messages })
  expect((await client.next('publish')).payload.toString()).toBe('y')
  await router.until(() => router.acks.length === 1)
  expect(router.acks).toEqual([{ connection, number: 0, outcome: 2 }])
})

test('one message for many receivers arrives at each in its own form', async () => {
  const old = await RawClient.attached(harness.port, connectPacket('old', { protocolVersion: 4 }))
  const five = await attached('five')
  const many = await attached('many')
  router.send({
    kind: 'direct',
    shard: 0,
    term: 1,
    from: 0,
    to: 1,
    messages: [
      {
        source: 0,
        offset: 0,
        value: message('m', { userProperties: [{ name: 'a', value: 'b' }], messageExpiryInterval: 9 }),
        receivers: [
          to(connectionOf('old')),
          to(connectionOf('five'), { qos: 0 }),
          to(connectionOf('many'), { subscriptionIdentifiers: [3, 300], retain: true }),
          to(999_999),
        ],
      },
    ],
  })
  expect(await old.next('publish')).toMatchObject({ topic: 't', qos: 1, packetId: 1 })
  expect((await five.next('publish')).properties).toEqual({ messageExpiryInterval: 9, userProperties: [['a', 'b']] })
  expect(await many.next('publish')).toMatchObject({ retain: true, properties: { subscriptionIdentifiers: [3, 300] } })
  expect(await harness.metric('loggerhead_deliveries_dropped_total', { reason: 'gone' })).toBe(1)
})

test('a link of a router that takes the gateway for an earlier run is ended', async () => {
  const stranger = await import('./fake-router.ts').then(({ FakeRouter: Router }) =>
    Router.start({
      log: harness.log,
      topics: harness.plan.names,
      partitions: 2,
      address: `127.0.0.1:${harness.process.ports.grpc}`,
      incarnation: -1 + 0,
    }).catch(() => null),
  )
  expect(stranger === null || stranger.ended !== null).toBe(true)
  await stranger?.close()
})

test('told of a later incarnation of itself the gateway closes everybody and begins a new one', async () => {
  const client = await attached('c', 100)
  const before = harness.process.gateway.incarnation
  const { FakeRouter: Router } = await import('./fake-router.ts')
  const options = { log: harness.log, topics: harness.plan.names, partitions: 2, address: `127.0.0.1:${harness.process.ports.grpc}` }
  const knowing = await Router.start({ ...options, incarnation: before + 7 })
  expect(knowing.ended).not.toBeNull()
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x89 })
  await knowing.until(() => harness.process.gateway.incarnation > before)
  const next = await Router.start({ ...options, incarnation: harness.process.gateway.incarnation, term: 2 })
  const again = await attached('c', 100)
  await ping(again)
  await next.close()
  await knowing.close()
})

test('a client that goes while its attach is unanswered leaves exactly one Detached of that epoch', async () => {
  router.answersAttaches = false
  const client = await RawClient.open(harness.port)
  client.send(connectPacket('impatient'))
  await router.until(() => router.of('Attached', 'impatient').length === 1)
  client.destroy()
  await router.until(() => router.of('Detached', 'impatient').length === 1)
  const { connection, connectionId } = router.of('Attached', 'impatient')[0] as { connection: number; connectionId: Buffer }
  const epoch = router.records.find(({ record }) => record.name === 'Attached')?.offset as number
  router.send({
    kind: 'attachAnswer',
    shard: shardOf('impatient'),
    term: 1,
    connection,
    connectionId,
    reasonCode: 0,
    session: epoch,
    epoch,
    sessionPresent: false,
    uses: Buffer.alloc(0),
    filters: [],
  })
  await settled(router)
  expect(router.of('Detached', 'impatient')).toMatchObject([{ epoch, reason: 'ConnectionLost', keepWill: false }])
})

test('an identity that does not hold the session is refused, and its attach taken back', async () => {
  await attached('held', 100)
  const client = await RawClient.open(harness.port)
  client.send(connectPacket('held', { cleanStart: true, username: 'somebody-else' }))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0x87 })
})
