/**
 * Values of neighbouring records, kept as one piece of memory and where each begins: tens of thousands of small objects that live for a
 * second are what a garbage collector is worst at.
 */
import type { LogRecord } from '../log/log.ts'

/** Place of a record without a value. */
const none = 0xffff_ffff
/** What a run takes beside its values, bytes: for each record, and for itself. */
const placeSize = 16
const overhead = 500

export interface PayloadRun {
  readonly first: number
  readonly last: number
  /** That it takes. */
  readonly bytes: number
  /** The record's value; undefined when it has none, or is not in the run. */
  valueAt(offset: number): Buffer | undefined
}

class Run implements PayloadRun {
  readonly first: number
  readonly last: number
  readonly bytes: number
  readonly #memory: Buffer
  /** Beginning and end of each value in the memory. */
  readonly #places: Uint32Array
  /** Null when no offset is left out. */
  readonly #offsets: Float64Array | null

  constructor(records: readonly LogRecord[], memory: Buffer, places: Uint32Array, valueBytes: number) {
    this.first = (records[0] as LogRecord).offset
    this.last = (records.at(-1) as LogRecord).offset
    this.#memory = memory
    this.#places = places
    this.#offsets = this.last - this.first + 1 === records.length ? null : Float64Array.from(records, ({ offset }) => offset)
    this.bytes = valueBytes + records.length * placeSize + overhead
  }

  valueAt(offset: number): Buffer | undefined {
    const at = this.#indexOf(offset)
    const start = this.#places[2 * at]
    return start === undefined || start === none ? undefined : this.#memory.subarray(start, this.#places[2 * at + 1])
  }

  #indexOf(offset: number): number {
    if (offset < this.first || offset > this.last) return -1
    const offsets = this.#offsets
    if (!offsets) return offset - this.first
    let low = 0
    let high = offsets.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const each = offsets[middle] as number
      if (each === offset) return middle
      if (each < offset) low = middle + 1
      else high = middle - 1
    }
    return -1
  }
}

/** Ascending records as a run; undefined for none. Values that came in one piece of memory, as a fetch brings them, stay in it. */
export function runOf(records: readonly LogRecord[]): PayloadRun | undefined {
  if (records.length === 0) return undefined
  const shared = sharedMemory(records)
  return shared ? inPlace(records, shared) : runOfCopies(records)
}

/** The same with values copied: what is a small part of its fetch does not keep the rest of it. */
export function runOfCopies(records: readonly LogRecord[]): PayloadRun | undefined {
  if (records.length === 0) return undefined
  const places = new Uint32Array(2 * records.length)
  let size = 0
  records.forEach(({ value }, i) => {
    places[2 * i] = value ? size : none
    size += value?.length ?? 0
    places[2 * i + 1] = size
  })
  return new Run(records, Buffer.concat(records.flatMap(({ value }) => value ?? [])), places, size)
}

function inPlace(records: readonly LogRecord[], memory: Buffer): PayloadRun {
  const places = new Uint32Array(2 * records.length)
  let size = 0
  for (let i = 0; i < records.length; i++) {
    const { value } = records[i] as LogRecord
    places[2 * i] = value ? value.byteOffset : none
    places[2 * i + 1] = value ? value.byteOffset + value.length : 0
    size += value?.length ?? 0
  }
  return new Run(records, memory, places, size)
}

/** All of the memory that the values lie in; null when it is not one piece. */
function sharedMemory(records: readonly LogRecord[]): Buffer | null {
  let shared: ArrayBufferLike | null = null
  for (const { value } of records) {
    if (!value) continue
    if (shared !== null && value.buffer !== shared) return null
    shared = value.buffer
  }
  return shared && shared.byteLength < none ? Buffer.from(shared) : null
}
