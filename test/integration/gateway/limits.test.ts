/** One test per limit of the gateway, by the name of its setting: what happens at it, and that it is counted. */
import { connect } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import { writePacket } from '../../../mqtt/writer.ts'
import { testCertificates } from './certificates.ts'
import { type Environment, type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness | null = null
const sockets: { destroy(): void }[] = []

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await harness?.stop()
  harness = null
})

async function start(environment: Environment, options?: Parameters<typeof startHarness>[1]): Promise<Harness> {
  harness = await startHarness(environment, options)
  return harness
}

async function open(port: number, version: 4 | 5 = 5): Promise<RawClient> {
  const client = await RawClient.open(port, version)
  sockets.push(client)
  return client
}

async function attached(port: number, packet = connectPacket('client')): Promise<RawClient> {
  const client = await RawClient.attached(port, packet)
  sockets.push(client)
  return client
}

const subscribe = (filters: readonly string[], packetId = 1, qos: 0 | 1 = 1) =>
  ({
    type: 'subscribe',
    packetId,
    filters: filters.map((filter) => ({ filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }) as const),
    properties: {},
  }) as const
const publish = (topic: string, payload: Buffer | string = '', qos: 0 | 1 = 0, packetId: number = qos) =>
  ({ type: 'publish', topic, payload: Buffer.from(payload), qos, dup: false, retain: false, packetId }) as const

test('TLS_HANDSHAKE_TIMEOUT: a socket that never starts TLS is closed, on MQTTS and on WSS', async () => {
  const certificates = testCertificates()
  const { process, reached } = await start({ MQTTS_PORT: '0', WSS_PORT: '0', ...certificates.server, TLS_HANDSHAKE_TIMEOUT: '200' })
  for (const listener of ['mqtts', 'wss']) {
    const client = await open(process.ports[listener] as number)
    await client.closed()
  }
  expect(await reached('TLS_HANDSHAKE_TIMEOUT')).toBe(2)
})

test('TLS_HANDSHAKE_TIMEOUT: a socket that never asks for its WebSocket is closed', async () => {
  const { process, reached } = await start({ WS_PORT: '0', TLS_HANDSHAKE_TIMEOUT: '200' })
  const client = await open(process.ports.ws as number)
  await client.closed()
  expect(await reached('TLS_HANDSHAKE_TIMEOUT')).toBe(1)
})

test('CONNECT_TIMEOUT: a socket without CONNECT is closed', async () => {
  const { port, reached } = await start({ CONNECT_TIMEOUT: '200' })
  const silent = await open(port)
  const slow = await open(port)
  slow.raw(Buffer.from([0x10, 20, 0, 4]))
  await Promise.all([silent.closed(), slow.closed()])
  expect(silent.packets).toEqual([])
  expect(await reached('CONNECT_TIMEOUT')).toBe(2)
})

test('FIRST_PACKET_SIZE_MAX: a larger CONNECT is refused before its body has come', async () => {
  const { port, reached } = await start({ FIRST_PACKET_SIZE_MAX: '1024' })
  const client = await open(port)
  client.raw(Buffer.from([0x10, 0xff, 0xff, 0x7f]))
  await client.closed()
  expect(await reached('FIRST_PACKET_SIZE_MAX')).toBe(1)
})

test('MAXIMUM_PACKET_SIZE: a larger packet ends the connection with 0x95, one of just that size is taken', async () => {
  const { port, reached } = await start({ MAXIMUM_PACKET_SIZE: '2048' })
  const client = await attached(port)
  client.send(publish('t', Buffer.alloc(2048 - 9), 1))
  expect(await client.next('puback')).toMatchObject({ reasonCode: 0 })
  client.send(publish('t', Buffer.alloc(2048 - 8), 1))
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x95 })
  await client.closed()
  expect(await reached('MAXIMUM_PACKET_SIZE')).toBe(1)
})

test('MAXIMUM_PACKET_SIZE: above what Kafka takes the gateway does not start', async () => {
  await expect(startHarness({ MAXIMUM_PACKET_SIZE: '2000000' })).rejects.toThrow(/MAXIMUM_PACKET_SIZE: 2000000 needs .*max\.message\.bytes/)
})

test('CONNECTIONS_MAX: one socket more is closed on arrival, and let in when another has gone', async () => {
  const { port, reached } = await start({ CONNECTIONS_MAX: '2' })
  const first = await attached(port)
  await open(port)
  await (await open(port)).closed()
  expect(await reached('CONNECTIONS_MAX')).toBe(1)
  first.destroy()
  await (harness as Harness).router.until(() => (harness as Harness).process.connections() < 2)
  await attached(port, connectPacket('other'))
})

test('CONNECTIONS_PER_ADDRESS_MAX: one socket more from the same address is closed, another address gets in', async () => {
  const { port, reached } = await start({ CONNECTIONS_PER_ADDRESS_MAX: '1' })
  await attached(port)
  await (await open(port)).closed()
  expect(await reached('CONNECTIONS_PER_ADDRESS_MAX')).toBe(1)
  const elsewhere = new RawClient(connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' }), 5)
  sockets.push(elsewhere)
  elsewhere.send(connectPacket('elsewhere'))
  expect(await elsewhere.next('connack')).toMatchObject({ reasonCode: 0 })
})

test.each([
  [5, 0x9f],
  [4, 0x88],
] as const)('CONNECTS_PER_SECOND_MAX: version %i gets %i, and it counts as ConnectPacketsPerNamespace', async (protocolVersion, reasonCode) => {
  const { port, metric } = await start({ CONNECTS_PER_SECOND_MAX: '2' })
  // Nothing but the sending is between the first and the last.
  const clients = await Promise.all(Array.from({ length: 4 }, () => open(port, protocolVersion)))
  for (const [i, client] of clients.entries()) client.send(connectPacket(`c${i}`, { protocolVersion }))
  const connects = await Promise.all(clients.map(async (client) => (await client.next('connack')).reasonCode))
  expect(connects.filter((code) => code === 0).length).toBeLessThanOrEqual(3)
  expect(connects.filter((code) => code === reasonCode).length).toBeGreaterThanOrEqual(1)
  expect(await metric('loggerhead_mqtt_throttling_enforcements_total', { throttle_type: 'ConnectPacketsPerNamespace' })).toBeGreaterThanOrEqual(1)
})

test('CLIENT_ID_LENGTH_MAX: a longer client id is refused with 0x85', async () => {
  const { port, reached } = await start({ CLIENT_ID_LENGTH_MAX: '32' })
  await attached(port, connectPacket('ü'.repeat(32)))
  const client = await open(port)
  client.send(connectPacket('ü'.repeat(33)))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0x85 })
  await client.closed()
  expect(await reached('CLIENT_ID_LENGTH_MAX')).toBe(1)
})

test('TOPIC_LENGTH_MAX and TOPIC_LEVELS_MAX: a filter is refused with 0x8F, a publish ends the connection with 0x90', async () => {
  const { port, reached } = await start({ TOPIC_LENGTH_MAX: '20', TOPIC_LEVELS_MAX: '4' })
  const client = await attached(port)
  client.send(subscribe(['a/b/c/d', 'a/b/c/d/e', 'x'.repeat(21), 'y'.repeat(20)]))
  expect((await client.next('suback')).reasonCodes).toEqual([1, 0x8f, 0x8f, 1])
  for (const topic of ['x'.repeat(21), 'a/b/c/d/e']) {
    const publisher = await attached(port, connectPacket(`p${topic.length}`))
    publisher.send(publish(topic))
    expect(await publisher.next('disconnect')).toMatchObject({ reasonCode: 0x90 })
  }
  expect(await reached('TOPIC_LENGTH_MAX')).toBe(2)
  expect(await reached('TOPIC_LEVELS_MAX')).toBe(2)
})

test('FILTERS_PER_SUBSCRIBE_MAX: the filters above it are refused with 0x97, in UNSUBSCRIBE with 0x83', async () => {
  const { port, reached } = await start({ FILTERS_PER_SUBSCRIBE_MAX: '2' })
  const client = await attached(port)
  client.send(subscribe(['a', 'b', 'c']))
  expect((await client.next('suback')).reasonCodes).toEqual([1, 1, 0x97])
  client.send({ type: 'unsubscribe', packetId: 2, filters: ['a', 'b', 'c'], properties: {} })
  expect((await client.next('unsuback')).reasonCodes).toEqual([0, 0, 0x83])
  expect(await reached('FILTERS_PER_SUBSCRIBE_MAX')).toBe(2)
})

test('SUBSCRIPTIONS_PER_SESSION_MAX: new filters are refused with 0x97, a known one may be renewed', async () => {
  const { port, reached } = await start({ SUBSCRIPTIONS_PER_SESSION_MAX: '2' })
  const client = await attached(port)
  client.send(subscribe(['a', 'b', 'c']), subscribe(['a', 'd'], 2))
  expect((await client.next('suback')).reasonCodes).toEqual([1, 1, 0x97])
  expect((await client.next('suback', 2)).reasonCodes).toEqual([1, 0x97])
  expect(await reached('SUBSCRIPTIONS_PER_SESSION_MAX')).toBe(2)
})

test('SUBSCRIPTIONS_PER_SESSION_MAX: what a session brings to its next connection counts although only its number is known', async () => {
  const { port, reached, router } = await start({ SUBSCRIPTIONS_PER_SESSION_MAX: '3' })
  router.namesFilters = false
  const resumed = async (): Promise<RawClient> => attached(port, connectPacket('client', { cleanStart: false, properties: { sessionExpiryInterval: 60 } }))
  const first = await resumed()
  first.send(subscribe(['a', 'b']))
  expect((await first.next('suback')).reasonCodes).toEqual([1, 1])
  const second = await resumed()
  second.send(subscribe(['c', 'd', 'c']))
  expect((await second.next('suback')).reasonCodes).toEqual([1, 0x97, 1])
  const third = await resumed()
  third.send(subscribe(['e']), { type: 'unsubscribe', packetId: 2, filters: ['a'], properties: {} })
  expect((await third.next('suback')).reasonCodes).toEqual([0x97])
  expect((await third.next('unsuback')).reasonCodes).toEqual([0])
  const fourth = await resumed()
  fourth.send(subscribe(['e']))
  expect((await fourth.next('suback')).reasonCodes).toEqual([1])
  await router.until(() => router.session('client')?.subscriptions.has('e') === true)
  expect([...(router.session('client')?.subscriptions.keys() ?? [])]).toEqual(['b', 'c', 'e'])
  expect(await reached('SUBSCRIPTIONS_PER_SESSION_MAX')).toBe(2)
})

test('RECEIVE_MAXIMUM: one publish more in flight ends a version 5 connection with 0x93', async () => {
  const { port, log, reached } = await start({ RECEIVE_MAXIMUM: '2' })
  const client = await attached(port)
  log.store.setAway(true)
  client.send(publish('t', '', 1, 1), publish('t', '', 1, 2), publish('t', '', 1, 3))
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x93 })
  expect(await reached('RECEIVE_MAXIMUM')).toBe(1)
  log.store.setAway(false)
})

test('RECEIVE_MAXIMUM: a version 3.1.1 client, which is not told, is read on only as acknowledgements go out', async () => {
  const { port, log, reached } = await start({ RECEIVE_MAXIMUM: '2' })
  const client = await attached(port, connectPacket('old', { protocolVersion: 4 }))
  log.store.setAway(true)
  client.send(...[1, 2, 3, 4, 5].map((id) => publish('t', '', 1, id)))
  client.send({ type: 'pingreq' })
  await (harness as Harness).router.until(() => true)
  log.store.setAway(false)
  await client.next('puback', 5)
  expect(client.of('puback').map(({ packetId }) => packetId)).toEqual([1, 2, 3, 4, 5])
  await client.next('pingresp')
  expect(await reached('RECEIVE_MAXIMUM')).toBeGreaterThanOrEqual(1)
})

test('TOPIC_ALIAS_MAXIMUM: aliases up to it work, one above it ends the connection with 0x94', async () => {
  const { port, router, reached } = await start({ TOPIC_ALIAS_MAXIMUM: '2' })
  const client = await attached(port)
  client.send({ ...publish('a/b', '1', 1, 1), properties: { topicAlias: 2 } }, { ...publish('', '2', 1, 2), properties: { topicAlias: 2 } })
  await client.next('puback', 2)
  await router.until(() => router.of('Message').length === 2)
  expect(router.of('Message').map(({ topic }) => topic)).toEqual(['a/b', 'a/b'])
  client.send({ ...publish('a/b', '', 1, 3), properties: { topicAlias: 3 } })
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x94 })
  expect(await reached('TOPIC_ALIAS_MAXIMUM')).toBe(1)
})

test('INFLIGHT_MAX: no more QoS 1 messages are on their way than it allows, whatever Receive Maximum says', async () => {
  const { port, reached, router } = await start({ INFLIGHT_MAX: '2' })
  const client = await attached(port)
  client.send(subscribe(['t']))
  await client.next('suback')
  expect(router.of('Attached', 'client')[0]).toMatchObject({ receiveMaximum: 2 })
  client.send(...[1, 2, 3, 4].map((id) => publish('t', String(id), 1, id)))
  await client.next('puback', 4)
  await client.next('publish', 2)
  await router.until(() => router.received.some((frame) => frame.kind === 'received'))
  client.send({ type: 'pingreq' })
  await client.next('pingresp')
  expect(client.of('publish').map(({ packetId }) => packetId)).toEqual([1, 2])
  client.send({ type: 'puback', packetId: 1, reasonCode: 0 })
  await client.next('publish', 3)
  client.send({ type: 'puback', packetId: 2, reasonCode: 0 }, { type: 'puback', packetId: 3, reasonCode: 0 })
  await client.next('publish', 4)
  expect(client.of('publish').map(({ payload }) => payload.toString())).toEqual(['1', '2', '3', '4'])
  expect(await reached('INFLIGHT_MAX')).toBeGreaterThanOrEqual(1)
})

test('OUTBOUND_QUEUE_MESSAGES_MAX: a client that acknowledges nothing is ended with 0x97, its publisher is not held up', async () => {
  const { port, reached, router } = await start({ OUTBOUND_QUEUE_MESSAGES_MAX: '3' })
  const slow = await attached(port, connectPacket('slow', { properties: { receiveMaximum: 1 } }))
  slow.send(subscribe(['t']))
  await slow.next('suback')
  const publisher = await attached(port, connectPacket('publisher'))
  publisher.send(...[1, 2, 3, 4, 5].map((id) => publish('t', '', 1, id)))
  await publisher.next('puback', 5)
  expect(await slow.next('disconnect')).toMatchObject({ reasonCode: 0x97 })
  await router.until(() => router.of('Detached', 'slow').length === 1)
  expect(router.of('Detached', 'slow')[0]).toMatchObject({ reason: 'SessionOverflow', reasonCode: 0x97 })
  expect(await reached('OUTBOUND_QUEUE_MESSAGES_MAX')).toBe(1)
})

test('OUTBOUND_QUEUE_BYTES_MAX: QoS 0 for a client that does not read is dropped and counted, its neighbour gets all', async () => {
  const { port, reached, metric } = await start({ OUTBOUND_QUEUE_BYTES_MAX: '100000' })
  const stuck = await attached(port, connectPacket('stuck'))
  stuck.send(subscribe(['t'], 1, 0))
  await stuck.next('suback')
  stuck.socket.pause()
  const neighbour = await attached(port, connectPacket('neighbour'))
  neighbour.send(subscribe(['t'], 1, 0))
  await neighbour.next('suback')
  const publisher = await attached(port, connectPacket('publisher'))
  const rounds = 400
  for (let i = 1; i <= rounds; i++) {
    publisher.send(publish('t', Buffer.alloc(60_000), 1, 1))
    await publisher.next('puback', i)
    await neighbour.next('publish', i)
  }
  expect(neighbour.of('publish').length).toBe(rounds)
  expect(await reached('OUTBOUND_QUEUE_BYTES_MAX')).toBeGreaterThanOrEqual(1)
  expect(await metric('loggerhead_deliveries_dropped_total', { reason: 'slow' })).toBeGreaterThanOrEqual(1)
})

test('OUTBOUND_OWED_BYTES_MAX: a persistent session whose client does not read loses its connection, not its messages', async () => {
  const { port, reached, router } = await start({ OUTBOUND_OWED_BYTES_MAX: '100000' })
  const stuck = await attached(port, connectPacket('stuck', { properties: { sessionExpiryInterval: 100 } }))
  stuck.send(subscribe(['t']))
  await stuck.next('suback')
  stuck.socket.pause()
  const publisher = await attached(port, connectPacket('publisher'))
  for (let i = 1; i <= 400 && router.of('Detached', 'stuck').length === 0; i++) {
    publisher.send(publish('t', Buffer.alloc(60_000), 1, 1))
    await publisher.next('puback', i)
  }
  await router.until(() => router.of('Detached', 'stuck').length === 1)
  expect(router.of('Detached', 'stuck')[0]).toMatchObject({ reason: 'SessionOverflow', reasonCode: 0x97 })
  expect(await reached('OUTBOUND_OWED_BYTES_MAX')).toBe(1)
})

test('UNREAD_ANSWERS_BYTES_MAX: a client that asks and reads no answer is not read any further; once it reads, it gets them all', async () => {
  const { port, reached, metric } = await start({ UNREAD_ANSWERS_BYTES_MAX: '131072', SLOW_CLIENT_TIMEOUT: '3600000' })
  const asking = await attached(port, connectPacket('asking'))
  const other = await attached(port, connectPacket('other'))
  asking.socket.pause()
  // Each is answered by some 70 bytes, so that the kernel's buffers are full before long.
  const questions = Buffer.concat(Array.from({ length: 2_000 }, (_, i) => writePacket({ type: 'pubrel', packetId: i + 1, reasonCode: 0 }, 5)))
  let [asked, pings, taken] = [0, 0, 0]
  for (let isRead = true; isRead; ) {
    for (let i = 0; i < 10; i++) {
      asking.raw(questions)
      asked += 2_000
      other.send({ type: 'pingreq' })
      await other.next('pingresp', ++pings)
    }
    if (asked > 4_000_000) throw new Error('the client is read without end')
    const now = await metric('loggerhead_packets_total', { direction: 'in' })
    isRead = now - taken > 10 || (await reached('UNREAD_ANSWERS_BYTES_MAX')) === 0
    taken = now
  }
  asking.socket.resume()
  await asking.next('pubcomp', asked)
  expect(asking.of('pubcomp').every(({ reasonCode }) => reasonCode === 0x92)).toBe(true)
  asking.send({ type: 'pingreq' })
  await asking.next('pingresp')
})

test('SLOW_CLIENT_TIMEOUT: a socket that takes nothing is closed', async () => {
  const { port, reached, router } = await start({ SLOW_CLIENT_TIMEOUT: '500', OUTBOUND_QUEUE_BYTES_MAX: '100000' })
  const stuck = await attached(port, connectPacket('stuck'))
  stuck.send(subscribe(['t'], 1, 0))
  await stuck.next('suback')
  stuck.socket.pause()
  const publisher = await attached(port, connectPacket('publisher'))
  for (let i = 1; i <= 2000 && router.of('Detached', 'stuck').length === 0; i++) {
    publisher.send(publish('t', Buffer.alloc(60_000), 1, 1))
    await publisher.next('puback', i)
  }
  await router.until(() => router.of('Detached', 'stuck').length === 1)
  expect(router.of('Detached', 'stuck')[0]).toMatchObject({ reason: 'QuotaExceeded' })
  expect(await reached('SLOW_CLIENT_TIMEOUT')).toBe(1)
})

test('KEEP_ALIVE_MAX: a version 5 client is told the server keep alive and held to one and a half of it', async () => {
  const { port, router } = await start({ KEEP_ALIVE_MAX: '1' })
  const client = await open(port)
  const since = Date.now()
  client.send(connectPacket('sleepy', { keepAlive: 0 }))
  expect((await client.next('connack')).properties).toMatchObject({ serverKeepAlive: 1 })
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x8d })
  expect(Date.now() - since).toBeGreaterThanOrEqual(1400)
  await router.until(() => router.of('Detached', 'sleepy').length === 1)
  expect(router.of('Detached', 'sleepy')[0]).toMatchObject({ reason: 'ConnectionLost', reasonCode: 0x8d, keepWill: true })
})

test('SESSION_EXPIRY_MAX: a longer interval is lowered and told; a 3.1.1 session gets it silently', async () => {
  const { port, router } = await start({ SESSION_EXPIRY_MAX: '3600' })
  const client = await open(port)
  client.send(connectPacket('five', { properties: { sessionExpiryInterval: 3601 } }))
  expect((await client.next('connack')).properties).toMatchObject({ sessionExpiryInterval: 3600 })
  await attached(port, connectPacket('four', { protocolVersion: 4, cleanStart: false }))
  expect(router.of('Attached').map(({ clientId, sessionExpiryInterval }) => [clientId, sessionExpiryInterval])).toEqual(
    expect.arrayContaining([
      ['five', 3600],
      ['four', 3600],
    ]),
  )
})

test('NS-04: the namespace’s maximumSessionExpiryInHours lowers SESSION_EXPIRY_MAX at once, and never raises it', async () => {
  const { port, put } = await start({ SESSION_EXPIRY_MAX: '7200' })
  const granted = async (hours: number): Promise<unknown> => {
    await put({ 'namespace/default': { topicSpacesConfiguration: { maximumSessionExpiryInHours: hours } } })
    const asked = connectPacket('expiring', { properties: { sessionExpiryInterval: 100_000 } })
    for (const end = Date.now() + 60_000; ; ) {
      const client = await open(port)
      client.send(asked)
      const { sessionExpiryInterval } = (await client.next('connack')).properties as { sessionExpiryInterval?: number }
      client.destroy()
      // The registry reaches the gateway through the log.
      if (sessionExpiryInterval === Math.min(hours, 2) * 3600 || Date.now() > end) return sessionExpiryInterval
    }
  }
  expect(await granted(1)).toBe(3600)
  expect(await granted(8)).toBe(7200)
})

test('SESSION_EXPIRY_MAX: above HISTORY_WINDOW the gateway does not start', async () => {
  await expect(startHarness({ SESSION_EXPIRY_MAX: '7201', HISTORY_WINDOW: '2h' })).rejects.toThrow(/SESSION_EXPIRY_MAX: 7201 s is above HISTORY_WINDOW/)
})

test('KAFKA_BYTES_WAITING_MAX: publishers are not read while too much waits, QoS 0 is dropped, and all goes on by itself', async () => {
  const { port, log, reached, metric, process } = await start({ KAFKA_BYTES_WAITING_MAX: '65536', RECEIVE_MAXIMUM: '65535' })
  const publisher = await attached(port)
  const other = await attached(port, connectPacket('other'))
  log.store.setAway(true)
  const total = 200
  for (let id = 1; id <= total; id++) publisher.send(publish('t', Buffer.alloc(4096), 1, id))
  await (harness as Harness).router.until(() => (process.gateway.status.kafka as { pendingBytes: number }).pendingBytes > 65_536)
  for (let i = 0; i < 10; i++) other.send(publish('t', Buffer.alloc(100)))
  other.send({ type: 'pingreq' })
  await other.next('pingresp')
  expect(await metric('loggerhead_publishes_dropped_total', { reason: 'backpressure' })).toBe(10)
  // Memory stays flat: what waits is the limit and one packet more, however much the client sends.
  expect((process.gateway.status.kafka as { pendingBytes: number }).pendingBytes).toBeLessThan(65_536 + 2 * 4600)
  log.store.setAway(false)
  await publisher.next('puback', total)
  expect(publisher.of('puback').map(({ packetId }) => packetId)).toEqual(Array.from({ length: total }, (_, i) => i + 1))
  expect(await reached('KAFKA_BYTES_WAITING_MAX')).toBeGreaterThanOrEqual(11)
})

test('AUTHORIZATION_CACHE_MAX: more topics than it holds are still judged rightly', async () => {
  const { port, router, reached } = await start({ AUTHORIZATION_CACHE_MAX: '2' })
  const client = await attached(port)
  for (let id = 1; id <= 6; id++) client.send(publish(`t/${id % 3}`, '', 1, id))
  await client.next('puback', 6)
  await router.until(() => router.of('Message').length === 6)
  expect(await reached('AUTHORIZATION_CACHE_MAX')).toBeGreaterThanOrEqual(1)
})

test('ATTACH_TIMEOUT: without a router’s answer CONNECT gets 0x88, and the attach that stands in the log is taken back', async () => {
  const { port, router, reached } = await start({ ATTACH_TIMEOUT: '300' })
  router.answersAttaches = false
  const client = await open(port)
  client.send(connectPacket('unanswered'))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0x88 })
  await router.until(() => router.of('Detached', 'unanswered').length === 1)
  expect(router.of('Detached', 'unanswered')[0]?.epoch).toBe(router.records.find(({ record }) => record.name === 'Attached')?.offset)
  expect(await reached('ATTACH_TIMEOUT')).toBe(1)
})

test('KAFKA_AWAY_REFUSE and KAFKA_AWAY_CLOSE: new clients are refused with 0x88, later the others are closed, and all resumes [3.1.1 MQTT-4.8.0-2]', async () => {
  const { port, log, reached, process } = await start({ KAFKA_AWAY_REFUSE: '300', KAFKA_AWAY_CLOSE: '900', REGISTRY_STALE: '60000', REGISTRY_LOST: '60000' })
  const inside = await attached(port)
  log.store.setAway(true)
  await (harness as Harness).router.until(() => process.gateway.status.ok === false)
  expect(process.gateway.status.reason).toMatch(/Kafka/)
  const late = await open(port)
  late.send(connectPacket('late'))
  expect(await late.next('connack')).toMatchObject({ reasonCode: 0x88 })
  expect(await inside.next('disconnect')).toMatchObject({ reasonCode: 0x89 })
  log.store.setAway(false)
  await (harness as Harness).router.until(() => process.gateway.status.ok === true)
  await attached(port, connectPacket('back'))
  expect(await reached('KAFKA_AWAY_REFUSE')).toBe(1)
  expect(await reached('KAFKA_AWAY_CLOSE')).toBeGreaterThanOrEqual(1)
})

const unsubscribe = (filters: readonly string[], packetId: number) => ({ type: 'unsubscribe', packetId, filters, properties: {} }) as const
/** Longer than any of these tests: only the limit of its title acts. */
const patient = { REGISTRY_STALE: '60000', REGISTRY_LOST: '60000', KAFKA_AWAY_REFUSE: '60000' }

test('SUBSCRIBE_TIMEOUT: while the log is silent SUBSCRIBE and UNSUBSCRIBE get 0x83; once it answers there is no subscription that was refused', async () => {
  const { port, log, reached, router } = await start({ ...patient, SUBSCRIBE_TIMEOUT: '300' })
  const client = await attached(port)
  client.send(subscribe(['held', 'ended']))
  await client.next('suback')
  log.store.setAway(true)
  client.send(subscribe(['held', 'late'], 2), unsubscribe(['ended'], 3))
  expect(await client.next('suback', 2)).toMatchObject({ packetId: 2, reasonCodes: [0x83, 0x83] })
  expect(await client.next('unsuback')).toMatchObject({ packetId: 3, reasonCodes: [0x83] })
  log.store.setAway(false)
  await router.until(() => router.of('Unsubscribed', 'client').length === 2)
  expect(router.of('Unsubscribed', 'client')).toMatchObject([
    { filters: ['ended'], withdraws: false },
    { filters: ['late'], withdraws: true },
  ])
  expect([...(router.session('client')?.subscriptions.keys() ?? [])]).toEqual(['held'])
  // And the connection is as good as any.
  client.send(subscribe(['late'], 4), publish('late', 'here', 1, 5))
  expect(await client.next('suback', 3)).toMatchObject({ packetId: 4, reasonCodes: [1] })
  expect((await client.next('publish')).payload.toString()).toBe('here')
  expect(await reached('SUBSCRIBE_TIMEOUT')).toBe(2)
})

test('SUBSCRIBE_TIMEOUT: in MQTT 3.1.1 SUBSCRIBE gets 0x80, and UNSUBSCRIBE, which can only be granted, ends the connection', async () => {
  const { port, log, reached, router } = await start({ ...patient, SUBSCRIBE_TIMEOUT: '300' })
  const client = await attached(port, connectPacket('old', { protocolVersion: 4, cleanStart: false }))
  client.send(subscribe(['held']))
  await client.next('suback')
  log.store.setAway(true)
  client.send(subscribe(['late'], 2), unsubscribe(['held'], 3))
  expect(await client.next('suback', 2)).toMatchObject({ packetId: 2, reasonCodes: [0x80] })
  await client.closed()
  expect(client.of('unsuback')).toEqual([])
  log.store.setAway(false)
  await router.until(() => router.of('Detached', 'old').length === 1)
  expect([...(router.session('old')?.subscriptions.keys() ?? [])]).not.toContain('late')
  expect(await reached('SUBSCRIBE_TIMEOUT')).toBe(2)
})

test('SUBSCRIBE_TIMEOUT: a client whose filters are not all known is closed: what it may have is for its next connection to find out', async () => {
  const { port, log, router } = await start({ ...patient, SUBSCRIBE_TIMEOUT: '300' })
  const session = { cleanStart: false, properties: { sessionExpiryInterval: 100 } }
  const first = await attached(port, connectPacket('many', session))
  first.send(subscribe(['one']))
  await first.next('suback')
  router.namesFilters = false
  const client = await attached(port, connectPacket('many', session))
  log.store.setAway(true)
  client.send(subscribe(['another'], 2))
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x89 })
  expect(client.of('suback')).toEqual([])
  log.store.setAway(false)
})

test('SUBSCRIBE_TIMEOUT: SUBSCRIBE gets 0x83 as well when the registry is not current for so long; what comes then is refused at once', async () => {
  const { port, reached, holdRegistry, process, router } = await start({ ...patient, REGISTRY_STALE: '1500', SUBSCRIBE_TIMEOUT: '600' })
  const client = await attached(port)
  holdRegistry(true)
  await router.until(() => process.gateway.status.ok === false)
  client.send(subscribe(['a'], 1), subscribe(['b', 'c'], 2), { type: 'pingreq' })
  await client.next('pingresp')
  expect(client.of('suback')).toMatchObject([
    { packetId: 1, reasonCodes: [0x83] },
    { packetId: 2, reasonCodes: [0x83, 0x83] },
  ])
  holdRegistry(false)
  await router.until(() => process.gateway.status.ok === true)
  client.send(subscribe(['a'], 3))
  expect(await client.next('suback', 3)).toMatchObject({ packetId: 3, reasonCodes: [1] })
  await router.until(() => router.of('Subscribed', 'client').length > 0)
  expect(router.of('Subscribed', 'client').map(({ subscriptions }) => subscriptions.map(({ filter }) => filter))).toEqual([['a']])
  expect(await reached('SUBSCRIBE_TIMEOUT')).toBe(2)
})

test('REGISTRY_STALE: nothing new is decided while the registry is not current; what was decided goes on', async () => {
  const { port, reached, holdRegistry, process } = await start({ REGISTRY_STALE: '1200', REGISTRY_LOST: '60000' })
  const client = await attached(port)
  client.send(publish('known', '', 1, 1))
  await client.next('puback')
  holdRegistry(true)
  await (harness as Harness).router.until(() => process.gateway.status.ok === false)
  const late = await open(port)
  late.send(connectPacket('late'))
  expect(await late.next('connack')).toMatchObject({ reasonCode: 0x88 })
  client.send(publish('known', '', 1, 2), publish('new', '', 1, 3), publish('known', '', 1, 4))
  await client.next('puback', 2)
  await (harness as Harness).router.until(() => (harness as Harness).router.of('Message').length === 2)
  expect(client.of('puback').length).toBe(2)
  holdRegistry(false)
  await client.next('puback', 4)
  expect(client.of('puback').map(({ packetId }) => packetId)).toEqual([1, 2, 3, 4])
  expect(await reached('REGISTRY_STALE')).toBe(2)
})

test('REGISTRY_LOST: clients are closed when the registry cannot be confirmed though Kafka answers', async () => {
  const { port, reached, holdRegistry } = await start({ REGISTRY_STALE: '1000', REGISTRY_LOST: '1200' })
  const client = await attached(port)
  holdRegistry(true)
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x89 })
  expect(await reached('REGISTRY_LOST')).toBeGreaterThanOrEqual(1)
})

test('REGISTRY_LOST: counts from when Kafka is back: the registry is not the first thing that it answers', async () => {
  const { port, log, reached, holdRegistry, process, router } = await start({ ...patient, REGISTRY_STALE: '1500', REGISTRY_LOST: '4000' })
  const unconfirmedFor = (ms: number) => router.until(() => (process.gateway.status.registry as { confirmedMs: number }).confirmedMs >= ms)
  const client = await attached(port)
  holdRegistry(true)
  log.store.setAway(true)
  client.send(publish('known', '', 1, 1))
  await unconfirmedFor(4_300)
  log.store.setAway(false)
  await client.next('puback')
  await unconfirmedFor(5_000)
  holdRegistry(false)
  await router.until(() => process.gateway.status.ok === true)
  client.send({ type: 'pingreq' })
  await client.next('pingresp')
  expect(await reached('REGISTRY_LOST')).toBe(0)
})

test('SHARD_SILENCE: when no router speaks for the clients’ shards any more they are closed, and newcomers refused', async () => {
  const { port, router, reached, newRouter } = await start({ SHARD_SILENCE: '2000', ATTACH_TIMEOUT: '3000' })
  const client = await attached(port)
  await router.close()
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x89 })
  const late = await open(port)
  late.send(connectPacket('late'))
  expect(await late.next('connack')).toMatchObject({ reasonCode: 0x88 })
  expect(await reached('SHARD_SILENCE')).toBeGreaterThanOrEqual(1)
  await newRouter({ term: 2 })
  await attached(port, connectPacket('back'))
})

test('SHUTDOWN_TIMEOUT: with Kafka away the gateway still stops in time, and says that records are left', async () => {
  const { port, log, process, reached } = await start({ SHUTDOWN_TIMEOUT: '300' })
  const client = await attached(port)
  log.store.setAway(true)
  await process.stop()
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x8b })
  expect(await reached('SHUTDOWN_TIMEOUT')).toBe(1)
  log.store.setAway(false)
})

test('SESSIONS_PER_NAME_MAX: the attach carries what the namespace allows [MS-01]; one too many is 0x97, in 3.1.1 0x03, and counted', async () => {
  const { port, process, put, reached, router } = await start({ SESSIONS_PER_NAME_MAX: '50' })
  router.answersAttaches = false
  const refused = async (packet: ReturnType<typeof connectPacket>): Promise<number> => {
    const client = await open(port, packet.protocolVersion)
    client.send(packet)
    await router.until(() => router.of('Attached', packet.clientId).length === 1)
    const { gateway: _, connection, connectionId } = router.of('Attached', packet.clientId)[0] as { gateway: object; connection: number; connectionId: Buffer }
    const shard = partitionOf(Buffer.from(packet.clientId), 2)
    const answer = { session: 0, epoch: 0, sessionPresent: false, uses: Buffer.alloc(0), filters: [] }
    router.send({ kind: 'attachAnswer', shard, term: 1, connection, connectionId, reasonCode: 0x97, ...answer })
    const connack = await client.next('connack')
    await client.closed()
    return connack.reasonCode
  }
  const position = (): number => (process.gateway.status as { registry: { position: number } }).registry.position
  const narrowed = async (namespace: object): Promise<void> => {
    const before = position()
    await put({ 'namespace/default': namespace })
    await router.until(() => position() > before)
  }
  const username = 'u'
  expect(await refused(connectPacket('a', { username }))).toBe(0x97)
  // Return code 3 stands for Server unavailable.
  expect(await refused(connectPacket('b', { username, protocolVersion: 4 }))).toBe(0x88)
  await refused(connectPacket('c'))
  await narrowed({ topicSpacesConfiguration: { maximumClientSessionsPerAuthenticationName: 7 } })
  await refused(connectPacket('d', { username }))
  await narrowed({ limits: { preset: 'eventgrid' } })
  await refused(connectPacket('e', { username }))
  expect(['a', 'b', 'c', 'd', 'e'].map((id) => router.of('Attached', id)[0]?.sessionsMax)).toEqual([50, 50, 0, 7, 1])
  expect(await reached('SESSIONS_PER_NAME_MAX')).toBe(5)
})

test('TAKEOVER_BURST and TAKEOVER_INTERVAL: two clients that chase each other are slowed down, a first takeover is not', async () => {
  const { port, reached, router } = await start({ TAKEOVER_BURST: '2', TAKEOVER_INTERVAL: '4000' })
  const attaches = () => router.of('Attached', 'c').length
  const first = await attached(port, connectPacket('c'))
  const second = await attached(port, connectPacket('c'))
  await first.closed()
  const third = await attached(port, connectPacket('c'))
  await second.closed()
  expect(await reached('TAKEOVER_BURST')).toBe(0)
  const fourth = await attached(port, connectPacket('c'))
  await third.closed()
  expect(attaches()).toBe(4)
  // Taken over three times: the next one waits, and who is there stays.
  const waiting = await open(port)
  waiting.send(connectPacket('c'))
  waiting.send({ type: 'pingreq' })
  fourth.send({ type: 'pingreq' })
  await fourth.next('pingresp')
  const newer = await open(port, 4)
  newer.send(connectPacket('c', { protocolVersion: 4 }))
  expect((await waiting.next('connack')).reasonCode).toBe(0x9f)
  await waiting.closed()
  expect([attaches(), fourth.isClosed, await reached('TAKEOVER_BURST'), await reached('TAKEOVER_INTERVAL')]).toEqual([4, false, 2, 1])
  // Nobody else waits, and one that gives up leaves no trace.
  await attached(port, connectPacket('other'))
  expect((await newer.next('connack')).reasonCode).toBe(0)
  await fourth.closed()
  const left = await open(port)
  left.send(connectPacket('c'))
  left.destroy()
  newer.send({ type: 'pingreq' })
  await newer.next('pingresp')
  expect(attaches()).toBe(5)
})
