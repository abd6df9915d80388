import type { Packet, ProtocolVersion, QoS } from '../../../mqtt/packet.ts'
import fc from '../../support/fast-check.ts'

/** Arbitrary packets, in the form in which the parser gives them: for round trips and comparisons. */

// Any well-formed string but U+0000, short and long, in and out of ASCII.
export const text = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.string({ unit: 'grapheme-ascii', minLength: 100, maxLength: 200 }),
  )
  .map((value) => value.replaceAll('\u0000', ''))
const binary = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))
const uint16 = fc.oneof(fc.constantFrom(0, 1, 255, 256, 65_535), fc.integer({ min: 0, max: 65_535 }))
const uint32 = fc.oneof(fc.constantFrom(0, 1, 65_536, 2 ** 31, 2 ** 32 - 1), fc.integer({ min: 0, max: 2 ** 32 - 1 }))
const positive16 = fc.integer({ min: 1, max: 65_535 })
const positive32 = fc.integer({ min: 1, max: 2 ** 32 - 1 })
const identifier = fc.oneof(fc.constantFrom(1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455), fc.integer({ min: 1, max: 268_435_455 }))
const bit = fc.constantFrom(0 as const, 1 as const)
const qos = fc.constantFrom<QoS>(0, 1, 2)
export const topicName = text.map((value) => value.replaceAll(/[+#]/g, '') || 't')
const level = fc.oneof(
  fc.constant('+'),
  fc.string({ unit: 'grapheme-ascii', maxLength: 5 }).map((value) => value.replaceAll(/[+#/]/g, '')),
)
const plainFilter = fc
  .tuple(fc.array(level, { maxLength: 5 }), fc.constantFrom('#', 'a', '+', ''))
  .map((levels) => levels.flat().join('/') || '#')
  .filter((filter) => !filter.startsWith('$share/'))
export const topicFilter = fc.oneof(
  plainFilter,
  plainFilter.map((filter) => `$share/group/${filter}`),
)
const userProperties = fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 4 })

/** Any subset of these, never an undefined member. */
function some<T extends object>(members: { readonly [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<Partial<T>> {
  return fc.record(members, { requiredKeys: [], noNullPrototype: true }) as fc.Arbitrary<Partial<T>>
}

/** Packets whose properties are left out when there are none. */
function withOptional<T extends object>(packet: fc.Arbitrary<T>, properties: fc.Arbitrary<object>): fc.Arbitrary<T> {
  return fc.tuple(packet, properties).map(([value, found]) => (Object.keys(found).length === 0 ? value : { ...value, properties: found }))
}

const explained = some({ reasonString: text, userProperties })
const messageProperties = {
  payloadFormatIndicator: bit,
  messageExpiryInterval: uint32,
  contentType: text,
  responseTopic: topicName,
  correlationData: binary,
  userProperties,
}

const will = (version: ProtocolVersion) =>
  fc.record(
    {
      topic: topicName,
      payload: binary,
      qos,
      retain: fc.boolean(),
      properties: version === 5 ? some({ willDelayInterval: uint32, ...messageProperties }) : fc.constant({}),
    },
    { noNullPrototype: true },
  )

const connectProperties = some({
  sessionExpiryInterval: uint32,
  receiveMaximum: positive16,
  maximumPacketSize: positive32,
  topicAliasMaximum: uint16,
  requestResponseInformation: fc.boolean(),
  requestProblemInformation: fc.boolean(),
  userProperties,
  authenticationMethod: text,
  authenticationData: binary,
}).map(({ authenticationData, ...rest }) =>
  rest.authenticationMethod === undefined || authenticationData === undefined ? rest : { ...rest, authenticationData },
)

const connect = (version: ProtocolVersion) =>
  fc
    .record(
      {
        type: fc.constant('connect' as const),
        protocolVersion: fc.constant(version),
        bridge: fc.boolean(),
        clientId: text,
        cleanStart: fc.boolean(),
        keepAlive: uint16,
        username: text,
        password: binary,
        will: will(version),
        properties: version === 5 ? connectProperties : fc.constant({}),
      },
      { requiredKeys: ['type', 'protocolVersion', 'bridge', 'clientId', 'cleanStart', 'keepAlive', 'properties'], noNullPrototype: true },
    )
    .map((packet) => {
      if (version === 5) return packet
      const { password, ...rest } = { ...packet, cleanStart: packet.cleanStart || packet.clientId === '' }
      return password === undefined || rest.username === undefined ? rest : { ...rest, password }
    })

const connackProperties = some({
  sessionExpiryInterval: uint32,
  receiveMaximum: positive16,
  maximumQoS: bit,
  retainAvailable: fc.boolean(),
  maximumPacketSize: positive32,
  assignedClientIdentifier: text,
  topicAliasMaximum: uint16,
  reasonString: text,
  userProperties,
  wildcardSubscriptionAvailable: fc.boolean(),
  subscriptionIdentifiersAvailable: fc.boolean(),
  sharedSubscriptionAvailable: fc.boolean(),
  serverKeepAlive: uint16,
  responseInformation: text,
  serverReference: text,
  authenticationMethod: text,
  authenticationData: binary,
})

const connack = (version: ProtocolVersion) => {
  const base = fc
    .tuple(fc.boolean(), version === 5 ? fc.constantFrom(0, 0, 0x80, 0x84, 0x9f) : fc.constantFrom(0, 0, 0x84, 0x85, 0x88, 0x86, 0x87))
    .map(([sessionPresent, reasonCode]) => ({ type: 'connack' as const, sessionPresent: sessionPresent && reasonCode === 0, reasonCode }))
  return version === 5 ? withOptional(base, connackProperties) : base
}

const publish = (version: ProtocolVersion, sender: 'client' | 'server') => {
  const base = fc.tuple(topicName, binary, qos, fc.boolean(), fc.boolean(), positive16).map(([topic, payload, quality, dup, retain, packetId]) => ({
    type: 'publish' as const,
    topic,
    payload,
    qos: quality,
    dup: dup && quality > 0,
    retain,
    packetId: quality === 0 ? 0 : packetId,
  }))
  if (version === 4) return base
  const own = sender === 'server' ? { subscriptionIdentifiers: fc.array(identifier, { minLength: 1, maxLength: 3 }) } : {}
  const properties = some({ ...messageProperties, topicAlias: positive16, ...own })
  return withOptional(base, properties).chain((packet) =>
    'properties' in packet && 'topicAlias' in (packet.properties as object)
      ? fc.boolean().map((isLeftOut) => (isLeftOut ? { ...packet, topic: '' } : packet))
      : fc.constant(packet),
  )
}

const ack = (version: ProtocolVersion, type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp') => {
  const codes = type === 'puback' || type === 'pubrec' ? [0, 0x10, 0x80, 0x97] : [0, 0x92]
  const base = fc
    .tuple(positive16, version === 5 ? fc.constantFrom(...codes) : fc.constant(0))
    .map(([packetId, reasonCode]) => ({ type, packetId, reasonCode }))
  return version === 5 ? withOptional(base, explained) : base
}

const subscribe = (version: ProtocolVersion) =>
  fc.record(
    {
      type: fc.constant('subscribe' as const),
      packetId: positive16,
      filters: fc.array(
        fc
          .record(
            {
              filter: topicFilter,
              qos,
              noLocal: version === 5 ? fc.boolean() : fc.constant(false),
              retainAsPublished: version === 5 ? fc.boolean() : fc.constant(false),
              retainHandling: version === 5 ? fc.constantFrom(0 as const, 1 as const, 2 as const) : fc.constant(0 as const),
            },
            { noNullPrototype: true },
          )
          .map((entry) => ({ ...entry, noLocal: entry.noLocal && !entry.filter.startsWith('$share/') })),
        { minLength: 1, maxLength: 5 },
      ),
      properties: version === 5 ? some({ subscriptionIdentifier: identifier, userProperties }) : fc.constant({}),
    },
    { noNullPrototype: true },
  )

const unsubscribe = (version: ProtocolVersion) =>
  fc.record(
    {
      type: fc.constant('unsubscribe' as const),
      packetId: positive16,
      filters: fc.array(topicFilter, { minLength: 1, maxLength: 5 }),
      properties: version === 5 ? some({ userProperties }) : fc.constant({}),
    },
    { noNullPrototype: true },
  )

const suback = (version: ProtocolVersion) => {
  const codes = version === 5 ? [0, 1, 2, 0x80, 0x87, 0x8f, 0xa2] : [0, 1, 2, 0x80]
  const base = fc
    .tuple(positive16, fc.array(fc.constantFrom(...codes), { minLength: 1, maxLength: 5 }))
    .map(([packetId, reasonCodes]) => ({ type: 'suback' as const, packetId, reasonCodes }))
  return version === 5 ? withOptional(base, explained) : base
}

const unsuback = (version: ProtocolVersion) => {
  const base = fc
    .tuple(positive16, fc.array(fc.constantFrom(0, 0x11, 0x87), { minLength: 1, maxLength: 5 }))
    .map(([packetId, reasonCodes]) => ({ type: 'unsuback' as const, packetId, reasonCodes: version === 5 ? reasonCodes : [] }))
  return version === 5 ? withOptional(base, explained) : base
}

const disconnect = (version: ProtocolVersion, sender: 'client' | 'server') => {
  const codes = sender === 'client' ? [0, 4, 0x80, 0x99] : [0, 0x8e, 0x95, 0xa2]
  const base = (version === 5 ? fc.constantFrom(...codes) : fc.constant(0)).map((reasonCode) => ({ type: 'disconnect' as const, reasonCode }))
  if (version === 4) return base
  return withOptional(
    base,
    sender === 'client'
      ? some({ sessionExpiryInterval: uint32, reasonString: text, userProperties })
      : some({ reasonString: text, userProperties, serverReference: text }),
  )
}

const auth = (sender: 'client' | 'server') =>
  fc
    .tuple(
      sender === 'client' ? fc.constantFrom(0x18, 0x19) : fc.constantFrom(0, 0x18),
      text,
      some({ authenticationData: binary, reasonString: text, userProperties }),
    )
    .map(([reasonCode, authenticationMethod, rest]) => ({ type: 'auth' as const, reasonCode, properties: { authenticationMethod, ...rest } }))

const acks = (version: ProtocolVersion) => [ack(version, 'puback'), ack(version, 'pubrec'), ack(version, 'pubrel'), ack(version, 'pubcomp')]

// The arbitraries are typed loosely inside; `Packet` is what they give, and the round trip test shows it.
const oneOf = (arbitraries: readonly fc.Arbitrary<unknown>[]) => fc.oneof(...arbitraries) as fc.Arbitrary<Packet>

export const connectPacket = (version: ProtocolVersion): fc.Arbitrary<Packet> => oneOf([connect(version)])

/** What a client sends after its CONNECT. */
export const clientPacket = (version: ProtocolVersion): fc.Arbitrary<Packet> =>
  oneOf([
    publish(version, 'client'),
    ...acks(version),
    subscribe(version),
    unsubscribe(version),
    fc.constant({ type: 'pingreq' }),
    disconnect(version, 'client'),
    ...(version === 5 ? [auth('client')] : []),
  ])

/** What a server sends. */
export const serverPacket = (version: ProtocolVersion): fc.Arbitrary<Packet> =>
  oneOf([
    connack(version),
    publish(version, 'server'),
    ...acks(version),
    suback(version),
    unsuback(version),
    fc.constant({ type: 'pingresp' }),
    ...(version === 5 ? [disconnect(version, 'server'), auth('server')] : []),
  ])

/** Packets of MQTT 5 that a server may explain with a reason string and user properties. */
export const explainedPackets = {
  connack: connack(5),
  puback: ack(5, 'puback'),
  pubrec: ack(5, 'pubrec'),
  pubrel: ack(5, 'pubrel'),
  pubcomp: ack(5, 'pubcomp'),
  suback: suback(5),
  unsuback: unsuback(5),
  disconnect: disconnect(5, 'server'),
  auth: auth('server'),
} as Readonly<Record<'connack' | 'puback' | 'pubrec' | 'pubrel' | 'pubcomp' | 'suback' | 'unsuback' | 'disconnect' | 'auth', fc.Arbitrary<Packet>>>
