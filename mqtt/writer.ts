import { Bytes, putVariableByteInteger, variableByteIntegerSize } from './bytes.ts'
import { PacketType } from './decode.ts'
import type { AckPacket, ConnackPacket, ConnectPacket, Packet, ProtocolVersion, PublishPacket, SubscribePacket } from './packet.ts'
import { writeProperties } from './property.ts'
import { encodePublish, publishSize, putPublish } from './publish-writer.ts'
import { returnCodeOf } from './reason-code.ts'

const body = new Bytes()

/**
 * The bytes of a packet in the form of the version. What 3.1.1 cannot say is an empty buffer: a CONNACK without a
 * matching return code, a DISCONNECT with a reason, AUTH.
 *
 * Above `maximumPacketSize` (the receiver's) user properties and then the reason string are left out, except from
 * CONNECT, PUBLISH, SUBSCRIBE and UNSUBSCRIBE, which are the sender's own words. The result can still be larger when nothing is left to leave
 * out: compare its length, and discard it instead of sending [MQTT-3.1.2-25].
 */
export function writePacket(packet: Packet, version: ProtocolVersion, maximumPacketSize = Number.POSITIVE_INFINITY): Buffer {
  const bytes = write(packet, version)
  if (bytes.length <= maximumPacketSize || version === 4) return bytes
  const { reasonString, userProperties } = explanations(packet)
  if (userProperties === undefined && reasonString === undefined) return bytes
  // [MQTT-3.2.2-19], [MQTT-3.2.2-20] and their like.
  const shorter = write(without(packet, 'userProperties'), version)
  return shorter.length <= maximumPacketSize || reasonString === undefined
    ? shorter
    : write(without(without(packet, 'userProperties'), 'reasonString'), version)
}

function explanations(packet: Packet): { readonly reasonString?: unknown; readonly userProperties?: unknown } {
  switch (packet.type) {
    case 'connect':
    case 'publish':
    case 'subscribe':
    case 'unsubscribe':
    case 'pingreq':
    case 'pingresp':
      return {}
    default:
      return packet.properties ?? {}
  }
}

function without(packet: Packet, name: 'userProperties' | 'reasonString'): Packet {
  // Only packets that `explanations` found to have the property come here.
  const { [name]: _, ...properties } = (packet as { properties: Record<string, unknown> }).properties
  return { ...packet, properties } as Packet
}

function write(packet: Packet, version: ProtocolVersion): Buffer {
  body.reset()
  switch (packet.type) {
    case 'connect':
      writeConnect(packet)
      return finish(PacketType.connect << 4)
    case 'connack':
      return writeConnack(packet, version)
    case 'publish':
      return writePublish(packet, version)
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return writeAck(packet, version)
    case 'subscribe':
      writeSubscribe(packet, version)
      return finish((PacketType.subscribe << 4) | 2)
    case 'unsubscribe':
      body.uint16(packet.packetId)
      if (version === 5) writeProperties(body, packet.properties)
      for (const filter of packet.filters) body.text(filter)
      return finish((PacketType.unsubscribe << 4) | 2)
    case 'suback':
      body.uint16(packet.packetId)
      if (version === 5) writeProperties(body, packet.properties)
      // [MQTT-3.9.3-2] of 3.1.1: 0x80 is its only failure.
      for (const code of packet.reasonCodes) body.byte(version === 4 && code >= 0x80 ? 0x80 : code)
      return finish(PacketType.suback << 4)
    case 'unsuback':
      body.uint16(packet.packetId)
      if (version === 5) {
        writeProperties(body, packet.properties)
        for (const code of packet.reasonCodes) body.byte(code)
      }
      return finish(PacketType.unsuback << 4)
    case 'pingreq':
      return Buffer.from([PacketType.pingreq << 4, 0])
    case 'pingresp':
      return Buffer.from([PacketType.pingresp << 4, 0])
    case 'disconnect':
      if (version === 4) return packet.reasonCode === 0 ? Buffer.from([PacketType.disconnect << 4, 0]) : Buffer.alloc(0)
      writeReason(packet.reasonCode, packet.properties)
      return finish(PacketType.disconnect << 4)
    case 'auth':
      if (version === 4) return Buffer.alloc(0)
      writeReason(packet.reasonCode, packet.properties)
      return finish(PacketType.auth << 4)
  }
}

function finish(first: number): Buffer {
  const size = variableByteIntegerSize(body.length)
  const bytes = Buffer.allocUnsafe(1 + size + body.length)
  bytes[0] = first
  putVariableByteInteger(bytes, 1, body.length)
  body.buffer.copy(bytes, 1 + size, 0, body.length)
  return bytes
}

function writeConnect(packet: ConnectPacket): void {
  const { protocolVersion, will } = packet
  body.text('MQTT')
  body.byte(protocolVersion | (packet.bridge ? 0x80 : 0))
  body.byte(
    (packet.username === undefined ? 0 : 0x80) |
      (packet.password === undefined ? 0 : 0x40) |
      (will === undefined ? 0 : 0x04 | (will.qos << 3) | (will.retain ? 0x20 : 0)) |
      (packet.cleanStart ? 0x02 : 0),
  )
  body.uint16(packet.keepAlive)
  if (protocolVersion === 5) writeProperties(body, packet.properties)
  body.text(packet.clientId)
  if (will !== undefined) {
    if (protocolVersion === 5) writeProperties(body, will.properties)
    body.text(will.topic)
    body.binary(will.payload)
  }
  if (packet.username !== undefined) body.text(packet.username)
  if (packet.password !== undefined) body.binary(packet.password)
}

function writeConnack(packet: ConnackPacket, version: ProtocolVersion): Buffer {
  const code = version === 5 ? packet.reasonCode : returnCodeOf(packet.reasonCode)
  if (code === undefined) return Buffer.alloc(0)
  body.byte(packet.sessionPresent ? 1 : 0)
  body.byte(code)
  if (version === 5) writeProperties(body, packet.properties)
  return finish(PacketType.connack << 4)
}

function writePublish(packet: PublishPacket, version: ProtocolVersion): Buffer {
  const { topicAlias, subscriptionIdentifiers, ...properties } = packet.properties ?? {}
  const encoded = encodePublish({ topic: packet.topic, payload: packet.payload, properties }, version)
  const receiver = {
    qos: packet.qos,
    dup: packet.dup,
    retain: packet.retain,
    packetId: packet.packetId,
    topicAlias: topicAlias ?? 0,
    topicKnown: false,
    subscriptionIdentifiers: subscriptionIdentifiers ?? [],
  }
  const bytes = Buffer.allocUnsafe(publishSize(encoded, receiver))
  putPublish(bytes, 0, encoded, receiver)
  return bytes
}

function writeAck(packet: AckPacket, version: ProtocolVersion): Buffer {
  if (version === 4 || (packet.reasonCode === 0 && packet.properties === undefined)) return ack(packet.type, packet.packetId)
  body.uint16(packet.packetId)
  writeReason(packet.reasonCode, packet.properties)
  return finish(ackFirstBytes[packet.type])
}

/** Reason code and properties, left out as far as the protocol lets (0 without properties is nothing at all). */
function writeReason(reasonCode: number, properties: object | undefined): void {
  const hasProperties = properties !== undefined && Object.keys(properties).length > 0
  if (reasonCode === 0 && !hasProperties) return
  body.byte(reasonCode)
  if (hasProperties) writeProperties(body, properties)
}

function writeSubscribe(packet: SubscribePacket, version: ProtocolVersion): void {
  body.uint16(packet.packetId)
  if (version === 5) writeProperties(body, packet.properties)
  for (const { filter, qos, noLocal, retainAsPublished, retainHandling } of packet.filters) {
    body.text(filter)
    body.byte(version === 4 ? qos : qos | (noLocal ? 0x04 : 0) | (retainAsPublished ? 0x08 : 0) | (retainHandling << 4))
  }
}

const ackFirstBytes = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const

/** The four-byte form of an acknowledgement, which means success in both versions. */
export function ack(type: AckPacket['type'], packetId: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  putAck(bytes, 0, type, packetId)
  return bytes
}

/** The same into a buffer with room for four bytes; returns the position after them. For many acknowledgements in one write. */
export function putAck(target: Buffer, position: number, type: AckPacket['type'], packetId: number): number {
  target[position] = ackFirstBytes[type]
  target[position + 1] = 2
  target[position + 2] = packetId >>> 8
  target[position + 3] = packetId
  return position + 4
}

/** A successful PUBACK. */
export function puback(packetId: number): Buffer {
  return ack('puback', packetId)
}
