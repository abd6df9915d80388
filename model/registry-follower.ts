/** Keeps a RegistryView current from the log, and knows how old its knowledge is. */
import { type Follower, type Log, LogClosed, type LogRecord, type Stretch } from '../log/log.ts'
import { decodeRecord } from '../schemas/codec.ts'
import type { SnapshotRecord } from '../schemas/registry-records.ts'
import { type RegistrySnapshot, readFromSnapshot } from './registry-snapshot.ts'
import { partitionsKey, type RegistryRecord, RegistryView } from './registry-view.ts'

export interface RegistryFollowerOptions {
  readonly log: Log
  /** The one-partition topic `registry`. */
  readonly topic: string
  /** The topic `registry-snapshots`, so that a start begins with the newest; without it every record there is is read. */
  readonly snapshots?: string
  /** Milliseconds; only differences count. */
  readonly clock: { now(): number }
  /** Called once when following cannot go on (its position is gone from the log): the view is dead, end the process. */
  readonly onFailed?: (error: unknown) => void
  /**
   * Called for each record before it is applied to the view: what was before it can be looked at. Where a snapshot turned out to be unusable, again for
   * those that had been read behind it.
   */
  readonly onRecord?: (record: LogRecord, read: RegistryRecord, view: RegistryView) => void
  /** Called when the view holds a snapshot, and before records that came after: those in it are told of to nobody. */
  readonly onSnapshot?: (snapshot: RegistrySnapshot) => void
  /** Called when there is a snapshot and the start has to read everything all the same, or when nobody can tell. */
  readonly onUnusable?: (error: unknown) => void
}

/** Decodes a record of the topic. One that cannot be read counts as a tombstone: it grants nothing. */
export function readRegistryRecord(record: LogRecord): RegistryRecord {
  const key = record.key?.toString('utf8') ?? ''
  return record.value === null ? { offset: record.offset, key, entry: null } : readEntry(record.offset, key, record.value)
}

/** The same of a record that stands in a snapshot. */
export const readSnapshotRecord = ({ offset, key, value }: SnapshotRecord): RegistryRecord => readEntry(offset, key, value)

function readEntry(offset: number, key: string, value: Buffer): RegistryRecord {
  try {
    const decoded = decodeRecord(value)
    if (decoded.name === 'RegistryEntry') return { offset, key, entry: decoded.value }
  } catch {
    // As one of another kind.
  }
  return { offset, key, entry: null, isUnreadable: true }
}

/** The registry's own notes, upon which nobody has anything to do; a change of partitions ends who serves. */
const isBookkeeping = ({ key }: RegistryRecord): boolean => (key.startsWith('marker/') && key !== partitionsKey) || key.startsWith('fence/')

interface Begun {
  readonly view: RegistryView
  readonly snapshot: RegistrySnapshot
}

/** The newest snapshot and what has come since; undefined when it does not lead there. */
async function fromSnapshot({ log, topic, snapshots, onRecord, onSnapshot, onUnusable }: RegistryFollowerOptions): Promise<Begun | undefined> {
  if (snapshots === undefined) return undefined
  const view = new RegistryView()
  try {
    const snapshot = await readFromSnapshot(
      log,
      { registry: topic, snapshots },
      {
        onStanding: (record) => view.apply(readSnapshotRecord(record)),
        onRestored(snapshot) {
          view.skipTo(snapshot.position)
          onSnapshot?.(snapshot)
        },
        onRecord(record) {
          const read = readRegistryRecord(record)
          onRecord?.(record, read, view)
          view.apply(read)
        },
      },
    )
    return snapshot && { view, snapshot }
  } catch (error) {
    if (error instanceof LogClosed) throw error
    onUnusable?.(error)
    return undefined
  }
}

interface Waiter {
  readonly offset: number
  resolve(): void
  reject(error: unknown): void
}

export class RegistryFollower {
  readonly view: RegistryView
  /** What the view began with; undefined when every record was read. */
  readonly snapshot: RegistrySnapshot | undefined
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
    const { log, topic } = options
    const begun = await fromSnapshot(options)
    const askedAt = options.clock.now()
    const [start, end] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic)])
    const from = begun?.view.position ?? start.get(0)
    const to = end.get(0)
    if (from === undefined || to === undefined || end.size !== 1) throw new Error(`the topic ${topic} must have one partition, it has ${end.size}`)
    const follower = new RegistryFollower(options, await log.follow({ topic, from: new Map([[0, from]]) }), begun)
    // Nothing may be left to fetch: that answer has confirmed it.
    if (follower.view.position >= to) follower.#confirmedAt = Math.max(follower.#confirmedAt, askedAt)
    await follower.reached(to - 1)
    return follower
  }

  private constructor(options: RegistryFollowerOptions, follower: Follower, begun: Begun | undefined) {
    this.view = begun?.view ?? new RegistryView()
    this.snapshot = begun?.snapshot
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
