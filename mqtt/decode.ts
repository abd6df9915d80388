import { MalformedPacket, protocolError } from './malformed-packet.ts'
import type {
  AckPacket,
  AuthPacket,
  ConnackPacket,
  ConnectPacket,
  DisconnectPacket,
  Packet,
  ProtocolVersion,
  PublishPacket,
  QoS,
  SubackPacket,
  SubscribeFilter,
  SubscribePacket,
  UnsubackPacket,
  UnsubscribePacket,
  WillPacket,
} from './packet.ts'
import { Holder, noProperties, readProperties } from './property.ts'
import type { Reader } from './reader.ts'
import { ReasonCode, reasonCodeOf } from './reason-code.ts'
import { hasWildcard, topicFilterProblem } from './topic.ts'
import type { TopicBefore } from './topic-before.ts'

/** Packet types by number, the high half of a packet's first byte (table 2-1). */
export const PacketType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const

/** Who sent the packet: some packets, properties and reason codes belong to one side only. */
export type Sender = 'client' | 'server'

/**
 * Reads the body of one packet that stands whole in the reader, the fixed header already passed. CONNECT is decoded by
 * `decodeConnect`, which needs no version. Throws MalformedPacket.
 */
export function decodeBody(first: number, reader: Reader, version: ProtocolVersion, sender: Sender, topicBefore: TopicBefore): Packet {
  switch (first >> 4) {
    case PacketType.connack:
      return decodeConnack(reader, version)
    case PacketType.publish:
      return decodePublish(first, reader, version, sender, topicBefore)
    case PacketType.puback:
      return decodeAck('puback', reader, version)
    case PacketType.pubrec:
      return decodeAck('pubrec', reader, version)
    case PacketType.pubrel:
      return decodeAck('pubrel', reader, version)
    case PacketType.pubcomp:
      return decodeAck('pubcomp', reader, version)
    case PacketType.subscribe:
      return decodeSubscribe(reader, version)
    case PacketType.suback:
      return decodeSuback(reader, version)
    case PacketType.unsubscribe:
      return decodeUnsubscribe(reader, version)
    case PacketType.unsuback:
      return decodeUnsuback(reader, version)
    case PacketType.pingreq:
      reader.finish()
      return pingreq
    case PacketType.pingresp:
      reader.finish()
      return pingresp
    case PacketType.disconnect:
      return decodeDisconnect(reader, version, sender)
    case PacketType.auth:
      return decodeAuth(reader, sender)
    default:
      throw new MalformedPacket(`packet type ${first >> 4} is reserved`) // table 2-1
  }
}

const pingreq = Object.freeze({ type: 'pingreq' } as const)
const pingresp = Object.freeze({ type: 'pingresp' } as const)

/** What the version byte of a CONNECT announced, before the rest was read: an error about the rest is answered in that version's form. */
export interface Announced {
  version: ProtocolVersion | undefined
}

/**
 * CONNECT (section 3.1).
 *
 *   name text · version byte · flags byte · keepAlive uint16 · [5: properties] · clientId text
 *   · will? ([5: properties] topic text · payload binary) · username? text · password? binary
 */
export function decodeConnect(reader: Reader, announced: Announced): ConnectPacket {
  const name = reader.text()
  const level = reader.byte()
  // The high bit marks a bridge: mosquitto sets it.
  const protocolVersion = level & 0x7f
  announced.version = protocolVersion >= 5 ? 5 : 4
  if (name !== 'MQTT' || (protocolVersion !== 4 && protocolVersion !== 5)) {
    // [MQTT-3.1.2-1], [MQTT-3.1.2-2]; MQTT 3.1 (MQIsdp, 3) comes here too.
    throw new MalformedPacket(
      `protocol ${JSON.stringify(name.slice(0, 10))} version ${protocolVersion} is not MQTT 3.1.1 or 5`,
      ReasonCode.UnsupportedProtocolVersion,
    )
  }
  const flags = reader.byte()
  const hasUsername = (flags & 0x80) !== 0
  const hasPassword = (flags & 0x40) !== 0
  const hasWill = (flags & 0x04) !== 0
  const willQoS = (flags >> 3) & 0x03
  if ((flags & 0x01) !== 0) throw new MalformedPacket('the reserved CONNECT flag is set') // [MQTT-3.1.2-3]
  if (willQoS === 3) throw new MalformedPacket('the will QoS is 3') // [MQTT-3.1.2-12]
  if (!hasWill && (flags & 0x38) !== 0) throw new MalformedPacket('will QoS or will retain without a will') // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
  if (protocolVersion === 4 && hasPassword && !hasUsername) throw new MalformedPacket('a password without a user name') // [MQTT-3.1.2-22] of 3.1.1
  const keepAlive = reader.uint16()
  const properties = protocolVersion === 5 ? (readProperties(reader, Holder.connect) as ConnectPacket['properties']) : noProperties
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    throw protocolError('authentication data without an authentication method') // section 3.1.2.11.10
  }
  const clientId = reader.text()
  const cleanStart = (flags & 0x02) !== 0
  const will = hasWill ? decodeWill(reader, protocolVersion, willQoS as QoS, (flags & 0x20) !== 0) : undefined
  const username = hasUsername ? reader.text() : undefined
  const password = hasPassword ? Buffer.from(reader.binary()) : undefined
  reader.finish()
  if (protocolVersion === 4 && clientId === '' && !cleanStart) {
    throw new MalformedPacket('an empty client id without clean session', ReasonCode.ClientIdentifierNotValid) // [MQTT-3.1.3-8] of 3.1.1
  }
  return {
    type: 'connect',
    protocolVersion,
    bridge: (level & 0x80) !== 0,
    clientId,
    cleanStart,
    keepAlive,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(will === undefined ? {} : { will }),
    properties,
  }
}

function decodeWill(reader: Reader, version: ProtocolVersion, qos: QoS, retain: boolean): WillPacket {
  const properties = version === 5 ? (readProperties(reader, Holder.will) as WillPacket['properties']) : noProperties
  checkResponseTopic(properties.responseTopic)
  const topic = reader.text()
  if (topic === '') throw new MalformedPacket('the will topic is empty') // [MQTT-4.7.3-1]
  if (hasWildcard(topic)) throw new MalformedPacket('the will topic contains a wildcard') // [MQTT-4.7.1-1]
  return { topic, payload: Buffer.from(reader.binary()), qos, retain, properties }
}

/** A response topic is a topic name [MQTT-3.3.2-13], [MQTT-3.3.2-14]. */
function checkResponseTopic(topic: string | undefined): void {
  if (topic === undefined) return
  if (topic === '') throw new MalformedPacket('the response topic is empty') // [MQTT-4.7.3-1]
  if (hasWildcard(topic)) throw new MalformedPacket('the response topic contains a wildcard')
}

/** CONNACK (section 3.2): flags byte · code byte · [5: properties]. A 3.1.1 return code is given as the reason code it stands for. */
function decodeConnack(reader: Reader, version: ProtocolVersion): ConnackPacket {
  const flags = reader.byte()
  const code = reader.byte()
  if (flags > 1) throw new MalformedPacket('reserved CONNACK flags are set') // [MQTT-3.2.2-1]
  const reasonCode = version === 5 ? code : reasonCodeOf(code)
  if (reasonCode === undefined) throw new MalformedPacket(`return code ${code} is reserved`)
  if (version === 5) allow('connack', codes.connack, code)
  if (flags === 1 && reasonCode !== 0) throw protocolError('session present in a CONNACK that refuses') // [MQTT-3.2.2-6]
  const properties = version === 5 ? readProperties(reader, Holder.connack) : noProperties
  reader.finish()
  return { type: 'connack', sessionPresent: flags === 1, reasonCode, ...present(properties) }
}

/** PUBLISH (section 3.3): topic text · [QoS > 0: packetId uint16] · [5: properties] · payload. The payload is a view. */
function decodePublish(first: number, reader: Reader, version: ProtocolVersion, sender: Sender, topicBefore: TopicBefore): PublishPacket {
  const qos = ((first >> 1) & 0x03) as QoS
  const dup = (first & 0x08) !== 0
  const retain = (first & 0x01) !== 0
  const topic = readTopicName(reader, topicBefore)
  const packetId = qos === 0 ? 0 : readPacketId(reader)
  if (version === 4) {
    if (topic === '') throw new MalformedPacket('the topic name is empty') // [MQTT-4.7.3-1]
    return { type: 'publish', topic, payload: reader.rest(), qos, dup, retain, packetId }
  }
  // The commonest packets carry none: one byte of length 0.
  if (reader.position < reader.end && reader.buffer[reader.position] === 0) {
    reader.position++
    if (topic === '') throw protocolError('an empty topic name without a topic alias') // section 3.3.2.1
    return { type: 'publish', topic, payload: reader.rest(), qos, dup, retain, packetId }
  }
  const properties = readProperties(reader, Holder.publish) as NonNullable<PublishPacket['properties']>
  if (topic === '' && properties.topicAlias === undefined) throw protocolError('an empty topic name without a topic alias')
  if (sender === 'client' && properties.subscriptionIdentifiers !== undefined) throw protocolError('a subscription identifier from a client') // [MQTT-3.3.4-6]
  checkResponseTopic(properties.responseTopic)
  return { type: 'publish', topic, payload: reader.rest(), qos, dup, retain, packetId, properties }
}

function readTopicName(reader: Reader, before: TopicBefore): string {
  const { buffer, position } = reader
  const end = reader.endOfText()
  const known = before.at(buffer, position + 2, end)
  if (known !== undefined) {
    reader.position = end
    return known
  }
  const name = reader.text()
  if (hasWildcard(name)) throw new MalformedPacket('the topic name contains a wildcard') // [MQTT-3.3.2-2]
  before.note(name, buffer, position + 2, end)
  return name
}

function readPacketId(reader: Reader): number {
  const packetId = reader.uint16()
  if (packetId === 0) throw protocolError('the packet identifier is 0') // [MQTT-2.2.1-3]
  return packetId
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7): packetId uint16 · [5: [code byte · [properties]]]. */
function decodeAck(type: AckPacket['type'], reader: Reader, version: ProtocolVersion): AckPacket {
  const packetId = readPacketId(reader)
  if (reader.position === reader.end) return { type, packetId, reasonCode: 0 }
  if (version === 4) reader.finish()
  const reasonCode = allow(type, codes[type], reader.byte())
  const properties = readOptionalProperties(reader, Holder[type])
  reader.finish()
  return { type, packetId, reasonCode, ...present(properties) }
}

/** SUBSCRIBE (section 3.8): packetId uint16 · [5: properties] · { filter text · options byte }+ */
function decodeSubscribe(reader: Reader, version: ProtocolVersion): SubscribePacket {
  const packetId = readPacketId(reader)
  const properties = version === 5 ? (readProperties(reader, Holder.subscribe) as SubscribePacket['properties']) : noProperties
  if (reader.position === reader.end) throw protocolError('a SUBSCRIBE without a topic filter') // [MQTT-3.8.3-2]
  const filters: SubscribeFilter[] = []
  while (reader.position < reader.end) filters.push(readFilterWithOptions(reader, version))
  return { type: 'subscribe', packetId, filters, properties }
}

function readFilterWithOptions(reader: Reader, version: ProtocolVersion): SubscribeFilter {
  const filter = readFilter(reader)
  const options = reader.byte()
  const qos = options & 0x03
  // [MQTT-3.8.3-5]; 3.1.1 reserves all but the QoS [MQTT-3-8.3-4].
  if ((options & (version === 5 ? 0xc0 : 0xfc)) !== 0) throw new MalformedPacket('reserved subscription options are set')
  if (qos === 3) throw version === 5 ? protocolError('the maximum QoS of a subscription is 3') : new MalformedPacket('the QoS of a subscription is 3')
  const retainHandling = (options >> 4) & 0x03
  if (retainHandling === 3) throw protocolError('retain handling is 3') // section 3.8.3.1
  const noLocal = (options & 0x04) !== 0
  if (noLocal && filter.startsWith('$share/')) throw protocolError('no local on a shared subscription') // [MQTT-3.8.3-4]
  return { filter, qos: qos as QoS, noLocal, retainAsPublished: (options & 0x08) !== 0, retainHandling: retainHandling as 0 | 1 | 2 }
}

function readFilter(reader: Reader): string {
  const filter = reader.text()
  const problem = topicFilterProblem(filter)
  if (problem !== null) throw new MalformedPacket(`a topic filter ${problem}`)
  return filter
}

/** SUBACK (section 3.9): packetId uint16 · [5: properties] · { code byte }+ */
function decodeSuback(reader: Reader, version: ProtocolVersion): SubackPacket {
  const packetId = readPacketId(reader)
  const properties = version === 5 ? readProperties(reader, Holder.suback) : noProperties
  const reasonCodes = readCodes('suback', version === 5 ? codes.suback : codes.suback311, reader)
  return { type: 'suback', packetId, reasonCodes, ...present(properties) }
}

/** UNSUBSCRIBE (section 3.10): packetId uint16 · [5: properties] · { filter text }+ */
function decodeUnsubscribe(reader: Reader, version: ProtocolVersion): UnsubscribePacket {
  const packetId = readPacketId(reader)
  const properties = version === 5 ? (readProperties(reader, Holder.unsubscribe) as UnsubscribePacket['properties']) : noProperties
  if (reader.position === reader.end) throw protocolError('an UNSUBSCRIBE without a topic filter') // [MQTT-3.10.3-2]
  const filters: string[] = []
  while (reader.position < reader.end) filters.push(readFilter(reader))
  return { type: 'unsubscribe', packetId, filters, properties }
}

/** UNSUBACK (section 3.11): packetId uint16 · [5: properties · { code byte }+] */
function decodeUnsuback(reader: Reader, version: ProtocolVersion): UnsubackPacket {
  const packetId = readPacketId(reader)
  if (version === 4) {
    reader.finish()
    return { type: 'unsuback', packetId, reasonCodes: [] }
  }
  const properties = readProperties(reader, Holder.unsuback)
  return { type: 'unsuback', packetId, reasonCodes: readCodes('unsuback', codes.unsuback, reader), ...present(properties) }
}

function readCodes(packet: string, allowed: ReadonlySet<number>, reader: Reader): readonly number[] {
  if (reader.position === reader.end) throw protocolError(`${packet} without a reason code`)
  const list: number[] = []
  while (reader.position < reader.end) list.push(allow(packet, allowed, reader.byte()))
  return list
}

/** DISCONNECT (section 3.14): [5: [code byte · [properties]]] */
function decodeDisconnect(reader: Reader, version: ProtocolVersion, sender: Sender): DisconnectPacket {
  if (reader.position === reader.end) return { type: 'disconnect', reasonCode: 0 }
  if (version === 4) reader.finish()
  const reasonCode = allow('disconnect', sender === 'client' ? codes.disconnectOfClient : codes.disconnectOfServer, reader.byte())
  const properties = readOptionalProperties(reader, Holder.disconnect) as NonNullable<DisconnectPacket['properties']>
  reader.finish()
  if (sender === 'server' && properties.sessionExpiryInterval !== undefined) throw protocolError('a session expiry interval from the server') // [MQTT-3.14.2-2]
  if (sender === 'client' && properties.serverReference !== undefined) throw protocolError('a server reference from the client') // section 3.14.2.2.5
  return { type: 'disconnect', reasonCode, ...present(properties) }
}

/** AUTH (section 3.15): [code byte · [properties]] */
function decodeAuth(reader: Reader, sender: Sender): AuthPacket {
  const reasonCode = reader.position === reader.end ? 0 : allow('auth', sender === 'client' ? codes.authOfClient : codes.auth, reader.byte())
  const properties = readOptionalProperties(reader, Holder.auth) as AuthPacket['properties']
  reader.finish()
  if (properties.authenticationMethod === undefined) throw protocolError('AUTH without an authentication method') // section 3.15.2.2.2
  return { type: 'auth', reasonCode, properties }
}

/** The property length may be left out when nothing follows the reason code. */
function readOptionalProperties(reader: Reader, holder: Holder): Record<string, unknown> {
  return reader.position === reader.end ? noProperties : readProperties(reader, holder)
}

function present(properties: object): { properties?: never } {
  // `never` fits every packet's property type; the reader's table is what makes it true.
  return properties === noProperties ? {} : { properties: properties as never }
}

function allow(packet: string, allowed: ReadonlySet<number>, code: number): number {
  if (!allowed.has(code)) throw protocolError(`reason code 0x${code.toString(16).padStart(2, '0')} is not one of ${packet}'s`) // [MQTT-3.4.2-1] and its like
  return code
}

const received = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
const released = [0x00, 0x92]
const disconnected = [0x00, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]
/** The reason codes of each packet: the tables of sections 3.2.2.2 to 3.15.2.1. */
const codes = {
  connack: new Set([0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f]),
  puback: new Set(received),
  pubrec: new Set(received),
  pubrel: new Set(released),
  pubcomp: new Set(released),
  suback: new Set([0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2]),
  suback311: new Set([0x00, 0x01, 0x02, 0x80]),
  unsuback: new Set([0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]),
  disconnectOfClient: new Set([...disconnected, 0x04]),
  disconnectOfServer: new Set([...disconnected, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2]),
  auth: new Set([0x00, 0x18, 0x19]),
  authOfClient: new Set([0x18, 0x19]),
}
