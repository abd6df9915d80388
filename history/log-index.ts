/** The blocks of `index`, read beside `messages` and in the same order. What it does not tell of is read: it only spares. */
import type { Log, Stretch } from '../log/log.ts'
import { unlessGone } from '../log/read-between.ts'
import { decodeRecord } from '../schemas/codec.ts'
import type { HistoryBlock } from '../schemas/evidence-records.ts'
import { mayHold } from './block.ts'
import type { HistoryIndex, HistoryQuery, Onward } from './history-reader.ts'

const readBytes = 128 * 1024
/** A batch takes so much beside its records, bytes. */
const batchOverhead = 128
/** Looked at for the first block, bytes: a batch at a time. */
const seekBytes = 1
/** Blocks read at once where several in a row may match, bytes of `messages`. */
const runBytesMax = 512 * 1024
/** At the end of the index it is asked again this many offsets later. */
const againAfter = 2_048

interface Source {
  /** In `index`. */
  at: number
  blocks: HistoryBlock[]
  /** Offset in `messages` below which there was nothing more when it was last asked. */
  nothingBelow: number
}

export class LogIndex implements HistoryIndex {
  readonly #log: Log
  readonly #topic: string
  readonly #sources = new Map<number, Source>()
  /** Of `index`, as fetched. */
  bytesRead = 0

  constructor(log: Log, topic: string) {
    this.#log = log
    this.#topic = topic
  }

  async next(sourceNumber: number, from: number, query: HistoryQuery): Promise<Onward> {
    let source = this.#sources.get(sourceNumber)
    if (!source) {
      source = { at: await this.#locate(sourceNumber, from), blocks: [], nothingBelow: 0 }
      this.#sources.set(sourceNumber, source)
    }
    let offset = from
    for (;;) {
      const { blocks } = source
      let passed = 0
      while (passed < blocks.length && (blocks[passed] as HistoryBlock).to <= offset) passed++
      if (passed > 0) blocks.splice(0, passed)
      const block = blocks[0]
      if (!block) {
        if (offset < source.nothingBelow || !(await this.#fetch(sourceNumber, source, offset))) return { next: offset }
        continue
      }
      if (block.from > offset) return { next: offset }
      if (mayHold(block, query)) return { next: offset, bytes: bytesOf(blocks, query, offset) }
      offset = block.to
    }
  }

  /** False when there is no more. */
  async #fetch(sourceNumber: number, source: Source, offset: number): Promise<boolean> {
    const stretch = await this.#read(sourceNumber, source)
    for (const { value } of stretch.records) {
      if (!value) continue
      this.bytesRead += value.length
      const record = decodeRecord(value)
      if (record.name === 'HistoryBlocks') source.blocks.push(...record.value.blocks)
    }
    const hasMore = stretch.nextOffset > source.at
    source.at = stretch.nextOffset
    if (!hasMore) source.nothingBelow = offset + againAfter
    return hasMore
  }

  /** Who reads slowly may be overtaken by retention: what it removed of the index told of what is gone too, or is read. */
  async #read(sourceNumber: number, source: Source): Promise<Stretch> {
    const stretch = await unlessGone(this.#log.read(this.#topic, sourceNumber, source.at, readBytes))
    if (stretch) return stretch
    source.at = await this.#startOf(sourceNumber)
    return this.#log.read(this.#topic, sourceNumber, source.at, readBytes)
  }

  /** Where the index tells of the offset, or of what is behind it. Its records ascend, but for what two owners have told. */
  async #locate(source: number, offset: number): Promise<number> {
    let low = await this.#startOf(source)
    let high = (await this.#log.endOffsets(this.#topic)).get(source) ?? low
    // The last record below `high` that begins at or below the offset is at `low` or behind it.
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      const first = await this.#firstFrom(source, middle)
      if (first !== undefined && first <= offset) low = middle
      else high = middle
    }
    return low
  }

  async #startOf(source: number): Promise<number> {
    return (await this.#log.startOffsets(this.#topic)).get(source) ?? 0
  }

  /** The first offset that the record at this place of the index tells of. */
  async #firstFrom(source: number, at: number): Promise<number | undefined> {
    const stretch = await unlessGone(this.#log.read(this.#topic, source, at, seekBytes))
    for (const { value } of stretch?.records ?? []) {
      if (!value) continue
      this.bytesRead += value.length
      const record = decodeRecord(value)
      if (record.name === 'HistoryBlocks') return record.value.blocks[0]?.from
    }
    return undefined
  }
}

/** From the offset on to the end of its block, and of those that follow it without a gap and may match, too. */
function bytesOf(blocks: readonly HistoryBlock[], query: HistoryQuery, offset: number): number {
  let bytes = 0
  let at = offset
  for (const block of blocks) {
    if (block.from > at || bytes >= runBytesMax || !mayHold(block, query)) break
    bytes += Math.ceil((block.bytes * (block.to - at)) / (block.to - block.from))
    at = block.to
  }
  return bytes + batchOverhead
}
