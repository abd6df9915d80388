/**
 * One Kafka topic as its subscriptions read it: one follower at its ends wakes all of them, and what it has just brought is
 * read by all who are that far without asking Kafka again. Whoever is behind reads on his own, by position.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { kafkaEvent, type ReceivedEvent } from '../../events/received-event.ts'
import { type Follower, type Log, LogClosed, type LogRecord, type Stretch } from '../../log/log.ts'

export interface TopicReaderOptions {
  readonly log: Log
  readonly topic: string
  /** Most that one fetch brings, bytes. */
  readonly fetchBytesMax: number
  /** Following broke off; it is begun anew. */
  onTrouble(error: Error): void
}

const againMs = 1_000
/** What somebody wrote that cannot be read holds up no subscription. */
const othersWriteHere = { passOverUnreadable: true } as const

/** The events of a topic, as its subscriptions read them. */
export interface EventReader {
  /** Where each partition ends, as far as is known: nothing before the first answer. */
  readonly ends: ReadonlyMap<number, number>
  /** Calls back when there is something new. Returns how to stop that. */
  onNews(callback: () => void): () => void
  /** The records from an offset on; `nextOffset` is that offset again while nothing can be said of what stands there. Rejects with OffsetOutOfRange. */
  read(partition: number, offset: number): Promise<Stretch>
  /** One record that was read before. Rejects with OffsetOutOfRange. */
  readAgain(partition: number, offset: number): Promise<LogRecord | undefined>
  /** The event in a record whose buffers are the caller's. */
  eventOf(record: LogRecord): ReceivedEvent
  startOffsets(): Promise<ReadonlyMap<number, number>>
  close(): Promise<void>
}

export class TopicReader implements EventReader {
  readonly #options: TopicReaderOptions
  readonly #callbacks = new Set<() => void>()
  readonly #ends = new Map<number, number>()
  readonly #newest = new Map<number, Stretch>()
  readonly #closing = new AbortController()
  #follower: Follower | undefined
  readonly #ended: Promise<void>

  constructor(options: TopicReaderOptions) {
    this.#options = options
    this.#ended = this.#run()
  }

  get ends(): ReadonlyMap<number, number> {
    return this.#ends
  }

  onNews(callback: () => void): () => void {
    this.#callbacks.add(callback)
    return () => this.#callbacks.delete(callback)
  }

  read(partition: number, offset: number): Promise<Stretch> {
    return this.#read(partition, offset, this.#options.fetchBytesMax)
  }

  /** Kafka's least answer is the batch that it stands in: what follows would be read for nothing. */
  async readAgain(partition: number, offset: number): Promise<LogRecord | undefined> {
    const { records } = await this.#read(partition, offset, 1)
    return records.find((record) => record.offset === offset)
  }

  async #read(partition: number, offset: number, bytesMax: number): Promise<Stretch> {
    const newest = this.#newest.get(partition)
    const first = newest?.records[0]?.offset
    if (newest && first !== undefined && offset >= first && offset < newest.nextOffset) {
      return { ...newest, records: newest.records.filter((record) => record.offset >= offset) }
    }
    return this.#options.log.read(this.#options.topic, partition, offset, bytesMax, othersWriteHere)
  }

  /** In the Kafka protocol binding. */
  eventOf({ headers, value }: LogRecord): ReceivedEvent {
    return kafkaEvent(headers, value)
  }

  startOffsets(): Promise<ReadonlyMap<number, number>> {
    return this.#options.log.startOffsets(this.#options.topic)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#follower?.close()
    await this.#ended
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#follow()
      } catch (error) {
        if (this.#closing.signal.aborted || error instanceof LogClosed) return
        this.#options.onTrouble(error as Error)
      }
      // Closing ends the pause.
      await delay(againMs, undefined, { signal: this.#closing.signal }).catch(() => {})
    }
  }

  async #follow(): Promise<void> {
    const { log, topic, fetchBytesMax } = this.#options
    const ends = await log.endOffsets(topic)
    this.#newest.clear()
    for (const [partition, end] of ends) this.#ends.set(partition, end)
    this.#tell()
    this.#follower = await log.follow({ topic, from: ends, maxBytes: fetchBytesMax, ...othersWriteHere })
    if (this.#closing.signal.aborted) await this.#follower.close()
    for await (const stretch of this.#follower.stretches()) {
      const { partition, records, endOffset, nextOffset } = stretch
      if (records.length > 0) this.#newest.set(partition, stretch)
      const end = Math.max(endOffset, nextOffset)
      if (end === this.#ends.get(partition)) continue
      this.#ends.set(partition, end)
      this.#tell()
    }
  }

  #tell(): void {
    for (const callback of this.#callbacks) callback()
  }
}
