/** Reads `messages` by position for what matches, all partitions roughly in the order of time: in log order within each. */
import { type Log, type LogRecord, OffsetOutOfRange } from '../log/log.ts'
import { matches } from '../mqtt/topic.ts'
import { isRepeatable } from '../schemas/message-id.ts'
import { type MessageView, peekMessage } from '../schemas/message-record.ts'
import { RecordError } from '../schemas/record-error.ts'
import type { Place } from './places.ts'

export interface HistoryQuery {
  readonly filter: string
  /** Only what this MQTT client id has published. */
  readonly client: string | null
}

/** A message that matches. Its buffers are views into what was fetched. */
export interface Found {
  readonly source: number
  readonly record: LogRecord & { readonly value: Buffer }
  readonly topic: string
  readonly view: MessageView
}

/** Where a partition cannot hold what is asked for: told by who wrote down what it holds. */
export interface HistoryIndex {
  /** The first offset from this one on that may match, as far as is known. One index serves one reader. */
  next(source: number, offset: number, query: HistoryQuery): Promise<Onward>
}

export interface Onward {
  readonly next: number
  /** What may match from there on takes so many bytes; none when nothing is known of it. */
  readonly bytes?: number
}

export interface HistoryReaderOptions {
  readonly log: Log
  /** The topic `messages`. */
  readonly topic: string
  readonly query: HistoryQuery
  readonly places: readonly Place[]
  readonly index?: HistoryIndex | undefined
  /** The log had removed what was still to be read. */
  onGone?(source: number, from: number, to: number): void
}

interface Source {
  readonly source: number
  readonly end: number | null
  next: number
  /** Where it has to come to: its end, or the log's as last seen. */
  goal: number
  /** Of the last record seen. */
  time: number
}

/** What was fetched and not looked at yet, because enough was found before. */
interface Rest {
  readonly source: Source
  readonly records: readonly LogRecord[]
  readonly nextOffset: number
}

/** Messages of repeatable ids that were found last: another record of one is the same publish (docs/decisions/0010-qos2.md). */
const idsMax = 4_096

export class HistoryReader {
  readonly #options: HistoryReaderOptions
  readonly #sources: readonly Source[]
  readonly #ids = new Map<string, string>()
  #isAimed = false
  #rest: Rest | undefined
  /** Of `messages`, as fetched. */
  bytesRead = 0
  /** Time of the first message that was not due yet, milliseconds since the epoch; undefined when all was. */
  notBefore: number | undefined

  constructor(options: HistoryReaderOptions) {
    this.#options = options
    this.#sources = options.places.map(({ source, next, end, time }) => ({ source, end, next, goal: end ?? Number.POSITIVE_INFINITY, time }))
  }

  /** How far it is. */
  get places(): readonly Place[] {
    return this.#sources.map(({ source, next, end, time }) => ({ source, next, end, time }))
  }

  /** Every partition is read to its end, or to where the log ended when it was last asked. */
  get isThere(): boolean {
    return this.#sources.every(({ next, goal }) => next >= goal)
  }

  /** From now on it is there when each partition is read to this offset. */
  aim(goals: ReadonlyMap<number, number>): void {
    this.#isAimed = true
    for (const source of this.#sources) source.goal = Math.min(goals.get(source.source) ?? 0, source.end ?? Number.POSITIVE_INFINITY)
  }

  /** The log's end is the goal again. What was read to it stays there, however the log grows: with all partitions growing nobody would ever be at all ends. */
  aimAtEnd(): void {
    if (!this.#isAimed) return
    this.#isAimed = false
    for (const source of this.#sources) source.goal = source.end ?? Number.POSITIVE_INFINITY
  }

  /** What the next fetch of some `bytesMax` holds, at most `countMax`, and not what was published after `until`. */
  async read(bytesMax: number, countMax: number, until = Number.POSITIVE_INFINITY): Promise<readonly Found[]> {
    const { log, topic, query, index, onGone } = this.#options
    this.notBefore = undefined
    const rest = this.#rest
    this.#rest = undefined
    if (rest && rest.source.next < rest.source.goal) return this.#take(rest.source, rest.records, rest.nextOffset, countMax, until)
    let source: Source | undefined
    for (const each of this.#sources) if (each.next < each.goal && (!source || each.time < source.time)) source = each
    if (!source) return []
    let bytes = bytesMax
    if (index) {
      const onward = await index.next(source.source, source.next, query)
      source.next = Math.min(Math.max(onward.next, source.next), source.goal)
      if (source.next >= source.goal) return []
      bytes = Math.min(bytes, onward.bytes ?? bytes)
    }
    try {
      const stretch = await log.read(topic, source.source, source.next, bytes)
      if (!this.#isAimed && source.end === null) source.goal = stretch.endOffset
      return this.#take(source, stretch.records, stretch.nextOffset, countMax, until)
    } catch (error) {
      if (!(error instanceof OffsetOutOfRange)) throw error
      const start = (await log.startOffsets(topic)).get(source.source) ?? 0
      // Beyond the end is nothing that could be gone.
      if (start <= source.next) throw error
      onGone?.(source.source, source.next, start)
      source.next = Math.min(start, source.goal)
      return []
    }
  }

  #take(source: Source, records: readonly LogRecord[], nextOffset: number, countMax: number, until: number): readonly Found[] {
    const found: Found[] = []
    for (const [index, record] of records.entries()) {
      this.bytesRead += (record.key?.length ?? 0) + (record.value?.length ?? 0)
      if (record.offset < source.next) continue
      if (source.end !== null && record.offset >= source.end) break
      if (record.timestamp > until) {
        source.next = record.offset
        source.time = record.timestamp
        this.notBefore = record.timestamp
        return found
      }
      source.time = Math.max(source.time, record.timestamp)
      const match = this.#match(source.source, record)
      if (match) found.push(match)
      if (found.length < countMax) continue
      source.next = record.offset + 1
      this.#rest = { source, records: records.slice(index + 1), nextOffset }
      return found
    }
    source.next = Math.min(Math.max(nextOffset, source.next), source.end ?? Number.POSITIVE_INFINITY)
    return found
  }

  #match(source: number, record: LogRecord): Found | undefined {
    const { filter, client } = this.#options.query
    const { key, value } = record
    if (!key || !value) return undefined
    const topic = key.toString()
    if (!matches(filter, topic)) return undefined
    try {
      const view = peekMessage(value)
      if (client !== null && view.clientId !== client) return undefined
      return isRepeatable(view.messageId) && this.#isRepeat(view.messageId, source, record.offset)
        ? undefined
        : { source, record: record as Found['record'], topic, view }
    } catch (error) {
      // The owner of the shard has counted and told it when it was matched.
      if (error instanceof RecordError) return undefined
      throw error
    }
  }

  #isRepeat(id: Buffer, source: number, offset: number): boolean {
    const key = id.toString('latin1')
    const place = `${source}:${offset}`
    const known = this.#ids.get(key)
    if (known !== undefined) return known !== place
    this.#ids.set(key, place)
    if (this.#ids.size > idsMax) this.#ids.delete(this.#ids.keys().next().value as string)
    return false
  }
}
