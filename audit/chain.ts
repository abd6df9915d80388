/**
 * The chain of hashes over a partition's records, as docs/audit.md defines it: each value is SHA-256 over the one before and the records
 * since, in a form that every Kafka client can make of what it reads.
 */
import { createHash, type Hash } from 'node:crypto'
import type { LogRecord } from '../log/log.ts'

/** A place in a chain: the value that stands for all records below the offset. */
export interface Head {
  readonly offset: number
  readonly value: Buffer
}

/** The chain's value behind some more records. */
export interface Mark {
  /** The first offset that is not in it. */
  readonly to: number
  /** Records since the mark before. */
  readonly records: number
  readonly value: Buffer
}

export type ChainedRecord = Pick<LogRecord, 'offset' | 'timestamp' | 'key' | 'value' | 'headers'>

const slabSize = 64 * 1024
/** Offset, timestamp, lengths of key and value, number of headers. */
const fixedSize = 28
const wrap = 2 ** 32

/** The value that a chain begins with where none leads to it: what it is the chain of. */
export function genesis(topic: string, partition: number, offset: number): Buffer {
  return createHash('sha256').update(`loggerhead audit 1\n${topic}\n${partition}\n${offset}\n`).digest()
}

/** Goes along a partition. What it is shown is copied or hashed before it returns. */
export class Chain {
  readonly #slab = Buffer.allocUnsafe(slabSize)
  #used = 0
  #hash: Hash | undefined
  #records = 0
  #offset: number
  #value: Buffer

  constructor({ offset, value }: Head) {
    this.#offset = offset
    this.#value = value
  }

  /** The first offset that it was not shown. */
  get offset(): number {
    return this.#offset
  }

  /** Records since the last mark. */
  get records(): number {
    return this.#records
  }

  /** The next record. Offsets ascend; what is not there (control records, aborted ones) has no part in it. */
  add({ offset, timestamp, key, value, headers }: ChainedRecord): void {
    if (offset < this.#offset) throw new RangeError(`the chain is at ${this.#offset}, not at ${offset}`)
    this.#hash ??= createHash('sha256').update(this.#value)
    this.#room(fixedSize)
    this.#long(offset)
    this.#long(timestamp)
    this.#bytes(key)
    this.#bytes(value)
    this.#room(4)
    this.#int(headers.length)
    for (const header of headers) {
      this.#bytes(Buffer.from(header.name))
      this.#bytes(header.value)
    }
    this.#offset = offset + 1
    this.#records++
  }

  /** The value behind what it was shown; from there it goes on. Undefined when there was nothing. */
  mark(): Mark | undefined {
    const hash = this.#hash
    if (!hash) return undefined
    hash.update(this.#slab.subarray(0, this.#used))
    this.#value = hash.digest()
    const mark = { to: this.#offset, records: this.#records, value: this.#value }
    this.#hash = undefined
    this.#used = 0
    this.#records = 0
    return mark
  }

  #room(size: number): void {
    if (this.#used + size <= slabSize) return
    this.#hash?.update(this.#slab.subarray(0, this.#used))
    this.#used = 0
  }

  #int(value: number): void {
    this.#used = this.#slab.writeInt32BE(value, this.#used)
  }

  #long(value: number): void {
    // BigInt would cost more than the rest of it.
    this.#used = this.#slab.writeInt32BE(Math.floor(value / wrap), this.#used)
    this.#used = this.#slab.writeUInt32BE(value >= 0 ? value % wrap : ((value % wrap) + wrap) % wrap, this.#used)
  }

  /** Its length, then the bytes; null has the length -1. */
  #bytes(bytes: Buffer | null): void {
    this.#room(4)
    this.#int(bytes === null ? -1 : bytes.length)
    if (bytes === null) return
    if (bytes.length > slabSize / 4) {
      this.#hash?.update(this.#slab.subarray(0, this.#used)).update(bytes)
      this.#used = 0
      return
    }
    this.#room(bytes.length)
    this.#used += bytes.copy(this.#slab, this.#used)
  }
}
