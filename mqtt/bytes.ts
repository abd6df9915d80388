/** A growing buffer to write one packet into; the result is copied out, so one instance serves all packets. */
export class Bytes {
  buffer: Buffer
  length = 0
  readonly #keptMax: number

  constructor(size = 4096, keptMax = 1 << 20) {
    this.buffer = Buffer.allocUnsafeSlow(size)
    this.#keptMax = keptMax
  }

  /** Starts over; a buffer that one huge packet blew up is not kept. */
  reset(): void {
    this.length = 0
    if (this.buffer.length > this.#keptMax) this.buffer = Buffer.allocUnsafeSlow(this.#keptMax)
  }

  /** Makes room for `size` more bytes. */
  reserve(size: number): void {
    const needed = this.length + size
    if (needed <= this.buffer.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2))
    this.buffer.copy(grown, 0, 0, this.length)
    this.buffer = grown
  }

  byte(value: number): void {
    this.reserve(1)
    this.buffer[this.length++] = value
  }

  uint16(value: number): void {
    this.reserve(2)
    this.buffer[this.length++] = value >>> 8
    this.buffer[this.length++] = value
  }

  uint32(value: number): void {
    this.reserve(4)
    this.length = this.buffer.writeUInt32BE(value, this.length)
  }

  variableByteInteger(value: number): void {
    this.reserve(4)
    this.length = putVariableByteInteger(this.buffer, this.length, value)
  }

  text(value: string): void {
    this.reserve(2 + value.length * 3)
    const written = this.buffer.write(value, this.length + 2)
    if (written > 0xffff) throw new RangeError(`a string of ${written} bytes does not fit into an MQTT packet`)
    this.buffer[this.length] = written >>> 8
    this.buffer[this.length + 1] = written
    this.length += 2 + written
  }

  binary(value: Uint8Array): void {
    if (value.length > 0xffff) throw new RangeError(`binary data of ${value.length} bytes does not fit into an MQTT packet`)
    this.uint16(value.length)
    this.raw(value)
  }

  raw(value: Uint8Array): void {
    this.reserve(value.length)
    this.buffer.set(value, this.length)
    this.length += value.length
  }

  /** A copy of what stands from `start` on. */
  copyFrom(start: number): Buffer {
    return Buffer.from(this.buffer.subarray(start, this.length))
  }
}

/** Largest value of a variable byte integer (section 1.5.5). */
const variableByteIntegerMax = 268_435_455

/** Bytes that a variable byte integer takes. */
export function variableByteIntegerSize(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4
}

/** Writes a variable byte integer and returns the position after it. The caller has made room. */
export function putVariableByteInteger(buffer: Buffer, position: number, value: number): number {
  if (!(value >= 0 && value <= variableByteIntegerMax)) throw new RangeError(`${value} is not from 0 to ${variableByteIntegerMax}`)
  let left = value
  let at = position
  while (left >= 0x80) {
    buffer[at++] = (left & 0x7f) | 0x80
    left >>>= 7
  }
  buffer[at++] = left
  return at
}
