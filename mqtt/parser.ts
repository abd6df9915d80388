import { type Announced, decodeBody, decodeConnect, PacketType, type Sender } from './decode.ts'
import { MalformedPacket, protocolError } from './malformed-packet.ts'
import type { Packet, ProtocolVersion } from './packet.ts'
import { Reader } from './reader.ts'
import { ReasonCode } from './reason-code.ts'
import { TopicBefore } from './topic-before.ts'

export interface ParserOptions {
  /** Whose packets these are. Default: a client's. */
  readonly sender?: Sender
  /** Known beforehand on the client's side; otherwise the first packet must be a CONNECT [MQTT-3.1.0-1], which tells. */
  readonly version?: ProtocolVersion
  /** Longest packet, its fixed header included, in bytes; above it 0x95. */
  readonly maximumPacketSize: number
  /** The same for the first packet: an unknown peer gets less room. Default: maximumPacketSize. */
  readonly firstPacketSizeMax?: number
}

const reader = new Reader()

/**
 * Cuts one connection's bytes into packets, however the transport cut them. Holds no more than the bytes it was given of one unfinished packet,
 * which it copies; a packet that lies whole in a chunk is decoded where it lies.
 */
export class Parser {
  readonly #sender: Sender
  #maximumPacketSize: number
  #sizeMax: number
  #version: ProtocolVersion | undefined
  readonly #announced: Announced = { version: undefined }
  #failure: MalformedPacket | undefined
  readonly #topicBefore = new TopicBefore()
  /** The unfinished packet: `#heldLength` bytes of it. */
  #held: Buffer | undefined
  #heldLength = 0
  /** Its whole size once its fixed header is there, else 0. */
  #heldSize = 0

  constructor(options: ParserOptions) {
    this.#sender = options.sender ?? 'client'
    this.#version = options.version
    this.#maximumPacketSize = options.maximumPacketSize
    this.#sizeMax = Math.min(options.firstPacketSizeMax ?? options.maximumPacketSize, options.maximumPacketSize)
  }

  /**
   * The version that the peer speaks, undefined before its CONNECT came so far. For a CONNECT of an unsupported version, the version whose form
   * the refusal takes.
   */
  get version(): ProtocolVersion | undefined {
    return this.#version ?? this.#announced.version
  }

  /** Longest packet from the next one on, bytes: called for by what a CONNECT turned out to be. */
  set maximumPacketSize(bytes: number) {
    this.#maximumPacketSize = bytes
    if (this.#version !== undefined) this.#sizeMax = bytes
  }

  /** Bytes held of an unfinished packet. */
  get heldBytes(): number {
    return this.#heldLength
  }

  /**
   * Hands each packet that the chunk completes to `onPacket`, in order. Payloads are views into the chunk: copy what outlives it. Throws
   * MalformedPacket, after the packets before the bad one were handed over, and from then on always.
   */
  parse(chunk: Buffer, onPacket: (packet: Packet) => void): void {
    if (this.#failure !== undefined) throw this.#failure
    try {
      let position = this.#held === undefined ? 0 : this.#resume(chunk, onPacket)
      while (position < chunk.length) {
        const size = this.#sizeOf(chunk, position, chunk.length)
        if (size === 0 || position + size > chunk.length) {
          this.#hold(chunk, position, size)
          return
        }
        const packet = this.#decode(chunk, position, position + size)
        position += size
        onPacket(packet)
      }
    } catch (error) {
      if (error instanceof MalformedPacket) this.#failure = error
      throw error
    }
  }

  /** The size of the packet that starts here, its fixed header included; 0 when the header is not complete. Whatever the header shows to be wrong fails here, before the body comes. */
  #sizeOf(buffer: Buffer, position: number, end: number): number {
    const first = buffer[position]!
    this.#checkFirst(first)
    let length = 0
    let at = position + 1
    for (let shift = 0; ; shift += 7) {
      if (shift === 28) throw new MalformedPacket('the remaining length is longer than four bytes') // section 2.1.4
      if (at >= end) return 0
      const byte = buffer[at++]!
      length |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        // [MQTT-1.5.5-1]; 3.1.1 has no such rule, and small devices that reserve two bytes for the length exist.
        if (byte === 0 && shift > 0 && this.#version === 5) throw new MalformedPacket('the remaining length is longer than its value needs')
        break
      }
    }
    const size = at - position + length
    if (size > this.#sizeMax) throw new MalformedPacket(`a packet of ${size} bytes; the maximum is ${this.#sizeMax}`, ReasonCode.PacketTooLarge)
    return size
  }

  #checkFirst(first: number): void {
    const verdict = verdicts[this.#sender][first]!
    if (verdict === Verdict.malformed) throw new MalformedPacket(flagsProblem(first) ?? '')
    if (verdict === Verdict.wrongSide) throw protocolError(`a ${this.#sender} does not send packet type ${first >> 4}`)
    if (this.#version === undefined) {
      if (first !== 0x10) throw protocolError('the first packet is not CONNECT') // [MQTT-3.1.0-1]
      return
    }
    if (first === 0x10 && this.#announced.version !== undefined) throw protocolError('a second CONNECT') // [MQTT-3.1.0-2]
    if (first === 0xf0 && this.#version === 4) throw new MalformedPacket('packet type 15 is reserved in MQTT 3.1.1')
  }

  #decode(buffer: Buffer, start: number, end: number): Packet {
    const first = buffer[start]!
    let body = start + 1
    while (buffer[body]! >= 0x80) body++
    reader.reset(buffer, body + 1, end)
    this.#sizeMax = this.#maximumPacketSize
    if (first === 0x10) {
      const packet = decodeConnect(reader, this.#announced)
      this.#version = packet.protocolVersion
      return packet
    }
    // #checkFirst let nothing but CONNECT through without a version.
    return decodeBody(first, reader, this.#version!, this.#sender, this.#topicBefore)
  }

  #hold(chunk: Buffer, position: number, size: number): void {
    const length = chunk.length - position
    // Room for what came and as much again: a declared length costs its sender the bytes, not us the memory.
    const held = Buffer.allocUnsafe(roomFor(length, size))
    chunk.copy(held, 0, position)
    this.#held = held
    this.#heldLength = length
    this.#heldSize = size
  }

  /** Completes the held packet and returns how much of the chunk that took. */
  #resume(chunk: Buffer, onPacket: (packet: Packet) => void): number {
    let position = 0
    while (this.#heldSize === 0) {
      if (position === chunk.length) return position
      this.#append(chunk, position, position + 1)
      position++
      this.#heldSize = this.#sizeOf(this.#held!, 0, this.#heldLength)
    }
    const end = Math.min(chunk.length, position + this.#heldSize - this.#heldLength)
    this.#append(chunk, position, end)
    if (this.#heldLength < this.#heldSize) return end
    const held = this.#held!
    const size = this.#heldSize
    // Let go, not reused: the packet's payload is a view into it.
    this.#held = undefined
    this.#heldLength = 0
    this.#heldSize = 0
    onPacket(this.#decode(held, 0, size))
    return end
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const length = this.#heldLength + end - start
    if (length > this.#held!.length) {
      const grown = Buffer.allocUnsafe(roomFor(length, this.#heldSize))
      this.#held!.copy(grown, 0, 0, this.#heldLength)
      this.#held = grown
    }
    chunk.copy(this.#held!, this.#heldLength, start, end)
    this.#heldLength = length
  }
}

function roomFor(length: number, size: number): number {
  const room = Math.max(16, length * 2)
  return size === 0 ? room : Math.max(length, Math.min(room, size))
}

const Verdict = { allowed: 0, malformed: 1, wrongSide: 2 } as const

const serverOnly: readonly number[] = [PacketType.connack, PacketType.suback, PacketType.unsuback, PacketType.pingresp]
const clientOnly: readonly number[] = [PacketType.connect, PacketType.subscribe, PacketType.unsubscribe, PacketType.pingreq]
const withFlagsTwo: readonly number[] = [PacketType.pubrel, PacketType.subscribe, PacketType.unsubscribe]

/** What a packet's first byte alone tells, by sender. */
const verdicts: Readonly<Record<Sender, Uint8Array>> = {
  client: Uint8Array.from({ length: 256 }, (_, first) => verdict(first, serverOnly)),
  server: Uint8Array.from({ length: 256 }, (_, first) => verdict(first, clientOnly)),
}

function verdict(first: number, otherSideOnly: readonly number[]): number {
  if (flagsProblem(first) !== null) return Verdict.malformed
  return otherSideOnly.includes(first >> 4) ? Verdict.wrongSide : Verdict.allowed
}

function flagsProblem(first: number): string | null {
  const type = first >> 4
  const flags = first & 0x0f
  if (type === 0) return 'packet type 0 is reserved'
  if (type === PacketType.publish) {
    if ((flags & 0x06) === 0x06) return 'the QoS of a PUBLISH is 3' // [MQTT-3.3.1-4]
    return (flags & 0x0e) === 0x08 ? 'DUP with QoS 0' : null // [MQTT-3.3.1-2]
  }
  const expected = withFlagsTwo.includes(type) ? 2 : 0
  return flags === expected ? null : `packet type ${type} with flags ${flags}` // [MQTT-2.1.3-1]
}
