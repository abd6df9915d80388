import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness
beforeAll(async () => {
  harness = await startHarness()
})
afterAll(() => harness.stop())

const subscribe = (filter: string, qos: 0 | 1 | 2 = 1, packetId = 1) =>
  ({ type: 'subscribe', packetId, filters: [{ filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }], properties: {} }) as const
const publish = (topic: string, payload: string, qos: 0 | 1 = 1, packetId = qos === 0 ? 0 : 1) =>
  ({ type: 'publish', topic, payload: Buffer.from(payload), qos, dup: false, retain: false, packetId }) as const

test.each([
  [4, 4],
  [4, 5],
  [5, 4],
  [5, 5],
] as const)('TR-04: a QoS 1 publish of version %i is acknowledged and reaches a subscriber of version %i', async (protocolVersion, ofSubscriber) => {
  const subscriber = await RawClient.attached(harness.port, connectPacket(`sub-${ofSubscriber}`, { protocolVersion: ofSubscriber }))
  subscriber.send(subscribe(`a/${protocolVersion}/+`))
  expect(await subscriber.next('suback')).toMatchObject({ packetId: 1, reasonCodes: [1] })
  const publisher = await RawClient.attached(harness.port, connectPacket(`pub-${protocolVersion}`, { protocolVersion }))
  publisher.send(publish(`a/${protocolVersion}/b`, 'hello', 1, 7))
  expect(await publisher.next('puback')).toMatchObject({ packetId: 7, reasonCode: 0 })
  const received = await subscriber.next('publish')
  expect(received).toMatchObject({ topic: `a/${protocolVersion}/b`, qos: 1, packetId: 1, dup: false })
  expect(received.payload.toString()).toBe('hello')
  subscriber.destroy()
  publisher.destroy()
})

test('a publish carries its properties through the log to a version 5 subscriber', async () => {
  const client = await RawClient.attached(harness.port, connectPacket('properties'))
  client.send({ ...subscribe('props/#'), properties: { subscriptionIdentifier: 7 } })
  await client.next('suback')
  client.send({
    ...publish('props/x', 'p'),
    properties: {
      payloadFormatIndicator: 1,
      messageExpiryInterval: 100,
      contentType: 'text/plain',
      responseTopic: 'answers',
      correlationData: Buffer.from([1, 2]),
      userProperties: [
        ['a', '1'],
        ['a', '2'],
      ],
    },
  })
  const received = await client.next('publish')
  expect(received.properties).toMatchObject({
    payloadFormatIndicator: 1,
    contentType: 'text/plain',
    responseTopic: 'answers',
    correlationData: Buffer.from([1, 2]),
    userProperties: [
      ['a', '1'],
      ['a', '2'],
    ],
    subscriptionIdentifiers: [7],
  })
  expect(received.properties?.messageExpiryInterval).toBeGreaterThanOrEqual(99)
  client.destroy()
})

test('a persistent session is sent numbered messages and its acknowledgements go back to the router', async () => {
  const client = await RawClient.attached(harness.port, connectPacket('durable', { properties: { sessionExpiryInterval: 100 } }))
  client.send(subscribe('durable/#'))
  await client.next('suback')
  client.send(publish('durable/1', 'one', 1, 1), publish('durable/1', 'two', 1, 2))
  const second = await client.next('publish', 2)
  expect(second).toMatchObject({ qos: 1, packetId: 2 })
  expect(second.payload.toString()).toBe('two')
  client.send({ type: 'puback', packetId: 1, reasonCode: 0 }, { type: 'puback', packetId: 2, reasonCode: 0 })
  const { connection } = harness.router.of('Attached', 'durable')[0] as { connection: number }
  await harness.router.until(() => harness.router.acks.filter((ack) => ack.connection === connection).length === 2)
  expect(harness.router.acks.filter((ack) => ack.connection === connection).map((ack) => ack.number)).toEqual([0, 1])
  client.destroy()
})

test('CONNACK tells a version 5 client what it has to keep to', async () => {
  const client = await RawClient.open(harness.port)
  client.send(connectPacket('', { properties: { sessionExpiryInterval: 4_294_967_295 } }))
  const connack = await client.next('connack')
  expect(connack).toMatchObject({
    sessionPresent: false,
    reasonCode: 0,
    properties: {
      receiveMaximum: 1000,
      maximumPacketSize: 524_288,
      topicAliasMaximum: 32,
      sessionExpiryInterval: 604_800,
    },
  })
  expect(connack.properties?.assignedClientIdentifier).toMatch(/^auto-/)
  // Nothing of MQTT 5 is left out.
  for (const name of ['maximumQoS', 'retainAvailable', 'sharedSubscriptionAvailable', 'subscriptionIdentifiersAvailable'] as const) {
    expect([name, connack.properties?.[name] ?? true]).toEqual([name, true])
  }
  client.destroy()
})

test('a second connection with the same client id ends the first with 0x8E', async () => {
  const first = await RawClient.attached(harness.port, connectPacket('twice', { properties: { sessionExpiryInterval: 100 } }))
  const second = await RawClient.open(harness.port)
  second.send(connectPacket('twice', { cleanStart: false, properties: { sessionExpiryInterval: 100 } }))
  expect(await first.next('disconnect')).toMatchObject({ reasonCode: 0x8e })
  expect(await second.next('connack')).toMatchObject({ reasonCode: 0, sessionPresent: true })
  await first.closed()
  await harness.router.until(() => harness.router.of('Detached', 'twice').length === 1)
  expect(harness.router.of('Detached', 'twice')[0]).toMatchObject({ reason: 'SessionTakenOver', reasonCode: 0x8e })
  second.destroy()
})

describe('a subscription that the log refuses', () => {
  const long = `long/${'x'.repeat(600)}`
  /** The journal of sessions takes no record of more bytes, as when an operator has lowered max.message.bytes. */
  const refuseAbove = (bytes: number): void => {
    const settings = harness.log.store.topics.get(harness.plan.names.sessions)?.spec.settings as Record<string, string>
    settings['max.message.bytes'] = `${bytes}`
  }
  afterEach(() => refuseAbove(1_000_000))
  const unsubscribe = (packetId: number, ...filters: string[]) => ({ type: 'unsubscribe', packetId, filters, properties: {} }) as const

  test.each([
    [5, '0x83'],
    [4, '0x80'],
  ] as const)('is answered with a failure in version %i, %s, and the connection goes on', async (protocolVersion, code) => {
    const client = await RawClient.attached(harness.port, connectPacket(`refused-${protocolVersion}`, { protocolVersion }))
    refuseAbove(400)
    client.send(subscribe(long, 1, 1))
    expect(await client.next('suback')).toMatchObject({ packetId: 1, reasonCodes: [Number(code)] })
    client.send(subscribe('short', 1, 2))
    expect(await client.next('suback', 2)).toMatchObject({ packetId: 2, reasonCodes: [1] })
    refuseAbove(1_000_000)
    // It may be asked for again, and is there then.
    client.send(subscribe(long, 1, 3))
    expect(await client.next('suback', 3)).toMatchObject({ packetId: 3, reasonCodes: [1] })
    client.send(publish(long, 'here', 1, 4))
    expect((await client.next('publish')).payload.toString()).toBe('here')
    client.destroy()
  })

  test('goes on when it is its end that was refused: 0x83 in version 5, and the filter is held', async () => {
    const client = await RawClient.attached(harness.port, connectPacket('kept'))
    client.send(subscribe(long))
    await client.next('suback')
    refuseAbove(400)
    client.send(unsubscribe(2, long, 'never'))
    expect(await client.next('unsuback')).toMatchObject({ packetId: 2, reasonCodes: [0x83, 0x11] })
    client.send(publish(long, 'still', 1, 3))
    expect((await client.next('publish')).payload.toString()).toBe('still')
    refuseAbove(1_000_000)
    client.send(unsubscribe(4, long))
    expect(await client.next('unsuback', 2)).toMatchObject({ packetId: 4, reasonCodes: [0] })
    client.destroy()
  })

  test('ends an MQTT 3.1.1 connection whose UNSUBSCRIBE was refused: its UNSUBACK can only say yes', async () => {
    const client = await RawClient.attached(harness.port, connectPacket('cannot say no', { protocolVersion: 4 }))
    client.send(subscribe(long))
    await client.next('suback')
    refuseAbove(400)
    client.send(unsubscribe(2, long))
    await client.closed()
    expect(client.of('unsuback')).toEqual([])
  })
})
