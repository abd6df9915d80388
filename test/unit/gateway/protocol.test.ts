import { describe, expect, test } from '@jest/globals'
import { gatewaySettings, type Limits } from '../../../gateway/config.ts'
import {
  type Announced,
  acceptance,
  type Client,
  type Inbound,
  receiveConnect,
  receiveDisconnect,
  receiveSubscribe,
  receiveUnsubscribe,
  refusedPublish,
  refuseEverybody,
  refusePublish,
  refuseSmallPackets,
  resolveTopic,
} from '../../../gateway/protocol.ts'
import { openRules } from '../../../model/namespace-limits.ts'
import type { ConnectPacket, PublishPacket, SubscribePacket } from '../../../mqtt/packet.ts'
import { writePacket } from '../../../mqtt/writer.ts'
import { readSettings } from '../../../settings/setting.ts'
import { connect } from './client-parts.ts'

const limited = (environment: Readonly<Record<string, string>>): Limits => ({ ...readSettings(gatewaySettings, environment), rules: openRules })
const limits = limited({})
const announced: Announced = {
  receiveMaximum: 1000,
  maximumPacketSize: 524_288,
  topicAliasMaximum: 32,
  maximumQoS: 2,
  retainAvailable: true,
  subscriptionIdentifiersAvailable: true,
}

function clientOf(packet: ConnectPacket, settings = limits): Client {
  const decision = receiveConnect(packet, settings, 'fresh')
  if (decision.do !== 'authenticate') throw new Error(decision.detail)
  return decision.client
}

describe('CONNECT', () => {
  const ready = { rateAllows: true, kafkaUnreachableMs: 0, logIsFull: false, registryUnconfirmedMs: 0, stopping: false }

  test.each([
    ['ready', {}, null],
    ['stopping', { stopping: true }, 0x88],
    ['too many a second', { rateAllows: false }, 0x9f],
    ['Kafka away', { kafkaUnreachableMs: 10_000 }, 0x88],
    ['Kafka away for a moment', { kafkaUnreachableMs: 9_999 }, null],
    ['too much waiting for Kafka', { logIsFull: true }, 0x89],
    ['registry stale', { registryUnconfirmedMs: 2000 }, 0x88],
  ] as const)('%s', (_what, state, reasonCode) => {
    expect(refuseEverybody({ ...ready, ...state }, limits)?.reasonCode ?? null).toBe(reasonCode)
  })

  test('a client id is assigned to who has none, in 3.1.1 only with a clean session', () => {
    expect(clientOf(connect({ clientId: '' })).told).toEqual({ assignedClientIdentifier: 'fresh' })
    expect(clientOf(connect({ clientId: '', protocolVersion: 4 })).clientId).toBe('fresh')
    expect(receiveConnect(connect({ clientId: '', protocolVersion: 4, cleanStart: false }), limits, 'fresh')).toMatchObject({ do: 'refuse', reasonCode: 0x85 })
    expect(clientOf(connect({ clientId: '', cleanStart: false })).clientId).toBe('fresh')
  })

  test.each([
    ['5, none', connect(), 0, {}],
    ['5, within', connect({ properties: { sessionExpiryInterval: 10 } }), 10, {}],
    ['5, for ever', connect({ properties: { sessionExpiryInterval: 0xffff_ffff } }), 604_800, { sessionExpiryInterval: 604_800 }],
    ['3.1.1 clean', connect({ protocolVersion: 4 }), 0, {}],
    ['3.1.1 persistent', connect({ protocolVersion: 4, cleanStart: false }), 604_800, {}],
  ])('session expiry: %s', (_what, packet, granted, told) => {
    const client = clientOf(packet)
    expect(client.sessionExpiryInterval).toBe(granted)
    expect(client.told).toEqual(told)
  })

  test.each([
    [60, '65535', 60],
    [0, '65535', 0],
    [0, '100', 100],
    [101, '100', 100],
    [99, '100', 99],
  ])('keep alive %i under a maximum of %s is %i', (keepAlive, most, granted) => {
    const client = clientOf(connect({ keepAlive }), limited({ KEEP_ALIVE_MAX: most }))
    expect(client.keepAlive).toBe(granted)
    expect(client.told.serverKeepAlive).toBe(granted === keepAlive ? undefined : granted)
  })

  test('a client that takes no packet as large as its CONNACK is refused [MQTT-3.1.2-24]', () => {
    const asking = (maximumPacketSize: number) => refuseSmallPackets(clientOf(connect({ properties: { maximumPacketSize } })), limits)
    const { length } = writePacket(acceptance(clientOf(connect()), true, limits), 5)
    expect(asking(10)).toMatchObject({ reasonCode: 0x95, detail: `the CONNACK has ${length} bytes, the client's Maximum Packet Size is 10` })
    expect([asking(length - 1) === null, asking(length) === null]).toEqual([false, true])
    expect(refuseSmallPackets(clientOf(connect()), limits)).toBeNull()
    expect(asking(20)).toBeNull() // what CONNACK need not say it does not say
  })

  test('the window towards the client is the smaller of its wish and the limit', () => {
    expect(clientOf(connect()).receiveMaximum).toBe(500)
    expect(clientOf(connect({ properties: { receiveMaximum: 3 } })).receiveMaximum).toBe(3)
  })

  const will = { topic: 'w', payload: Buffer.from('x'), qos: 1 as const, retain: false, properties: {} }
  test.each([
    [{ ...will, topic: 'w/+' }, 5, 0x90],
    [{ ...will, topic: 'x'.repeat(1025) }, 5, 0x90],
  ] as const)('a will that cannot be served is refused', (wrong, protocolVersion, reasonCode) => {
    expect(receiveConnect(connect({ will: wrong, protocolVersion }), limits, '')).toMatchObject({ do: 'refuse', reasonCode })
  })

  describe('where nothing is retained', () => {
    const without: Limits = { ...limits, RETAINED_MESSAGES_MAX: 0 }
    const client = receiveConnect(connect(), without, '')
    const told = client.do === 'authenticate' ? client.client : undefined

    test('CONNACK of MQTT 5 says so [3.2.2.3.5]', () => {
      expect(acceptance(told as Client, false, without).properties?.retainAvailable).toBe(false)
      expect(acceptance(clientOf(connect()), false, limits).properties?.retainAvailable).toBeUndefined()
    })

    test('a retained will is refused, for an MQTT 5 client [MQTT-3.2.2-13]', () => {
      expect(receiveConnect(connect({ will: { ...will, retain: true } }), without, '')).toMatchObject({ do: 'refuse', reasonCode: 0x9a })
      expect(receiveConnect(connect({ will }), without, '')).toMatchObject({ do: 'authenticate' })
    })

    test('a client of MQTT 3.1.1 has no way to know: its retained will is taken', () => {
      expect(receiveConnect(connect({ protocolVersion: 4, will: { ...will, retain: true } }), without, '')).toMatchObject({ do: 'authenticate' })
    })
  })

  test.each([4, 5] as const)('a client of version %i may ask for a retained will [MQTT-3.1.2-15]', (protocolVersion) => {
    expect(clientOf(connect({ protocolVersion, will: { ...will, retain: true } })).will).toMatchObject({ topic: 'w', retain: true, delaySeconds: 0 })
  })
})

describe('PUBLISH', () => {
  const inbound = (protocolVersion: 4 | 5 = 5): Inbound => ({ protocolVersion, announced, aliases: new Map(), unacknowledged: 0, received: new Map() })
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

  test.each([
    [5, { qos: 2 }, null],
    [4, { qos: 2 }, null],
    [5, { retain: true }, null],
    [4, { retain: true }, null],
    [5, {}, null],
  ] as const)('version %i: %o', (version, rest, reasonCode) => {
    expect(refusePublish(inbound(version), publish(rest as Partial<PublishPacket>))?.ending.reasonCode ?? null).toBe(reasonCode)
  })

  test('a QoS 2 publish that came before is no more of the receive maximum', () => {
    const full = { ...inbound(), unacknowledged: 1000, received: new Map([[7, 'stored']]) }
    expect(refusePublish(full, publish({ qos: 2, packetId: 7 }))).toBeNull()
    expect(refusePublish(full, publish({ qos: 2, packetId: 8 }))).toMatchObject({ limit: 'RECEIVE_MAXIMUM' })
    expect(refusePublish(full, publish({ qos: 1, packetId: 7 }))).toMatchObject({ limit: 'RECEIVE_MAXIMUM' })
  })

  test('a retained publish ends the connection with 0x9A where CONNACK said that nothing is retained, version 5 [3.2.2.3.5]', () => {
    const without = { announced: { ...announced, retainAvailable: false } }
    expect(refusePublish({ ...inbound(5), ...without }, publish({ retain: true }))).toMatchObject({ ending: { reasonCode: 0x9a } })
    expect(refusePublish({ ...inbound(5), ...without }, publish())).toBeNull()
    expect(refusePublish({ ...inbound(4), ...without }, publish({ retain: true }))).toBeNull()
  })

  test('the receive maximum counts QoS 1 and 2 of version 5 only', () => {
    const full = { ...inbound(), unacknowledged: 1000 }
    expect(refusePublish(full, publish())).toMatchObject({ limit: 'RECEIVE_MAXIMUM', ending: { reasonCode: 0x93 } })
    expect(refusePublish(full, publish({ qos: 0 }))).toBeNull()
    expect(refusePublish({ ...full, protocolVersion: 4 }, publish())).toBeNull()
  })

  test('where no alias is allowed, one ends the connection [MQTT-3.2.2-18]', () => {
    const state = { ...inbound(), announced: { ...announced, topicAliasMaximum: 0 } }
    expect(resolveTopic(state, publish({ properties: { topicAlias: 1 } }))).toMatchObject({ do: 'end', ending: { reasonCode: 0x94 } })
  })

  test('an alias stands for the topic it was set with', () => {
    const state = { ...inbound(), aliases: new Map([[3, 'long/topic']]) }
    expect(resolveTopic(state, publish({ topic: '', properties: { topicAlias: 3 } }))).toBe('long/topic')
    expect(resolveTopic(state, publish({ topic: 'new', properties: { topicAlias: 3 } }))).toBe('new')
    expect(resolveTopic(state, publish({ topic: '', properties: { topicAlias: 4 } }))).toMatchObject({ ending: { reasonCode: 0x82 } })
    expect(resolveTopic(state, publish({ properties: { topicAlias: 33 } }))).toMatchObject({ ending: { reasonCode: 0x94 } })
  })

  test('M5-11: without permission version 5 is told, 3.1.1 closed or acknowledged, QoS 0 dropped', () => {
    expect(refusedPublish(inbound(), 1, limits)).toBe('nack')
    expect(refusedPublish(inbound(), 0, limits)).toBe('drop')
    expect(refusedPublish(inbound(4), 1, limits)).toMatchObject({ ending: { reason: 'ClientAuthorizationError' } })
    expect(refusedPublish(inbound(4), 1, limited({ PUBLISH_DENIED_3_1_1: 'acknowledge' }))).toBe('acknowledge')
    expect(refusedPublish(inbound(4), 0, limited({ PUBLISH_DENIED_3_1_1: 'acknowledge' }))).toBe('drop')
  })

  test('PB-03: the rule publishDeniedDisconnects ends the connection in every version, whatever PUBLISH_DENIED_3_1_1 says', () => {
    const strict = { ...limited({ PUBLISH_DENIED_3_1_1: 'acknowledge' }), rules: { ...openRules, publishDeniedDisconnects: true } }
    const ending = { reasonCode: 0x87, reason: 'ClientAuthorizationError' }
    expect(refusedPublish(inbound(), 1, strict)).toBe('last')
    expect(refusedPublish(inbound(), 0, strict)).toMatchObject({ ending })
    for (const qos of [0, 1] as const) expect(refusedPublish(inbound(4), qos, strict)).toMatchObject({ ending })
  })
})

describe('SUBSCRIBE and UNSUBSCRIBE', () => {
  const five = { protocolVersion: 5, announced, isBridge: false } as const
  const four = { protocolVersion: 4, announced, isBridge: false } as const
  const none = { named: new Set<string>(), unnamed: 0 }
  const packet = (filters: readonly string[], qos: 0 | 1 | 2 = 2): SubscribePacket => ({
    type: 'subscribe',
    packetId: 1,
    filters: filters.map((filter) => ({ filter, qos, noLocal: false, retainAsPublished: true, retainHandling: 2 })),
    properties: { subscriptionIdentifier: 9 },
  })

  test('M5-11, PB-04: each filter is judged by itself, and what is granted goes into the log whole', () => {
    const decision = receiveSubscribe(packet(['ok', 'no', '$share/g/x', 'a#']), five, none, limits, (filter) => filter === 'ok', 0)
    expect(decision).toEqual({
      reasonCodes: [2, 0x87, 0x87, 0x8f],
      judgements: [2, 0x87, 0x87, 0x8f],
      granted: [{ filter: 'ok', qos: 2, noLocal: false, retainAsPublished: true, retainHandling: 2, subscriptionIdentifier: 9, replay: null }],
      limits: [],
      refusals: ['filterNotPermitted', 'filterNotPermitted', 'filterInvalid'],
      asked: null,
    })
  })

  test('3.1.1 knows one failure', () => {
    expect(receiveSubscribe(packet(['ok', 'no'], 0), four, none, limits, (filter) => filter === 'ok', 0)).toMatchObject({ reasonCodes: [0, 0x80] })
  })

  test.each([
    [4, true],
    [5, false], // asks for itself
  ] as const)(
    'of a client of version %i with the bridge bit, what it publishes does not come back and RETAIN stays as it was: %s',
    (protocolVersion, expected) => {
      const { isBridge } = clientOf(connect({ protocolVersion, bridge: true }))
      const request = packet(['a', '$share/g/b'])
      const plain = { ...request, filters: request.filters.map((each) => ({ ...each, retainAsPublished: false })) }
      expect(receiveSubscribe(plain, { protocolVersion, announced, isBridge }, none, limits, () => true, 0)).toMatchObject({
        granted: [
          { noLocal: expected, retainAsPublished: expected },
          { noLocal: false, retainAsPublished: expected },
        ],
      })
    },
  )

  test('the same filter twice in one packet is one subscription', () => {
    const decision = receiveSubscribe(packet(['a', 'a', 'b']), five, none, limited({ SUBSCRIPTIONS_PER_SESSION_MAX: '1' }), () => true, 0)
    expect(decision).toMatchObject({ reasonCodes: [2, 2, 0x97], limits: ['SUBSCRIPTIONS_PER_SESSION_MAX'] })
  })

  test('SUBSCRIPTIONS_PER_SESSION_MAX: filters that are only known by their number count, and one of them that comes again counts as new', () => {
    const judge = (named: string[], unnamed: number) =>
      receiveSubscribe(packet(['a', 'b', 'c']), five, { named: new Set(named), unnamed }, limited({ SUBSCRIPTIONS_PER_SESSION_MAX: '5' }), () => true, 0)
    expect(judge([], 3)).toMatchObject({ reasonCodes: [2, 2, 0x97], limits: ['SUBSCRIPTIONS_PER_SESSION_MAX'] })
    expect(judge(['b'], 3)).toMatchObject({ reasonCodes: [2, 2, 0x97] })
    expect(judge(['a', 'c'], 3)).toMatchObject({ reasonCodes: [2, 0x97, 2] })
    expect(judge([], 9)).toMatchObject({ reasonCodes: [0x97, 0x97, 0x97], granted: [] })
  })

  test('what a resumed session held is not known here, so unsubscribing from it succeeds and goes into the log', () => {
    const unsubscribe = { type: 'unsubscribe', packetId: 1, filters: ['mine', 'other'], properties: {} } as const
    expect(receiveUnsubscribe(unsubscribe, { named: new Set(['mine']), unnamed: 0 }, limits)).toMatchObject({ reasonCodes: [0, 0x11], filters: ['mine'] })
    expect(receiveUnsubscribe(unsubscribe, { named: new Set(['mine']), unnamed: 2 }, limits)).toMatchObject({ reasonCodes: [0, 0], filters: ['mine', 'other'] })
  })

  test('[MQTT-3.10.4-6] a filter twice in one UNSUBSCRIBE is no subscription any more the second time, though more may be held than is known', () => {
    const unsubscribe = { type: 'unsubscribe', packetId: 1, filters: ['mine', 'other', 'mine', 'other'], properties: {} } as const
    expect(receiveUnsubscribe(unsubscribe, { named: new Set(['mine']), unnamed: 0 }, limits)).toMatchObject({
      reasonCodes: [0, 0x11, 0x11, 0x11],
      filters: ['mine'],
    })
    expect(receiveUnsubscribe(unsubscribe, { named: new Set(['mine']), unnamed: 2 }, limits)).toMatchObject({
      reasonCodes: [0, 0, 0x11, 0x11],
      filters: ['mine', 'other'],
    })
  })
})

describe('DISCONNECT', () => {
  const client = (expiry: number) => clientOf(connect({ properties: { sessionExpiryInterval: expiry } }))
  test('only a normal one discards the will', () => {
    expect(receiveDisconnect({ type: 'disconnect', reasonCode: 0 }, client(0), limits)).toMatchObject({
      keepWill: false,
      by: 'client',
      reason: 'ClientInitiatedDisconnect',
    })
    expect(receiveDisconnect({ type: 'disconnect', reasonCode: 4 }, client(0), limits)).toMatchObject({ keepWill: true })
  })
  test('a session may be shortened and prolonged, but not come to life', () => {
    const ask = (sessionExpiryInterval: number) => ({ type: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval } }) as const
    expect(receiveDisconnect(ask(0), client(10), limits)).toMatchObject({ sessionExpiryInterval: 0 })
    expect(receiveDisconnect(ask(20), client(10), limits)).toMatchObject({ sessionExpiryInterval: 20 })
    expect(receiveDisconnect(ask(20), client(0), limits)).toMatchObject({ by: 'gateway', reasonCode: 0x82 })
  })
})
