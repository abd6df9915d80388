/**
 * What is owed to one persistent session: a queue of positions in `messages`, numbered in the order of the inbox
 * journal. Every number is used once; a number is done when its message was acknowledged, or dropped with a reason.
 * The cursor is the lowest number that is not done.
 */

import type { Replay } from './replay.ts'

/** Added to a source shard's number: the position is one of its `retained` partition, not of `messages`. */
const retainedFlag = 0x8000

/** Added likewise: the message was published before its receiver asked, and is marked as replayed. */
const replayedFlag = 0x4000
/** Added likewise: the position is one of `inbox`, a Replayed record, of which the end marker is made. */
const markerFlag = 0x2000
const flags = retainedFlag | replayedFlag | markerFlag

export const retainedSource = (shard: number): number => shard | retainedFlag
export const replayedSource = (shard: number): number => shard | replayedFlag
export const markerSource = (shard: number): number => shard | markerFlag
/** The shard whose partition is meant, whatever the topic. */
export const shardOfSource = (source: number): number => source & ~flags
export const isReplayed = (source: number): boolean => (source & replayedFlag) !== 0
export const isMarker = (source: number): boolean => (source & markerFlag) !== 0
/** The shard whose `retained` partition is meant; undefined when it is `messages`. */
export const retainedShard = (source: number): number | undefined => (source & retainedFlag ? source & ~retainedFlag : undefined)

export interface QueueEntry {
  readonly number: number
  /** Shard whose `messages` partition holds the message, or `retainedSource`, `replayedSource` or `markerSource` of it. */
  readonly source: number
  readonly offset: number
  /** Bytes of the log record's value. */
  readonly size: number
  /** Milliseconds since the epoch; 0 never. */
  readonly expiresAt: number
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
  /** `$share/{group}/{filter}` when its session is only one of those who might have got it. */
  readonly group: string | null
  /** When it was put here: milliseconds since the epoch, to the second; 0 when that was not noted. */
  readonly at: number
}

const noIdentifiers: readonly number[] = []
const initialCapacity = 8
/** A queue that ran empty gives back a ring larger than this. */
const keptCapacityMax = 1024
const noNumbers = new Float64Array(0)
const noSizes = new Int32Array(0)
const noSources = new Uint16Array(0)
const noFlags = new Uint8Array(0)
const noTimes = new Uint32Array(0)

/** A ring of parallel arrays: an offline fleet's queues are the largest thing a router holds, some 35 bytes an entry. */
export class SessionQueue {
  /** Number of the next entry. */
  next = 0
  /** Every number below is done. */
  cursor = 0
  /** Numbers below this may have been sent once: sending them again carries DUP. */
  sent = 0
  /** Bytes of the messages that are not done. */
  bytes = 0
  /** A shared subscription has given it something. */
  wasShared = false
  /** By offset of the Subscribed record that asked; null before the first. */
  replays: Map<number, Replay> | null = null
  readonly #done = new Set<number>()
  /** QoS 2 numbers that the client has received and that are not done; true once a record says so. */
  readonly #received = new Map<number, boolean>()
  readonly #identifiers = new Map<number, readonly number[]>()
  /** Of entries given to the session as a member of a shared subscription; ascending. */
  readonly #groups = new Map<number, string>()
  // Most sessions are owed nothing most of the time: the ring is made with the first entry.
  #offsets = noNumbers
  #expiries = noNumbers
  #sizes = noSizes
  #sources = noSources
  #flags = noFlags
  /** Seconds since the epoch. */
  #times = noTimes

  /** Entries that are not done. */
  get length(): number {
    return this.next - this.cursor - this.#done.size
  }

  /** Of those, entries of shared subscriptions. */
  get sharedLength(): number {
    return this.#groups.size
  }

  /** Numbers at or above the cursor that are done, ascending. */
  get doneAbove(): number[] {
    return [...this.#done].sort((a, b) => a - b)
  }

  isDone(number: number): boolean {
    return number < this.cursor || this.#done.has(number)
  }

  /** Numbers of QoS 2 that the client has received (PUBREC) and that are not done, ascending. */
  get received(): number[] {
    return this.#received.size === 0 ? [] : [...this.#received.keys()].sort((a, b) => a - b)
  }

  isReceived(number: number): boolean {
    return this.#received.has(number)
  }

  /** A record says that the client has received it: PUBREL may go out [MQTT-4.3.3-4]. */
  isReleasable(number: number): boolean {
    return this.#received.get(number) === true
  }

  /** The client has received it: it goes on with PUBREL, never with PUBLISH; false when it is done or not given out. */
  receive(number: number): boolean {
    if (number < 0 || number >= this.next || this.isDone(number)) return false
    if (!this.#received.has(number)) this.#received.set(number, false)
    return true
  }

  /** A record says that the client has received them. */
  confirmReceived(numbers: readonly number[]): void {
    for (const number of numbers) if (number < this.next && !this.isDone(number)) this.#received.set(number, true)
  }

  push(entry: Omit<QueueEntry, 'number'>): number {
    const number = this.next++
    while (number - this.cursor >= this.#offsets.length) this.#grow()
    const slot = number & (this.#offsets.length - 1)
    this.#offsets[slot] = entry.offset
    this.#expiries[slot] = entry.expiresAt
    this.#sizes[slot] = entry.size
    this.#sources[slot] = entry.source
    this.#flags[slot] = entry.qos | (entry.retain ? 4 : 0)
    this.#times[slot] = Math.floor(entry.at / 1000)
    if (entry.subscriptionIdentifiers.length > 0) this.#identifiers.set(number, entry.subscriptionIdentifiers)
    if (entry.group !== null) {
      this.#groups.set(number, entry.group)
      this.wasShared = true
    }
    this.bytes += entry.size
    return number
  }

  /** Undefined when the number is done or not given out yet. */
  get(number: number): QueueEntry | undefined {
    if (number >= this.next || this.isDone(number)) return undefined
    const slot = number & (this.#offsets.length - 1)
    const flags = this.#flags[slot] as number
    return {
      number,
      source: this.#sources[slot] as number,
      offset: this.#offsets[slot] as number,
      size: this.#sizes[slot] as number,
      expiresAt: this.#expiries[slot] as number,
      qos: (flags & 3) as 0 | 1 | 2,
      retain: (flags & 4) !== 0,
      subscriptionIdentifiers: this.#identifiers.get(number) ?? noIdentifiers,
      group: this.#groups.get(number) ?? null,
      at: (this.#times[slot] as number) * 1000,
    }
  }

  /** The entry that is not done and has waited longest. */
  get oldest(): QueueEntry | undefined {
    return this.get(this.cursor)
  }

  /** Marks a number done; false when it was already, or was never given out. */
  finish(number: number): boolean {
    if (number < 0 || number >= this.next || this.isDone(number)) return false
    this.#forget(number)
    if (number !== this.cursor) {
      this.#done.add(number)
      return true
    }
    this.cursor++
    while (this.#done.delete(this.cursor)) this.cursor++
    if (this.cursor === this.next && this.#offsets.length > keptCapacityMax) this.#giveBack()
    return true
  }

  /** Takes over journaled progress: never moves backwards. */
  advance(cursor: number, above: readonly number[], sent: number, received: readonly number[] = []): void {
    for (let number = this.cursor; number < Math.min(cursor, this.next); number++) this.finish(number)
    if (cursor > this.next) {
      this.next = cursor
      this.cursor = cursor
    }
    for (const number of above) this.finish(number)
    this.sent = Math.max(this.sent, sent)
    this.confirmReceived(received)
  }

  /** Puts back an entry under its old number (from a snapshot); numbers ascend. */
  restore(entry: QueueEntry): void {
    this.skipTo(entry.number)
    this.push(entry)
  }

  /** Numbers below `next` that have no entry are done. */
  skipTo(next: number): void {
    while (this.next < next) this.#done.add(this.next++)
    while (this.#done.delete(this.cursor)) this.cursor++
  }

  *entries(): Generator<QueueEntry> {
    for (let number = this.cursor; number < this.next; number++) {
      const entry = this.get(number)
      if (entry) yield entry
    }
  }

  /** Entries of shared subscriptions that are not done, from a number on, in their order. */
  *shared(from = 0): Generator<QueueEntry> {
    if (this.#groups.size === 0) return
    for (let number = Math.max(from, this.cursor); number < this.next; number++) {
      const entry = this.#groups.has(number) ? this.get(number) : undefined
      if (entry) yield entry
    }
  }

  #forget(number: number): void {
    this.bytes -= this.#sizes[number & (this.#sizes.length - 1)] as number
    this.#identifiers.delete(number)
    this.#groups.delete(number)
    this.#received.delete(number)
  }

  #giveBack(): void {
    this.#offsets = noNumbers
    this.#expiries = noNumbers
    this.#sizes = noSizes
    this.#sources = noSources
    this.#flags = noFlags
    this.#times = noTimes
  }

  #grow(): void {
    const from = this.#offsets.length - 1
    const capacity = Math.max(initialCapacity, this.#offsets.length * 2)
    const grown = {
      offsets: new Float64Array(capacity),
      expiries: new Float64Array(capacity),
      sizes: new Int32Array(capacity),
      sources: new Uint16Array(capacity),
      flags: new Uint8Array(capacity),
      times: new Uint32Array(capacity),
    }
    for (let number = this.cursor; number < this.next - 1; number++) {
      const slot = number & (capacity - 1)
      grown.offsets[slot] = this.#offsets[number & from] as number
      grown.expiries[slot] = this.#expiries[number & from] as number
      grown.sizes[slot] = this.#sizes[number & from] as number
      grown.sources[slot] = this.#sources[number & from] as number
      grown.flags[slot] = this.#flags[number & from] as number
      grown.times[slot] = this.#times[number & from] as number
    }
    this.#offsets = grown.offsets
    this.#expiries = grown.expiries
    this.#sizes = grown.sizes
    this.#sources = grown.sources
    this.#flags = grown.flags
    this.#times = grown.times
  }
}
