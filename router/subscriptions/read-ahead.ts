/**
 * What a subscription has read ahead of its topic, by position: wanted events that were not given out, bounded in number and bytes.
 * What is not wanted is passed over; what the log does not hold any more, or is no event, is counted.
 */
import type { CloudEvent } from '../../events/cloud-event.ts'
import { type LogRecord, OffsetOutOfRange } from '../../log/log.ts'
import type { EventPlace, Ledger } from './ledger.ts'
import { SubscriptionClosed } from './subscription-closed.ts'
import type { EventReader } from './topic-reader.ts'

/** An event read and wanted. */
export interface ReadEvent extends EventPlace {
  readonly key: Buffer | null
  readonly event: CloudEvent
  readonly publishedAt: number
  /** As it counts against limits. */
  readonly bytes: number
}

/** Of new events. */
export interface ReadCounts {
  /** Wanted. */
  readonly matched: number
  /** Not wanted. */
  readonly filtered: number
  /** Of those, wanted by no subscription of the topic, as far as they count here. */
  readonly unmatched: number
}

export interface ReadAheadOptions {
  readonly ledger: Ledger
  readonly reader: EventReader
  /** Read and not given out. */
  readonly bytesMax: number
  /** Events that the log did not hold any more, or that were none. */
  lost(reason: 'gone' | 'unreadable', count: number): void
  wants(event: CloudEvent): boolean
  /** For one that is not wanted: whether it counts here as one that no subscription of the topic wants. */
  isUnmatched(event: CloudEvent): boolean
  onRead(counts: ReadCounts): void
  /** The subscription takes no more events. */
  isExpired(): boolean
  /** The subscription goes on there, whatever was read; resolves once the log has it. */
  goOnAt(partition: number, position: number): Promise<void>
  /** There are events that were not there before. */
  onFound(): void
  /** Reading failed; it is tried again. */
  onTrouble(error: Error): void
}

const aheadEventsMax = 1_000
const readAgainMs = 1_000

export class ReadAhead {
  readonly #options: ReadAheadOptions
  /** Wanted events that were not given out, in the order of their partitions. */
  #ahead: ReadEvent[] = []
  #aheadBytes = 0
  /** The next offset to read, by partition. */
  readonly #readTo = new Map<number, number>()
  readonly #unwatch: () => void
  /** Another one since what is read now was begun: it is read again. */
  #reading: object = {}
  #isFilling = false
  #hasNews = false
  #retry: NodeJS.Timeout | undefined
  #isClosed = false

  /** Reads nothing before it is filled. */
  constructor(options: ReadAheadOptions) {
    this.#options = options
    this.#unwatch = options.reader.onNews(() => this.fill())
  }

  get length(): number {
    return this.#ahead.length
  }

  get first(): ReadEvent | undefined {
    return this.#ahead[0]
  }

  close(): void {
    this.#isClosed = true
    this.#unwatch()
    clearTimeout(this.#retry)
  }

  /** Takes the first, which there is: its subscription's position passes it. */
  take(): ReadEvent {
    const read = this.#ahead.shift() as ReadEvent
    this.#aheadBytes -= read.bytes
    this.#options.ledger.pass(read.partition, read.offset + 1)
    return read
  }

  /** The subscription's position passes what was read and not wanted. */
  passRead(): void {
    const withAhead = new Set(this.#ahead.map(({ partition }) => partition))
    for (const [partition, to] of this.#readTo) if (!withAhead.has(partition)) this.#options.ledger.pass(partition, to)
  }

  /** Reads on, as far as there is room. */
  fill(): void {
    this.#hasNews = true
    if (this.#isFilling || this.#isClosed) return
    this.#isFilling = true
    void this.#fillUp().finally(() => {
      this.#isFilling = false
    })
  }

  /** What was read and not given out is read again. */
  forget(): void {
    this.#ahead = []
    this.#aheadBytes = 0
    this.#readTo.clear()
    this.#reading = {}
  }

  /** An event that was read before; undefined when the log does not hold it any more. Rejects with SubscriptionClosed. */
  async again({ partition, offset }: EventPlace): Promise<ReadEvent | undefined> {
    for (;;) {
      try {
        const record = await this.#options.reader.readAgain(partition, offset)
        return record && this.#readEvent(record)
      } catch (error) {
        if (error instanceof OffsetOutOfRange) return undefined
        if (this.#isClosed) throw new SubscriptionClosed()
        this.#options.onTrouble(error as Error)
        await new Promise((resolve) => setTimeout(resolve, readAgainMs))
      }
    }
  }

  async #fillUp(): Promise<void> {
    while (this.#hasNews && !this.#isClosed) {
      this.#hasNews = false
      for (const [partition, end] of this.#options.reader.ends) {
        try {
          if (await this.#readSome(partition, end)) this.#hasNews = true
        } catch (error) {
          if (this.#isClosed) return
          this.#options.onTrouble(error as Error)
          this.#retry = setTimeout(() => this.fill(), readAgainMs)
          return
        }
      }
    }
  }

  /** Reads one stretch of a partition; true when there is more. */
  async #readSome(partition: number, end: number): Promise<boolean> {
    const { reader, ledger, bytesMax, lost, wants, isUnmatched, isExpired, onFound, onRead } = this.#options
    const from = this.#readTo.get(partition) ?? ledger.position(partition)
    // Beyond the end either the end is an old one, or the topic is a new one.
    if (from === end || this.#aheadBytes >= bytesMax || this.#ahead.length >= aheadEventsMax || isExpired()) return false
    const reading = this.#reading
    let next: number
    let found: ReadEvent[] = []
    let filtered = 0
    let unmatched = 0
    try {
      const stretch = await reader.read(partition, from)
      next = stretch.nextOffset
      if (stretch.passedOver !== undefined) lost('unreadable', stretch.passedOver)
      let bytes = this.#aheadBytes
      for (const record of stretch.records) {
        if (record.offset < from) continue
        const read = this.#readEvent(record)
        if (!read) lost('unreadable', 1)
        else if (!ledger.isPast(read)) {
          if (wants(read.event)) {
            found.push(read)
            bytes += read.bytes
          } else {
            filtered++
            if (isUnmatched(read.event)) unmatched++
          }
        }
        if (bytes < bytesMax) continue
        next = record.offset + 1
        break
      }
    } catch (error) {
      if (!(error instanceof OffsetOutOfRange)) throw error
      found = []
      next = (await reader.startOffsets()).get(partition) ?? 0
      if (next === from) return false
      if (next < from) return this.#readAnewFrom(partition, next, reading)
      lost('gone', next - from)
    }
    // The resource may have changed meanwhile: then it is read again.
    if (this.#isClosed || reading !== this.#reading) return true
    this.#readTo.set(partition, next)
    for (const read of found) {
      this.#ahead.push(read)
      this.#aheadBytes += read.bytes
    }
    this.passRead()
    if (found.length + filtered > 0) onRead({ matched: found.length, filtered, unmatched })
    if (found.length > 0) onFound()
    return next < end && next > from
  }

  /** Behind its end it is another Kafka topic under this name: what the former one had is gone, and this one is read from its beginning. */
  async #readAnewFrom(partition: number, start: number, reading: object): Promise<boolean> {
    if (this.#isClosed || reading !== this.#reading) return true
    const { ledger, lost, goOnAt } = this.#options
    const owed = ledger.all().filter((event) => event.partition === partition).length
    // How many were not read yet nobody knows.
    lost('gone', Math.max(1, owed))
    await goOnAt(partition, start)
    return true
  }

  #readEvent(record: LogRecord): ReadEvent | undefined {
    const { partition, offset, timestamp, key, value, headers } = record
    // Copies: the fetched batch is far larger than what is kept of it.
    const copy = value === null ? null : Buffer.from(value)
    const received = this.#eventOf({ ...record, value: copy })
    if (!received) return undefined
    const bytes = (copy?.length ?? 0) + headers.reduce((sum, header) => sum + header.name.length + (header.value?.length ?? 0), 0) + 200
    return { partition, offset, key: key && Buffer.from(key), event: received, publishedAt: timestamp, bytes }
  }

  /** Undefined for what is none. Whatever one record does to its reading: those behind it are read. */
  #eventOf(record: LogRecord): CloudEvent | undefined {
    try {
      const received = this.#options.reader.eventOf(record)
      return 'event' in received ? received.event : undefined
    } catch {
      return undefined
    }
  }
}
