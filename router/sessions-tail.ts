/**
 * All `sessions` partitions, folded as they grow. Two readers feed the folds: a long poll, so that an attach is answered
 * at once, and `catchUp`, which reads to the end before a stretch of messages is matched. Whichever comes first applies
 * a record; the fold ignores what it knows.
 */
import type { Follower, Log, Stretch } from '../log/log.ts'
import { type SessionChange, SessionFold } from '../model/session-fold.ts'
import { decodeRecord } from '../schemas/codec.ts'
import type { AnyRecord } from '../schemas/records.ts'

export interface SessionsTailOptions {
  readonly log: Log
  readonly topic: string
  readonly shards: number
  /** Called right after a record was applied, in order per shard, with what it changed. */
  onApplied(shard: number, offset: number, changes: readonly SessionChange[]): void
  /** A record that cannot be read: skipped and counted, because every fold skips the same. */
  onUnreadable(shard: number, offset: number, error: Error): void
}

export class SessionsTail {
  readonly folds: readonly SessionFold[]
  readonly #options: SessionsTailOptions
  #follower: Follower | undefined
  #waiting: { readonly shard: number; readonly offset: number; readonly resolve: () => void }[] = []
  #catchingUp: Promise<void> | undefined
  #nextCatchUp: Promise<void> | undefined

  constructor(options: SessionsTailOptions) {
    this.#options = options
    this.folds = Array.from({ length: options.shards }, (_, shard) => new SessionFold(shard))
  }

  /** Offsets after the last applied record, by shard. */
  positions(): Map<number, number> {
    return new Map(this.folds.map((fold) => [fold.shard, fold.position]))
  }

  /** Follows from where the folds stand; returns when closed, throws when the log does. */
  async run(): Promise<void> {
    this.#follower = await this.#options.log.follow({ topic: this.#options.topic, from: this.positions() })
    for await (const stretch of this.#follower.stretches()) this.#apply(stretch)
  }

  async close(): Promise<void> {
    await this.#follower?.close()
  }

  /**
   * Applies all that was in the log when this was called: what a SUBACK promised before a message was published is
   * then known. Callers that come while one runs share the next one.
   */
  catchUp(): Promise<void> {
    if (!this.#catchingUp) {
      this.#catchingUp = this.#readToEnd().finally(() => {
        this.#catchingUp = undefined
      })
      return this.#catchingUp
    }
    this.#nextCatchUp ??= this.#catchingUp.then(
      () => this.#startNext(),
      () => this.#startNext(),
    )
    return this.#nextCatchUp
  }

  /** Resolves once the fold of the shard has applied everything below `offset`. */
  reached(shard: number, offset: number): Promise<void> | undefined {
    if ((this.folds[shard] as SessionFold).position >= offset) return undefined
    return new Promise((resolve) => this.#waiting.push({ shard, offset, resolve }))
  }

  #startNext(): Promise<void> {
    this.#nextCatchUp = undefined
    return this.catchUp()
  }

  async #readToEnd(): Promise<void> {
    let from = this.positions()
    const ends = new Map<number, number>()
    while (from.size > 0) {
      const behind = new Map<number, number>()
      for (const stretch of await this.#options.log.readMany(this.#options.topic, from)) {
        this.#apply(stretch)
        // The first answer's end is what "when this was called" means; later growth is not waited for.
        const end = ends.get(stretch.partition) ?? stretch.endOffset
        ends.set(stretch.partition, end)
        const { position } = this.folds[stretch.partition] as SessionFold
        if (position < end) behind.set(stretch.partition, position)
      }
      for (const [partition, offset] of from) if (!ends.has(partition)) behind.set(partition, offset)
      from = behind
    }
  }

  #decode(shard: number, offset: number, value: Buffer): AnyRecord | undefined {
    try {
      return decodeRecord(value)
    } catch (error) {
      this.#options.onUnreadable(shard, offset, error as Error)
      return undefined
    }
  }

  #apply(stretch: Stretch): void {
    const fold = this.folds[stretch.partition] as SessionFold
    for (const record of stretch.records) {
      if (record.offset < fold.position || !record.value) continue
      const decoded = this.#decode(fold.shard, record.offset, record.value)
      if (!decoded) continue
      this.#options.onApplied(fold.shard, record.offset, fold.apply(record.offset, decoded))
    }
    if (stretch.nextOffset > fold.position) fold.position = stretch.nextOffset
    if (this.#waiting.length === 0) return
    const reached = this.#waiting.filter((each) => each.shard === fold.shard && fold.position >= each.offset)
    if (reached.length === 0) return
    this.#waiting = this.#waiting.filter((each) => !reached.includes(each))
    for (const each of reached) each.resolve()
  }
}
