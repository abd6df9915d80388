/**
 * What producers, or brokers for them, have compressed: any of Kafka's four ways. Our own batches are not. Whoever may write to a
 * topic may write a batch that swells: what a batch becomes is bounded before the memory for it is there.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { uncompressSync as uncompressLz4 } from 'lz4-napi'
import { uncompressSync as uncompressSnappy } from 'snappy'

/** Most that a batch may become, bytes. */
export const inflatedBytesMax = 64 * 1024 * 1024

/** By the number in a batch's attributes. */
const ways: readonly { readonly name: string; inflate(body: Buffer): Buffer }[] = [
  { name: 'none', inflate: (body) => body },
  { name: 'gzip', inflate: (body) => gunzipSync(body, { maxOutputLength: inflatedBytesMax }) },
  { name: 'snappy', inflate: inflateSnappy },
  { name: 'lz4', inflate: inflateLz4 },
  { name: 'zstd', inflate: (body) => zstdDecompressSync(body, { maxOutputLength: inflatedBytesMax }) },
]

/** Throws when it is none of Kafka's, is damaged or becomes too large. */
export function inflate(compression: number, body: Buffer): Buffer {
  const way = ways[compression]
  if (!way) throw new Error(`the compression ${compression} is none of ${ways.map(({ name }) => name).join(', ')}`)
  return way.inflate(body)
}

/** Pieces put together, as long as they stay within bounds. */
class Inflated {
  readonly #pieces: Buffer[] = []
  bytes = 0

  /** To be called before there is a piece of the size. */
  expect(size: number): void {
    if (this.bytes + size > inflatedBytesMax) throw new RangeError(`it becomes more than ${inflatedBytesMax} bytes`)
  }

  add(piece: Buffer): void {
    this.expect(piece.length)
    this.#pieces.push(piece)
    this.bytes += piece.length
  }

  /** The last bytes, at most so many. */
  tail(bytesMax: number): Buffer {
    const last: Buffer[] = []
    let bytes = 0
    for (let i = this.#pieces.length - 1; i >= 0 && bytes < bytesMax; i--) {
      const piece = this.#pieces[i] as Buffer
      last.unshift(piece)
      bytes += piece.length
    }
    return Buffer.concat(last).subarray(-bytesMax)
  }

  whole(): Buffer {
    return this.#pieces.length === 1 ? (this.#pieces[0] as Buffer) : Buffer.concat(this.#pieces)
  }
}

/** How the Java clients frame Snappy, and librdkafka does not: a magic, two versions, and blocks each behind its size. */
const xerial = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const xerialHeader = 16

function inflateSnappy(body: Buffer): Buffer {
  const inflated = new Inflated()
  const add = (block: Buffer): void => {
    inflated.expect(snappyLength(block))
    inflated.add(uncompressSnappy(block, { asBuffer: true }) as Buffer)
  }
  if (!body.subarray(0, xerial.length).equals(xerial)) {
    add(body)
    return inflated.whole()
  }
  for (let at = xerialHeader; at < body.length; ) {
    const size = body.readInt32BE(at)
    at += 4
    if (size < 0 || at + size > body.length) throw new RangeError('a block ends behind its batch')
    add(body.subarray(at, at + size))
    at += size
  }
  return inflated.whole()
}

/** The size of what a block becomes, which it begins with: a varint. */
function snappyLength(block: Buffer): number {
  let length = 0
  for (let at = 0; at < 5; at++) {
    const byte = block.readUInt8(at)
    length += (byte & 0x7f) * 2 ** (7 * at)
    if (byte < 0x80) return length
  }
  throw new RangeError('a block has no size')
}

const lz4Magic = 0x184d2204
/** Bits of a frame's descriptor. */
const lz4Flag = { independent: 0x20, blockChecksums: 0x10, size: 0x08, dictionary: 0x01 }
const lz4Uncompressed = 0x80000000
const lz4WindowBytes = 65_536

/** A frame, block by block: that of the library takes whatever a frame becomes. */
function inflateLz4(body: Buffer): Buffer {
  if (body.readUInt32LE(0) !== lz4Magic) throw new RangeError('it is no frame of lz4')
  const flags = body.readUInt8(4)
  const sizeClass = (body.readUInt8(5) >> 4) & 0x07
  if (flags >> 6 !== 1 || sizeClass < 4) throw new RangeError('it is a frame of another version of lz4')
  if ((flags & lz4Flag.dictionary) !== 0) throw new RangeError('it needs a dictionary')
  const blockBytesMax = 2 ** (2 * sizeClass + 8)
  const inflated = new Inflated()
  let at = 7 + ((flags & lz4Flag.size) === 0 ? 0 : 8)
  for (;;) {
    const word = body.readUInt32LE(at)
    at += 4
    if (word === 0) return inflated.whole()
    const size = word % lz4Uncompressed
    if (at + size > body.length) throw new RangeError('a block ends behind its batch')
    const block = body.subarray(at, at + size)
    at += size + ((flags & lz4Flag.blockChecksums) === 0 ? 0 : 4)
    if (word >= lz4Uncompressed) inflated.add(block)
    else inflated.add(inflateLz4Block(block, blockBytesMax, (flags & lz4Flag.independent) === 0 ? inflated.tail(lz4WindowBytes) : undefined))
  }
}

/** The library wants to be told the size, and takes it for the most. */
function inflateLz4Block(block: Buffer, bytesMax: number, before: Buffer | undefined): Buffer {
  const sized = Buffer.allocUnsafe(4 + block.length)
  sized.writeUInt32LE(bytesMax)
  block.copy(sized, 4)
  return uncompressLz4(sized, before?.length ? before : undefined)
}
