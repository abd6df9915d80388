/** Follows partitions by position: one long poll per broker, on connections of its own, one answer ahead of the reader. */
import { type Follower, type FollowOptions, LogClosed, OffsetOutOfRange, type Stretch } from '../log.ts'
import { Backoff } from './backoff.ts'
import type { Cluster, Logger } from './cluster.ts'
import { KafkaError } from './kafkajs.ts'
import { LinkError } from './link.ts'
import type { LogMetrics } from './metrics.ts'
import { fetchOn, isRetriableRead } from './reader.ts'
import { BatchError } from './record-batch.ts'
import { toStretch } from './requests.ts'

const requestBytesMax = 16 * 1024 * 1024
/** A damaged batch is fetched again this often before the reader is told. */
const damagedMax = 3

/** Where one partition stands. A new object with every seek, so that late answers for the old one are dropped. */
interface Cursor {
  readonly partition: number
  offset: number
  /** When a stretch of it was last handed over or queued. */
  shownAt: number
  endOffset: number
  damaged: number
}

/** What one fetch brought. */
interface Answer {
  readonly poll: Poll
  readonly parts: readonly { readonly cursor: Cursor; readonly stretch: Stretch }[]
}

/** The loop on one broker. */
class Poll {
  readonly node: number
  waiting = 0
  wake: (() => void) | null = null
  turn = 0

  constructor(node: number) {
    this.node = node
  }
}

export interface KafkaFollowerOptions extends FollowOptions {
  readonly cluster: Cluster
  readonly purpose: string
  readonly logger: Logger
  readonly metrics: LogMetrics | null
  readonly onClosed: () => void
}

export class KafkaFollower implements Follower {
  readonly #options: KafkaFollowerOptions
  readonly #maxWaitMs: number
  readonly #maxBytes: number
  readonly #cursors = new Map<number, Cursor>()
  readonly #polls = new Map<number, Poll>()
  readonly #queue: Answer[] = []
  #reader: (() => void) | null = null
  #failure: Error | null = null
  #closed = false
  #assigning = false

  constructor(options: KafkaFollowerOptions) {
    this.#options = options
    this.#maxWaitMs = options.maxWaitMs ?? 500
    this.#maxBytes = options.maxBytes ?? 1024 * 1024
    for (const [partition, offset] of options.from) this.#place(partition, offset)
    options.cluster.watch(options.topic)
    options.cluster.closing.addEventListener('abort', () => void this.close(), { once: true })
    this.#assign()
  }

  async *stretches(): AsyncGenerator<Stretch> {
    for await (const { parts } of this.#answers()) {
      for (const part of parts) if (this.#isCurrent(part)) yield part.stretch
    }
  }

  async *together(): AsyncGenerator<readonly Stretch[]> {
    for await (const { parts } of this.#answers()) {
      const stretches = parts.filter((part) => this.#isCurrent(part)).map(({ stretch }) => stretch)
      if (stretches.length > 0) yield stretches
    }
  }

  async *#answers(): AsyncGenerator<Answer> {
    for (;;) {
      // What was fetched is handed over before what went wrong after it.
      const next = this.#queue.shift()
      if (next) {
        next.poll.waiting--
        next.poll.wake?.()
        yield next
        continue
      }
      if (this.#failure) throw this.#failure
      if (this.#closed) throw new LogClosed()
      await new Promise<void>((resolve) => {
        this.#reader = resolve
      })
      this.#reader = null
    }
  }

  #isCurrent({ cursor }: Answer['parts'][number]): boolean {
    return this.#cursors.get(cursor.partition) === cursor
  }

  seek(partition: number, offset: number): void {
    this.#place(partition, offset)
    this.#assign()
  }

  remove(partition: number): void {
    this.#cursors.delete(partition)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const poll of this.#polls.values()) {
      poll.wake?.()
      this.#options.cluster.drop(poll.node, this.#options.purpose)
    }
    this.#reader?.()
    this.#options.onClosed()
  }

  #place(partition: number, offset: number): void {
    this.#cursors.set(partition, { partition, offset, shownAt: 0, endOffset: -1, damaged: 0 })
  }

  get #done(): boolean {
    return this.#closed || this.#failure !== null
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const poll of this.#polls.values()) poll.wake?.()
    this.#reader?.()
  }

  /** Every partition with a leader has a loop on that broker; for the others metadata is read until it names one. */
  #assign(): void {
    const { cluster, topic } = this.#options
    let isComplete = true
    for (const { partition } of this.#cursors.values()) {
      const node = cluster.leaderOf(topic, partition)
      if (node < 0) {
        isComplete = false
        continue
      }
      if (!this.#polls.has(node)) {
        const poll = new Poll(node)
        this.#polls.set(node, poll)
        void this.#run(poll)
      }
    }
    if (!isComplete) void this.#reassign()
  }

  async #reassign(): Promise<void> {
    if (this.#assigning) return
    this.#assigning = true
    const { cluster, topic } = this.#options
    const backoff = new Backoff()
    try {
      while (!this.#done) {
        await cluster.refresh().catch(() => {})
        const known = cluster.topic(topic)
        if (known?.errorCode === 29) {
          this.#fail(new KafkaError(`to follow ${topic}`, 29))
          return
        }
        if ([...this.#cursors.keys()].every((partition) => cluster.leaderOf(topic, partition) >= 0)) break
        await cluster.pause(backoff.next())
      }
    } finally {
      this.#assigning = false
    }
    if (!this.#done) this.#assign()
  }

  async #run(poll: Poll): Promise<void> {
    const { cluster, purpose, topic, logger } = this.#options
    const backoff = new Backoff()
    try {
      while (!this.#done) {
        if (poll.waiting > 0) {
          await new Promise<void>((resolve) => {
            poll.wake = resolve
          })
          poll.wake = null
          continue
        }
        const cursors = [...this.#cursors.values()].filter(({ partition }) => cluster.leaderOf(topic, partition) === poll.node)
        if (cursors.length === 0) return
        try {
          const isFine = await this.#fetch(poll, cursors)
          if (isFine) backoff.reset()
          else {
            await cluster.pause(backoff.next())
            await cluster.refresh().catch(() => {})
            this.#assign()
          }
        } catch (error) {
          if (this.#done) return
          if (!(error instanceof LinkError)) throw error
          logger.debug({ broker: poll.node, topic, error: error.message }, 'follow: trying again')
          cluster.drop(poll.node, purpose)
          await cluster.pause(backoff.next())
          await cluster.refresh().catch(() => {})
          this.#assign()
        }
      }
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    } finally {
      this.#polls.delete(poll.node)
      // A partition may have come to this broker after the loop looked.
      if (!this.#done) this.#assign()
    }
  }

  /** One long poll. False when a partition has to be asked elsewhere or later. */
  async #fetch(poll: Poll, cursors: readonly Cursor[]): Promise<boolean> {
    const { cluster, purpose, topic, metrics, passOverUnreadable } = this.#options
    const link = await cluster.usableLink(poll.node, purpose)
    // The answer is filled in the order asked: each partition is first in its turn.
    const first = poll.turn++ % cursors.length
    const positions = [...cursors.slice(first), ...cursors.slice(0, first)].map(({ partition, offset }) => ({ partition, offset }))
    const question = {
      topic,
      positions,
      maxWaitMs: this.#maxWaitMs,
      maxBytes: Math.min(this.#maxBytes * positions.length, requestBytesMax),
      partitionMaxBytes: this.#maxBytes,
    }
    const fetched = await fetchOn(link, question, cluster.requestTimeoutMs)
    if (this.#done) return true
    const now = Date.now()
    const parts: { readonly cursor: Cursor; readonly stretch: Stretch }[] = []
    let isFine = true
    const byPartition = new Map(cursors.map((cursor) => [cursor.partition, cursor]))
    for (const part of fetched) {
      const cursor = byPartition.get(part.partition)
      if (!cursor || this.#cursors.get(part.partition) !== cursor) continue
      if (part.errorCode === 1) {
        this.#fail(new OffsetOutOfRange(topic, part.partition, cursor.offset))
        break
      }
      if (part.errorCode !== 0) {
        if (!isRetriableRead(part.errorCode)) throw new KafkaError(`to follow ${topic}[${part.partition}]`, part.errorCode)
        isFine = false
        continue
      }
      let stretch: Stretch
      try {
        stretch = toStretch(topic, part, cursor.offset, passOverUnreadable)
        cursor.damaged = 0
      } catch (error) {
        if (!(error instanceof BatchError) || ++cursor.damaged >= damagedMax) throw error
        isFine = false
        continue
      }
      const isNews = stretch.nextOffset > cursor.offset || stretch.endOffset !== cursor.endOffset
      // An empty one says that the view is current; while others are busy, as often as an idle poll would.
      if (!isNews && now - cursor.shownAt < this.#maxWaitMs / 2) continue
      cursor.offset = stretch.nextOffset
      cursor.endOffset = stretch.endOffset
      cursor.shownAt = now
      if (stretch.records.length > 0) {
        metrics?.fetchedRecords.inc({ topic }, stretch.records.length)
        metrics?.fetchedBytes.inc({ topic }, part.records.length)
      }
      parts.push({ cursor, stretch })
    }
    if (parts.length > 0) {
      this.#queue.push({ poll, parts })
      poll.waiting++
      this.#reader?.()
    }
    return isFine
  }
}
