/**
 * The namespace's life cycle events as a topic that subscriptions read: what else stands in `lifecycle` is passed over, and quick
 * changes of a client are one event (LC-07). While one of a client may still be changed, it waits, and what stands behind it.
 */
import { collapse } from '../../events/lifecycle-collapse.ts'
import { lifecycleCloudEvent, lifecycleTypes } from '../../events/lifecycle-event.ts'
import type { ReceivedEvent } from '../../events/received-event.ts'
import type { LogRecord, Stretch } from '../../log/log.ts'
import { decodePublished } from '../../schemas/codec.ts'
import type { LifecycleEvent } from '../../schemas/event-records.ts'
import { RecordError } from '../../schemas/record-error.ts'
import type { EventReader, TopicReader } from './topic-reader.ts'

export interface LifecycleReaderOptions {
  /** Of the topic `lifecycle`. */
  readonly records: Pick<TopicReader, 'ends' | 'onNews' | 'read' | 'readAgain' | 'startOffsets' | 'close'>
  /** Of the events. */
  readonly source: string
  readonly now: () => number
}

/** Where reading waits in a partition, and until when, ms since the epoch. */
interface Held {
  readonly offset: number
  readonly until: number
}

export class LifecycleReader implements EventReader {
  readonly #options: LifecycleReaderOptions
  readonly #callbacks = new Set<() => void>()
  readonly #held = new Map<number, Held>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: LifecycleReaderOptions) {
    this.#options = options
  }

  get ends(): ReadonlyMap<number, number> {
    return this.#options.records.ends
  }

  onNews(callback: () => void): () => void {
    const unwatch = this.#options.records.onNews(callback)
    this.#callbacks.add(callback)
    return () => {
      unwatch()
      this.#callbacks.delete(callback)
    }
  }

  async read(partition: number, offset: number): Promise<Stretch> {
    const { records, now } = this.#options
    const held = this.#held.get(partition)
    const end = this.ends.get(partition) ?? 0
    // Nothing that comes meanwhile could change what is said of it before then.
    if (held?.offset === offset && now() < held.until) return { topic: '', partition, records: [], nextOffset: offset, endOffset: end }
    const stretch = await records.read(partition, offset)
    const read = stretch.records.filter((record) => record.offset >= offset).map((record) => ({ record, event: lifecycleEventOf(record) }))
    const { told, decided, until } = decide(read, stretch.nextOffset < end, now())
    const undecided = read[decided]
    if (undecided) this.#wait(partition, { offset: undecided.record.offset, until: until + 1 })
    else this.#held.delete(partition)
    return {
      ...stretch,
      records: told.filter(({ event }) => event && lifecycleTypes.has(event.type)).map(({ record }) => record),
      nextOffset: undecided ? undecided.record.offset : stretch.nextOffset,
    }
  }

  readAgain(partition: number, offset: number): Promise<LogRecord | undefined> {
    return this.#options.records.readAgain(partition, offset)
  }

  eventOf(record: LogRecord): ReceivedEvent {
    const read = lifecycleEventOf(record)
    const event = read && lifecycleCloudEvent(read, this.#options.source)
    return event ? { event } : { problem: { field: 'type', rule: 'must be one of the life cycle' } }
  }

  startOffsets(): Promise<ReadonlyMap<number, number>> {
    return this.#options.records.startOffsets()
  }

  close(): Promise<void> {
    clearTimeout(this.#timer)
    return this.#options.records.close()
  }

  /** Subscriptions are told when there is something to be read that is there already. */
  #wait(partition: number, held: Held): void {
    this.#held.set(partition, held)
    const { now } = this.#options
    clearTimeout(this.#timer)
    const next = Math.min(...[...this.#held.values()].map(({ until }) => until).filter((until) => until > now()))
    // What is past already is read on without being told.
    if (next === Number.POSITIVE_INFINITY) return
    this.#timer = setTimeout(() => this.#tell(), next - now())
    this.#timer.unref()
  }

  #tell(): void {
    for (const callback of this.#callbacks) callback()
  }
}

/** A stretch that ends before the log does tells only up to its last record; where that is too little to decide on, it has to do. */
function decide<R extends { readonly record: LogRecord; readonly event: LifecycleEvent | undefined }>(read: readonly R[], isBehind: boolean, now: number) {
  const known = isBehind ? Math.min(now, read.at(-1)?.record.timestamp ?? now) : now
  const decided = collapse(read, known)
  return decided.decided === 0 && now > decided.until ? collapse(read, now) : decided
}

/** Undefined for what is none. */
function lifecycleEventOf({ value }: LogRecord): LifecycleEvent | undefined {
  if (value === null) return undefined
  try {
    const record = decodePublished(value)
    return record.name === 'LifecycleEvent' ? record.value : undefined
  } catch (error) {
    if (error instanceof RecordError) return undefined
    throw error
  }
}
