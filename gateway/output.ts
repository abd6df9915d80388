/**
 * What goes out on one connection in one turn of the event loop, gathered into one write. Small packets (acknowledgements above
 * all) lie beside each other in a slab, so that a hundred of them are one buffer, also when other connections' come between.
 */

/** Bytes. Small, because a socket that takes nothing keeps its slab alive. */
const slabSize = 16 * 1024
/** A packet above this has a buffer of its own, bytes: little of a slab is left unused. */
const pieceMax = 2 * 1024
/** Bytes of a slab that one connection takes at once: at least, so that the next packets find room, and at most. */
const runMin = 64
const runMax = slabSize / 2

/** The slab all connections of the process cut their runs from. */
class Slab {
  buffer = Buffer.allocUnsafeSlow(slabSize)
  used = 0

  /** Makes room for `least` bytes, and up to `wanted` when there is so much left; the answer is where it starts in `buffer`, and `used` where it ends. */
  reserve(least: number, wanted: number): number {
    if (this.used + least > slabSize) {
      this.buffer = Buffer.allocUnsafeSlow(slabSize)
      this.used = 0
    }
    const start = this.used
    this.used = Math.min(slabSize, start + Math.max(least, wanted))
    return start
  }

  /** What was reserved up to `limit` is needed up to `end` only. */
  giveBack(buffer: Buffer, end: number, limit: number): void {
    if (this.buffer === buffer && this.used === limit) this.used = end
  }
}

const slab = new Slab()
const nothing = Buffer.alloc(0)

export class Output {
  #parts: Buffer[] = []
  /** The stretch of a slab that only this connection writes to: filled from #start to #end, with room up to #limit. */
  #run = nothing
  #start = 0
  #end = 0
  #limit = 0
  /** Bytes of small packets in this turn and in the one before, which tells how much the next needs. */
  #small = 0
  #smallBefore = 0
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
    if (this.#end + size > this.#limit) this.#openRun(size)
    place.buffer = this.#run
    place.offset = this.#end
    this.#end += size
    this.#small += size
    this.#bytes += size
    this.#packets++
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
    this.#endRun()
    const parts = this.#parts
    this.#parts = []
    this.#smallBefore = this.#small
    this.#small = 0
    this.#bytes = 0
    this.#packets = 0
    return parts
  }

  #openRun(least: number): void {
    const wanted = Math.max(runMin, this.#smallBefore - this.#small, this.#small)
    slab.giveBack(this.#run, this.#end, this.#limit)
    const start = slab.reserve(least, Math.min(wanted, runMax))
    // Where nobody else has taken anything since, it goes on.
    if (slab.buffer !== this.#run || start !== this.#end) {
      this.#closePiece()
      this.#run = slab.buffer
      this.#start = start
      this.#end = start
    }
    this.#limit = slab.used
  }

  #endRun(): void {
    slab.giveBack(this.#run, this.#end, this.#limit)
    // Who is silent from now on keeps no slab.
    this.#run = nothing
    this.#start = 0
    this.#end = 0
    this.#limit = 0
  }

  #closePiece(): void {
    if (this.#end === this.#start) return
    this.#parts.push(this.#run.subarray(this.#start, this.#end))
    this.#start = this.#end
  }
}

/** Reused: `piece` is called per packet. */
const place = { buffer: slab.buffer, offset: 0 }
