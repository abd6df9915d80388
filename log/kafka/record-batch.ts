/**
 * Kafka's record batch, format 2 (magic 2): written record by record into one buffer, read as views.
 *
 *   baseOffset INT64 · batchLength INT32 · partitionLeaderEpoch INT32 · magic INT8 · crc UINT32 (CRC-32C of all that follows)
 *   attributes INT16 · lastOffsetDelta INT32 · baseTimestamp INT64 · maxTimestamp INT64
 *   producerId INT64 · producerEpoch INT16 · baseSequence INT32 · count INT32 · records
 *   record: length VARINT · attributes INT8 · timestampDelta VARLONG · offsetDelta VARINT · key · value (VARINT length, -1 is null)
 *           headers: count VARINT · [name · value], lengths as above; a name is never null
 */
import { crc32c } from '@node-rs/crc32'
import { type LogRecord, noHeaders, type RecordHeader } from '../log.ts'
import { readInt64, writeInt64 } from './bytes.ts'
import { inflate } from './compression.ts'

/** Bytes before the first record. */
export const batchOverhead = 61

/** A fetched batch is damaged, or written in a way this reader does not know. */
export class BatchError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'BatchError'
  }
}

function varintSize(zigzag: number): number {
  if (zigzag < 0x80) return 1
  if (zigzag < 0x4000) return 2
  if (zigzag < 0x200000) return 3
  if (zigzag < 0x10000000) return 4
  let size = 5
  for (let rest = Math.floor(zigzag / 0x800000000); rest > 0; rest = Math.floor(rest / 128)) size++
  return size
}

/** Whole numbers of up to 52 bits, already zigzagged. */
function writeVarint(buffer: Buffer, zigzag: number, at: number): number {
  let rest = zigzag
  while (rest >= 0x80000000) {
    buffer[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  while (rest >= 0x80) {
    buffer[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  buffer[at++] = rest
  return at
}

/** Bytes that headers take in a record, their count included. */
export function headersSize(headers: readonly RecordHeader[]): number {
  let size = varintSize(headers.length * 2)
  for (const { name, value } of headers) {
    const nameBytes = Buffer.byteLength(name)
    size += varintSize(nameBytes * 2) + nameBytes + (value === null ? 1 : varintSize(value.length * 2) + value.length)
  }
  return size
}

function writeHeaders(buffer: Buffer, headers: readonly RecordHeader[], from: number): number {
  let at = writeVarint(buffer, headers.length * 2, from)
  for (const { name, value } of headers) {
    at = writeVarint(buffer, Buffer.byteLength(name) * 2, at)
    at += buffer.write(name, at)
    at = writeVarint(buffer, value === null ? 1 : value.length * 2, at)
    if (value === null) continue
    buffer.set(value, at)
    at += value.length
  }
  return at
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : value * -2 - 1
}

/** A batch being written. Records are encoded as they come; the header when it is sealed. */
export class BatchWriter {
  buffer: Buffer
  length = batchOverhead
  count = 0
  #baseTimestamp = 0
  #maxTimestamp = 0

  constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  /** Appends a copy of the record; returns the bytes it took. */
  add(key: Buffer | null, value: Buffer | null, timestamp: number, headers: readonly RecordHeader[] = noHeaders): number {
    if (this.count === 0) {
      this.#baseTimestamp = timestamp
      this.#maxTimestamp = timestamp
    } else if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp
    const timestampDelta = zigzag(timestamp - this.#baseTimestamp)
    const offsetDelta = this.count * 2
    const keyLength = key === null ? 1 : key.length * 2
    const valueLength = value === null ? 1 : value.length * 2
    const keyBytes = key === null ? 0 : key.length
    const valueBytes = value === null ? 0 : value.length
    const headerBytes = headers.length === 0 ? 1 : headersSize(headers)
    const body =
      1 + varintSize(timestampDelta) + varintSize(offsetDelta) + varintSize(keyLength) + keyBytes + varintSize(valueLength) + valueBytes + headerBytes
    const size = varintSize(body * 2) + body
    const before = this.length
    if (before + size > this.buffer.length) this.#grow(before + size)
    const buffer = this.buffer
    let at = writeVarint(buffer, body * 2, before)
    buffer[at++] = 0
    at = writeVarint(buffer, timestampDelta, at)
    at = writeVarint(buffer, offsetDelta, at)
    at = writeVarint(buffer, keyLength, at)
    if (key !== null) {
      buffer.set(key, at)
      at += keyBytes
    }
    at = writeVarint(buffer, valueLength, at)
    if (value !== null) {
      buffer.set(value, at)
      at += valueBytes
    }
    if (headers.length === 0) buffer[at++] = 0
    else at = writeHeaders(buffer, headers, at)
    this.length = at
    this.count++
    return size
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, needed))
    this.buffer.copy(larger, 0, 0, this.length)
    this.buffer = larger
  }

  /** Writes the header and returns the batch as it goes on the wire. */
  seal(producerId: bigint, producerEpoch: number, baseSequence: number): Buffer {
    const { buffer, length } = this
    writeInt64(buffer, 0, 0)
    buffer.writeInt32BE(length - 12, 8)
    buffer.writeInt32BE(-1, 12)
    buffer[16] = 2
    buffer.writeInt16BE(0, 21)
    buffer.writeInt32BE(this.count - 1, 23)
    writeInt64(buffer, this.#baseTimestamp, 27)
    writeInt64(buffer, this.#maxTimestamp, 35)
    buffer.writeBigInt64BE(producerId, 43)
    buffer.writeInt16BE(producerEpoch, 51)
    buffer.writeInt32BE(baseSequence, 53)
    buffer.writeInt32BE(this.count, 57)
    buffer.writeUInt32BE(crc32c(buffer.subarray(21, length)), 17)
    return buffer.subarray(0, length)
  }
}

/** Reads the records of one batch's body. */
class RecordReader {
  readonly #buffer: Buffer
  at: number

  constructor(buffer: Buffer, at: number) {
    this.#buffer = buffer
    this.at = at
  }

  varint(): number {
    const buffer = this.#buffer
    let byte = buffer[this.at++] as number
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
    let value = byte & 0x7f
    let shift = 7
    while (shift < 28) {
      byte = buffer[this.at++] as number
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1)
      shift += 7
    }
    let factor = 2 ** 28
    do {
      byte = this.#byte()
      value += (byte & 0x7f) * factor
      factor *= 128
    } while (byte >= 0x80)
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  #byte(): number {
    const byte = this.#buffer[this.at++]
    if (byte === undefined) throw new BatchError('a record ends after its batch')
    return byte
  }

  /** A view, or null. */
  bytes(end: number): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const start = this.at
    if (start + length > end) throw new BatchError('a key or value ends after its record')
    this.at = start + length
    return this.#buffer.subarray(start, this.at)
  }

  headers(end: number): readonly RecordHeader[] {
    const count = this.varint()
    if (this.at > end) throw new BatchError('a record ends before its headers')
    if (count === 0) return noHeaders
    // Each takes two bytes at least.
    if (count < 0 || count > (end - this.at) / 2) throw new BatchError('a record says it has more headers than it has room for')
    const headers: RecordHeader[] = []
    for (let i = 0; i < count; i++) {
      const name = this.bytes(end)
      if (name === null) throw new BatchError('a header has no name')
      headers.push({ name: name.toString(), value: this.bytes(end) })
    }
    return headers
  }
}

/** Throws BatchError. */
function inflated(compression: number, body: Buffer, where: string): Buffer {
  try {
    return inflate(compression, body)
  } catch (error) {
    throw new BatchError(`${where} cannot be inflated`, { cause: error })
  }
}

/** A record set as far as it was read. */
export interface ReadSet {
  /** After the last whole batch, or where reading began when there is none. */
  readonly nextOffset: number
  /** Records in batches that were passed over. */
  readonly passedOver: number
}

/**
 * Reads the batches in a fetched record set into `records`, leaving out what stands before `from`, and control records.
 * A cut-off last batch is left for the next fetch. `passOverUnreadable` leaves out compressed batches that cannot be inflated, too.
 */
export function readBatches(set: Buffer, topic: string, partition: number, from: number, records: LogRecord[], passOverUnreadable = false): ReadSet {
  let nextOffset = from
  let passedOver = 0
  let at = 0
  while (at + batchOverhead <= set.length) {
    const baseOffset = readInt64(set, at)
    const end = at + 12 + set.readInt32BE(at + 8)
    if (end > set.length) break
    if (end < at + batchOverhead) throw new BatchError(`${topic}[${partition}] holds a batch at ${baseOffset} shorter than its header`)
    const where = `${topic}[${partition}] batch at ${baseOffset}`
    if (set[at + 16] !== 2) throw new BatchError(`${where} has format ${set[at + 16]}; this reader knows 2`)
    if (crc32c(set.subarray(at + 21, end)) !== set.readUInt32BE(at + 17)) throw new BatchError(`${where} fails its checksum`)
    const afterBatch = baseOffset + set.readInt32BE(at + 23) + 1
    const attributes = set.readInt16BE(at + 21)
    if (afterBatch > nextOffset) {
      const isControl = (attributes & 0x20) !== 0
      if (!isControl) {
        const known = records.length
        try {
          readRecords(set, at, end, attributes, baseOffset, where, partition, nextOffset, records)
        } catch (error) {
          const isCompressed = (attributes & 0x07) !== 0
          if (!passOverUnreadable || !isCompressed) throw error
          records.length = known
          passedOver += Math.max(0, set.readInt32BE(at + 57))
        }
      }
      nextOffset = afterBatch
    }
    at = end
  }
  return { nextOffset, passedOver }
}

function readRecords(
  set: Buffer,
  at: number,
  end: number,
  attributes: number,
  baseOffset: number,
  where: string,
  partition: number,
  from: number,
  records: LogRecord[],
): void {
  const compression = attributes & 0x07
  const isLogAppendTime = (attributes & 0x08) !== 0
  const baseTimestamp = readInt64(set, at + 27)
  const maxTimestamp = readInt64(set, at + 35)
  const count = set.readInt32BE(at + 57)
  const body = compression === 0 ? set : inflated(compression, set.subarray(at + batchOverhead, end), where)
  const bodyEnd = compression === 0 ? end : body.length
  const reader = new RecordReader(body, compression === 0 ? at + batchOverhead : 0)
  for (let i = 0; i < count; i++) {
    const length = reader.varint()
    const next = reader.at + length
    if (length < 0 || next > bodyEnd) throw new BatchError(`${where}: record ${i} ends after its batch`)
    reader.at++
    const timestampDelta = reader.varint()
    const offset = baseOffset + reader.varint()
    if (offset >= from) {
      const key = reader.bytes(next)
      const value = reader.bytes(next)
      const headers = reader.headers(next)
      records.push({ partition, offset, timestamp: isLogAppendTime ? maxTimestamp : baseTimestamp + timestampDelta, key, value, headers })
    }
    reader.at = next
  }
}
