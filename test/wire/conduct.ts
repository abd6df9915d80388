import { Property, type Received, type Version } from './bytes.ts'
import { Framer, readProperties } from './reading.ts'

/** What a client's CONNECT asked of the server. */
interface Agreed {
  readonly maximumPacketSize: number
  readonly receiveMaximum: number
  readonly topicAliasMaximum: number
  readonly wantsProblemInformation: boolean
  readonly wantsResponseInformation: boolean
}

const nothingAsked: Agreed = {
  maximumPacketSize: Number.POSITIVE_INFINITY,
  receiveMaximum: 65_535,
  topicAliasMaximum: 0,
  wantsProblemInformation: true,
  wantsResponseInformation: false,
}

const answered = { puback: 'publish', pubrec: 'publish', pubcomp: 'pubrel', suback: 'subscribe', unsuback: 'unsubscribe' } as const
const asking = new Map([
  [3, 'publish'],
  [6, 'pubrel'],
  [8, 'subscribe'],
  [10, 'unsubscribe'],
] as const)

/**
 * Watches one connection and throws where a server breaks a rule that takes more than one packet to see, with the number of
 * the statement. Once the client has sent what is no packet, only the rules that do not depend on what it sent are held.
 */
export class Conduct {
  readonly #version: Version
  readonly #framer = new Framer()
  #agreed = nothingAsked
  #isReadable = true
  /** What the client asked, by the packet identifier that the answer must carry. */
  readonly #asked = { publish: new Set<number>(), pubrel: new Set<number>(), subscribe: new Set<number>(), unsubscribe: new Set<number>() }
  /** Packet identifiers the server has in flight on this connection. */
  readonly #inFlight = new Set<number>()
  readonly #aliases = new Set<number>()
  #last: 'nothing' | 'connack' | 'refusal' | 'disconnect' = 'nothing'

  constructor(version: Version) {
    this.#version = version
  }

  /** The client has sent this. */
  sent(bytes: Buffer): void {
    if (!this.#isReadable) return
    try {
      for (const [first, body] of this.#framer.push(bytes)) this.#note(first, body)
    } catch {
      this.#isReadable = false
    }
  }

  #note(first: number, body: Buffer): void {
    const type = first >> 4
    if (type === 1 && this.#version === 5 && this.#last === 'nothing') this.#agreed = asked(body)
    const isQoS0 = type === 3 && (first & 6) === 0
    const question = asking.get(type as 3 | 6 | 8 | 10)
    if (question && !isQoS0) this.#asked[question].add(body.readUInt16BE(type === 3 ? 2 + body.readUInt16BE(0) : 0))
    const ends = type === 4 || type === 7 || (type === 5 && body.length > 2 && body.readUInt8(2) >= 0x80)
    if (ends) this.#inFlight.delete(body.readUInt16BE(0))
  }

  /** The server has sent this, in `size` bytes. Throws when it should not have. */
  received(packet: Received, size: number): void {
    this.#checkPlace(packet)
    if (size > this.#agreed.maximumPacketSize) throw new Error(`${size} bytes for a client that takes ${this.#agreed.maximumPacketSize} [MQTT-3.1.2-24]`)
    if (packet.type === 'publish') this.#checkDelivery(packet)
    else if (packet.type in answered) this.#checkAnswer(packet as Received & { readonly type: keyof typeof answered; readonly id: number })
    this.#checkInformation(packet)
  }

  #checkPlace(packet: Received): void {
    if (this.#last === 'nothing' && packet.type !== 'connack' && packet.type !== 'auth') throw new Error(`${packet.type} before CONNACK [MQTT-3.2.0-1]`)
    if (this.#last === 'refusal') throw new Error(`${packet.type} after a CONNACK that refuses [MQTT-3.2.2-7]`)
    if (this.#last === 'disconnect') throw new Error(`${packet.type} after DISCONNECT [MQTT-3.14.4-1]`)
    if (packet.type === 'connack') {
      if (this.#last !== 'nothing') throw new Error('a second CONNACK [MQTT-3.2.0-2]')
      this.#last = packet.code === 0 ? 'connack' : 'refusal'
    } else if (packet.type === 'disconnect') this.#last = 'disconnect'
  }

  #checkDelivery({ topic, qos, id, dup, properties }: Received & { readonly type: 'publish' }): void {
    const alias = properties.find(([identifier]) => identifier === Property.topicAlias)?.[1] as number | undefined
    if (alias !== undefined && (alias === 0 || alias > this.#agreed.topicAliasMaximum)) throw new Error(`topic alias ${alias} [MQTT-3.1.2-26]`)
    if (topic === '' && !this.#aliases.has(alias ?? 0)) throw new Error('neither a topic nor an alias that stands for one [MQTT-3.3.2-1]')
    if (alias !== undefined) this.#aliases.add(alias)
    if (qos === 0 || !this.#isReadable) return
    if (this.#inFlight.has(id))
      throw new Error(`packet identifier ${id}${dup ? ' again on one connection [MQTT-4.4.0-1]' : ' while it is in use [MQTT-2.2.1-4]'}`)
    this.#inFlight.add(id)
    if (this.#inFlight.size > this.#agreed.receiveMaximum) throw new Error(`more than ${this.#agreed.receiveMaximum} in flight [MQTT-3.3.4-9]`)
  }

  #checkAnswer({ type, id }: { readonly type: keyof typeof answered; readonly id: number }): void {
    if (this.#isReadable && !this.#asked[answered[type]].has(id)) throw new Error(`${type} ${id}, which nothing asked for [MQTT-2.2.1-5, -6]`)
  }

  #checkInformation(packet: Received): void {
    if (!('properties' in packet) || !this.#isReadable) return
    const has = (...identifiers: readonly number[]) => packet.properties.some(([identifier]) => identifiers.includes(identifier))
    if (!this.#agreed.wantsResponseInformation && has(Property.responseInformation)) throw new Error('response information [MQTT-3.1.2-28]')
    if (this.#agreed.wantsProblemInformation || ['publish', 'connack', 'disconnect'].includes(packet.type)) return
    if (has(Property.reasonString, Property.userProperty)) throw new Error(`${packet.type} explains itself [MQTT-3.1.2-29]`)
  }
}

/** The properties stand behind protocol name, version, flags and keep alive. */
function asked(body: Buffer): Agreed {
  const list = readProperties(body.subarray(2 + body.readUInt16BE(0) + 4))
  const number = (identifier: number, absent: number) => (list.find(([each]) => each === identifier)?.[1] as number | undefined) ?? absent
  return {
    maximumPacketSize: number(Property.maximumPacketSize, 0) || nothingAsked.maximumPacketSize,
    receiveMaximum: number(Property.receiveMaximum, 0) || nothingAsked.receiveMaximum,
    topicAliasMaximum: number(Property.topicAliasMaximum, nothingAsked.topicAliasMaximum),
    wantsProblemInformation: number(Property.requestProblemInformation, 1) === 1,
    wantsResponseInformation: number(Property.requestResponseInformation, 0) === 1,
  }
}
