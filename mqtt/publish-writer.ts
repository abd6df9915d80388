import { Bytes, putVariableByteInteger, variableByteIntegerSize } from './bytes.ts'
import type { ProtocolVersion, PublishProperties, QoS } from './packet.ts'
import { writeValues } from './property.ts'

/** A message written once for many receivers of one protocol version. The payload stays where it is. */
export interface EncodedPublish {
  readonly version: ProtocolVersion
  /** Length and bytes of the topic name. */
  readonly topic: Buffer
  /** The properties that all receivers share, without their length. */
  readonly properties: Buffer
  readonly payload: Buffer
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
    topic: shared.subarray(0, topicSize),
    properties: topicSize === shared.length ? nothing : shared.subarray(topicSize),
    payload,
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
  const lengthSize = variableByteIntegerSize(remaining)
  const header = Buffer.allocUnsafe(1 + lengthSize + remaining - encoded.payload.length)
  header[0] = 0x30 | (receiver.dup && receiver.qos > 0 ? 0x08 : 0) | (receiver.qos << 1) | (receiver.retain ? 1 : 0)
  let at = putVariableByteInteger(header, 1, remaining)
  if (isTopicLeftOut(encoded, receiver)) {
    header[at++] = 0
    header[at++] = 0
  } else {
    header.set(encoded.topic, at)
    at += encoded.topic.length
  }
  if (receiver.qos > 0) {
    header[at++] = receiver.packetId >>> 8
    header[at++] = receiver.packetId
  }
  if (encoded.version === 4) return header
  at = putVariableByteInteger(header, at, ownSize + encoded.properties.length)
  if (ownSize > 0) at = putOwnProperties(header, at, receiver)
  if (encoded.properties.length > 0) header.set(encoded.properties, at)
  return header
}

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
  const topicSize = isTopicLeftOut(encoded, receiver) ? 2 : encoded.topic.length
  const fixed = topicSize + (receiver.qos > 0 ? 2 : 0) + encoded.payload.length
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
