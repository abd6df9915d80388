import { Bytes, putVariableByteInteger, variableByteIntegerSize } from './bytes.ts'
import type { ProtocolVersion, PublishProperties, QoS } from './packet.ts'
import { writeValues } from './property.ts'

/** A message written once for many receivers of one protocol version. Topic name and payload stay where they are: views of them would cost more than they do. */
export interface EncodedPublish {
  readonly version: ProtocolVersion
  /** Holds the bytes of the topic name. */
  readonly topic: Buffer
  readonly topicStart: number
  readonly topicEnd: number
  /** The properties that all receivers share, without their length. */
  readonly properties: Buffer
  /** Holds the payload, up to its end. */
  readonly payload: Buffer
  readonly payloadStart: number
}

/** What differs from receiver to receiver. */
export interface PublishReceiver {
  readonly qos: QoS
  readonly dup: boolean
  readonly retain: boolean
  /** Ignored at QoS 0. */
  readonly packetId: number
  /** 0: none. */
  readonly topicAlias: number
  /** The receiver knows the alias, so the topic name is left out. */
  readonly topicKnown: boolean
  readonly subscriptionIdentifiers: readonly number[]
}

export interface SharedPublish {
  readonly topic: string
  readonly payload: Buffer
  /** Not for 3.1.1, which has none. */
  readonly properties?: Omit<PublishProperties, 'topicAlias' | 'subscriptionIdentifiers'>
}

const scratch = new Bytes()
const nothing = Buffer.alloc(0)

/** Encodes what all receivers share. */
export function encodePublish({ topic, payload, properties }: SharedPublish, version: ProtocolVersion): EncodedPublish {
  scratch.reset()
  scratch.text(topic)
  const topicSize = scratch.length
  if (version === 5 && properties !== undefined) writeValues(scratch, properties)
  const shared = scratch.copyFrom(0)
  return {
    version,
    topic: shared,
    topicStart: 2,
    topicEnd: topicSize,
    properties: topicSize === shared.length ? nothing : shared.subarray(topicSize),
    payload,
    payloadStart: 0,
  }
}

/** Size on the wire of the PUBLISH that a receiver would get: to be held against its Maximum Packet Size. */
export function publishSize(encoded: EncodedPublish, receiver: PublishReceiver): number {
  const remaining = remainingSize(encoded, receiver, ownPropertiesSize(encoded, receiver))
  return 1 + variableByteIntegerSize(remaining) + remaining
}

/**
 * Everything of the PUBLISH before its payload, in a buffer of its own:
 *
 *   first byte · remaining length · topic · [QoS > 0: packetId] · [5: property length · alias, subscription identifiers, shared properties]
 */
export function publishHeader(encoded: EncodedPublish, receiver: PublishReceiver): Buffer {
  const ownSize = ownPropertiesSize(encoded, receiver)
  const remaining = remainingSize(encoded, receiver, ownSize)
  const header = Buffer.allocUnsafe(1 + variableByteIntegerSize(remaining) + remaining - payloadSize(encoded))
  putHeader(header, 0, encoded, receiver, ownSize, remaining)
  return header
}

/** Writes the whole PUBLISH from `position` on and returns the position after it. The caller has made room for `publishSize`. */
export function putPublish(target: Buffer, position: number, encoded: EncodedPublish, receiver: PublishReceiver): number {
  const ownSize = ownPropertiesSize(encoded, receiver)
  const remaining = remainingSize(encoded, receiver, ownSize)
  const at = putHeader(target, position, encoded, receiver, ownSize, remaining)
  return at + encoded.payload.copy(target, at, encoded.payloadStart)
}

/** Where the packet id stands in a packet of QoS 1 or 2. */
export function packetIdPosition(packet: Buffer, start: number): number {
  let at = start + 1
  while ((packet[at++] as number) >= 0x80);
  return at + 2 + packet.readUInt16BE(at)
}

/** Bytes of a topic up to which a loop is cheaper than a call that leaves JavaScript. */
const loopMax = 64

function putHeader(target: Buffer, position: number, encoded: EncodedPublish, receiver: PublishReceiver, ownSize: number, remaining: number): number {
  const { topic, topicStart, topicEnd } = encoded
  target[position] = 0x30 | (receiver.dup && receiver.qos > 0 ? 0x08 : 0) | (receiver.qos << 1) | (receiver.retain ? 1 : 0)
  let at = putVariableByteInteger(target, position + 1, remaining)
  const topicSize = isTopicLeftOut(encoded, receiver) ? 0 : topicEnd - topicStart
  target[at++] = topicSize >>> 8
  target[at++] = topicSize
  if (topicSize <= loopMax) for (let i = 0; i < topicSize; i++) target[at + i] = topic[topicStart + i] as number
  else topic.copy(target, at, topicStart, topicEnd)
  at += topicSize
  if (receiver.qos > 0) {
    target[at++] = receiver.packetId >>> 8
    target[at++] = receiver.packetId
  }
  if (encoded.version === 4) return at
  at = putVariableByteInteger(target, at, ownSize + encoded.properties.length)
  if (ownSize > 0) at = putOwnProperties(target, at, receiver)
  if (encoded.properties.length > 0) target.set(encoded.properties, at)
  return at + encoded.properties.length
}

const payloadSize = ({ payload, payloadStart }: EncodedPublish): number => payload.length - payloadStart

function isTopicLeftOut({ version }: EncodedPublish, receiver: PublishReceiver): boolean {
  return version === 5 && receiver.topicKnown && receiver.topicAlias > 0
}

function ownPropertiesSize({ version }: EncodedPublish, { topicAlias, subscriptionIdentifiers }: PublishReceiver): number {
  if (version === 4) return 0
  let size = topicAlias > 0 ? 3 : 0
  for (const identifier of subscriptionIdentifiers) size += 1 + variableByteIntegerSize(identifier)
  return size
}

function remainingSize(encoded: EncodedPublish, receiver: PublishReceiver, ownSize: number): number {
  const topicSize = isTopicLeftOut(encoded, receiver) ? 0 : encoded.topicEnd - encoded.topicStart
  const fixed = 2 + topicSize + (receiver.qos > 0 ? 2 : 0) + payloadSize(encoded)
  if (encoded.version === 4) return fixed
  const propertiesSize = ownSize + encoded.properties.length
  return fixed + variableByteIntegerSize(propertiesSize) + propertiesSize
}

function putOwnProperties(header: Buffer, position: number, { topicAlias, subscriptionIdentifiers }: PublishReceiver): number {
  let at = position
  if (topicAlias > 0) {
    header[at++] = 0x23
    header[at++] = topicAlias >>> 8
    header[at++] = topicAlias
  }
  for (const identifier of subscriptionIdentifiers) {
    header[at++] = 0x0b
    at = putVariableByteInteger(header, at, identifier)
  }
  return at
}
