import { Bytes } from '../mqtt/bytes.ts'
import type { ProtocolVersion, PublishPacket, UserProperties } from '../mqtt/packet.ts'
import type { EncodedPublish } from '../mqtt/publish-writer.ts'
import { framingOf, startOfBody } from './codec.ts'
import { KnownTexts } from './known-texts.ts'
import type { Message, UserProperty } from './message.ts'
import { RecordError } from './record-error.ts'

/**
 * The Message record by hand, for the hot path: the same bytes as the generic codec (message.avsc is the contract, a
 * differential test holds both together), several times cheaper.
 *
 *   C3 01 fingerprint, or 0 and a schema registry's id · messageId fixed16 · clientId string · session long · receivedAt long · topic string · qos int
 *   · retain boolean · messageExpiryInterval null|long · authenticationName string · gateway string · protocolVersion int
 *   · payloadFormatIndicator null|int · contentType null|string · responseTopic null|string · correlationData null|bytes
 *   · userProperties array of (name string, value string) · payload bytes
 */

/** What a gateway knows of an accepted PUBLISH besides the packet. */
export interface Accepted {
  readonly messageId: Buffer
  readonly clientId: string
  readonly session: number
  readonly receivedAt: number
  readonly authenticationName: string
  readonly gateway: string
  readonly protocolVersion: number
}

const framing = framingOf('Message')
const headerLow = framing.header.readUInt32LE(2)
const headerHigh = framing.header.readUInt32LE(6)
const messageIdSize = 16
const longMax = 2 ** 52

/** Records are written here, one over the other. */
let slab = Buffer.allocUnsafeSlow(65_536)
const slabKeptMax = 1 << 20

/** The record of a PUBLISH under its full topic name. The result is a view that the next encoding overwrites: copy it. */
export function encodePublish(accepted: Accepted, topic: string, publish: PublishPacket): Buffer {
  const properties = publish.properties
  const size = boundOf(accepted, topic, publish.payload)
  if (properties === undefined) {
    const target = room(size)
    let at = putOrigin(target, accepted, topic, publish.qos, publish.retain, null)
    at = putReceipt(target, at, accepted)
    // Four nulls and an empty array.
    for (let count = 0; count < 5; count++) target[at++] = 0
    return target.subarray(0, putBytes(target, at, publish.payload))
  }
  const { contentType = null, responseTopic = null, correlationData = null, userProperties = [] } = properties
  const target = room(size + optionalBound(contentType, responseTopic, correlationData) + pairsBound(userProperties))
  let at = putOrigin(target, accepted, topic, publish.qos, publish.retain, properties.messageExpiryInterval ?? null)
  at = putReceipt(target, at, accepted)
  at = putOptionalLong(target, at, properties.payloadFormatIndicator ?? null)
  at = putOptionalString(target, at, contentType)
  at = putOptionalString(target, at, responseTopic)
  at = putOptionalBytes(target, at, correlationData)
  if (userProperties.length > 0) at = putLong(target, at, userProperties.length)
  for (const pair of userProperties) at = putString(target, putString(target, at, pair[0]), pair[1])
  target[at++] = 0
  return target.subarray(0, putBytes(target, at, publish.payload))
}

/** Any message's record. The result is a view that the next encoding overwrites: copy it. */
export function encodeMessage(message: Message): Buffer {
  const { contentType, responseTopic, correlationData, userProperties } = message
  let size = boundOf(message, message.topic, message.payload) + optionalBound(contentType, responseTopic, correlationData)
  for (const { name, value } of userProperties) size += stringBound(name) + stringBound(value)
  const target = room(size)
  let at = putOrigin(target, message, message.topic, message.qos, message.retain, message.messageExpiryInterval)
  at = putReceipt(target, at, message)
  at = putOptionalLong(target, at, message.payloadFormatIndicator)
  at = putOptionalString(target, at, contentType)
  at = putOptionalString(target, at, responseTopic)
  at = putOptionalBytes(target, at, correlationData)
  if (userProperties.length > 0) at = putLong(target, at, userProperties.length)
  for (const { name, value } of userProperties) at = putString(target, putString(target, at, name), value)
  target[at++] = 0
  return target.subarray(0, putBytes(target, at, message.payload))
}

// Bounds are taken once, before anything is written; no write below checks its room again.

/** More than every number, marker and length of a record takes together. */
const numbersBound = 160

function boundOf(origin: Accepted, topic: string, payload: Buffer): number {
  return (
    numbersBound + stringBound(origin.clientId) + stringBound(origin.authenticationName) + stringBound(origin.gateway) + stringBound(topic) + payload.length
  )
}

/** A UTF-16 unit takes at most three bytes, a length five. */
function stringBound(text: string): number {
  return text.length * 3 + 5
}

function optionalBound(contentType: string | null, responseTopic: string | null, correlationData: Buffer | null): number {
  return stringBound(contentType ?? '') + stringBound(responseTopic ?? '') + (correlationData?.length ?? 0)
}

function pairsBound(pairs: UserProperties): number {
  let size = 0
  for (const [name, value] of pairs) size += stringBound(name) + stringBound(value)
  return size
}

function room(size: number): Buffer {
  if (size > slab.length) slab = Buffer.allocUnsafeSlow(Math.max(size, slab.length * 2))
  else if (slab.length > slabKeptMax && size <= slabKeptMax) slab = Buffer.allocUnsafeSlow(slabKeptMax)
  return slab
}

function putOrigin(target: Buffer, origin: Accepted, topic: string, qos: number, retain: boolean, messageExpiryInterval: number | null): number {
  const { messageId } = origin
  if (messageId.length !== messageIdSize) throw new RangeError(`a message id has ${messageIdSize} bytes, not ${messageId.length}`)
  let at = 0
  // A loop is cheaper than a call for so few bytes.
  const { written } = framing
  for (let index = 0; index < written.length; index++) target[at++] = written[index]!
  for (let index = 0; index < messageIdSize; index++) target[at++] = messageId[index]!
  at = putString(target, at, origin.clientId)
  at = putLong(target, at, origin.session)
  at = putLong(target, at, origin.receivedAt)
  at = putString(target, at, topic)
  at = putLong(target, at, qos)
  target[at++] = retain ? 1 : 0
  return putOptionalLong(target, at, messageExpiryInterval)
}

function putReceipt(target: Buffer, position: number, origin: Accepted): number {
  const at = putString(target, putString(target, position, origin.authenticationName), origin.gateway)
  return putLong(target, at, origin.protocolVersion)
}

/** Zigzag and variable length. */
function putLong(target: Buffer, position: number, value: number): number {
  if (value >= 0 && value < 0x4000_0000 && Number.isInteger(value)) return putUnsigned(target, position, value * 2)
  if (!Number.isInteger(value) || value > longMax || value < -longMax) throw new RangeError(`${value} is not a whole number from -2^52 to 2^52`)
  const zigzag = value >= 0 ? value * 2 : -value * 2 - 1
  // In two integer halves: division and remainder of doubles cost ten times as much.
  const high = Math.floor(zigzag / 2 ** 28)
  let low = zigzag - high * 2 ** 28
  if (high === 0) return putUnsigned(target, position, low)
  let at = position
  for (let count = 0; count < 4; count++) {
    target[at++] = (low & 0x7f) | 0x80
    low >>>= 7
  }
  return putUnsigned(target, at, high)
}

/** Variable length, from 0 to 2^31 - 1. */
function putUnsigned(target: Buffer, position: number, value: number): number {
  let at = position
  let left = value
  while (left >= 0x80) {
    target[at++] = (left & 0x7f) | 0x80
    left >>>= 7
  }
  target[at++] = left
  return at
}

function putOptionalLong(target: Buffer, position: number, value: number | null): number {
  if (value === null) {
    target[position] = 0
    return position + 1
  }
  target[position] = 2
  return putLong(target, position + 1, value)
}

/** Up to here ASCII is cheaper by hand than by a call that leaves JavaScript. */
const shortMax = 12

function putString(target: Buffer, position: number, text: string): number {
  const length = text.length
  if (length <= shortMax) {
    let index = 0
    for (; index < length; index++) {
      const unit = text.charCodeAt(index)
      if (unit >= 0x80) break
      target[position + 1 + index] = unit
    }
    if (index === length) {
      target[position] = length << 1
      return position + 1 + length
    }
  }
  // Written behind the length it has when it is ASCII, and moved when it is not and its length takes more room.
  const guessed = position + lengthSize(length)
  const size = target.write(text, guessed)
  const start = position + lengthSize(size)
  if (start !== guessed) target.copyWithin(start, guessed, guessed + size)
  putLong(target, position, size)
  return start + size
}

/** Bytes that a length takes. */
function lengthSize(length: number): number {
  return length < 0x40 ? 1 : length < 0x2000 ? 2 : length < 0x10_0000 ? 3 : length < 0x800_0000 ? 4 : 5
}

function putOptionalString(target: Buffer, position: number, text: string | null): number {
  if (text === null) {
    target[position] = 0
    return position + 1
  }
  target[position] = 2
  return putString(target, position + 1, text)
}

function putBytes(target: Buffer, position: number, bytes: Buffer): number {
  const at = putLong(target, position, bytes.length)
  target.set(bytes, at)
  return at + bytes.length
}

function putOptionalBytes(target: Buffer, position: number, bytes: Buffer | null): number {
  if (bytes === null) {
    target[position] = 0
    return position + 1
  }
  target[position] = 2
  return putBytes(target, position + 1, bytes)
}

const clientIds = new KnownTexts()

/**
 * A message's early fields, read without decoding the rest (what matching and queueing need). Strings are decoded when
 * asked for. The rest of the record is not checked.
 */
export class MessageView {
  /** A view into the value. */
  readonly messageId: Buffer
  readonly session: number
  readonly receivedAt: number
  readonly qos: number
  readonly retain: boolean
  /** Seconds, as published. */
  readonly messageExpiryInterval: number | null
  readonly #value: Buffer
  readonly #clientIdStart: number
  readonly #clientIdEnd: number
  readonly #topicStart: number
  readonly #topicEnd: number

  /** Throws RecordError unless the value is a Message up to these fields. */
  constructor(value: Buffer) {
    this.#value = value
    position = beginReading(value) + messageIdSize
    if (position > value.length) throw truncated()
    this.messageId = value.subarray(position - messageIdSize, position)
    this.#clientIdEnd = positionAfterBytes(value)
    this.#clientIdStart = bytesStart
    this.session = readLong(value)
    this.receivedAt = readLong(value)
    this.#topicEnd = positionAfterBytes(value)
    this.#topicStart = bytesStart
    this.qos = readLong(value)
    this.retain = readBoolean(value)
    this.messageExpiryInterval = readBranch(value) ? readLong(value) : null
  }

  /** The publisher's client id, for No Local. */
  get clientId(): string {
    return clientIds.textOf(this.#value, this.#clientIdStart, this.#clientIdEnd)
  }

  get topic(): string {
    return this.#value.toString('utf8', this.#topicStart, this.#topicEnd)
  }
}

/** The early fields of a message's record. Throws RecordError. */
export function peekMessage(value: Buffer): MessageView {
  return new MessageView(value)
}

/** The id of a message's record, a view into it; undefined for what is none. Throws UnknownSchemaId. */
export function messageIdOf(value: Buffer): Buffer | undefined {
  try {
    const start = beginReading(value)
    return value.length < start + messageIdSize ? undefined : value.subarray(start, start + messageIdSize)
  } catch (error) {
    if (error instanceof RecordError) return undefined
    throw error
  }
}

/** The whole record. Buffers are views into the value. Throws RecordError for anything but a whole Message. */
export function decodeMessage(value: Buffer): Message {
  position = beginReading(value)
  const messageId = value.subarray(position, position + messageIdSize)
  position += messageIdSize
  if (position > value.length) throw truncated()
  const message: Message = {
    messageId,
    clientId: readString(value),
    session: readLong(value),
    receivedAt: readLong(value),
    topic: readString(value),
    qos: readLong(value),
    retain: readBoolean(value),
    messageExpiryInterval: readBranch(value) ? readLong(value) : null,
    authenticationName: readString(value),
    gateway: readString(value),
    protocolVersion: readLong(value),
    payloadFormatIndicator: readBranch(value) ? readLong(value) : null,
    contentType: readBranch(value) ? readString(value) : null,
    responseTopic: readBranch(value) ? readString(value) : null,
    correlationData: readBranch(value) ? readBytes(value) : null,
    userProperties: readUserProperties(value),
    payload: readBytes(value),
  }
  if (position !== value.length) throw new RecordError(`${value.length - position} bytes follow a Message`)
  return message
}

const scratch = new Bytes()
const noProperties = Buffer.alloc(0)
const stringMax = 0xffff
const secondsMax = 0xffff_ffff

/**
 * A message's record as its deliveries need it: checked whole, once, and nothing of it copied. What receivers get is moved from one
 * encoding into the other without becoming strings.
 */
export class DeliveryView {
  readonly value: Buffer
  readonly receivedAt: number
  /** Seconds, as published. */
  readonly messageExpiryInterval: number | null
  readonly #topicStart: number
  readonly #topicEnd: number
  readonly #propertiesStart: number
  readonly #hasProperties: boolean
  readonly #payloadStart: number

  /** Throws RecordError for anything but a whole Message, or one with a string that MQTT has no room for. */
  constructor(value: Buffer) {
    this.value = value
    position = beginReading(value) + messageIdSize
    positionAfterBytes(value) // clientId
    readLong(value) // session
    this.receivedAt = readLong(value)
    this.#topicEnd = positionAfterText(value)
    this.#topicStart = bytesStart
    readLong(value) // qos
    readBoolean(value) // retain
    this.messageExpiryInterval = readBranch(value) ? readLong(value) : null
    const { messageExpiryInterval } = this
    if (messageExpiryInterval !== null && !(messageExpiryInterval >= 0 && messageExpiryInterval <= secondsMax))
      throw new RecordError(`a message expiry interval of ${messageExpiryInterval} s does not fit into an MQTT packet`)
    positionAfterBytes(value) // authenticationName
    positionAfterBytes(value) // gateway
    readLong(value) // protocolVersion
    this.#propertiesStart = position
    if (readBranch(value)) readLong(value) // payloadFormatIndicator
    if (readBranch(value)) positionAfterText(value) // contentType
    if (readBranch(value)) positionAfterText(value) // responseTopic
    if (readBranch(value)) positionAfterText(value) // correlationData
    for (let count = readBlockCount(value); count > 0; count = readBlockCount(value)) {
      for (let left = count; left > 0; left--) {
        positionAfterText(value)
        positionAfterText(value)
      }
    }
    this.#hasProperties = position - this.#propertiesStart > absentSize
    const end = positionAfterBytes(value)
    this.#payloadStart = bytesStart
    if (end !== value.length) throw new RecordError(`${value.length - end} bytes follow a Message`)
  }

  get topic(): string {
    return this.value.toString('utf8', this.#topicStart, this.#topicEnd)
  }

  get payloadSize(): number {
    return this.value.length - this.#payloadStart
  }

  /**
   * What receivers of the version share. `messageExpiryInterval` is what is left of it [MQTT-3.3.2-6], in seconds; null for none. `marks` follow
   * the publisher's user properties.
   */
  encode(version: ProtocolVersion, messageExpiryInterval: number | null, marks: UserProperties = []): EncodedPublish {
    return {
      version,
      topic: this.value,
      topicStart: this.#topicStart,
      topicEnd: this.#topicEnd,
      properties:
        version === 4 || (!this.#hasProperties && messageExpiryInterval === null && marks.length === 0)
          ? noProperties
          : this.#properties(messageExpiryInterval, marks),
      payload: this.value,
      payloadStart: this.#payloadStart,
    }
  }

  #properties(messageExpiryInterval: number | null, marks: UserProperties): Buffer {
    const { value } = this
    const target = scratch
    target.reset()
    position = this.#propertiesStart
    if (readBranch(value)) putByteProperty(target, 0x01, readLong(value)) // payloadFormatIndicator
    if (messageExpiryInterval !== null) {
      target.byte(0x02)
      target.uint32(messageExpiryInterval)
    }
    if (readBranch(value)) moveProperty(value, target, 0x03) // contentType
    if (readBranch(value)) moveProperty(value, target, 0x08) // responseTopic
    if (readBranch(value)) moveProperty(value, target, 0x09) // correlationData
    for (let count = readBlockCount(value); count > 0; count = readBlockCount(value)) {
      for (let left = count; left > 0; left--) {
        moveProperty(value, target, 0x26)
        moveText(value, target)
      }
    }
    for (const [name, text] of marks) {
      target.byte(0x26)
      target.text(name)
      target.text(text)
    }
    return target.copyFrom(0)
  }
}

/** Bytes of five properties that are not there: four nulls and an empty array. */
const absentSize = 5

function putByteProperty(target: Bytes, identifier: number, value: number): void {
  target.byte(identifier)
  target.byte(value)
}

function moveProperty(value: Buffer, target: Bytes, identifier: number): void {
  target.byte(identifier)
  moveText(value, target)
}

/** Avro and MQTT differ only in how they write the length of strings and bytes. */
function moveText(value: Buffer, target: Bytes): void {
  const end = positionAfterText(value)
  const start = bytesStart
  const size = end - start
  target.uint16(size)
  target.reserve(size)
  value.copy(target.buffer, target.length, start, end)
  target.length += size
}

/** Where reading stands, and where the bytes passed over last began. */
let position = 0
let bytesStart = 0

function beginReading(value: Buffer): number {
  // The one way by hand; whatever begins otherwise is looked at in full.
  if (value.length >= 10 && value[0] === 0xc3 && value[1] === 0x01 && value.readUInt32LE(2) === headerLow && value.readUInt32LE(6) === headerHigh) return 10
  return startOfBody(value, framing)
}

function readLong(value: Buffer): number {
  let byte = readByte(value)
  let low = byte & 0x7f
  if (byte >= 0x80) {
    byte = readByte(value)
    low |= (byte & 0x7f) << 7
    if (byte >= 0x80) {
      byte = readByte(value)
      low |= (byte & 0x7f) << 14
      if (byte >= 0x80) {
        byte = readByte(value)
        low |= (byte & 0x7f) << 21
        if (byte >= 0x80) return readLongTail(value, low)
      }
    }
  }
  return (low >>> 1) ^ -(low & 1)
}

function readLongTail(value: Buffer, low: number): number {
  let sum = low
  let scale = 2 ** 28
  for (let count = 4; count < 8; count++) {
    const byte = readByte(value)
    sum += (byte & 0x7f) * scale
    if (byte < 0x80) {
      if (sum > longMax * 2) break
      return sum % 2 === 0 ? sum / 2 : -(sum + 1) / 2
    }
    scale *= 128
  }
  throw new RecordError('an integer is beyond 2^52')
}

function readByte(value: Buffer): number {
  if (position >= value.length) throw truncated()
  return value[position++]!
}

function readBoolean(value: Buffer): boolean {
  const byte = readByte(value)
  if (byte > 1) throw new RecordError(`${byte} is not a boolean`)
  return byte === 1
}

/** Whether a union with null holds a value. */
function readBranch(value: Buffer): boolean {
  const byte = readByte(value)
  if (byte !== 0 && byte !== 2) throw new RecordError(`a union with null has no branch ${byte / 2}`)
  return byte === 2
}

/** Passes over bytes or a string; `bytesStart` is where they begin. */
function positionAfterBytes(value: Buffer): number {
  const length = readLong(value)
  bytesStart = position
  if (length < 0 || length > value.length - position) throw truncated()
  position += length
  return position
}

/** The same for what has to fit into a string of MQTT. */
function positionAfterText(value: Buffer): number {
  const end = positionAfterBytes(value)
  if (end - bytesStart > stringMax) throw new RecordError(`a string of ${end - bytesStart} bytes does not fit into an MQTT packet`)
  return end
}

function readString(value: Buffer): string {
  const end = positionAfterBytes(value)
  return value.toString('utf8', bytesStart, end)
}

function readBytes(value: Buffer): Buffer {
  const end = positionAfterBytes(value)
  return value.subarray(bytesStart, end)
}

const none: readonly UserProperty[] = Object.freeze([])

function readUserProperties(value: Buffer): readonly UserProperty[] {
  let count = readBlockCount(value)
  if (count === 0) return none
  const properties: UserProperty[] = []
  for (; count > 0; count = readBlockCount(value)) {
    // Each takes two bytes at least, so the record's end bounds the loop.
    for (let left = count; left > 0; left--) properties.push({ name: readString(value), value: readString(value) })
  }
  return properties
}

/** Number of items in the next block of an array, 0 at its end. */
function readBlockCount(value: Buffer): number {
  const count = readLong(value)
  if (count >= 0) return count
  // Another writer's form: a negative count and the block's size.
  readLong(value)
  return -count
}

function truncated(): RecordError {
  return new RecordError('the Message ends inside a field')
}
