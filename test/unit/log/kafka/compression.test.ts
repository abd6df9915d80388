import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect, test } from '@jest/globals'
import { compressFrameSync, compressSync as compressLz4 } from 'lz4-napi'
import { compressSync as compressSnappy } from 'snappy'
import { inflate, inflatedBytesMax } from '../../../../log/kafka/compression.ts'
import fc from '../../../support/fast-check.ts'

const [gzip, snappy, lz4, zstd] = [1, 2, 3, 4]

/** As the Java clients frame it. */
function xerial(...blocks: readonly Buffer[]): Buffer {
  const header = Buffer.from('82534e415050590000000001'.padEnd(32, '00'), 'hex')
  const sized = blocks.flatMap((block) => {
    const size = Buffer.alloc(4)
    size.writeInt32BE(block.length)
    return [size, block]
  })
  return Buffer.concat([header, ...sized])
}

/** A frame of lz4 whose blocks, of 64 KiB at most, go on with each other where they are `linked`. */
function lz4Frame(pieces: readonly Buffer[], linked: boolean): Buffer {
  const parts: Buffer[] = [Buffer.from([0x04, 0x22, 0x4d, 0x18, linked ? 0x40 : 0x60, 0x40, 0])]
  let before: Buffer = Buffer.alloc(0)
  for (const piece of pieces) {
    // The library writes the size in front.
    const block = compressLz4(piece, linked && before.length > 0 ? before : undefined).subarray(4)
    const size = Buffer.alloc(4)
    size.writeUInt32LE(block.length)
    parts.push(size, block)
    before = Buffer.concat([before, piece]).subarray(-65_536)
  }
  return Buffer.concat([...parts, Buffer.alloc(4)])
}

test('what others have compressed is what it was, whatever it was', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5_000 }), fc.integer({ min: 1, max: 40 }), (bytes, times) => {
      const whole = Buffer.concat(Array.from({ length: times }, () => Buffer.from(bytes)))
      expect(inflate(gzip as number, gzipSync(whole))).toEqual(whole)
      expect(inflate(snappy as number, compressSnappy(whole))).toEqual(whole)
      expect(inflate(lz4 as number, compressFrameSync(whole))).toEqual(whole)
      expect(inflate(zstd as number, zstdCompressSync(whole))).toEqual(whole)
    }),
    { numRuns: 100 },
  )
})

test('Snappy as the Java clients frame it, in blocks', () => {
  const pieces = ['one', 'two '.repeat(1_000), ''].map((text) => Buffer.from(text))
  expect(inflate(snappy as number, xerial(...pieces.map((piece) => compressSnappy(piece))))).toEqual(Buffer.concat(pieces))
})

test.each([true, false])('LZ4 in several blocks, linked: %s', (linked) => {
  const pieces = [1, 2, 3].map((number) => Buffer.from(`a reading of ${number} `.repeat(3_000)))
  expect(inflate(lz4 as number, lz4Frame(pieces, linked))).toEqual(Buffer.concat(pieces))
})

test.each([
  ['gzip', gzip, () => gzipSync(Buffer.alloc(inflatedBytesMax + 1))],
  ['snappy', snappy, () => compressSnappy(Buffer.alloc(inflatedBytesMax + 1))],
  ['snappy in blocks', snappy, () => xerial(...Array.from({ length: 65 }, () => compressSnappy(Buffer.alloc(1_048_576))))],
  ['snappy that only says so', snappy, () => Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0])],
  ['lz4', lz4, () => compressFrameSync(Buffer.alloc(inflatedBytesMax + 1))],
  ['zstd', zstd, () => zstdCompressSync(Buffer.alloc(inflatedBytesMax + 1))],
])('what swells beyond all bounds is refused: %s', (_, number, make) => {
  expect(() => inflate(number as number, make())).toThrow()
})

test('whatever is damaged is refused, and nothing else happens', () => {
  const text = Buffer.from('a reading '.repeat(500))
  const good = [
    gzipSync(text),
    compressSnappy(text),
    compressFrameSync(text),
    zstdCompressSync(text),
    xerial(compressSnappy(text)),
    lz4Frame([text, text], true),
  ]
  const numbers = [gzip, snappy, lz4, zstd, snappy, lz4] as readonly number[]
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(), fc.nat(255), fc.nat(), (which, place, byte, length) => {
      const copy = Buffer.from(good[which] as Buffer)
      copy[place % copy.length] = byte
      let inflated = 0
      try {
        inflated = inflate(numbers[which] as number, copy.subarray(0, length % (copy.length + 1))).length
      } catch (error) {
        expect((error as Error).message).not.toBe('')
      }
      expect(inflated).toBeLessThanOrEqual(inflatedBytesMax)
    }),
    { numRuns: 2_000 },
  )
})
