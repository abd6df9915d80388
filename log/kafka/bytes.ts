/** Kafka's primitive types on a growing buffer and on a received one. All big-endian; positions as JavaScript numbers. */

const two32 = 4294967296

/** Writes a whole number of up to 53 bits as INT64. */
export function writeInt64(buffer: Buffer, value: number, at: number): void {
  buffer.writeInt32BE(Math.floor(value / two32), at)
  buffer.writeUInt32BE(value >>> 0, at + 4)
}

export function readInt64(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at) * two32 + buffer.readUInt32BE(at + 4)
}

export class Writer {
  #buffer = Buffer.allocUnsafe(512)
  #length = 0

  #room(bytes: number): number {
    const at = this.#length
    if (at + bytes > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, at + bytes))
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    this.#length = at + bytes
    return at
  }

  get length(): number {
    return this.#length
  }

  int8(value: number): this {
    const at = this.#room(1)
    this.#buffer.writeInt8(value, at)
    return this
  }

  int16(value: number): this {
    const at = this.#room(2)
    this.#buffer.writeInt16BE(value, at)
    return this
  }

  int32(value: number): this {
    const at = this.#room(4)
    this.#buffer.writeInt32BE(value, at)
    return this
  }

  int64(value: number): this {
    const at = this.#room(8)
    writeInt64(this.#buffer, value, at)
    return this
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const bytes = Buffer.byteLength(value)
    this.int16(bytes)
    const at = this.#room(bytes)
    this.#buffer.write(value, at)
    return this
  }

  /** What was written since `from`. */
  slice(from = 0): Buffer {
    return this.#buffer.subarray(from, this.#length)
  }

  /** Puts a number into a place left for it. */
  patchInt32(value: number, at: number): void {
    this.#buffer.writeInt32BE(value, at)
  }
}

/** The request header every API version used here has: v1, with the length left open. */
export function requestHeader(apiKey: number, apiVersion: number, correlationId: number, clientId: string): Writer {
  return new Writer().int32(0).int16(apiKey).int16(apiVersion).int32(correlationId).string(clientId)
}

export class Reader {
  readonly buffer: Buffer
  at = 0

  constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  int16(): number {
    const value = this.buffer.readInt16BE(this.at)
    this.at += 2
    return value
  }

  int32(): number {
    const value = this.buffer.readInt32BE(this.at)
    this.at += 4
    return value
  }

  int64(): number {
    const value = readInt64(this.buffer, this.at)
    this.at += 8
    return value
  }

  string(): string {
    const length = this.int16()
    if (length < 0) return ''
    const value = this.buffer.toString('utf8', this.at, this.at + length)
    this.at += length
    return value
  }

  skip(bytes: number): void {
    this.at += bytes
  }
}
