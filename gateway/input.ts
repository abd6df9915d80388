import { MalformedPacket } from '../mqtt/malformed-packet.ts'
import type { Packet, ProtocolVersion } from '../mqtt/packet.ts'
import { Parser, type ParserOptions } from '../mqtt/parser.ts'
import type { Transport } from './transport.ts'

/** Why a socket is not read for the moment; several may hold at once. */
export const Pause = { attaching: 1, log: 2, registry: 4, window: 8, leaving: 16, rate: 32, authenticating: 64, doubt: 128, answers: 256 } as const
export type Pause = (typeof Pause)[keyof typeof Pause]

export interface InputOwner {
  onPacket(packet: Packet): void
  onMalformed(error: MalformedPacket): void
}

const noPackets: readonly Packet[] = []

/**
 * A client's bytes as packets, one after the other, with a pause between any two. A pause stops the socket; what was
 * read before it is held, in order: packets already cut, then the parser's verdict on the rest, then whole chunks.
 */
export class Input {
  readonly #transport: Transport
  readonly #owner: InputOwner
  readonly #parser: Parser
  readonly #onPacket = (packet: Packet): void => {
    if (this.#closed) return
    if (this.#pauses === 0) this.#owner.onPacket(packet)
    else this.#hold(packet)
  }
  #pauses = 0
  #closed = false
  #packets = noPackets
  #failure: MalformedPacket | null = null
  #chunks: Buffer[] | null = null

  constructor(transport: Transport, owner: InputOwner, options: ParserOptions) {
    this.#transport = transport
    this.#owner = owner
    this.#parser = new Parser(options)
  }

  get isPaused(): boolean {
    return this.#pauses !== 0
  }

  /** The client's version, as far as its CONNECT has told. */
  get version(): ProtocolVersion | undefined {
    return this.#parser.version
  }

  /** Longest packet from the next one on, bytes. */
  set maximumPacketSize(bytes: number) {
    this.#parser.maximumPacketSize = bytes
  }

  isPausedFor(reason: Pause): boolean {
    return (this.#pauses & reason) !== 0
  }

  take(chunk: Buffer): void {
    if (this.#closed) return
    if (this.#pauses === 0) this.#parse(chunk)
    else if (this.#chunks) this.#chunks.push(chunk)
    else this.#chunks = [chunk]
  }

  pause(reason: Pause): void {
    if (this.#pauses === 0) this.#transport.pause()
    this.#pauses |= reason
  }

  /** Pauses before this packet: it is handed over again first of all. */
  pauseBefore(packet: Packet, reason: Pause): void {
    this.#packets = [packet, ...this.#packets]
    this.pause(reason)
  }

  /** True when this was the last reason: what was held is handed over, and the socket read again. */
  resume(reason: Pause): boolean {
    if (this.#closed || (this.#pauses & reason) === 0) return false
    this.#pauses &= ~reason
    if (this.#pauses !== 0) return false
    this.#handOver()
    if (!this.#closed && this.#pauses === 0) this.#transport.resume()
    return true
  }

  /** Nothing is handed over any more. */
  close(): void {
    this.#closed = true
    this.#packets = noPackets
    this.#chunks = null
    this.#failure = null
  }

  #hold(packet: Packet): void {
    if (this.#packets === noPackets) this.#packets = [packet]
    else (this.#packets as Packet[]).push(packet)
  }

  #parse(chunk: Buffer): void {
    try {
      this.#parser.parse(chunk, this.#onPacket)
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error
      if (this.#closed) return
      if (this.#pauses === 0) this.#owner.onMalformed(error)
      else this.#failure = error
    }
  }

  #handOver(): void {
    const packets = this.#packets
    this.#packets = noPackets
    for (let i = 0; i < packets.length; i++) {
      this.#owner.onPacket(packets[i] as Packet)
      if (this.#closed) return
      if (this.#pauses === 0) continue
      // `pauseBefore` may have put this very packet back in front of the rest.
      this.#packets = [...this.#packets, ...packets.slice(i + 1)]
      return
    }
    if (this.#failure) {
      this.#owner.onMalformed(this.#failure)
      return
    }
    for (let chunk = this.#chunks?.shift(); chunk !== undefined; chunk = this.#chunks?.shift()) {
      this.#parse(chunk)
      if (this.#closed || this.#pauses !== 0) return
    }
    this.#chunks = null
  }
}
