/**
 * Notes in the shard's inbox which message of each topic is the retained one: `retained` itself is compacted and knows the newest only.
 * What is noted in one turn of the event loop is one record.
 */
import type { Appender } from '../log/log.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { RetainedNote } from '../schemas/inbox-records.ts'

export interface RetainedJournalOptions {
  readonly shard: number
  readonly term: number
  readonly appender: Appender
  /** The topic `inbox`. */
  readonly topic: string
  readonly now: () => number
  onRefused(error: Error): void
}

/** Topic names in one record, bytes: it stays below what a topic takes. */
const topicBytesMax = 256 * 1024

export class RetainedJournal {
  readonly #options: RetainedJournalOptions
  #notes: RetainedNote[] = []
  #waiting: (() => void)[] = []
  #bytes = 0
  #underWay = 0
  #isClosed = false
  #idle: (() => void)[] = []

  constructor(options: RetainedJournalOptions) {
    this.#options = options
  }

  /** `done` is called once Kafka has it. */
  note(note: RetainedNote, done: () => void): void {
    if (this.#notes.length === 0) queueMicrotask(() => this.#flush())
    this.#notes.push(note)
    this.#waiting.push(done)
    this.#bytes += note.topic.length * 3
    if (this.#bytes >= topicBytesMax) this.#flush()
  }

  /** Resolves once all that was noted before is in the log. */
  settled(): Promise<void> {
    this.#flush()
    return this.#underWay === 0 || this.#isClosed ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve))
  }

  /** Calls nobody any more. */
  close(): void {
    this.#isClosed = true
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #flush(): void {
    if (this.#notes.length === 0) return
    const { shard, term, appender, topic, now, onRefused } = this.#options
    const waiting = this.#waiting
    const value = encodeRecord('RetainedChanged', { shard, term, entries: this.#notes })
    this.#notes = []
    this.#waiting = []
    this.#bytes = 0
    this.#underWay++
    appender.append({ topic, partition: shard, key: null, value, timestamp: now() }, (error) => {
      this.#underWay--
      if (this.#isClosed) return
      if (error) onRefused(error)
      else for (const done of waiting) done()
      if (this.#underWay === 0) for (const resolve of this.#idle.splice(0)) resolve()
    })
  }
}
