import { isUtf8 } from 'node:buffer'
import { kinds, type Properties, type PropertyValue, type Received, type Version } from './bytes.ts'
import { properties, reasonCodes, repeatable, returnCodes, type ServerPacket } from './server-rules.ts'

class Reader {
  at = 0
  readonly bytes: Buffer
  constructor(bytes: Buffer) {
    this.bytes = bytes
  }
  get left(): number {
    return this.bytes.length - this.at
  }
  byte(): number {
    return this.bytes.readUInt8(this.at++)
  }
  u16(): number {
    this.at += 2
    return this.bytes.readUInt16BE(this.at - 2)
  }
  u32(): number {
    this.at += 4
    return this.bytes.readUInt32BE(this.at - 4)
  }
  take(length: number): Buffer {
    if (this.left < length) throw new Error(`the packet ends ${length - this.left} bytes early`)
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }
  text(): string {
    const bytes = this.take(this.u16())
    if (!isUtf8(bytes)) throw new Error('a string that is not UTF-8') // [MQTT-1.5.4-1]
    if (bytes.includes(0)) throw new Error('U+0000 in a string') // [MQTT-1.5.4-2]
    return bytes.toString('utf8')
  }
  varint(): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte()
      value += (byte & 127) * 2 ** shift
      if (byte === 0 && shift > 0) throw new Error('a variable byte integer that is longer than its value needs') // [MQTT-1.5.5-1]
      if (byte < 128) return value
    }
    throw new Error('a variable byte integer of more than four bytes')
  }
  /** `needsLength`: their length may not be left out [MQTT-2.2.2-1]. */
  properties(version: Version, needsLength: boolean): Properties {
    if (version === 4 || (this.left === 0 && !needsLength)) return []
    const body = new Reader(this.take(this.varint()))
    const list: [number, PropertyValue][] = []
    while (body.left > 0) {
      const identifier = body.varint()
      switch (kinds[identifier]) {
        case 'byte':
          list.push([identifier, body.byte()])
          break
        case 'u16':
          list.push([identifier, body.u16()])
          break
        case 'u32':
          list.push([identifier, body.u32()])
          break
        case 'varint':
          list.push([identifier, body.varint()])
          break
        case 'text':
          list.push([identifier, body.text()])
          break
        case 'binary':
          list.push([identifier, Buffer.from(body.take(body.u16()))])
          break
        case 'pair':
          list.push([identifier, [body.text(), body.text()]])
          break
        default:
          throw new Error(`an unknown property ${identifier}`)
      }
    }
    return list
  }
}

/** The properties that stand at the start of these bytes. */
export function readProperties(bytes: Buffer): Properties {
  return new Reader(bytes).properties(5, true)
}

const names = new Map<number, ServerPacket>([
  [2, 'connack'],
  [3, 'publish'],
  [4, 'puback'],
  [5, 'pubrec'],
  [6, 'pubrel'],
  [7, 'pubcomp'],
  [9, 'suback'],
  [11, 'unsuback'],
  [14, 'disconnect'],
  [15, 'auth'],
])

/** One whole packet from a server. Throws on what the specification does not allow there. */
export function parse(version: Version, first: number, body: Buffer): Received {
  const flags = first & 15
  if (first >> 4 !== 3 && flags !== (first >> 4 === 6 ? 2 : 0)) throw new Error(`packet type ${first >> 4} with flags ${flags}`) // [MQTT-2.1.3-1]
  const r = new Reader(body)
  const type = names.get(first >> 4)
  const packet = type ? read(version, type, flags, r) : first === 0xd0 ? ({ type: 'pingresp' } as const) : undefined
  if (!packet) throw new Error(`a server may not send packet type ${first >> 4}`)
  if (r.left > 0) throw new Error(`${r.left} bytes behind a ${packet.type}`)
  if (type && 'properties' in packet) checkProperties(type, packet.properties)
  return packet
}

function checkProperties(type: ServerPacket, list: Properties): void {
  const seen = new Set<number>()
  for (const [identifier] of list) {
    if (!properties[type].has(identifier)) throw new Error(`property ${identifier} in ${type}`)
    if (seen.has(identifier) && !repeatable.has(identifier)) throw new Error(`property ${identifier} twice in ${type}`)
    seen.add(identifier)
  }
}

function code(version: Version, type: Exclude<ServerPacket, 'publish'>, value: number): number {
  const allowed = version === 5 ? reasonCodes[type] : type === 'connack' || type === 'suback' ? returnCodes[type] : new Set([0])
  if (!allowed.has(value)) throw new Error(`${type} with the code 0x${value.toString(16)}`)
  return value
}

function read(version: Version, type: ServerPacket, flags: number, r: Reader): Received {
  switch (type) {
    case 'connack': {
      const present = r.byte()
      if (present > 1) throw new Error(`CONNACK flags ${present}`) // [MQTT-3.2.2-1]
      const answer = code(version, type, r.byte())
      if (present === 1 && answer !== 0) throw new Error('session present in a refusal') // [MQTT-3.2.2-6]
      return { type, sessionPresent: present === 1, code: answer, properties: r.properties(version, true) }
    }
    case 'publish': {
      const qos = (flags >> 1) & 3
      const dup = (flags & 8) !== 0
      if (qos === 3) throw new Error('PUBLISH at QoS 3') // [MQTT-3.3.1-4]
      if (qos === 0 && dup) throw new Error('DUP at QoS 0') // [MQTT-3.3.1-2]
      const topic = r.text()
      if (/[+#]/.test(topic)) throw new Error(`a wildcard in the topic ${topic}`) // [MQTT-3.3.2-2]
      const id = qos > 0 ? r.u16() : 0
      if (qos > 0 && id === 0) throw new Error('packet identifier 0') // [MQTT-2.2.1-4]
      const list = r.properties(version, true)
      return { type, topic, qos, id, dup, retain: (flags & 1) !== 0, properties: list, payload: Buffer.from(r.take(r.left)) }
    }
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return { type, id: r.u16(), code: version === 5 && r.left > 0 ? code(version, type, r.byte()) : 0, properties: r.properties(version, false) }
    case 'suback': {
      const id = r.u16()
      const list = r.properties(version, true)
      return { type, id, properties: list, codes: [...r.take(r.left)].map((each) => code(version, type, each)) }
    }
    case 'unsuback': {
      const id = r.u16()
      const list = r.properties(version, true)
      return { type, id, properties: list, codes: version === 5 ? [...r.take(r.left)].map((each) => code(version, type, each)) : [] }
    }
    case 'disconnect':
    case 'auth':
      if (version === 4) throw new Error(`${type} from a 3.1.1 server`)
      return { type, code: r.left > 0 ? code(version, type, r.byte()) : 0, properties: r.properties(version, false) }
  }
}

/** Cuts a byte stream into packets. */
export class Framer {
  #left: Buffer = Buffer.alloc(0)

  /** Every whole packet so far: first byte, body and size with the fixed header. */
  push(chunk: Buffer): [first: number, body: Buffer, size: number][] {
    const bytes = this.#left.length > 0 ? Buffer.concat([this.#left, chunk]) : chunk
    const packets: [number, Buffer, number][] = []
    let at = 0
    for (;;) {
      let length = 0
      let next = at + 1
      let whole = false
      for (let shift = 0; shift < 28 && next < bytes.length; shift += 7) {
        const byte = bytes.readUInt8(next++)
        length += (byte & 127) * 2 ** shift
        if (byte < 128) {
          whole = true
          break
        }
      }
      if (!whole) {
        if (next - at > 4) throw new Error('a remaining length of more than four bytes')
        break
      }
      if (bytes.length - next < length) break
      packets.push([bytes.readUInt8(at), bytes.subarray(next, next + length), next + length - at])
      at = next + length
    }
    this.#left = bytes.subarray(at)
    return packets
  }
}
