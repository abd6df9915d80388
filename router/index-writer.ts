/** Writes the index of a shard's messages as they are matched. Two owners may tell of the same stretch: both are right, the log does not change. */
import { BlockBuilder } from '../history/block.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { HistoryBlock } from '../schemas/evidence-records.ts'

export interface IndexWriterOptions {
  readonly shard: number
  /** Messages of a block; 0 writes none. */
  readonly recordsMax: number
  append(value: Buffer): void
}

/** Blocks in one record: some 20 KiB. */
const blocksMax = 16

export class IndexWriter {
  readonly #options: IndexWriterOptions
  readonly #builder: BlockBuilder | null
  #blocks: HistoryBlock[] = []
  #next = -1

  constructor(options: IndexWriterOptions) {
    this.#options = options
    this.#builder = options.recordsMax > 0 ? new BlockBuilder(options.recordsMax) : null
  }

  /** The next message of the shard. */
  add(offset: number, size: number, topic: string, clientId: string): void {
    // Read again from further back: told already.
    if (offset < this.#next) return
    this.#next = offset + 1
    const block = this.#builder?.add(offset, size, topic, clientId)
    if (!block) return
    this.#blocks.push(block)
    if (this.#blocks.length >= blocksMax) this.flush()
  }

  /** Writes the blocks that are whole. */
  flush(): void {
    if (this.#blocks.length === 0) return
    this.#options.append(encodeRecord('HistoryBlocks', { shard: this.#options.shard, blocks: this.#blocks }))
    this.#blocks = []
  }
}
