import type { PublishPacket, UserProperties } from '../mqtt/packet.ts'
import { headerSize, recordHeader } from './codec.ts'
import { RecordError } from './record-error.ts'
import type { Message, UserProperty } from './records.ts'

/**
 * The Message record by hand, for the hot path: the same bytes as the generic codec (message.avsc is the contract, a
 * differential test holds both together), several times cheaper.
 *
 *   C3 01 fingerprint · messageId fixed16 · clientId string · session long · receivedAt long · topic string · qos int
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

const header = recordHeader('Message')
const headerLow = header.readUInt32LE(2)
const headerHigh = header.readUInt32LE(6)
const messageIdSize = 16
const longMax = 2 ** 52

/** Records are written here, one after the other; `at` is how far the current one has come. */
let slab = Buffer.allocUnsafeSlow(65_536)
let at = 0
const slabKeptMax = 1 << 20

/** The record of a PUBLISH under its full topic name. The result is a view that the next encoding overwrites: copy it. */
export function encodePublish(accepted: Accepted, topic: string, publish: PublishPacket): Buffer {
  const properties = publish.properties
  begin(publish.payload)
  putOrigin(accepted, topic, publish.qos, publish.retain, properties?.messageExpiryInterval ?? null)
  putReceipt(accepted)
  if (properties === undefined) {
    // Four nulls and an empty array.
    slab.fill(0, at, at + 5)
    at += 5
  } else {
    putOptionalLong(properties.payloadFormatIndicator ?? null)
    putOptionalString(properties.contentType ?? null)
    putOptionalString(properties.responseTopic ?? null)
    putOptionalBytes(properties.correlationData ?? null)
    putPairs(properties.userProperties)
  }
  putBytes(publish.payload)
  return slab.subarray(0, at)
}

/** Any message's record. The result is a view that the next encoding overwrites: copy it. */
export function encodeMessage(message: Message): Buffer {
  begin(message.payload)
  putOrigin(message, message.topic, message.qos, message.retain, message.messageExpiryInterval)
  putReceipt(message)
  putOptionalLong(message.payloadFormatIndicator)
  putOptionalString(message.contentType)
  putOptionalString(message.responseTopic)
  putOptionalBytes(message.correlationData)
  putUserProperties(message.userProperties)
  putBytes(message.payload)
  return slab.subarray(0, at)
}

function begin(payload: Buffer): void {
  if (slab.length > slabKeptMax) slab = Buffer.allocUnsafeSlow(65_536)
  at = 0
  // Everything of a fixed or small size: the header, the id, the numbers.
  reserve(payload.length + 256)
  slab.set(header, 0)
  at = headerSize
}

function putOrigin(origin: Accepted, topic: string, qos: number, retain: boolean, messageExpiryInterval: number | null): void {
  if (origin.messageId.length !== messageIdSize) throw new RangeError(`a message id has ${messageIdSize} bytes, not ${origin.messageId.length}`)
  slab.set(origin.messageId, at)
  at += messageIdSize
  putString(origin.clientId)
  putLong(origin.session)
  putLong(origin.receivedAt)
  putString(topic)
  putLong(qos)
  slab[at++] = retain ? 1 : 0
  putOptionalLong(messageExpiryInterval)
}

function putReceipt(origin: Accepted): void {
  putString(origin.authenticationName)
  putString(origin.gateway)
  putLong(origin.protocolVersion)
}

/** Keeps 64 bytes more than asked for, so that numbers need no check of their own. */
function reserve(size: number): void {
  const needed = at + size + 64
  if (needed <= slab.length) return
  const grown = Buffer.allocUnsafeSlow(Math.max(needed, slab.length * 2))
  slab.copy(grown, 0, 0, at)
  slab = grown
}

/** Zigzag and variable length; no number here is negative but a session before its attach is known. */
function putLong(value: number): void {
  if (value >= 0 && value < 0x4000_0000) {
    let left = (value << 1) >>> 0
    while (left >= 0x80) {
      slab[at++] = (left & 0x7f) | 0x80
      left >>>= 7
    }
    slab[at++] = left
    return
  }
  if (!Number.isInteger(value) || value > longMax || value < -longMax) throw new RangeError(`${value} is not a whole number from -2^52 to 2^52`)
  let left = value >= 0 ? value * 2 : -value * 2 - 1
  while (left >= 0x80) {
    slab[at++] = (left % 0x80) | 0x80
    left = Math.floor(left / 0x80)
  }
  slab[at++] = left
}

function putOptionalLong(value: number | null): void {
  if (value === null) {
    slab[at++] = 0
    return
  }
  slab[at++] = 2
  putLong(value)
}

const shortMax = 63

function putString(text: string): void {
  const length = text.length
  reserve(length * 3)
  // Short ASCII is cheaper by hand than by a call that leaves JavaScript.
  if (length <= shortMax) {
    let end = at + 1
    let index = 0
    for (; index < length; index++) {
      const unit = text.charCodeAt(index)
      if (unit >= 0x80) break
      slab[end++] = unit
    }
    if (index === length) {
      slab[at] = length << 1
      at = end
      return
    }
  }
  const size = Buffer.byteLength(text)
  putLong(size)
  slab.write(text, at)
  at += size
}

function putOptionalString(text: string | null): void {
  if (text === null) {
    slab[at++] = 0
    return
  }
  slab[at++] = 2
  putString(text)
}

function putBytes(bytes: Buffer): void {
  reserve(bytes.length)
  putLong(bytes.length)
  slab.set(bytes, at)
  at += bytes.length
}

function putOptionalBytes(bytes: Buffer | null): void {
  if (bytes === null) {
    slab[at++] = 0
    return
  }
  slab[at++] = 2
  putBytes(bytes)
}

function putPairs(pairs: UserProperties | undefined): void {
  if (pairs !== undefined && pairs.length > 0) {
    putLong(pairs.length)
    for (const [name, value] of pairs) {
      putString(name)
      putString(value)
    }
  }
  slab[at++] = 0
}

function putUserProperties(properties: readonly UserProperty[]): void {
  if (properties.length > 0) {
    putLong(properties.length)
    for (const { name, value } of properties) {
      putString(name)
      putString(value)
    }
  }
  slab[at++] = 0
}

/**
 * A message's early fields, read without decoding the rest (what matching and queueing need). Strings are decoded when
 * asked for. The rest of the record is not checked.
 */
export class MessageView {
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
    return this.#value.toString('utf8', this.#clientIdStart, this.#clientIdEnd)
  }

  get topic(): string {
    return this.#value.toString('utf8', this.#topicStart, this.#topicEnd)
  }
}

/** The early fields of a message's record. Throws RecordError. */
export function peekMessage(value: Buffer): MessageView {
  return new MessageView(value)
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

/** Where reading stands, and where the bytes passed over last began. */
let position = 0
let bytesStart = 0

function beginReading(value: Buffer): number {
  if (value.length < headerSize) throw truncated()
  if (value[0] !== 0xc3 || value[1] !== 0x01 || value.readUInt32LE(2) !== headerLow || value.readUInt32LE(6) !== headerHigh) {
    throw new RecordError(`the value does not begin like a Message but with ${value.toString('hex', 0, headerSize)}`)
  }
  return headerSize
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
  let count = readLong(value)
  if (count === 0) return none
  const properties: UserProperty[] = []
  while (count !== 0) {
    if (count < 0) {
      // Another writer's form: a negative count and the block's size.
      count = -count
      readLong(value)
    }
    // Each takes two bytes at least, so the record's end bounds the loop.
    for (; count > 0; count--) properties.push({ name: readString(value), value: readString(value) })
    count = readLong(value)
  }
  return properties
}

function truncated(): RecordError {
  return new RecordError('the Message ends inside a field')
}
