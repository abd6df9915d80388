/** What the settings of a namespace do to its clients, on sockets: new ones, and those that were connected before. */
import { afterEach, describe, expect, test } from '@jest/globals'
import type { NamespaceLimits } from '../../../model/namespace-limits.ts'
import type { ConnectPacket, PublishPacket, QoS } from '../../../mqtt/packet.ts'
import { audience, makeTokenIssuer } from '../../unit/access/tokens.ts'
import { type Environment, type Harness, openRegistry, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness
const clients: RawClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await harness.stop()
})

const namespace = (limits: Partial<NamespaceLimits>) => ({ 'namespace/default': { limits } })

async function start(limits: Partial<NamespaceLimits>, environment: Environment = {}): Promise<void> {
  harness = await startHarness(environment, { registry: { ...openRegistry, ...namespace(limits) } })
}

/** Changes the namespace under a running gateway, and waits until it knows. */
async function change(limits: Partial<NamespaceLimits>): Promise<void> {
  const { gateway } = harness.process
  const before = gateway.registryVersion
  await harness.put(namespace(limits))
  await harness.router.until(() => gateway.registryVersion > before)
}

async function attached(clientId: string, rest: Partial<ConnectPacket> = {}): Promise<RawClient> {
  const client = await RawClient.attached(harness.port, connectPacket(clientId, rest))
  clients.push(client)
  return client
}

const old = { protocolVersion: 4 } as const
const publish = (topic: string, qos: QoS, packetId: number, rest: Partial<PublishPacket> = {}): PublishPacket => ({
  type: 'publish',
  topic,
  payload: Buffer.from('x'),
  qos,
  dup: false,
  retain: false,
  packetId,
  ...rest,
})
const subscribe = (filters: readonly string[], packetId = 1, qos: QoS = 1) =>
  ({
    type: 'subscribe',
    packetId,
    filters: filters.map((filter) => ({ filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }) as const),
    properties: {},
  }) as const

describe('a change of the namespace', () => {
  test('holds for who connects after it, and what CONNACK told stands for who was connected before', async () => {
    await start({ preset: 'open' })
    const before = await attached('before')
    const beforeOld = await attached('before-old', old)
    await change({ preset: 'eventgrid', maximumPacketSize: 2048, receiveMaximum: 1, topicAliases: 1 })
    const after = await attached('after')
    expect(after.of('connack')[0]?.properties).toMatchObject({ maximumQoS: 1, maximumPacketSize: 2048, receiveMaximum: 1, topicAliasMaximum: 1 })

    const large = Buffer.alloc(4096)
    for (const client of [before, beforeOld]) {
      client.send(publish('t', 2, 1), publish('t', 1, 2, { payload: large }), publish('t', 1, 3))
      expect(await client.next('pubrec')).toMatchObject({ packetId: 1, reasonCode: 0 })
      expect(await client.next('puback', 2)).toMatchObject({ packetId: 3, reasonCode: 0 })
    }
    before.send(publish('aliased', 1, 4, { properties: { topicAlias: 32 } }))
    expect(await before.next('puback', 3)).toMatchObject({ packetId: 4, reasonCode: 0 })

    after.send(publish('t', 1, 1, { payload: large }))
    expect(await after.next('disconnect')).toMatchObject({ reasonCode: 0x95 })
  })

  test('counts at once for what is decided anew: a topic that is now too long, though it was published on before', async () => {
    await start({ preset: 'open' })
    const client = await attached('c')
    const long = 'x'.repeat(257)
    client.send(publish(long, 1, 1), subscribe([long]))
    expect(await client.next('puback')).toMatchObject({ reasonCode: 0 })
    expect((await client.next('suback')).reasonCodes).toEqual([1])
    await change({ preset: 'eventgrid' })
    client.send(subscribe([`${long}y`], 2))
    expect((await client.next('suback', 2)).reasonCodes).toEqual([0x8f])
    client.send(publish(long, 1, 2))
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x90 })
    expect(await harness.reached('TOPIC_LENGTH_MAX')).toBe(2)
  })
})

describe('a message above a limit of its properties', () => {
  test.each([
    ['USER_PROPERTIES_BYTES_MAX', { userProperties: [['a', 'x'.repeat(64)]] }, 'user properties of more than 64 bytes'],
    ['RESPONSE_TOPIC_LENGTH_MAX', { responseTopic: 'x'.repeat(65) }, 'a response topic of more than 64 bytes'],
    ['CORRELATION_DATA_BYTES_MAX', { correlationData: Buffer.alloc(65) }, 'correlation data of more than 64 bytes'],
    ['CONTENT_TYPE_LENGTH_MAX', { contentType: 'x'.repeat(65) }, 'a content type of more than 64 bytes'],
  ] as const)('%s: is refused with 0x97 and the connection stays; at QoS 0 it is dropped and counted', async (limit, properties, reasonString) => {
    await start({ preset: 'open' }, { [limit]: '64' })
    const client = await attached('c')
    client.send(publish('t', 1, 1, { properties }), publish('t', 2, 2, { properties }), publish('t', 0, 0, { properties }), publish('t', 1, 3))
    expect(await client.next('puback')).toMatchObject({ packetId: 1, reasonCode: 0x97, properties: { reasonString } })
    expect(await client.next('pubrec')).toMatchObject({ packetId: 2, reasonCode: 0x97 })
    expect(await client.next('puback', 2)).toMatchObject({ packetId: 3, reasonCode: 0 })
    expect([await harness.reached(limit), await harness.metric('loggerhead_publishes_dropped_total', { reason: 'overLimit' })]).toEqual([3, 3])
    await harness.router.until(() => harness.router.of('Message').length === 1)
  })

  test('WILL_DELAY_MAX, AUTHENTICATION_DATA_BYTES_MAX, MAXIMUM_QOS: a CONNECT above them is refused and told why', async () => {
    await start({ preset: 'open' }, { WILL_DELAY_MAX: '10', AUTHENTICATION_DATA_BYTES_MAX: '10', MAXIMUM_QOS: '1' })
    const will = { topic: 'w', payload: Buffer.alloc(0), qos: 1, retain: false, properties: {} } as const
    for (const [limit, reasonCode, rest] of [
      ['WILL_DELAY_MAX', 0x97, { will: { ...will, properties: { willDelayInterval: 11 } } }],
      ['MAXIMUM_QOS', 0x9b, { will: { ...will, qos: 2 } }],
      ['AUTHENTICATION_DATA_BYTES_MAX', 0x97, { properties: { authenticationMethod: 'm', authenticationData: Buffer.alloc(11) } }],
    ] as const) {
      const client = await RawClient.open(harness.port)
      clients.push(client)
      client.send(connectPacket('c', rest))
      expect(await client.next('connack')).toMatchObject({ reasonCode, properties: { reasonString: expect.any(String) } })
      await client.closed()
      expect(await harness.reached(limit)).toBe(1)
    }
  })

  test('MAXIMUM_QOS: a publish above it ends the connection with 0x9B', async () => {
    await start({ preset: 'open' }, { MAXIMUM_QOS: '0' })
    const client = await attached('c')
    client.send(publish('t', 1, 1))
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x9b })
    expect(await harness.reached('MAXIMUM_QOS')).toBe(1)
  })
})

describe('the preset eventgrid', () => {
  test.each([
    ['M5-01', {}],
    ['M3-01', old],
  ] as const)('%s: a QoS 2 publish closes the connection', async (_row, rest) => {
    await start({ preset: 'eventgrid' })
    const client = await attached('c', rest)
    client.send(publish('t', 1, 1), publish('t', 2, 2))
    await client.closed()
    expect(client.of('disconnect').map(({ reasonCode }) => reasonCode)).toEqual('protocolVersion' in rest ? [] : [0x9b])
    await harness.router.until(() => harness.router.of('Detached', 'c').length === 1)
    expect(harness.router.of('Detached', 'c')[0]).toMatchObject({ reason: 'ClientError', reasonCode: 0x9b })
  })

  test('PB-03: a publish without permission is refused and then ends the connection; in open the client stays', async () => {
    await start({ preset: 'open' })
    await harness.put({ 'topicSpaces/everything': { topicTemplates: ['mine'] } })
    const client = await attached('c')
    const denied = async (packetId: number) => {
      client.send(publish('mine', 1, packetId), publish('other', 1, packetId + 1))
      return [await client.next('puback', packetId), await client.next('puback', packetId + 1)].map(({ reasonCode }) => reasonCode)
    }
    expect(await denied(1)).toEqual([0, 0x87])
    await change({ preset: 'eventgrid' })
    expect(await denied(3)).toEqual([0, 0x87])
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
    await client.closed()
    const quick = await attached('quick')
    quick.send(publish('other', 0, 0))
    expect(await quick.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  })

  test('M5-12: a PUBACK with an error ends the connection; in open the message is done and the client stays', async () => {
    await start({ preset: 'open' })
    const client = await attached('c')
    client.send(subscribe(['t']))
    await client.next('suback')
    client.send(publish('t', 1, 1))
    const first = await client.next('publish')
    client.send({ type: 'puback', packetId: first.packetId, reasonCode: 0x97 }, { type: 'pingreq' })
    await client.next('pingresp')
    await change({ preset: 'eventgrid' })
    client.send(publish('t', 1, 2))
    const second = await client.next('publish', 2)
    client.send({ type: 'puback', packetId: second.packetId, reasonCode: 0x97 })
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x83 })
  })

  test('M5-03: user properties on DISCONNECT make it fail, so that the will is published; on SUBSCRIBE every filter fails', async () => {
    await start({ preset: 'eventgrid' })
    const client = await attached('c', { will: { topic: 'w', payload: Buffer.from('gone'), qos: 1, retain: false, properties: {} } })
    client.send({ ...subscribe(['a', 'b']), properties: { userProperties: [['a', 'b']] } })
    expect((await client.next('suback')).reasonCodes).toEqual([0x83, 0x83])
    client.send({ type: 'disconnect', reasonCode: 0, properties: { userProperties: [['a', 'b']] } })
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x83 })
    await harness.router.until(() => harness.router.of('Detached', 'c').length === 1)
    expect(harness.router.of('Detached', 'c')[0]).toMatchObject({ keepWill: true, reasonCode: 0x83 })
  })

  test('M5-03: user properties on an AUTH before CONNACK make the CONNECT fail', async () => {
    const { tokenIssuer, kid, encodedCertificate } = makeTokenIssuer()
    const customJwtAuthentication = { tokenIssuer, audiences: [audience], encodedIssuerCertificates: [{ kid, encodedCertificate }] }
    const settings = { limits: { preset: 'eventgrid' }, topicSpacesConfiguration: { clientAuthentication: { customJwtAuthentication } } }
    harness = await startHarness({}, { registry: { ...openRegistry, 'namespace/default': settings } })
    const client = await RawClient.open(harness.port)
    clients.push(client)
    const properties = { authenticationMethod: 'CUSTOM-JWT' }
    client.send(connectPacket('c', { properties }))
    await client.next('auth')
    client.send({ type: 'auth', reasonCode: 0x18, properties: { ...properties, authenticationData: Buffer.from('x'), userProperties: [['a', 'b']] } })
    expect(await client.next('connack')).toMatchObject({ reasonCode: 0x83 })
    await client.closed()
  })

  test('M5-17: an MQTT 3.1.1 client that subscribes to $share is disconnected; in open it shares', async () => {
    await start({ preset: 'eventgrid' })
    const refused = await attached('refused', old)
    refused.send(subscribe(['$share/g/t']))
    await refused.closed()
    expect(refused.of('suback')).toEqual([])
    await change({ preset: 'open' })
    const sharing = await attached('sharing', old)
    sharing.send(subscribe(['$share/g/t']))
    expect((await sharing.next('suback')).reasonCodes).toEqual([1])
  })

  test('M5-05: a Message Expiry Interval of 0 does not go into the log: the message never expires', async () => {
    await start({ preset: 'eventgrid' })
    const client = await attached('c')
    client.send(publish('t', 1, 1, { properties: { messageExpiryInterval: 0 } }), publish('t', 1, 2, { properties: { messageExpiryInterval: 7 } }))
    await client.next('puback', 2)
    await harness.router.until(() => harness.router.of('Message').length === 2)
    expect(harness.router.of('Message').map(({ messageExpiryInterval }) => messageExpiryInterval)).toEqual([null, 7])
  })
})

describe('M5-23: what starts with $', () => {
  const spaces = { 'topicSpaces/everything': { topicTemplates: ['#', '$own/#', '$SYS/#'] } }

  test.each(['open', 'eventgrid'] as const)('in %s nobody publishes on the broker’s own topics: 0x87 in MQTT 5, the end in 3.1.1', async (preset) => {
    await start({ preset, publishDeniedDisconnects: false })
    await harness.put(spaces)
    const five = await attached('five')
    const topics = ['$SYS/broker/version', '$share/g/t', '$share', '$loggerhead/canary/x']
    five.send(...topics.map((topic, i) => publish(topic, 1, i + 1)), publish('$SYS/x', 0, 0), { type: 'pingreq' })
    await five.next('pingresp')
    expect(five.of('puback').map(({ reasonCode }) => reasonCode)).toEqual(topics.map(() => 0x87))
    for (const [i, topic] of topics.entries()) {
      const four = await attached(`four ${i}`, old) // the preset has one connect a second for each client id
      four.send(publish(topic, 0, 0))
      await four.closed()
    }
  })

  test('in open other names go by the topic spaces', async () => {
    await start({ preset: 'open' })
    await harness.put(spaces)
    const client = await attached('c')
    client.send(subscribe(['$own/#', '$SYS/#', '$share/g/$own/x', '$other/#', '$loggerhead/canary/#', '$share']))
    expect((await client.next('suback')).reasonCodes).toEqual([1, 1, 1, 0x87, 0x87, 0x87])
    client.send(publish('$own/a', 1, 1))
    expect(await client.next('puback')).toMatchObject({ reasonCode: 0 })
    expect(await client.next('publish')).toMatchObject({ topic: '$own/a' })
  })

  test.each(['$share/g', '$share/g/', '$share//t', '$share/+/t', '$share/g/t#'])(
    '%s is no topic filter: 0x81, and the end in 3.1.1 [MQTT-4.8.2-1]',
    async (filter) => {
      await start({ preset: 'open' })
      const five = await attached('five')
      five.send(subscribe([filter]))
      expect(await five.next('disconnect')).toMatchObject({ reasonCode: 0x81 })
      const four = await attached('four', old)
      four.send(subscribe([filter]))
      await four.closed()
      expect(four.of('suback')).toEqual([])
    },
  )

  test('where the namespace refuses them, every name is refused, whatever the topic spaces cover', async () => {
    await start({ preset: 'eventgrid', publishDeniedDisconnects: false })
    await harness.put(spaces)
    const client = await attached('c')
    client.send(subscribe(['$own/#', '$SYS/#', '$share/g/$own/x', '$share/g/t']))
    expect((await client.next('suback')).reasonCodes).toEqual([0x87, 0x87, 0x87, 1])
    client.send(publish('$own/a', 1, 1))
    expect(await client.next('puback')).toMatchObject({ reasonCode: 0x87 })
  })
})
