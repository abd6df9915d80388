/** Keeps a RegistryView current from the log, and knows how old its knowledge is. */
import { type Follower, type Log, LogClosed, type LogRecord, type Stretch } from '../log/log.ts'
import { decodeRecord } from '../schemas/codec.ts'
import { partitionsKey, type RegistryRecord, RegistryView } from './registry-view.ts'

export interface RegistryFollowerOptions {
  readonly log: Log
  /** The one-partition topic `registry`. */
  readonly topic: string
  /** Milliseconds; only differences count. */
  readonly clock: { now(): number }
  /** Called once when following cannot go on (its position is gone from the log): the view is dead, end the process. */
  readonly onFailed?: (error: unknown) => void
  /** Called for each record before it is applied to the view: what was before it can be looked at. */
  readonly onRecord?: (record: LogRecord, read: RegistryRecord, view: RegistryView) => void
}

/** Decodes a record of the topic. One that cannot be read counts as a tombstone: it grants nothing. */
export function readRegistryRecord(record: LogRecord): RegistryRecord {
  const key = record.key?.toString('utf8') ?? ''
  if (record.value === null) return { offset: record.offset, key, entry: null }
  try {
    const decoded = decodeRecord(record.value)
    return { offset: record.offset, key, entry: decoded.name === 'RegistryEntry' ? decoded.value : null }
  } catch {
    return { offset: record.offset, key, entry: null }
  }
}

/** The registry's own notes, upon which nobody has anything to do; a change of partitions ends who serves. */
const isBookkeeping = ({ key }: RegistryRecord): boolean => (key.startsWith('marker/') && key !== partitionsKey) || key.startsWith('fence/')

interface Waiter {
  readonly offset: number
  resolve(): void
  reject(error: unknown): void
}

export class RegistryFollower {
  readonly view = new RegistryView()
  readonly #clock: RegistryFollowerOptions['clock']
  readonly #follower: Follower
  readonly #onRecord: RegistryFollowerOptions['onRecord']
  readonly #callbacks = new Set<(view: RegistryView) => void>()
  readonly #waiters = new Set<Waiter>()
  readonly #ended: Promise<void>
  #confirmedAt = Number.NEGATIVE_INFINITY
  #failure: unknown
  #isClosing = false

  /** Resolves once the view holds everything that was in the log when this was called. */
  static async start(options: RegistryFollowerOptions): Promise<RegistryFollower> {
    const [start, end] = await Promise.all([options.log.startOffsets(options.topic), options.log.endOffsets(options.topic)])
    const from = start.get(0)
    const to = end.get(0)
    if (from === undefined || to === undefined || end.size !== 1) throw new Error(`the topic ${options.topic} must have one partition, it has ${end.size}`)
    const follower = new RegistryFollower(options, await options.log.follow({ topic: options.topic, from: new Map([[0, from]]) }))
    await follower.reached(to - 1)
    return follower
  }

  private constructor(options: RegistryFollowerOptions, follower: Follower) {
    this.#clock = options.clock
    this.#follower = follower
    this.#onRecord = options.onRecord
    this.#ended = this.#run().catch((error: unknown) => {
      this.#fail(error)
      if (!this.#isClosing) options.onFailed?.(error)
    })
  }

  /** Milliseconds since a fetch last said that the view is at the end of the log; Infinity before the first. */
  confirmedMs(): number {
    return Math.max(0, this.#clock.now() - this.#confirmedAt)
  }

  /** Calls back after changes of resources or namespaces have been applied, once for what one fetch brought. Returns how to stop that. */
  onChange(callback: (view: RegistryView) => void): () => void {
    this.#callbacks.add(callback)
    return () => this.#callbacks.delete(callback)
  }

  /** Resolves once the record at the offset has been applied. */
  reached(offset: number): Promise<void> {
    if (this.view.position > offset) return Promise.resolve()
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => this.#waiters.add({ offset, resolve, reject }))
  }

  async close(): Promise<void> {
    this.#isClosing = true
    await this.#follower.close()
    await this.#ended
  }

  async #run(): Promise<void> {
    for await (const stretch of this.#follower.stretches()) this.#apply(stretch)
    throw new LogClosed()
  }

  #fail(error: unknown): void {
    this.#failure = error
    for (const waiter of this.#waiters) waiter.reject(error)
    this.#waiters.clear()
  }

  #apply(stretch: Stretch): void {
    let hasChanged = false
    for (const record of stretch.records) {
      const read = readRegistryRecord(record)
      this.#onRecord?.(record, read, this.view)
      this.view.apply(read)
      hasChanged ||= !isBookkeeping(read)
    }
    this.view.skipTo(stretch.nextOffset)
    if (stretch.nextOffset >= stretch.endOffset) this.#confirmedAt = this.#clock.now()
    if (hasChanged) for (const callback of this.#callbacks) callback(this.view)
    for (const waiter of this.#waiters) {
      if (this.view.position <= waiter.offset) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }
}
