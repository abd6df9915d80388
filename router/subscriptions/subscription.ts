/**
 * One event subscription in the hands of its owner: reads its topic ahead by position, filters, gives events out, and settles
 * them. Nothing is given out or answered before the ledger's change is in the log, so that whoever takes over after a crash
 * knows every lock and every count.
 */
import { type CloudEvent, jsonEvent } from '../../events/cloud-event.ts'
import { deadLetter } from '../../events/dead-letter.ts'
import type { DeliveryHeaders } from '../../events/delivery-headers.ts'
import { type CompiledFilters, compileFilters } from '../../events/filter.ts'
import { filteredEvent } from '../../events/received-event.ts'
import { DeadLetterReason, whyGivenUp } from '../../events/retry-schedule.ts'
import { parseDuration } from '../../log/duration.ts'
import { type LogRecord, OffsetOutOfRange } from '../../log/log.ts'
import { deliveryPolicyOf, type EventSubscriptionProperties } from '../../model/event-subscriptions.ts'
import type { WrittenDeadLetters } from '../push/dead-letter-writer.ts'
import { type EventPlace, type Ledger, type LedgerChange, placeKey, type Unsettled } from './ledger.ts'
import { makeLock, readLockToken, writeLockToken } from './lock-token.ts'
import type { EventReader } from './topic-reader.ts'

/** An event read and wanted. */
export interface ReadEvent extends EventPlace {
  readonly key: Buffer | null
  readonly event: CloudEvent
  readonly publishedAt: number
  /** As it counts against limits. */
  readonly bytes: number
}

/** An event in a receiver's hands. */
export interface ReceivedEvent {
  readonly lockToken: string
  readonly deliveryCount: number
  readonly event: CloudEvent
}

export interface FailedToken {
  readonly lockToken: string
  readonly code: 'BadToken' | 'TokenLost'
  readonly message: string
}

/** What became of each lock token. */
export interface SettledTokens {
  readonly succeeded: readonly string[]
  readonly failed: readonly FailedToken[]
}

/** Where dead letters go; resolves with true once it is kept, with false when it was dropped. */
export interface DeadLetterKeeper {
  keep(document: object): Promise<boolean>
  /** Those that were kept since a time, ms since the epoch. */
  read(sinceMs: number): AsyncIterable<WrittenDeadLetters>
  close(): void
}

export interface SubscriptionLimits {
  /** Events that are given out and not settled. */
  readonly unsettledMax: number
  /** Read ahead and not given out, bytes. */
  readonly aheadBytesMax: number
}

export interface SubscriptionCounters {
  /** An event was given up; `dropped`: it is nowhere else. */
  givenUp(reason: string, isDropped: boolean, of: { readonly topic: string; readonly name: string }): void
  /** Events that the log did not hold any more, or that were none. */
  lost(reason: 'gone' | 'unreadable', count: number): void
  delivered(count: number): void
  acknowledged(count: number): void
  limitReached(limit: 'SUBSCRIPTION_UNSETTLED_MAX'): void
}

export interface SubscriptionOptions {
  readonly topic: string
  readonly name: string
  readonly properties: EventSubscriptionProperties
  readonly ledger: Ledger
  readonly reader: EventReader
  readonly deadLetters: DeadLetterKeeper | undefined
  readonly limits: SubscriptionLimits
  readonly counters: SubscriptionCounters
  readonly now: () => number
  /** Appends the changes in their order; resolves once all are in the log. */
  write(changes: readonly LedgerChange[]): Promise<void>
  /** Reading failed; it is tried again. */
  onTrouble(error: Error): void
}

/** The subscription is over, or another router has it now. */
export class SubscriptionClosed extends Error {
  constructor() {
    super('the subscription is over here')
    this.name = 'SubscriptionClosed'
  }
}

const aheadEventsMax = 1_000
/** Dead letters on their way: their payloads are in memory. */
const givingUpMax = 64
const readAgainMs = 1_000
const overAgainMs = 100
const rejected = 'Rejected'

export class Subscription {
  readonly topic: string
  readonly name: string
  readonly #options: SubscriptionOptions
  readonly ledger: Ledger
  #properties: EventSubscriptionProperties
  #wants: CompiledFilters
  #policy: { readonly maxDeliveryCount: number; readonly timeToLiveMs: number; readonly lockMs: number; readonly expiresAt: number }
  /** Wanted events that were not given out, in the order of their partitions. */
  #ahead: ReadEvent[] = []
  #aheadBytes = 0
  /** The next offset to read, by partition. */
  readonly #readTo = new Map<number, number>()
  readonly #givingUp = new Set<string>()
  readonly #waiting = new Set<() => void>()
  readonly #unwatch: () => void
  /** Another one since what is read now was begun: it is read again. */
  #reading: object = {}
  #isFilling = false
  #hasNews = false
  #retry: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: SubscriptionOptions) {
    const { topic, name, properties, ledger, reader } = options
    this.#options = options
    this.topic = topic
    this.name = name
    this.ledger = ledger
    this.#properties = properties
    this.#wants = compileFilters(properties.filtersConfiguration)
    this.#policy = policyOf(properties)
    this.#unwatch = reader.onNews(() => this.#fill())
    this.#fill()
  }

  get properties(): EventSubscriptionProperties {
    return this.#properties
  }

  get isExpired(): boolean {
    return this.#policy.expiresAt <= this.#options.now()
  }

  /** Events that wait, are locked, or were read ahead; and how far each partition was read. For /status. */
  status(): object {
    const positions = Object.fromEntries(this.ledger.partitions.map((partition) => [partition, this.ledger.position(partition)]))
    return { topic: this.topic, subscription: this.name, unsettled: this.ledger.size, ahead: this.#ahead.length, positions }
  }

  /** The resource has changed: what was read and not given out is filtered anew. */
  change(properties: EventSubscriptionProperties): void {
    const wasPushed = this.#properties.deliveryConfiguration.deliveryMode === 'Push'
    this.#properties = properties
    this.#wants = compileFilters(properties.filtersConfiguration)
    this.#policy = policyOf(properties)
    // What a pusher had and did not deliver is there to be received.
    if (wasPushed && properties.deliveryConfiguration.deliveryMode === 'Queue') this.ledger.unhold(this.#options.now())
    this.#forgetAhead()
    this.#fill()
    this.#wake()
  }

  /** Up to `eventsMax` events, locked for the caller; none after `waitMs`. Rejects with SubscriptionClosed, and when the log refuses. */
  async receive(eventsMax: number, waitMs: number, signal: AbortSignal): Promise<readonly ReceivedEvent[]> {
    const { now, counters } = this.#options
    const deadline = now() + waitMs
    for (;;) {
      const received = await this.#give(eventsMax)
      if (received.length > 0) {
        counters.delivered(received.length)
        return received
      }
      const left = deadline - now()
      if (left <= 0 || signal.aborted) return []
      const due = this.ledger.nextDueAt() - now()
      // What is due and was not given out waits for the place of dead letters.
      await this.#news(Math.min(left, due > 0 ? due : overAgainMs), signal)
    }
  }

  /** The events are done with: gone for everybody. */
  acknowledge(tokens: readonly string[]): Promise<SettledTokens> {
    return this.#settleTokens(tokens, (event) => {
      this.#options.counters.acknowledged(1)
      return this.ledger.settle(event)
    })
  }

  /** The events may be received again after a while. */
  release(tokens: readonly string[], delayMs: number): Promise<SettledTokens> {
    const { now } = this.#options
    return this.#settleTokens(tokens, (event) => this.ledger.release(event, Math.min(now() + delayMs, event.publishedAt + this.#policy.timeToLiveMs)))
  }

  /** The events become dead letters, or are dropped; never given out again. */
  reject(tokens: readonly string[]): Promise<SettledTokens> {
    return this.#settleTokens(tokens, (event) => this.ledger.failed(event, { ...event, until: this.#options.now(), lastResult: rejected }))
  }

  /** The locks count anew from now. */
  renew(tokens: readonly string[]): Promise<SettledTokens> {
    const { now } = this.#options
    return this.#settleTokens(tokens, (event) => this.ledger.renew(event, now(), this.#policy.lockMs) ?? 'the lock was renewed for an hour, which is the most')
  }

  /** Once a second: what is too old, or was delivered too often, goes; how far the reading is gets noted. */
  tick(): void {
    if (this.#isClosed) return
    // A pusher looks at counts and ages itself, right before an attempt (PU-07).
    if (this.#properties.deliveryConfiguration.deliveryMode === 'Queue') this.#giveUpDue()
    this.#passRead()
    const positions = this.ledger.positions()
    if (positions.length > 0) this.#writeLater(positions)
    this.#fill()
    if (this.ledger.nextDueAt() <= this.#options.now()) this.#wake()
  }

  /** Whoever waits is told that the subscription is over here. */
  close(): void {
    this.#isClosed = true
    this.#unwatch()
    clearTimeout(this.#retry)
    this.#options.deadLetters?.close()
    this.#wake()
  }

  /** The next events of those read ahead, for a pusher: given once; what is never noted comes again after a crash. */
  hold(eventsMax: number, bytesMax: number): readonly ReadEvent[] {
    const held: ReadEvent[] = []
    if (this.#properties.deliveryConfiguration.deliveryMode !== 'Push') return held
    let bytes = 0
    while (held.length < eventsMax && this.#hasRoom()) {
      const [next] = this.#ahead
      if (!next || (held.length > 0 && bytes + next.bytes > bytesMax)) break
      this.#takeAhead()
      this.ledger.hold(next, next.publishedAt)
      bytes += next.bytes
      held.push(next)
    }
    this.#passRead()
    this.#fill()
    return held
  }

  /** An event that was given out before, read again; undefined when the log does not hold it any more: then it is settled. */
  async again(place: EventPlace): Promise<ReadEvent | undefined> {
    const read = await this.#readAgain(place)
    if (!read) this.#settled(place, () => this.#options.counters.lost('gone', 1))
    return read
  }

  /** Notes changes of the ledger that nobody waits for. */
  note(changes: readonly (LedgerChange | undefined)[]): void {
    this.#passRead()
    const all = [...changes.filter((change) => change !== undefined), ...this.ledger.positions()]
    if (all.length > 0) this.#writeLater(all)
    this.#wake()
  }

  /** Keeps an event as a dead letter when the subscription has a place for them, and settles it. */
  async giveUp(
    read: ReadEvent,
    state: Pick<Unsettled, 'deliveryCount' | 'lastResult' | 'lastAttemptAt'>,
    reason: string,
    headers: DeliveryHeaders = {},
  ): Promise<void> {
    const { deadLetters, counters } = this.#options
    const key = placeKey(read)
    this.#givingUp.add(key)
    const { deliveryCount, lastResult, lastAttemptAt } = state
    const event = JSON.parse(jsonEvent(read.event).toString()) as object
    const source = { partition: read.partition, offset: read.offset }
    const document = deadLetter({ event, source, reason, deliveryCount, lastResult, publishedAt: read.publishedAt, lastAttemptAt, headers })
    const isKept = deadLetters ? await deadLetters.keep(document) : false
    this.#settled(read, () => counters.givenUp(reason, !isKept, this))
    this.#givingUp.delete(key)
  }

  /** It is on its way to the dead letters. */
  isGivingUp(place: EventPlace): boolean {
    return this.#givingUp.has(placeKey(place))
  }

  /** Resolves once Kafka has taken a write under this owner's fence; rejects when there is another owner now. */
  confirm(): Promise<void> {
    const [partition = 0] = this.ledger.partitions
    return this.#options.write([{ kind: 'position', partition, position: this.ledger.recorded(partition) }])
  }

  /** Goes on at other positions: what is unsettled from there on is forgotten, and comes again. Resolves once the log has it. */
  async rewind(positions: ReadonlyMap<number, number>): Promise<void> {
    if (this.#isClosed) throw new SubscriptionClosed()
    const changes = [...positions].flatMap(([partition, position]) => this.ledger.rewind(partition, position))
    this.#forgetAhead()
    await this.#options.write(changes)
    this.#fill()
  }

  /**
   * Dead letters written since a time are to be delivered as if they had come now. Counts those that are, those that the topic
   * does not hold any more, and whether there are more than may be unsettled: to be asked for again then. Resolves once the log has it.
   */
  async redrive(sinceMs: number): Promise<{ readonly redriven: number; readonly gone: number; readonly isAll: boolean }> {
    const { deadLetters, limits, now, write } = this.#options
    let redriven = 0
    let gone = 0
    if (!deadLetters) return { redriven, gone, isAll: true }
    for await (const { sources, done } of deadLetters.read(sinceMs)) {
      if (this.#isClosed) throw new SubscriptionClosed()
      if (this.ledger.size + sources.length > limits.unsettledMax && redriven > 0) return { redriven, gone, isAll: false }
      const changes: LedgerChange[] = []
      for (const place of sources) {
        // Whoever may write there may have written anything.
        if (!this.#hasPartition(place.partition) || place.offset < 0) gone++
        else if (this.ledger.get(place)) continue
        else if (!(await this.#readAgain(place))) gone++
        else changes.push(this.ledger.failed(place, { publishedAt: now(), deliveryCount: 0, until: now(), lastAttemptAt: null, lastResult: null }))
      }
      await write(changes)
      redriven += changes.length
      await done()
    }
    this.#wake()
    return { redriven, gone, isAll: true }
  }

  #hasPartition(partition: number): boolean {
    return this.ledger.partitions.includes(partition) || this.#options.reader.ends.has(partition)
  }

  /** Resolves when there may be something to give out, the time is over, or the signal fires. Rejects with SubscriptionClosed. */
  async #news(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#isClosed) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          this.#waiting.delete(done)
          clearTimeout(timer)
          signal.removeEventListener('abort', done)
          resolve()
        }
        const timer = setTimeout(done, Math.min(ms, 2_147_483_647))
        signal.addEventListener('abort', done, { once: true })
        this.#waiting.add(done)
      })
    }
    if (this.#isClosed) throw new SubscriptionClosed()
  }

  /** The same for a pusher. */
  news(signal: AbortSignal): Promise<void> {
    return this.#news(1_000, signal)
  }

  async #give(eventsMax: number): Promise<readonly ReceivedEvent[]> {
    if (this.#isClosed) throw new SubscriptionClosed()
    const { now } = this.#options
    const at = now()
    this.#giveUpDue()
    const taken: { readonly place: EventPlace; readonly read?: ReadEvent; readonly lock: string }[] = []
    const changes: LedgerChange[] = []
    const lockOne = (place: EventPlace, publishedAt: number, read?: ReadEvent): void => {
      const lock = makeLock()
      changes.push(this.ledger.lock(place, publishedAt, lock, at, at + this.#policy.lockMs))
      taken.push({ place, lock, ...(read ? { read } : {}) })
    }
    for (const event of this.ledger.due(at)) {
      if (taken.length >= eventsMax) break
      if (!this.#givingUp.has(placeKey(event)) && !this.#isOver(event, at)) lockOne(event, event.publishedAt)
    }
    while (taken.length < eventsMax && this.#ahead.length > 0 && this.#hasRoom()) {
      const read = this.#takeAhead()
      const { publishedAt } = read
      // It waits until there is room for another dead letter.
      const isOver = this.#whyGivenUp({ publishedAt, deliveryCount: 0 }, at) !== undefined
      if (isOver) changes.push(this.ledger.failed(read, { publishedAt, deliveryCount: 0, until: at, lastAttemptAt: null, lastResult: null }))
      else lockOne(read, publishedAt, read)
    }
    if (changes.length === 0) return []
    this.#passRead()
    this.#fill()
    const [reads] = await Promise.all([
      Promise.all(taken.map(({ place, read }) => read ?? this.again(place))),
      this.#options.write([...changes, ...this.ledger.positions()]),
    ])
    return taken.flatMap(({ place, lock }, index) => {
      const read = reads[index]
      const event = read && this.ledger.get(place)
      return read && event ? { lockToken: writeLockToken({ ...place, lock }), deliveryCount: event.deliveryCount, event: read.event } : []
    })
  }

  #hasRoom(): boolean {
    if (this.ledger.size < this.#options.limits.unsettledMax) return true
    if (this.#ahead.length > 0) this.#options.counters.limitReached('SUBSCRIPTION_UNSETTLED_MAX')
    return false
  }

  async #settleTokens(tokens: readonly string[], settle: (event: Unsettled) => LedgerChange | string | undefined): Promise<SettledTokens> {
    if (this.#isClosed) throw new SubscriptionClosed()
    const { now, write } = this.#options
    const succeeded: string[] = []
    const failed: FailedToken[] = []
    const changes: LedgerChange[] = []
    for (const lockToken of tokens) {
      const token = readLockToken(lockToken)
      if (!token) {
        failed.push({ lockToken, code: 'BadToken', message: 'is no lock token' })
        continue
      }
      const event = this.ledger.get(token)
      if (!this.ledger.isLockedBy(event, token.lock, now())) {
        failed.push({ lockToken, code: 'TokenLost', message: 'the lock has expired, or the event was settled' })
        continue
      }
      const change = settle(event)
      if (typeof change === 'string') failed.push({ lockToken, code: 'TokenLost', message: change })
      else {
        succeeded.push(lockToken)
        if (change) changes.push(change)
      }
    }
    if (changes.length > 0) await write(changes)
    this.#giveUpDue()
    this.#wake()
    this.#fill()
    return { succeeded, failed }
  }

  /** Dead letters of those whose time has come and whose count or life is over, and of those read ahead that are too old. */
  #giveUpDue(): void {
    const { now } = this.#options
    const at = now()
    for (const event of this.ledger.due(at)) {
      if (this.#givingUp.size >= givingUpMax) return
      if (this.#givingUp.has(placeKey(event))) continue
      const reason = this.#isOver(event, at)
      if (reason) void this.#giveUpUnsettled(event, reason)
    }
    while (this.#ahead.length > 0 && this.#givingUp.size < givingUpMax && this.ledger.size < this.#options.limits.unsettledMax) {
      const [next] = this.#ahead as [ReadEvent]
      const state = { deliveryCount: 0, lastResult: null, lastAttemptAt: null }
      const reason = this.#whyGivenUp({ publishedAt: next.publishedAt, deliveryCount: 0 }, at)
      if (!reason) return
      this.#takeAhead()
      this.ledger.hold(next, next.publishedAt)
      void this.giveUp(next, state, reason)
    }
  }

  async #giveUpUnsettled(event: Unsettled, reason: string): Promise<void> {
    this.#givingUp.add(placeKey(event))
    try {
      const read = await this.again(event)
      if (read) await this.giveUp(read, event, reason)
      else this.#givingUp.delete(placeKey(event))
    } catch (error) {
      // The next owner gives it up.
      if (!(error instanceof SubscriptionClosed)) throw error
    }
  }

  #isOver(event: Unsettled, at: number): DeadLetterReason | undefined {
    return event.lastResult === rejected ? DeadLetterReason.rejected : this.#whyGivenUp(event, at)
  }

  #whyGivenUp(event: Pick<Unsettled, 'publishedAt' | 'deliveryCount'>, at: number): DeadLetterReason | undefined {
    const { maxDeliveryCount, timeToLiveMs } = this.#policy
    return whyGivenUp(event, { schedule: [0], maxDeliveryCount, timeToLiveMs }, at)
  }

  #settled(place: EventPlace, count: () => void): void {
    if (this.#isClosed) return
    count()
    this.note([this.ledger.settle(place)])
  }

  #takeAhead(): ReadEvent {
    const read = this.#ahead.shift() as ReadEvent
    this.#aheadBytes -= read.bytes
    this.ledger.pass(read.partition, read.offset + 1)
    return read
  }

  /** Over what was read and not wanted. */
  #passRead(): void {
    const withAhead = new Set(this.#ahead.map(({ partition }) => partition))
    for (const [partition, to] of this.#readTo) if (!withAhead.has(partition)) this.ledger.pass(partition, to)
  }

  #wake(): void {
    for (const waiting of [...this.#waiting]) waiting()
  }

  #writeLater(changes: readonly LedgerChange[]): void {
    // What refuses it takes the shard away from this router; the next owner goes on from what the log holds.
    this.#options.write(changes).catch(() => {})
  }

  #fill(): void {
    this.#hasNews = true
    if (this.#isFilling || this.#isClosed) return
    this.#isFilling = true
    void this.#fillUp().finally(() => {
      this.#isFilling = false
    })
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
          this.#retry = setTimeout(() => this.#fill(), readAgainMs)
          return
        }
      }
    }
  }

  /** Reads one stretch of a partition; true when there is more. */
  async #readSome(partition: number, end: number): Promise<boolean> {
    const { reader, limits, counters } = this.#options
    const from = this.#readTo.get(partition) ?? this.ledger.position(partition)
    // Beyond the end either the end is an old one, or the topic is a new one.
    if (from === end || this.#aheadBytes >= limits.aheadBytesMax || this.#ahead.length >= aheadEventsMax || this.isExpired) return false
    const reading = this.#reading
    let next: number
    let found: ReadEvent[] = []
    try {
      const stretch = await reader.read(partition, from)
      next = stretch.nextOffset
      for (const record of stretch.records) {
        if (record.offset < from) continue
        const read = this.#readEvent(record)
        if (!read) counters.lost('unreadable', 1)
        else if (!this.ledger.isPast(read) && this.#wants(filteredEvent(read.event))) found.push(read)
        if (this.#aheadBytes + found.reduce((sum, { bytes }) => sum + bytes, 0) < limits.aheadBytesMax) continue
        next = record.offset + 1
        break
      }
    } catch (error) {
      if (!(error instanceof OffsetOutOfRange)) throw error
      found = []
      next = (await reader.startOffsets()).get(partition) ?? 0
      if (next === from) return false
      if (next < from) return this.#readAnewFrom(partition, next, reading)
      counters.lost('gone', next - from)
    }
    // The resource may have changed meanwhile: then it is read again.
    if (this.#isClosed || reading !== this.#reading) return true
    this.#readTo.set(partition, next)
    this.#ahead.push(...found)
    for (const { bytes } of found) this.#aheadBytes += bytes
    this.#passRead()
    if (found.length > 0) this.#wake()
    return next < end && next > from
  }

  /** Behind its end it is another Kafka topic under this name: what the former one had is gone, and this one is read from its beginning. */
  async #readAnewFrom(partition: number, start: number, reading: object): Promise<boolean> {
    if (this.#isClosed || reading !== this.#reading) return true
    const owed = this.ledger.all().filter((event) => event.partition === partition).length
    const changes = this.ledger.rewind(partition, start)
    this.#forgetAhead()
    // How many were not read yet nobody knows.
    this.#options.counters.lost('gone', Math.max(1, owed))
    await this.#options.write(changes)
    return true
  }

  /** What was read and not given out is read again. */
  #forgetAhead(): void {
    this.#ahead = []
    this.#aheadBytes = 0
    this.#readTo.clear()
    this.#reading = {}
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

  async #readAgain({ partition, offset }: EventPlace): Promise<ReadEvent | undefined> {
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
}

function policyOf(properties: EventSubscriptionProperties) {
  const { maxDeliveryCount, eventTimeToLive } = deliveryPolicyOf(properties.deliveryConfiguration)
  const { deliveryConfiguration, expirationTimeUtc } = properties
  return {
    maxDeliveryCount,
    timeToLiveMs: parseDuration(eventTimeToLive) ?? Number.POSITIVE_INFINITY,
    lockMs: deliveryConfiguration.deliveryMode === 'Queue' ? deliveryConfiguration.queue.receiveLockDurationInSeconds * 1000 : 0,
    expiresAt: expirationTimeUtc === undefined ? Number.POSITIVE_INFINITY : Date.parse(expirationTimeUtc),
  }
}
