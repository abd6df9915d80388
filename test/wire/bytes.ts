/**
 * MQTT packets as bytes, for tests: written from the specification alone and sharing nothing with the product's codec,
 * so that a mistake there cannot hide here. It also writes what no client should send.
 */

export type Version = 4 | 5

/** MQTT 5 property identifiers [MQTT-5 2.2.2.2]. */
export const Property = {
  payloadFormatIndicator: 0x01,
  messageExpiryInterval: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  sessionExpiryInterval: 0x11,
  assignedClientIdentifier: 0x12,
  serverKeepAlive: 0x13,
  authenticationMethod: 0x15,
  authenticationData: 0x16,
  requestProblemInformation: 0x17,
  willDelayInterval: 0x18,
  requestResponseInformation: 0x19,
  responseInformation: 0x1a,
  serverReference: 0x1c,
  reasonString: 0x1f,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  maximumQoS: 0x24,
  retainAvailable: 0x25,
  userProperty: 0x26,
  maximumPacketSize: 0x27,
  wildcardSubscriptionAvailable: 0x28,
  subscriptionIdentifiersAvailable: 0x29,
  sharedSubscriptionAvailable: 0x2a,
} as const

type Kind = 'byte' | 'u16' | 'u32' | 'varint' | 'text' | 'binary' | 'pair'
/** How each is encoded. */
export const kinds: Readonly<Record<number, Kind>> = {
  1: 'byte',
  2: 'u32',
  3: 'text',
  8: 'text',
  9: 'binary',
  11: 'varint',
  17: 'u32',
  18: 'text',
  19: 'u16',
  21: 'text',
  22: 'binary',
  23: 'byte',
  24: 'u32',
  25: 'byte',
  26: 'text',
  28: 'text',
  31: 'text',
  33: 'u16',
  34: 'u16',
  35: 'u16',
  36: 'byte',
  37: 'byte',
  38: 'pair',
  39: 'u32',
  40: 'byte',
  41: 'byte',
  42: 'byte',
}

export type PropertyValue = number | string | Buffer | readonly [string, string]
/** In the order of the packet; identifiers may repeat. */
export type Properties = readonly (readonly [identifier: number, value: PropertyValue])[]

export function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  do {
    const low = rest % 128
    rest = Math.floor(rest / 128)
    bytes.push(rest > 0 ? low | 128 : low)
  } while (rest > 0)
  return Buffer.from(bytes)
}

export function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255])
}

export function binary(value: Buffer): Buffer {
  return Buffer.concat([u16(value.length), value])
}

export function text(value: string): Buffer {
  return binary(Buffer.from(value, 'utf8'))
}

function property(identifier: number, value: PropertyValue): Buffer {
  const head = Buffer.from([identifier])
  switch (kinds[identifier]) {
    case 'byte':
      return Buffer.concat([head, Buffer.from([value as number])])
    case 'u16':
      return Buffer.concat([head, u16(value as number)])
    case 'u32': {
      const number = Buffer.alloc(4)
      number.writeUInt32BE(value as number)
      return Buffer.concat([head, number])
    }
    case 'varint':
      return Buffer.concat([head, varint(value as number)])
    case 'text':
      return Buffer.concat([head, text(value as string)])
    case 'binary':
      return Buffer.concat([head, binary(value as Buffer)])
    case 'pair': {
      const [name, content] = value as readonly [string, string]
      return Buffer.concat([head, text(name), text(content)])
    }
    default:
      throw new Error(`no such property: ${identifier}`)
  }
}

/** Nothing at all for 3.1.1. */
export function properties(version: Version, list: Properties = []): Buffer {
  if (version === 4) return Buffer.alloc(0)
  const body = Buffer.concat(list.map(([identifier, value]) => property(identifier, value)))
  return Buffer.concat([varint(body.length), body])
}

/** Properties as bytes, with their length before them. */
export function binaryProperties(list: Buffer): Buffer {
  return Buffer.concat([varint(list.length), list])
}

/** Any packet: first byte as given, then the remaining length and the body. */
export function packet(first: number, ...body: readonly Buffer[]): Buffer {
  const all = Buffer.concat(body)
  return Buffer.concat([Buffer.from([first]), varint(all.length), all])
}

export interface Connect {
  readonly version: Version
  readonly clientId: string | Buffer
  readonly clean?: boolean
  readonly keepAlive?: number
  readonly username?: string
  readonly password?: string
  readonly properties?: Properties
  /** Replaces the connect flags altogether. */
  readonly flags?: number
  /** Further payload fields, for flags that ask for them. */
  readonly extra?: Buffer
  readonly protocolName?: string
  readonly protocolLevel?: number
}

export function connect(c: Connect): Buffer {
  const flags = c.flags ?? ((c.clean ?? true) ? 2 : 0) | (c.username === undefined ? 0 : 0x80) | (c.password === undefined ? 0 : 0x40)
  const id = Buffer.isBuffer(c.clientId) ? binary(c.clientId) : text(c.clientId)
  const tail = [id]
  if (c.extra) tail.push(c.extra)
  if (c.username !== undefined) tail.push(text(c.username))
  if (c.password !== undefined) tail.push(text(c.password))
  return packet(
    0x10,
    text(c.protocolName ?? 'MQTT'),
    Buffer.from([c.protocolLevel ?? c.version, flags]),
    u16(c.keepAlive ?? 60),
    properties(c.version, c.properties),
    ...tail,
  )
}

export interface Publish {
  readonly version: Version
  readonly topic: string | Buffer
  readonly payload?: string | Buffer
  readonly qos?: number
  readonly dup?: boolean
  readonly retain?: boolean
  readonly id?: number
  readonly properties?: Properties
}

export function publish(p: Publish): Buffer {
  const qos = p.qos ?? 0
  const topic = Buffer.isBuffer(p.topic) ? binary(p.topic) : text(p.topic)
  return packet(
    0x30 | (p.dup ? 8 : 0) | (qos << 1) | (p.retain ? 1 : 0),
    topic,
    qos > 0 ? u16(p.id ?? 1) : Buffer.alloc(0),
    properties(p.version, p.properties),
    Buffer.from(p.payload ?? ''),
  )
}

/** A filter and its options byte: QoS in bits 0–1, MQTT 5: No Local 4, Retain As Published 8, Retain Handling 16, 32. */
export type Filter = readonly [filter: string | Buffer, options: number]

export function subscribe(version: Version, id: number, filters: readonly Filter[], list: Properties = []): Buffer {
  return packet(
    0x82,
    u16(id),
    properties(version, list),
    ...filters.flatMap(([filter, options]) => [Buffer.isBuffer(filter) ? binary(filter) : text(filter), Buffer.from([options])]),
  )
}

export function unsubscribe(version: Version, id: number, filters: readonly (string | Buffer)[]): Buffer {
  return packet(0xa2, u16(id), properties(version), ...filters.map((each) => (Buffer.isBuffer(each) ? binary(each) : text(each))))
}

const acknowledgement = (first: number, id: number, code: number): Buffer => (code === 0 ? packet(first, u16(id)) : packet(first, u16(id), Buffer.from([code])))

export const puback = (id: number, code = 0): Buffer => acknowledgement(0x40, id, code)
export const pubrec = (id: number, code = 0): Buffer => acknowledgement(0x50, id, code)
export const pubrel = (id: number, code = 0): Buffer => acknowledgement(0x62, id, code)
export const pubcomp = (id: number, code = 0): Buffer => acknowledgement(0x70, id, code)

export const pingreq: Buffer = packet(0xc0)

export function disconnect(version: Version, code = 0, list: Properties = []): Buffer {
  if (version === 4 || (code === 0 && list.length === 0)) return packet(0xe0)
  return packet(0xe0, Buffer.from([code]), properties(version, list))
}

interface WithProperties {
  readonly properties: Properties
}
export interface Connack extends WithProperties {
  readonly type: 'connack'
  readonly sessionPresent: boolean
  readonly code: number
}
export interface Delivery extends WithProperties {
  readonly type: 'publish'
  readonly topic: string
  readonly payload: Buffer
  readonly qos: number
  readonly dup: boolean
  readonly retain: boolean
  readonly id: number
}
export interface Acknowledgement extends WithProperties {
  readonly type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'
  readonly id: number
  readonly code: number
}
export interface Answers extends WithProperties {
  readonly type: 'suback' | 'unsuback'
  readonly id: number
  readonly codes: readonly number[]
}
export interface Pingresp {
  readonly type: 'pingresp'
}
export interface Farewell extends WithProperties {
  readonly type: 'disconnect' | 'auth'
  readonly code: number
}
/** What a server may send. */
export type Received = Connack | Delivery | Acknowledgement | Answers | Pingresp | Farewell

/** The first value of a property. */
export function valueFor(packet: WithProperties, identifier: number): PropertyValue | undefined {
  return packet.properties.find(([each]) => each === identifier)?.[1]
}

export function valuesFor(packet: WithProperties, identifier: number): PropertyValue[] {
  return packet.properties.filter(([each]) => each === identifier).map(([, value]) => value)
}
