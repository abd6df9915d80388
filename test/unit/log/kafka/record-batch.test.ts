import { createRequire } from 'node:module'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect, test } from '@jest/globals'
import { crc32c } from '@node-rs/crc32'
import { compressFrameSync } from 'lz4-napi'
import { compressSync as compressSnappy } from 'snappy'
import { BatchError, BatchWriter, batchOverhead, readBatches } from '../../../../log/kafka/record-batch.ts'
import { type LogRecord, noHeaders, type RecordHeader } from '../../../../log/log.ts'
import fc from '../../../support/fast-check.ts'

// kafkajs is the oracle: what it reads of our batches, and what we read of its.
const require = createRequire(import.meta.url)
const Decoder = require('kafkajs/src/protocol/decoder') as new (buffer: Buffer) => object
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder') as (decoder: object) => Promise<OracleBatch>
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0') as { RecordBatch: (batch: object) => Promise<{ buffer: Buffer }> }
const encodeRecord = require('kafkajs/src/protocol/recordBatch/record/v0') as (record: object) => object

interface OracleBatch {
  readonly producerId: string
  readonly producerEpoch: number
  readonly firstSequence: number
  readonly lastOffsetDelta: number
  readonly maxTimestamp: string
  readonly records: readonly {
    readonly key: Buffer | null
    readonly value: Buffer | null
    readonly timestamp: string
    readonly offset: string
    readonly headers: object
  }[]
}

interface Given {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestamp: number
  readonly headers: readonly RecordHeader[]
}

function write(records: readonly Given[], slabBytes = 128): Buffer {
  const writer = new BatchWriter(Buffer.alloc(slabBytes))
  let bytes = 0
  for (const { key, value, timestamp, headers } of records) bytes += writer.add(key, value, timestamp, headers)
  const sealed = writer.seal(1234567890123n, 7, 2 ** 31 - 5)
  expect(sealed.length).toBe(batchOverhead + bytes)
  return Buffer.from(sealed)
}

function at(batch: Buffer, baseOffset: number): Buffer {
  const copy = Buffer.from(batch)
  copy.writeBigInt64BE(BigInt(baseOffset), 0)
  return copy
}

function read(set: Buffer, from = 0): { readonly next: number; readonly records: LogRecord[] } {
  const records: LogRecord[] = []
  return { next: readBatches(set, 'topic', 3, from, records).nextOffset, records }
}

const bytes = fc.oneof(
  fc.constant(null),
  fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
)
// Names of one letter come twice now and then; kafkajs knows none that objects have of themselves.
const headers = fc.oneof(
  fc.constant(noHeaders),
  fc.array(
    fc.record({
      name: fc.oneof(
        fc.constantFrom('a', 'ß'),
        fc.string({ maxLength: 80 }).map((text) => `x${text}`),
      ),
      value: bytes,
    }),
  ),
)
const given = fc.array(
  fc.record({ key: bytes, value: bytes, timestamp: fc.oneof(fc.constant(1_700_000_000_000), fc.integer({ min: 0, max: 4_000_000_000_000 })), headers }),
  { minLength: 1, maxLength: 200 },
)

/** As kafkajs shows headers: an object, with a list for what came several times. */
function asKafkajs(given: readonly RecordHeader[]): object {
  const shown: Record<string, Buffer | null | (Buffer | null)[]> = Object.create(null)
  for (const { name, value } of given) {
    const before = shown[name]
    if (before === undefined) shown[name] = value
    else if (Array.isArray(before)) before.push(value)
    else shown[name] = [before, value]
  }
  return { ...shown }
}

test('kafkajs reads what we write', async () => {
  await fc.assert(
    fc.asyncProperty(given, async (records) => {
      const oracle = await decodeBatch(new Decoder(write(records)))
      expect([oracle.producerId, oracle.producerEpoch, oracle.firstSequence]).toEqual(['1234567890123', 7, 2 ** 31 - 5])
      expect(oracle.lastOffsetDelta).toBe(records.length - 1)
      expect(Number(oracle.maxTimestamp)).toBe(Math.max(...records.map(({ timestamp }) => timestamp)))
      expect(
        oracle.records.map(({ key, value, timestamp, offset, headers }) => ({ key, value, timestamp: Number(timestamp), offset: Number(offset), headers })),
      ).toEqual(records.map((record, offset) => ({ ...record, offset, headers: asKafkajs(record.headers) })))
    }),
    { numRuns: 60 },
  )
})

test('we read what kafkajs writes, plain and gzipped', async () => {
  const headers = [
    { name: 'a', value: Buffer.from('header') },
    { name: 'b', value: Buffer.from('of') },
    { name: 'b', value: Buffer.from('others') },
  ]
  await fc.assert(
    fc.asyncProperty(given, fc.boolean(), async (records, isGzip) => {
      const base = Math.min(...records.map(({ timestamp }) => timestamp))
      const { buffer } = await RecordBatch({
        compression: isGzip ? 1 : 0,
        firstTimestamp: base,
        maxTimestamp: Math.max(...records.map(({ timestamp }) => timestamp)),
        lastOffsetDelta: records.length - 1,
        records: records.map(({ key, value, timestamp }, offsetDelta) =>
          encodeRecord({ key, value, offsetDelta, timestampDelta: timestamp - base, headers: { a: 'header', b: ['of', 'others'] } }),
        ),
      })
      const { next, records: found } = read(at(buffer, 40), 40)
      expect(next).toBe(40 + records.length)
      expect(found).toEqual(records.map((record, i) => ({ partition: 3, offset: 40 + i, ...record, headers })))
    }),
    { numRuns: 60 },
  )
})

const some = (count: number): Given[] =>
  Array.from({ length: count }, (_, i) => ({ key: Buffer.from(`k${i}`), value: Buffer.from(`v${i}`), timestamp: 1_700_000_000_000 + i, headers: noHeaders }))

const withHeaders: Given[] = some(3).map((record, i) => ({
  ...record,
  headers: [
    { name: `h${i}`, value: Buffer.from('x') },
    { name: 'n', value: null },
  ].slice(i),
}))

test('records without headers share one list, the others have their own in order', () => {
  const { records } = read(write([...withHeaders, ...some(1)]))
  expect(records.map(({ headers }) => headers.map(({ name, value }) => [name, value?.toString()]))).toEqual([
    [
      ['h0', 'x'],
      ['n', undefined],
    ],
    [['n', undefined]],
    [],
    [],
  ])
  expect(records[3]?.headers).toBe(noHeaders)
})

test('a read begins in the middle of a batch, and goes through several', () => {
  const set = Buffer.concat([at(write(some(3)), 10), at(write(some(4)), 13)])
  const { next, records } = read(set, 12)
  expect(next).toBe(17)
  expect(records.map(({ offset, value }) => [offset, value?.toString()])).toEqual([
    [12, 'v2'],
    [13, 'v0'],
    [14, 'v1'],
    [15, 'v2'],
    [16, 'v3'],
  ])
})

test('a last batch that is cut off is left for the next fetch', () => {
  const whole = at(write(some(3)), 0)
  const cut = at(write(some(5)), 3)
  for (const length of [1, 11, batchOverhead, cut.length - 1]) {
    const { next, records } = read(Buffer.concat([whole, cut.subarray(0, length)]))
    expect([next, records.length]).toEqual([3, 3])
  }
  expect(read(cut.subarray(0, 30), 3)).toEqual({ next: 3, records: [] })
})

/** Changes a batch's header and makes its checksum true again. */
function patched(batch: Buffer, change: (batch: Buffer) => void): Buffer {
  const copy = Buffer.from(batch)
  change(copy)
  copy.writeUInt32BE(crc32c(copy.subarray(21)), 17)
  return copy
}

test('gaps that compaction left are passed over: an empty batch moves on too', () => {
  // The cleaner keeps a batch's last offset when it drops its last records.
  const shortened = patched(at(write(some(2)), 100), (batch) => batch.writeInt32BE(9, 23))
  expect(read(shortened, 100).next).toBe(110)
  const emptied = patched(at(write(some(1)), 110).subarray(0, batchOverhead), (batch) => {
    batch.writeInt32BE(batchOverhead - 12, 8)
    batch.writeInt32BE(4, 23)
    batch.writeInt32BE(0, 57)
  })
  const { next, records } = read(Buffer.concat([shortened, emptied]), 100)
  expect([next, records.map(({ offset }) => offset)]).toEqual([115, [100, 101]])
})

test('control records are no records, but they have an offset', () => {
  const control = patched(at(write(some(1)), 5), (batch) => batch.writeInt16BE(0x30, 21))
  expect(read(control, 5)).toEqual({ next: 6, records: [] })
})

test('with LogAppendTime every record has the batch’s time', () => {
  const appended = patched(at(write(some(2)), 0), (batch) => {
    batch.writeInt16BE(0x08, 21)
    batch.writeBigInt64BE(1_800_000_000_000n, 35)
  })
  expect(read(appended).records.map(({ timestamp }) => timestamp)).toEqual([1_800_000_000_000, 1_800_000_000_000])
})

test('one changed bit anywhere under the checksum is found', () => {
  const batch = write(some(3))
  fc.assert(
    fc.property(fc.integer({ min: 21, max: batch.length - 1 }), fc.integer({ min: 0, max: 7 }), (index, bit) => {
      const damaged = Buffer.from(batch)
      damaged[index] = (damaged[index] as number) ^ (1 << bit)
      expect(() => read(damaged)).toThrow(BatchError)
    }),
  )
})

test('damage with a true checksum ends in BatchError, never in a loop or a record of others’ bytes', () => {
  const batch = write([...some(2), ...withHeaders])
  fc.assert(
    fc.property(fc.integer({ min: 8, max: batch.length - 1 }), fc.integer({ min: 0, max: 255 }), (index, value) => {
      const damaged = patched(batch, (copy) => {
        copy[index] = value
      })
      try {
        for (const { key, value: found } of read(damaged).records) {
          expect((key?.length ?? 0) + (found?.length ?? 0)).toBeLessThanOrEqual(batch.length)
        }
      } catch (error) {
        expect(error).toBeInstanceOf(BatchError)
      }
    }),
    { numRuns: 500 },
  )
})

/** A batch whose records are compressed, as a producer writes it. */
function compressed(number: number, compress: (records: Buffer) => Buffer, batch = write(some(3))): Buffer {
  const whole = Buffer.concat([batch.subarray(0, batchOverhead), compress(batch.subarray(batchOverhead))])
  whole.writeInt32BE(whole.length - 12, 8)
  return patched(whole, (copy) => copy.writeInt16BE(number, 21))
}

test.each([
  ['gzip', 1, gzipSync],
  ['snappy', 2, (records: Buffer) => compressSnappy(records)],
  ['lz4', 3, (records: Buffer) => compressFrameSync(records)],
  ['zstd', 4, (records: Buffer) => zstdCompressSync(records)],
] as const)('a batch that others have compressed with %s is read', (_, number, compress) => {
  expect(read(compressed(number, compress))).toEqual(read(write(some(3))))
})

test('a compressed batch that cannot be read is named, or passed over and counted by who asks for that', () => {
  for (const number of [1, 2, 3, 4, 5, 7]) {
    const damaged = compressed(number, () => Buffer.from('this is neither'))
    expect(() => read(damaged)).toThrow('batch at 0 cannot be inflated')
    const records: LogRecord[] = []
    expect(readBatches(Buffer.concat([damaged, at(write(some(1)), 3)]), 'topic', 3, 0, records, true)).toEqual({ nextOffset: 4, passedOver: 3 })
    expect(records.map(({ offset }) => offset)).toEqual([3])
  }
})

test('a gzipped batch that swells beyond all bounds is refused', () => {
  const bomb = gzipSync(Buffer.alloc(70 * 1024 * 1024))
  const batch = Buffer.concat([write(some(1)).subarray(0, batchOverhead), bomb])
  batch.writeInt32BE(batch.length - 12, 8)
  expect(() => read(patched(batch, (copy) => copy.writeInt16BE(1, 21)))).toThrow('cannot be inflated')
})
