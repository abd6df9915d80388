/** What the preset `eventgrid` makes of a client's packets, rule by rule; each rule alone, and the preset `open` beside it. */
import { describe, expect, test } from '@jest/globals'
import { type GatewayConfig, readGatewayConfig, withNamespace } from '../../../gateway/config.ts'
import { messageExcess } from '../../../gateway/message-limits.ts'
import {
  acceptance,
  authenticationDataProblem,
  type Client,
  type Inbound,
  receiveConnect,
  receiveSubscribe,
  refuseAcknowledgement,
  refusePublish,
  refuseUserProperties,
  withoutExpiryOfZero,
} from '../../../gateway/protocol.ts'
import type { NamespaceLimits } from '../../../model/namespace-limits.ts'
import type { AckPacket, ConnectPacket, Packet, PublishPacket, SubscribePacket, WillPacket } from '../../../mqtt/packet.ts'
import { connect } from './client-parts.ts'

const deployment = readGatewayConfig({ MQTTS_PORT: 'off', WSS_PORT: 'off', RESPONSE_INFORMATION: 'reply/{clientId}' })
const under = (limits: NamespaceLimits): GatewayConfig => withNamespace(deployment, { alternativeAuthenticationNameSources: [], limits })
const eventgrid = under({ preset: 'eventgrid' })
const open = under({ preset: 'open' })

const clientOf = (limits: GatewayConfig, rest: Partial<ConnectPacket> = {}): Client => {
  const decision = receiveConnect(connect(rest), limits, 'fresh')
  if (decision.do !== 'authenticate') throw new Error(decision.detail)
  return decision.client
}
const connectCode = (limits: GatewayConfig, rest: Partial<ConnectPacket>): number => {
  const decision = receiveConnect(connect(rest), limits, 'fresh')
  return decision.do === 'refuse' ? decision.reasonCode : 0
}
const inbound = ({ announced, protocolVersion }: Client): Inbound => ({
  protocolVersion,
  announced,
  aliases: new Map(),
  unacknowledged: 0,
  received: new Map(),
})
const publish = (rest: Partial<PublishPacket> = {}): PublishPacket => ({
  type: 'publish',
  topic: 't',
  payload: Buffer.alloc(0),
  qos: 1,
  dup: false,
  retain: false,
  packetId: 1,
  ...rest,
})
const subscribe = (filters: readonly string[], properties: SubscribePacket['properties'] = {}): SubscribePacket => ({
  type: 'subscribe',
  packetId: 1,
  filters: filters.map((filter) => ({ filter, qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0 })),
  properties,
})
const subscribed = (limits: GatewayConfig, packet: SubscribePacket, client: Client = clientOf(limits)) =>
  receiveSubscribe(packet, client, { named: new Set(), unnamed: 0 }, limits, () => true, 0)
const will = (rest: Partial<WillPacket> = {}): WillPacket => ({ topic: 'w', payload: Buffer.alloc(0), qos: 1, retain: false, properties: {}, ...rest })
const userProperties = [['name', 'value']] as const

describe('the highest QoS', () => {
  test('M5-01: CONNACK announces Maximum QoS 1, and nothing where it is 2 [MQTT-3.2.2-9]', () => {
    expect(acceptance(clientOf(eventgrid), false, eventgrid).properties).toMatchObject({ maximumQoS: 1 })
    expect(acceptance(clientOf(open), false, open).properties).not.toHaveProperty('maximumQoS')
  })

  test.each([
    ['M5-01', 5],
    ['M3-01', 4],
  ] as const)('%s: a publish above it ends the connection with 0x9B in version %i [MQTT-3.2.2-11]', (_row, protocolVersion) => {
    const code = (limits: GatewayConfig, qos: 0 | 1 | 2) =>
      refusePublish(inbound(clientOf(limits, { protocolVersion })), publish({ qos }))?.ending.reasonCode ?? null
    expect([code(eventgrid, 2), code(eventgrid, 1), code(eventgrid, 0), code(open, 2)]).toEqual([0x9b, null, null, null])
    expect(code(under({ preset: 'eventgrid', maximumQoS: 2 }), 2)).toBeNull()
    expect(code(under({ preset: 'open', maximumQoS: 0 }), 1)).toBe(0x9b)
  })

  test('M5-01: a will above it is refused [MQTT-3.2.2-12], a subscription above it granted that much [MQTT-3.2.2-10]', () => {
    expect([connectCode(eventgrid, { will: will({ qos: 2 }) }), connectCode(eventgrid, { will: will() })]).toEqual([0x9b, 0])
    expect(subscribed(eventgrid, subscribe(['a']))).toMatchObject({ reasonCodes: [1], granted: [{ qos: 1 }] })
    expect(subscribed(open, subscribe(['a']))).toMatchObject({ reasonCodes: [2] })
  })
})

describe('user properties', () => {
  const packets: readonly (readonly [string, Packet])[] = [
    ['PUBACK', { type: 'puback', packetId: 1, reasonCode: 0, properties: { userProperties } }],
    ['PUBREC', { type: 'pubrec', packetId: 1, reasonCode: 0, properties: { userProperties } }],
    ['PUBREL', { type: 'pubrel', packetId: 1, reasonCode: 0, properties: { userProperties } }],
    ['PUBCOMP', { type: 'pubcomp', packetId: 1, reasonCode: 0, properties: { userProperties } }],
    ['DISCONNECT', { type: 'disconnect', reasonCode: 0, properties: { userProperties } }],
    ['AUTH', { type: 'auth', reasonCode: 0x19, properties: { userProperties, authenticationMethod: 'm' } }],
  ]
  test.each(packets)('M5-03: on %s they end the connection with 0x83', (_name, packet) => {
    expect(refuseUserProperties(packet, eventgrid)).toMatchObject({ ending: { reasonCode: 0x83, reason: 'ClientError', keepWill: true } })
    expect(refuseUserProperties(packet, open)).toBeNull()
    expect(refuseUserProperties({ ...packet, properties: {} } as Packet, eventgrid)).toBeNull()
  })

  test('M5-03: CONNECT and SUBSCRIBE with them fail, UNSUBSCRIBE and PUBLISH do not', () => {
    expect([connectCode(eventgrid, { properties: { userProperties } }), connectCode(open, { properties: { userProperties } })]).toEqual([0x83, 0])
    expect(subscribed(eventgrid, subscribe(['a', 'b'], { userProperties }))).toEqual({
      reasonCodes: [0x83, 0x83],
      judgements: [0x83, 0x83],
      granted: [],
      limits: [],
      refusals: ['filterUserProperties', 'filterUserProperties'],
      asked: null,
    })
    expect(subscribed(open, subscribe(['a'], { userProperties }))).toMatchObject({ reasonCodes: [2] })
    expect(refuseUserProperties({ type: 'unsubscribe', packetId: 1, filters: ['a'], properties: { userProperties } }, eventgrid)).toBeNull()
    expect(refuseUserProperties(publish({ properties: { userProperties } }), eventgrid)).toBeNull()
    expect(connectCode(eventgrid, { will: will({ properties: { userProperties } }) })).toBe(0)
  })

  test('M5-03: the rule stands alone', () => {
    const packet = packets[0]?.[1] as Packet
    expect(refuseUserProperties(packet, under({ preset: 'open', userPropertiesOnPublishOnly: true }))).not.toBeNull()
    expect(refuseUserProperties(packet, under({ preset: 'eventgrid', userPropertiesOnPublishOnly: false }))).toBeNull()
  })
})

describe('what a message carries', () => {
  const sized = (bytes: number) => 'ü'.repeat(bytes / 2)
  test.each([
    ['M5-03', 'USER_PROPERTIES_BYTES_MAX', 32_768, (bytes: number) => ({ userProperties: [['nn', sized(bytes - 2)]] as const })],
    ['M5-04', 'RESPONSE_TOPIC_LENGTH_MAX', 256, (bytes: number) => ({ responseTopic: sized(bytes) })],
    ['M5-04', 'CORRELATION_DATA_BYTES_MAX', 256, (bytes: number) => ({ correlationData: Buffer.alloc(bytes) })],
    ['M5-09', 'CONTENT_TYPE_LENGTH_MAX', 256, (bytes: number) => ({ contentType: sized(bytes) })],
  ] as const)('%s: %s is %i bytes and no more, of a will too', (_row, limit, most, properties) => {
    expect([messageExcess(properties(most), eventgrid), messageExcess(properties(most + 2), eventgrid)?.limit]).toEqual([null, limit])
    expect(messageExcess(properties(most + 2), open)).toBeNull()
    expect(connectCode(eventgrid, { will: will({ properties: properties(most) }) })).toBe(0)
    expect(connectCode(eventgrid, { will: will({ properties: properties(most + 2) }) })).toBe(0x97)
  })

  test('WILL_DELAY_MAX, M5-13: a will may wait for 300 s; a longer delay is refused, for a shorter one could not be told', () => {
    const delayed = (willDelayInterval: number) => ({ will: will({ properties: { willDelayInterval } }) })
    expect([connectCode(eventgrid, delayed(300)), connectCode(eventgrid, delayed(301)), connectCode(open, delayed(301))]).toEqual([0, 0x97, 0])
  })

  test('AUTHENTICATION_DATA_BYTES_MAX, M5-19: authentication data has 8 KB at most', () => {
    const data = (bytes: number) => ({ properties: { authenticationMethod: 'm', authenticationData: Buffer.alloc(bytes) } })
    expect(connectCode(eventgrid, data(8193))).toBe(0x97)
    expect(connectCode(eventgrid, data(8192))).not.toBe(0x97)
    expect(authenticationDataProblem(Buffer.alloc(8193), eventgrid)).toBe('authentication data of 8193 bytes; the maximum is 8192')
    expect(authenticationDataProblem(Buffer.alloc(8193), open)).toBeNull()
  })

  test('M5-05: a Message Expiry Interval of 0 is never, of a will too; in open it stays 0', () => {
    const zero = publish({ properties: { messageExpiryInterval: 0, contentType: 'x' } })
    expect(withoutExpiryOfZero(zero, eventgrid).properties).toEqual({ contentType: 'x' })
    expect(withoutExpiryOfZero(zero, open)).toBe(zero)
    const one = publish({ properties: { messageExpiryInterval: 1 } })
    expect(withoutExpiryOfZero(one, eventgrid)).toBe(one)
    const expiring = { will: will({ properties: { messageExpiryInterval: 0 } }) }
    expect([clientOf(eventgrid, expiring).will?.messageExpiryInterval, clientOf(open, expiring).will?.messageExpiryInterval]).toEqual([null, 0])
  })
})

describe('CONNACK', () => {
  const asking = { properties: { requestResponseInformation: true } }
  test('M5-04: has no Response Information, even for a client that asks', () => {
    const information = (limits: GatewayConfig) => acceptance(clientOf(limits, asking), false, limits).properties?.responseInformation
    expect([information(eventgrid), information(open)]).toEqual([undefined, 'reply/c'])
  })

  test('M5-02, M5-06, M5-08, M5-20: tells expiry, aliases, window, packet size and keep alive of the preset', () => {
    const client = clientOf(eventgrid, { keepAlive: 0, properties: { sessionExpiryInterval: 86_400 } })
    expect(acceptance(client, false, eventgrid).properties).toMatchObject({
      sessionExpiryInterval: 3600,
      topicAliasMaximum: 10,
      receiveMaximum: 1000,
      maximumPacketSize: 524_288,
      serverKeepAlive: 1160,
    })
  })

  test('M3-05: a 3.1.1 client is held to 1,160 s', () => {
    const kept = (keepAlive: number) => clientOf(eventgrid, { keepAlive, protocolVersion: 4 }).keepAlive
    expect([kept(1160), kept(1161), kept(0)]).toEqual([1160, 1160, 1160])
  })

  test('M5-07, M5-08: no topic aliases are set for the client, and 100 messages at most are on their way to it', () => {
    const wishes = { properties: { topicAliasMaximum: 20, receiveMaximum: 200 } }
    expect(clientOf(eventgrid, wishes)).toMatchObject({ topicAliasMaximum: 0, receiveMaximum: 100 })
    expect(clientOf(open, wishes)).toMatchObject({ topicAliasMaximum: 20, receiveMaximum: 200 })
  })

  test('what it announced stands when the namespace is changed after it', () => {
    const client = clientOf(open)
    expect(refusePublish(inbound(client), publish({ qos: 2 }))).toBeNull()
    expect(subscribed(eventgrid, subscribe(['a'], { subscriptionIdentifier: 7 }), client)).toMatchObject({ granted: [{ subscriptionIdentifier: 7 }] })
  })
})

describe('SUBSCRIBE', () => {
  test('M5-18: Subscription Identifiers are announced as not available, and one ends the connection with 0xA1', () => {
    expect(acceptance(clientOf(eventgrid), false, eventgrid).properties?.subscriptionIdentifiersAvailable).toBe(false)
    expect(subscribed(eventgrid, subscribe(['a'], { subscriptionIdentifier: 7 }))).toMatchObject({ do: 'end', ending: { reasonCode: 0xa1 } })
    expect(acceptance(clientOf(open), false, open).properties?.subscriptionIdentifiersAvailable).toBeUndefined() // section 3.2.2.3.12: then they are
    expect(subscribed(open, subscribe(['a'], { subscriptionIdentifier: 7 }))).toMatchObject({ granted: [{ subscriptionIdentifier: 7 }] })
  })

  test.each(['$share/g/a', '$share/g', '$share//a', '$share'])('M5-17: an MQTT 3.1.1 client that asks for %s is disconnected', (filter) => {
    const old = { protocolVersion: 4 } as const
    expect(subscribed(eventgrid, subscribe(['b', filter]), clientOf(eventgrid, old))).toMatchObject({ do: 'end', ending: { reasonCode: 0x9e } })
    expect(subscribed(open, subscribe(['b', filter]), clientOf(open, old))).toHaveProperty('reasonCodes')
    expect(subscribed(eventgrid, subscribe(['b', filter]))).toHaveProperty('reasonCodes')
  })

  test('M5-17: in open, 3.1.1 may share a subscription', () => {
    expect(subscribed(open, subscribe(['$share/g/a']), clientOf(open, { protocolVersion: 4 }))).toMatchObject({ reasonCodes: [2] })
  })

  test('TS-08: ten filters of fifteen levels and 256 bytes, a share name not counted', () => {
    const fifteen = 'a/'.repeat(14)
    expect(subscribed(eventgrid, subscribe([`${fifteen}a`, `${fifteen}a/b`, `$share/group/${fifteen}a`, `$share/group/${fifteen}a/b`]))).toMatchObject({
      reasonCodes: [1, 0x8f, 1, 0x8f],
    })
    const long = 'x'.repeat(256)
    expect(subscribed(eventgrid, subscribe([long, `${long}x`, `$share/${long}/${long}`, `$share/${long}x/a`]))).toMatchObject({
      reasonCodes: [1, 0x8f, 1, 0x8f],
    })
    expect(subscribed(eventgrid, subscribe(Array.from({ length: 11 }, (_, i) => `t/${i}`)))).toMatchObject({ limits: ['FILTERS_PER_SUBSCRIBE_MAX'] })
  })
})

test('M5-12: a PUBACK or PUBREC with an error ends the connection; without one it does not', () => {
  const ack = (type: AckPacket['type'], reasonCode: number): AckPacket => ({ type, packetId: 1, reasonCode })
  expect(refuseAcknowledgement(ack('puback', 0x97), eventgrid)).toMatchObject({ ending: { reasonCode: 0x83, reason: 'ClientError' } })
  expect(refuseAcknowledgement(ack('pubrec', 0x80), eventgrid)).not.toBeNull()
  expect(refuseAcknowledgement(ack('puback', 0x10), eventgrid)).toBeNull()
  expect(refuseAcknowledgement(ack('puback', 0x97), open)).toBeNull()
  expect(refuseAcknowledgement(ack('puback', 0x97), under({ preset: 'open', errorAcknowledgementDisconnects: true }))).not.toBeNull()
})

test('SE-01: a client id has 128 characters at most, whatever their bytes', () => {
  for (const character of ['x', 'ü', '😀']) {
    expect([connectCode(eventgrid, { clientId: character.repeat(128) }), connectCode(eventgrid, { clientId: character.repeat(129) })]).toEqual([0, 0x85])
  }
  expect(connectCode(open, { clientId: 'x'.repeat(256) })).toBe(0)
})
