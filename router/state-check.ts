/**
 * Folds the checkpoints of other routers' shards anew, one after another and far apart, and raises an alarm when something differs. A router that owns
 * all shards checks its own.
 */
import { newestCheckpoint } from '../history/checkpoint.ts'
import { type CheckedState, checkCheckpoint } from '../history/checkpoint-check.ts'
import { type Log, OffsetOutOfRange } from '../log/log.ts'
import type { TopicNames } from '../log/topics.ts'

export interface StateCheckOptions {
  readonly log: Log
  readonly topics: TopicNames
  readonly shards: number
  readonly now: () => number
  isOwned(shard: number): boolean
  /** Nothing differs. */
  onChecked(shard: number): void
  onDiffering(shard: number, at: number, differing: readonly CheckedState[]): void
  onFailed(shard: number, error: Error): void
}

export class StateCheck {
  readonly #options: StateCheckOptions
  /** By shard: offset of the last checkpoint that was looked at, and need not be again. */
  readonly #seen = new Map<number, number>()
  #isUnderWay = false
  #isClosed = false

  constructor(options: StateCheckOptions) {
    this.#options = options
  }

  /** A round over all shards; returns at once while one is under way. */
  async round(): Promise<void> {
    if (this.#isUnderWay) return
    this.#isUnderWay = true
    const { shards, isOwned, onFailed } = this.#options
    const all = Array.from({ length: shards }, (_, shard) => shard)
    const isAlone = all.every(isOwned)
    try {
      for (const shard of all) {
        if (this.#isClosed || (isOwned(shard) && !isAlone)) continue
        await this.#check(shard).catch((error: Error) => {
          // Retention came in between: the next checkpoint will do.
          if (this.#isClosed || error instanceof OffsetOutOfRange) return
          this.#seen.delete(shard)
          onFailed(shard, error)
        })
      }
    } finally {
      this.#isUnderWay = false
    }
  }

  close(): void {
    this.#isClosed = true
  }

  async #check(shard: number): Promise<void> {
    const { log, topics, shards, now, onChecked, onDiffering } = this.#options
    const checkpoint = await newestCheckpoint(log, topics.checkpoints, shard)
    if (!checkpoint || this.#seen.get(shard) === checkpoint.offset) return
    this.#seen.set(shard, checkpoint.offset)
    const differing = await checkCheckpoint({ log, topics, shard, shards, now: now() }, checkpoint)
    if (!differing || this.#isClosed) return
    if (differing.length === 0) onChecked(shard)
    else onDiffering(shard, checkpoint.closing.at, differing)
  }
}
