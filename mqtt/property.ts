import { Bytes, variableByteIntegerSize } from './bytes.ts'
import { MalformedPacket, protocolError } from './malformed-packet.ts'
import type { Reader } from './reader.ts'
import { ReasonCode } from './reason-code.ts'

/**
 * The properties of MQTT 5: section 2.2.2 as a table, and one reader and one writer over it.
 *
 *   properties = length (variable byte integer) { identifier value }
 */

/** A place that holds properties, as a bit; a will's stand inside CONNECT. */
export const Holder = {
  connect: 1 << 0,
  connack: 1 << 1,
  publish: 1 << 2,
  will: 1 << 3,
  puback: 1 << 4,
  pubrec: 1 << 5,
  pubrel: 1 << 6,
  pubcomp: 1 << 7,
  subscribe: 1 << 8,
  suback: 1 << 9,
  unsubscribe: 1 << 10,
  unsuback: 1 << 11,
  disconnect: 1 << 12,
  auth: 1 << 13,
} as const
export type Holder = (typeof Holder)[keyof typeof Holder]

type Kind = 'flag' | 'bit' | 'uint16' | 'uint32' | 'variableByteInteger' | 'text' | 'binary' | 'userProperties' | 'subscriptionIdentifiers'

interface Property {
  readonly identifier: number
  readonly name: string
  /** `flag` is read as a boolean, `bit` as 0 or 1. */
  readonly kind: Kind
  readonly holders: number
  /** Lowest value allowed; below it is a protocol error. */
  readonly min: number
}

const { connect, connack, publish, will, puback, pubrec, pubrel, pubcomp, subscribe, suback, unsubscribe, unsuback, disconnect, auth } = Holder
const anyAck = puback | pubrec | pubrel | pubcomp
const anywhere = connect | connack | publish | will | anyAck | subscribe | suback | unsubscribe | unsuback | disconnect | auth

// Table 2-4. Subscription Identifier is repeatable in PUBLISH only and has its own name there.
const table: readonly Property[] = [
  property(0x01, 'payloadFormatIndicator', 'bit', publish | will),
  property(0x02, 'messageExpiryInterval', 'uint32', publish | will),
  property(0x03, 'contentType', 'text', publish | will),
  property(0x08, 'responseTopic', 'text', publish | will),
  property(0x09, 'correlationData', 'binary', publish | will),
  property(0x0b, 'subscriptionIdentifier', 'variableByteInteger', subscribe, 1),
  property(0x0b, 'subscriptionIdentifiers', 'subscriptionIdentifiers', publish, 1),
  property(0x11, 'sessionExpiryInterval', 'uint32', connect | connack | disconnect),
  property(0x12, 'assignedClientIdentifier', 'text', connack),
  property(0x13, 'serverKeepAlive', 'uint16', connack),
  property(0x15, 'authenticationMethod', 'text', connect | connack | auth),
  property(0x16, 'authenticationData', 'binary', connect | connack | auth),
  property(0x17, 'requestProblemInformation', 'flag', connect),
  property(0x18, 'willDelayInterval', 'uint32', will),
  property(0x19, 'requestResponseInformation', 'flag', connect),
  property(0x1a, 'responseInformation', 'text', connack),
  property(0x1c, 'serverReference', 'text', connack | disconnect),
  property(0x1f, 'reasonString', 'text', connack | anyAck | suback | unsuback | disconnect | auth),
  property(0x21, 'receiveMaximum', 'uint16', connect | connack, 1),
  property(0x22, 'topicAliasMaximum', 'uint16', connect | connack),
  property(0x23, 'topicAlias', 'uint16', publish, 1),
  property(0x24, 'maximumQoS', 'bit', connack),
  property(0x25, 'retainAvailable', 'flag', connack),
  property(0x26, 'userProperties', 'userProperties', anywhere),
  property(0x27, 'maximumPacketSize', 'uint32', connect | connack, 1),
  property(0x28, 'wildcardSubscriptionAvailable', 'flag', connack),
  property(0x29, 'subscriptionIdentifiersAvailable', 'flag', connack),
  property(0x2a, 'sharedSubscriptionAvailable', 'flag', connack),
]

function property(identifier: number, name: string, kind: Kind, holders: number, min = 0): Property {
  return { identifier, name, kind, holders, min }
}

/** Properties by identifier, for one holder. */
const byHolder = new Map<number, readonly (Property | undefined)[]>()
const byName = new Map<string, Property>()
for (const holder of Object.values(Holder)) {
  const row: (Property | undefined)[] = new Array(0x2b).fill(undefined)
  for (const entry of table) if ((entry.holders & holder) !== 0) row[entry.identifier] = entry
  byHolder.set(holder, row)
}
for (const entry of table) byName.set(entry.name, entry)

/** Every identifier that MQTT 5 defines, with its name and the holders it may stand in: for tests and documentation. */
export const properties: readonly { readonly identifier: number; readonly name: string; readonly kind: string; readonly holders: number }[] = table

type Values = Record<string, unknown>

/** Nothing allocated for the many packets without properties. */
export const noProperties: Readonly<Record<string, never>> = Object.freeze({})

/**
 * Reads properties, the length included, and checks each: known and allowed in the holder (else malformed, section
 * 2.2.2.2), not repeated, in range (else a protocol error).
 */
export function readProperties(reader: Reader, holder: Holder): Values {
  const length = reader.variableByteInteger()
  if (length === 0) return noProperties
  const end = reader.position + length
  if (end > reader.end) throw new MalformedPacket('the properties are longer than the packet')
  const allowed = byHolder.get(holder)!
  const values: Values = {}
  while (reader.position < end) {
    const identifier = reader.variableByteInteger()
    const entry = allowed[identifier]
    if (entry === undefined) throw new MalformedPacket(`property 0x${identifier.toString(16).padStart(2, '0')} is unknown or not allowed in this packet`)
    readValue(reader, entry, values)
  }
  if (reader.position !== end) throw new MalformedPacket('the last property is longer than the properties')
  return values
}

function readValue(reader: Reader, entry: Property, values: Values): void {
  const { name, kind } = entry
  const before = values[name]
  if (kind === 'userProperties') {
    const pair = [reader.text(), reader.text()]
    if (before === undefined) values[name] = [pair]
    else (before as string[][]).push(pair)
  } else if (kind === 'subscriptionIdentifiers') {
    const identifier = inRange(entry, reader.variableByteInteger())
    if (before === undefined) values[name] = [identifier]
    else (before as number[]).push(identifier)
  } else {
    if (before !== undefined) throw protocolError(`property ${name} is there twice`)
    values[name] = readSingle(reader, entry)
  }
}

function readSingle(reader: Reader, entry: Property): unknown {
  switch (entry.kind) {
    case 'flag':
      return readBit(reader, entry) === 1
    case 'bit':
      return readBit(reader, entry)
    case 'uint16':
      return inRange(entry, reader.uint16())
    case 'uint32':
      return inRange(entry, reader.uint32())
    case 'variableByteInteger':
      return inRange(entry, reader.variableByteInteger())
    case 'binary':
      // Copied: it outlives the read buffer in most uses, and pinning a whole read for it would be unbounded.
      return Buffer.from(reader.binary())
    default:
      return reader.text()
  }
}

function readBit(reader: Reader, entry: Property): number {
  const value = reader.byte()
  if (value > 1) throw protocolError(`${entry.name} is ${value}; allowed are 0 and 1`)
  return value
}

function inRange(entry: Property, value: number): number {
  if (value >= entry.min) return value
  // [MQTT-3.3.2-8]; section 3.14.2.1 gives an alias out of range its own code.
  if (entry.name === 'topicAlias') throw new MalformedPacket('topicAlias is 0', ReasonCode.TopicAliasInvalid)
  throw protocolError(`${entry.name} is ${value}; the lowest allowed is ${entry.min}`)
}

const body = new Bytes(1024)

/** Writes properties with their length, in the order of the object. Undefined members are left out; an unknown name is a programmer's error. */
export function writeProperties(target: Bytes, values: object | undefined): void {
  if (values === undefined) {
    target.byte(0)
    return
  }
  body.reset()
  writeValues(body, values)
  target.reserve(variableByteIntegerSize(body.length) + body.length)
  target.variableByteInteger(body.length)
  target.raw(body.buffer.subarray(0, body.length))
}

/** Writes properties without their length. */
export function writeValues(target: Bytes, values: object): void {
  for (const name in values) {
    const value = (values as Values)[name]
    if (value === undefined) continue
    const entry = byName.get(name)
    if (entry === undefined) throw new TypeError(`${name} is not an MQTT property`)
    writeValue(target, entry, value)
  }
}

// The casts hold by packet.ts, whose property types follow the table above.
function writeValue(target: Bytes, { identifier, kind }: Property, value: unknown): void {
  if (kind === 'userProperties') {
    for (const [name, text] of value as readonly (readonly [string, string])[]) {
      target.byte(identifier)
      target.text(name)
      target.text(text)
    }
    return
  }
  if (kind === 'subscriptionIdentifiers') {
    for (const number of value as readonly number[]) {
      target.byte(identifier)
      target.variableByteInteger(number)
    }
    return
  }
  target.byte(identifier)
  switch (kind) {
    case 'flag':
      target.byte(value === true ? 1 : 0)
      break
    case 'bit':
      target.byte(value as number)
      break
    case 'uint16':
      target.uint16(value as number)
      break
    case 'uint32':
      target.uint32(value as number)
      break
    case 'variableByteInteger':
      target.variableByteInteger(value as number)
      break
    case 'binary':
      target.binary(value as Buffer)
      break
    case 'text':
      target.text(value as string)
      break
  }
}
