/** The fold of what one `inbox` partition tells of retained messages: which message of each topic was the retained one. */
import type { RetainedNote } from '../schemas/inbox-records.ts'
import type { AnyRecord } from '../schemas/records.ts'

export class RetainedFold {
  readonly shard: number
  readonly #entries = new Map<string, RetainedNote>()
  /** Of the shard's owner: what lower ones say behind it is ignored. */
  #term: number

  constructor(shard: number, term = -1) {
    this.shard = shard
    this.#term = term
  }

  /** Topics that have a retained message or had one that has expired since. */
  get size(): number {
    return this.#entries.size
  }

  /** Puts in what a checkpoint holds. */
  restore(entries: readonly RetainedNote[]): void {
    for (const entry of entries) this.#entries.set(entry.topic, entry)
  }

  /** Applies the record at `offset` of the inbox. */
  apply(offset: number, record: AnyRecord): void {
    if (record.name === 'ShardOwned') {
      if (record.value.shard === this.shard) this.#term = Math.max(this.#term, offset)
    } else if (record.name === 'RetainedChanged' && record.value.shard === this.shard && record.value.term >= this.#term) {
      for (const entry of record.value.entries) this.#put(entry)
    }
  }

  /** What is retained, by topic: no message whose Message Expiry Interval was over at this time, milliseconds since the epoch. */
  *at(time: number): Generator<RetainedNote> {
    for (const entry of this.#entries.values()) if (entry.expiresAt === null || entry.expiresAt > time) yield entry
  }

  /** A successor tells again what its predecessor may not have told: an older message changes nothing. */
  #put(entry: RetainedNote): void {
    const known = this.#entries.get(entry.topic)
    if (known && known.offset > entry.offset) return
    if (entry.isCleared) this.#entries.delete(entry.topic)
    else this.#entries.set(entry.topic, entry)
  }
}
