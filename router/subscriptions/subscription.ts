/**
 * One event subscription in the hands of its owner: gives out what it has read ahead, and settles it. Nothing is given out or
 * answered before the ledger's change is in the log, so that whoever takes over after a crash knows every lock and every count.
 */
import type { CloudEvent } from '../../events/cloud-event.ts'
import type { DeliveryHeaders } from '../../events/delivery-headers.ts'
import { type CompiledFilters, compileFilters, type FilteredEvent } from '../../events/filter.ts'
import { filteredEvent } from '../../events/received-event.ts'
import type { EventSubscriptionProperties } from '../../model/event-subscriptions.ts'
import { type DeliveryPolicy, policyOf } from './delivery-policy.ts'
import { type DeadLetterKeeper, GivingUp, rejected } from './giving-up.ts'
import type { EventPlace, Ledger, LedgerChange, Unsettled } from './ledger.ts'
import { makeLock, readLockToken, writeLockToken } from './lock-token.ts'
import { ReadAhead, type ReadCounts, type ReadEvent } from './read-ahead.ts'
import { SubscriptionClosed } from './subscription-closed.ts'
import type { EventReader } from './topic-reader.ts'

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

export interface SubscriptionLimits {
  /** Events that are given out and not settled. */
  readonly unsettledMax: number
  /** Read ahead and not given out, bytes. */
  readonly aheadBytesMax: number
}

export interface SubscriptionName {
  readonly topic: string
  readonly name: string
}

export interface SubscriptionCounters {
  /** An event was given up; `dropped`: it is nowhere else. */
  givenUp(reason: string, isDropped: boolean, of: SubscriptionName): void
  /** Events that the log did not hold any more, or that were none. */
  lost(reason: 'gone' | 'unreadable', count: number): void
  /** Events read from the topic. */
  read(counts: ReadCounts, of: SubscriptionName): void
  /** Events that a receiver has, after so many ms. */
  received(count: number, ms: number, of: SubscriptionName): void
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
  /** For an event that it does not want: whether that counts here as one that no subscription of the topic wants. */
  isUnmatched(event: FilteredEvent): boolean
  /** It goes on at another place: whoever holds events of it lets go of them. Called when that begins, and when the log has it. */
  onMoving(): void
}

const overAgainMs = 100

export class Subscription {
  readonly topic: string
  readonly name: string
  readonly #options: SubscriptionOptions
  readonly ledger: Ledger
  #properties: EventSubscriptionProperties
  #wants: CompiledFilters
  #policy: DeliveryPolicy
  readonly #ahead: ReadAhead
  readonly #givingUp: GivingUp
  readonly #waiting = new Set<() => void>()
  /** Dead letters to be tried again, that no pusher knows of yet. */
  #redriven: Unsettled[] = []
  /** Changes of its place that are not in the log yet. */
  #moves = 0
  #isClosed = false

  constructor(options: SubscriptionOptions) {
    const { topic, name, properties, ledger, reader, deadLetters, limits, counters, now, onTrouble } = options
    this.#options = options
    this.topic = topic
    this.name = name
    this.ledger = ledger
    this.#properties = properties
    this.#wants = compileFilters(properties.filtersConfiguration)
    this.#policy = policyOf(properties)
    this.#ahead = new ReadAhead({
      ledger,
      reader,
      bytesMax: limits.aheadBytesMax,
      lost: (reason, count) => counters.lost(reason, count),
      wants: (event) => this.#wants(filteredEvent(event)),
      isUnmatched: (event) => options.isUnmatched(filteredEvent(event)),
      onRead: (counts) => counters.read(counts, this),
      isExpired: () => this.isExpired,
      goOnAt: (partition, position) => this.#goOnAt(new Map([[partition, position]])),
      onFound: () => this.#wake(),
      onTrouble,
    })
    this.#givingUp = new GivingUp({
      ledger,
      ahead: this.#ahead,
      deadLetters,
      unsettledMax: limits.unsettledMax,
      now,
      policy: () => this.#policy,
      again: (place) => this.again(place),
      onGivenUp: (reason, isDropped) => {
        if (!this.#isClosed) counters.givenUp(reason, isDropped, this)
      },
      settle: (place) => this.#settle(place),
    })
    this.#ahead.fill()
  }

  get properties(): EventSubscriptionProperties {
    return this.#properties
  }

  get isExpired(): boolean {
    return this.#policy.expiresAt <= this.#options.now()
  }

  /** It is on its way to another place of its topic, which the log does not have yet: nothing is pushed meanwhile. */
  get isMoving(): boolean {
    return this.#moves > 0
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
    this.#ahead.forget()
    this.#ahead.fill()
    this.#wake()
  }

  /** Up to `eventsMax` events, locked for the caller; none after `waitMs`. Rejects with SubscriptionClosed, and when the log refuses. */
  async receive(eventsMax: number, waitMs: number, signal: AbortSignal): Promise<readonly ReceivedEvent[]> {
    const { now, counters } = this.#options
    const deadline = now() + waitMs
    for (;;) {
      const begun = now()
      const received = await this.#give(eventsMax)
      if (received.length > 0) {
        counters.received(received.length, now() - begun, this)
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
    return this.#settleTokens(tokens, (event) => this.ledger.settle(event))
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
    if (this.#properties.deliveryConfiguration.deliveryMode === 'Queue') this.#givingUp.giveUpDue()
    this.#ahead.passRead()
    const positions = this.ledger.positions()
    if (positions.length > 0) this.#writeLater(positions)
    this.#ahead.fill()
    if (this.ledger.nextDueAt() <= this.#options.now()) this.#wake()
  }

  /** Whoever waits is told that the subscription is over here. */
  close(): void {
    this.#isClosed = true
    this.#ahead.close()
    this.#options.deadLetters?.close()
    this.#wake()
  }

  /** The next events of those read ahead, for a pusher: given once; what is never noted comes again after a crash. */
  hold(eventsMax: number, bytesMax: number): readonly ReadEvent[] {
    const held: ReadEvent[] = []
    if (this.#properties.deliveryConfiguration.deliveryMode !== 'Push') return held
    let bytes = 0
    while (held.length < eventsMax && this.#hasRoom()) {
      const next = this.#ahead.first
      if (!next || (held.length > 0 && bytes + next.bytes > bytesMax)) break
      this.#ahead.take()
      // Redriven before it was given out: it is among those.
      if (this.ledger.get(next)) continue
      this.ledger.hold(next, next.publishedAt)
      bytes += next.bytes
      held.push(next)
    }
    this.#ahead.passRead()
    this.#ahead.fill()
    return held
  }

  /** An event that was given out before, read again; undefined when the log does not hold it any more: then it is settled. */
  async again(place: EventPlace): Promise<ReadEvent | undefined> {
    const read = await this.#ahead.again(place)
    if (!read && !this.#isClosed) {
      this.#options.counters.lost('gone', 1)
      this.#settle(place)
    }
    return read
  }

  /** Notes changes of the ledger that nobody waits for. */
  note(changes: readonly (LedgerChange | undefined)[]): void {
    this.#ahead.passRead()
    const all = [...changes.filter((change) => change !== undefined), ...this.ledger.positions()]
    if (all.length > 0) this.#writeLater(all)
    this.#wake()
  }

  /** Keeps an event as a dead letter when the subscription has a place for them, and settles it. */
  giveUp(
    read: ReadEvent,
    state: Pick<Unsettled, 'deliveryCount' | 'lastResult' | 'lastAttemptAt'>,
    reason: string,
    headers: DeliveryHeaders = {},
  ): Promise<void> {
    return this.#givingUp.giveUp(read, state, reason, headers)
  }

  /** It is on its way to the dead letters. */
  isGivingUp(place: EventPlace): boolean {
    return this.#givingUp.has(place)
  }

  /** Resolves once Kafka has taken a write under this owner's fence; rejects when there is another owner now. */
  confirm(): Promise<void> {
    const [partition = 0] = this.ledger.partitions
    return this.#options.write([{ kind: 'position', partition, position: this.ledger.recorded(partition) }])
  }

  /** Goes on at other positions: what is unsettled from there on is forgotten, and comes again. Resolves once the log has it. */
  async rewind(positions: ReadonlyMap<number, number>): Promise<void> {
    if (this.#isClosed) throw new SubscriptionClosed()
    await this.#goOnAt(positions)
    this.#ahead.fill()
  }

  async #goOnAt(positions: ReadonlyMap<number, number>): Promise<void> {
    const { write, onMoving } = this.#options
    this.#moves++
    try {
      // Before anything moves: what came of events that were given out is not noted any more, or it would count for those that come again.
      onMoving()
      for (const [partition, position] of positions) this.#givingUp.forget(partition, position)
      const changes = [...positions].flatMap(([partition, position]) => this.ledger.rewind(partition, position))
      this.#ahead.forget()
      await write(changes)
    } finally {
      this.#moves--
      onMoving()
    }
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
      const there: EventPlace[] = []
      let isWritten = true
      for (const place of sources) {
        // It will be settled at once, and its dead letter is all that is left of it then.
        if (this.#givingUp.has(place)) isWritten = false
        // Whoever may write there may have written anything.
        if (!this.#hasPartition(place.partition) || place.offset < 0) gone++
        else if (this.ledger.get(place)) continue
        else if (await this.#ahead.again(place)) there.push(place)
        else gone++
      }
      const changes: LedgerChange[] = []
      // In one turn, so that a pusher that begins meanwhile finds them in the ledger or is given them, and not both; what comes of them is
      // written behind them.
      for (const place of there) {
        // Somebody else may have asked for the same.
        if (this.ledger.get(place)) continue
        changes.push(this.ledger.failed(place, { publishedAt: now(), deliveryCount: 0, until: now(), lastAttemptAt: null, lastResult: null }))
        const event = this.ledger.get(place)
        // Who receives finds them in the ledger, as does a pusher that begins later.
        if (event && this.#properties.deliveryConfiguration.deliveryMode === 'Push') this.#redriven.push(event)
      }
      const written = write(changes)
      this.#wake()
      await written
      redriven += changes.length
      if (isWritten) await done()
    }
    return { redriven, gone, isAll: true }
  }

  /** Those redriven since the last call, for a pusher that was there before. */
  takeRedriven(): readonly Unsettled[] {
    const redriven = this.#redriven
    this.#redriven = []
    return redriven
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
    this.#givingUp.giveUpDue()
    const taken: { readonly place: EventPlace; readonly read?: ReadEvent; readonly lock: string }[] = []
    const changes: LedgerChange[] = []
    const lockOne = (place: EventPlace, publishedAt: number, read?: ReadEvent): void => {
      const lock = makeLock()
      changes.push(this.ledger.lock(place, publishedAt, lock, at, at + this.#policy.lockMs))
      taken.push({ place, lock, ...(read ? { read } : {}) })
    }
    for (const event of this.ledger.due(at)) {
      if (taken.length >= eventsMax) break
      if (!this.#givingUp.has(event) && !this.#givingUp.whyOver(event, at)) lockOne(event, event.publishedAt)
    }
    while (taken.length < eventsMax && this.#ahead.length > 0 && this.#hasRoom()) {
      const read = this.#ahead.take()
      const { publishedAt } = read
      // It waits until there is room for another dead letter.
      if (this.#givingUp.whyOverUnseen(read, at))
        changes.push(this.ledger.failed(read, { publishedAt, deliveryCount: 0, until: at, lastAttemptAt: null, lastResult: null }))
      else lockOne(read, publishedAt, read)
    }
    if (changes.length === 0) return []
    this.#ahead.passRead()
    this.#ahead.fill()
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
    this.#givingUp.giveUpDue()
    this.#wake()
    this.#ahead.fill()
    return { succeeded, failed }
  }

  #settle(place: EventPlace): void {
    if (!this.#isClosed) this.note([this.ledger.settle(place)])
  }

  #wake(): void {
    for (const waiting of [...this.#waiting]) waiting()
  }

  #writeLater(changes: readonly LedgerChange[]): void {
    // What refuses it takes the shard away from this router; the next owner goes on from what the log holds.
    this.#options.write(changes).catch(() => {})
  }
}
