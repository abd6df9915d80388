import mqttPacket, { type Packet as ForeignPacket } from 'mqtt-packet'
import type { Packet, ProtocolVersion, UserProperties } from '../../../mqtt/packet.ts'
import { returnCodeOf } from '../../../mqtt/reason-code.ts'

// mqtt-packet is an independent reading of the specification: what either writes, the other must understand the same.

export type Loose = Record<string, unknown>

/** A packet in mqtt-packet's words. */
export function foreign(packet: Packet, version: ProtocolVersion): Loose {
  const loose: Loose = { ...packet }
  delete loose.type
  loose.cmd = packet.type
  if ('packetId' in packet) {
    delete loose.packetId
    if (packet.packetId !== 0) loose.messageId = packet.packetId
  }
  if ('properties' in packet) loose.properties = foreignProperties(packet.properties as Loose)
  switch (packet.type) {
    case 'connect':
      delete loose.cleanStart
      delete loose.keepAlive
      delete loose.bridge
      Object.assign(loose, { clean: packet.cleanStart, keepalive: packet.keepAlive, protocolId: 'MQTT' })
      if (packet.bridge) loose.bridgeMode = true
      if (packet.will !== undefined) loose.will = { ...packet.will, properties: foreignProperties(packet.will.properties as Loose) }
      break
    case 'connack':
      if (version === 4) {
        delete loose.reasonCode
        loose.returnCode = returnCodeOf(packet.reasonCode)
      }
      break
    case 'subscribe':
      delete loose.filters
      loose.subscriptions = packet.filters.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) =>
        version === 4 ? { topic: filter, qos } : { topic: filter, qos, nl: noLocal, rap: retainAsPublished, rh: retainHandling },
      )
      break
    case 'unsubscribe':
      delete loose.filters
      loose.unsubscriptions = packet.filters
      break
    case 'suback':
    case 'unsuback':
      delete loose.reasonCodes
      loose.granted = packet.reasonCodes
      break
  }
  return loose
}

function foreignProperties(properties: Loose): Loose {
  const { userProperties, payloadFormatIndicator, subscriptionIdentifiers, ...rest } = properties
  const loose: Loose = rest
  if (payloadFormatIndicator !== undefined) loose.payloadFormatIndicator = payloadFormatIndicator === 1
  if (userProperties !== undefined) loose.userProperties = grouped(userProperties as UserProperties)
  if (Array.isArray(subscriptionIdentifiers))
    loose.subscriptionIdentifier = subscriptionIdentifiers.length === 1 ? subscriptionIdentifiers[0] : subscriptionIdentifiers
  return loose
}

/** mqtt-packet groups user properties by name, and so loses the order between names and an empty value before another of its name. */
function grouped(pairs: UserProperties): Record<string, string | string[]> {
  const groups: Record<string, string | string[]> = {}
  for (const [name, value] of pairs) {
    const before = groups[name]
    groups[name] = before === undefined || before === '' ? value : Array.isArray(before) ? [...before, value] : [before, value]
  }
  return groups
}

/** Without what mqtt-packet adds (sizes, flags of the fixed header), leaves out, or gives a default. */
function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  const kept: Loose = {}
  for (const [name, member] of Object.entries(value)) {
    if (name === 'length' || (name === 'properties' && Object.keys(member as object).length === 0)) continue
    kept[name] = plain(member)
  }
  return kept
}

export function comparable(packet: Loose): unknown {
  const copy = { ...packet }
  if (copy.cmd !== 'publish') for (const name of ['qos', 'dup', 'retain', 'topic', 'payload']) delete copy[name]
  // mqtt-packet sets no reason code where the packet ends before it.
  if (copy.cmd !== 'connack' && copy.reasonCode === 0) delete copy.reasonCode
  if (copy.cmd === 'unsuback' && (copy.granted as unknown[] | undefined)?.length === 0) delete copy.granted
  return plain(copy)
}

export function readByForeign(bytes: Buffer, version: ProtocolVersion): Loose {
  const parser = mqttPacket.parser({ protocolVersion: version })
  let found: ForeignPacket | undefined
  parser.on('packet', (packet) => {
    found = packet
  })
  parser.on('error', (error: Error) => {
    throw error
  })
  parser.parse(bytes)
  return found as unknown as Loose
}

/** User properties regrouped as mqtt-packet would send them; names that are special to JavaScript objects are left to the round trips. */
export function regrouped(packet: Packet): Packet {
  const visit = (value: unknown): unknown => {
    if (Buffer.isBuffer(value) || typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map(visit)
    const copy: Loose = {}
    for (const [name, member] of Object.entries(value)) {
      copy[name] =
        name === 'userProperties'
          ? Object.entries(grouped(member as UserProperties)).flatMap(([key, values]) => [values].flat().map((text) => [key, text]))
          : visit(member)
    }
    return copy
  }
  return visit(packet) as Packet
}

export const hasSpecialName = (packet: Packet) =>
  /"(__proto__|constructor|toString|valueOf|hasOwnProperty|[a-zA-Z]*__|isPrototypeOf|propertyIsEnumerable|toLocaleString)"/.test(JSON.stringify(packet))

/** What mqtt-packet cannot write although the specification allows it. */
export function isBeyondForeignWriter(packet: Packet): boolean {
  if (packet.type !== 'connect') return false
  const isBridge5 = packet.bridge && packet.protocolVersion === 5 // it writes version 3 there
  return isBridge5 || (packet.password !== undefined && packet.username === undefined) || (packet.clientId === '' && !packet.cleanStart)
}
