/**
 * What goes out on one connection in one turn of the event loop, gathered into one write. Small pieces of
 * neighbouring packets (acknowledgements above all) share a slab, so that a hundred PUBACKs are one buffer.
 */

/** Bytes. Small, because a socket that takes nothing keeps its slab alive. */
const slabSize = 16 * 1024
/** A packet above this has a buffer of its own, bytes: little of a slab is left unused. */
const pieceMax = 2 * 1024

/** The slab all connections of the process cut small pieces from. */
class Slab {
  buffer = Buffer.allocUnsafeSlow(slabSize)
  used = 0

  /** Makes room for `size` bytes; the answer is where they start in `buffer`. */
  reserve(size: number): number {
    if (this.used + size > slabSize) {
      this.buffer = Buffer.allocUnsafeSlow(slabSize)
      this.used = 0
    }
    const start = this.used
    this.used += size
    return start
  }
}

const slab = new Slab()

export class Output {
  #parts: Buffer[] = []
  /** The stretch of a slab that grows at the moment; the next small piece usually continues it. */
  #open: Buffer | null = null
  #start = 0
  #end = 0
  #bytes = 0
  #packets = 0

  /** Packets gathered and not yet taken. */
  get packets(): number {
    return this.#packets
  }

  /** Bytes gathered and not yet taken. */
  get bytes(): number {
    return this.#bytes
  }

  /** Adds a packet, or its beginning, by reference: the bytes must not change until they are out. */
  push(packet: Buffer): void {
    this.#packets++
    this.append(packet)
  }

  /** Adds the rest of the packet before, by reference. */
  append(part: Buffer): void {
    this.#closePiece()
    this.#parts.push(part)
    this.#bytes += part.length
  }

  /** Room for a packet, to be filled at once from `offset` in `buffer`. */
  piece(size: number): { readonly buffer: Buffer; readonly offset: number } {
    if (size > pieceMax) {
      place.buffer = Buffer.allocUnsafe(size)
      place.offset = 0
      this.push(place.buffer)
      return place
    }
    const offset = slab.reserve(size)
    if (this.#open !== slab.buffer || this.#end !== offset) {
      this.#closePiece()
      this.#open = slab.buffer
      this.#start = offset
    }
    this.#end = offset + size
    this.#bytes += size
    this.#packets++
    place.buffer = slab.buffer
    place.offset = offset
    return place
  }

  /** A packet of four bytes: the acknowledgements without a reason code. */
  fourBytes(header: number, packetId: number): void {
    const { buffer, offset } = this.piece(4)
    buffer[offset] = header
    buffer[offset + 1] = 2
    buffer[offset + 2] = packetId >>> 8
    buffer[offset + 3] = packetId & 0xff
  }

  /** Everything gathered so far, in order; starts over. */
  take(): readonly Buffer[] {
    this.#closePiece()
    const parts = this.#parts
    this.#parts = []
    this.#bytes = 0
    this.#packets = 0
    return parts
  }

  #closePiece(): void {
    if (!this.#open) return
    this.#parts.push(this.#open.subarray(this.#start, this.#end))
    this.#open = null
  }
}

/** Reused: `piece` is called per packet. */
const place = { buffer: slab.buffer, offset: 0 }
