/** A subscription's events as its pusher takes them, and what became of them as its ledger notes it. */
import { jsonEvent } from '../../events/cloud-event.ts'
import type { CompiledHeaders } from '../../events/delivery-headers.ts'
import type { DeliveryResult } from '../../events/delivery-result.ts'
import type { DeadLetterReason } from '../../events/retry-schedule.ts'
import { type EventPlace, type LedgerChange, placeKey, type Unsettled } from '../subscriptions/ledger.ts'
import type { ReadEvent } from '../subscriptions/read-ahead.ts'
import type { Subscription } from '../subscriptions/subscription.ts'
import { SubscriptionClosed } from '../subscriptions/subscription-closed.ts'
import type { OwedEvent } from './owed-event.ts'
import type { PushSource } from './pusher.ts'

export interface SubscriptionSourceOptions {
  readonly subscription: Pick<Subscription, 'ledger' | 'hold' | 'again' | 'news' | 'note' | 'giveUp' | 'isGivingUp' | 'takeRedriven'>
  readonly headers: CompiledHeaders
  /** Events were taken. */
  onDelivered(events: number): void
}

/** Events that were tried before this owner came are read again so many at a time. */
const earlierMax = 64
const byPlace = (a: EventPlace, b: EventPlace): number => a.partition - b.partition || a.offset - b.offset

export class SubscriptionSource implements PushSource {
  readonly #options: SubscriptionSourceOptions
  /** Given out before this source was there, in the topic's order: by another owner, or by a source before this one. And what was redriven. */
  #earlier: Unsettled[]
  #fresh: readonly ReadEvent[] = []
  /** In the pusher's hands. */
  readonly #held = new Map<string, ReadEvent>()

  constructor(options: SubscriptionSourceOptions) {
    const { subscription } = options
    this.#options = options
    // Those are in the ledger too.
    subscription.takeRedriven()
    this.#earlier = subscription.ledger
      .all()
      .filter((event) => !subscription.isGivingUp(event))
      .sort(byPlace)
  }

  async next(eventsMax: number, bytesMax: number, signal: AbortSignal): Promise<readonly OwedEvent[]> {
    try {
      return await this.#next(eventsMax, bytesMax, signal)
    } catch (error) {
      if (error instanceof SubscriptionClosed) return []
      throw error
    }
  }

  delivered(events: readonly OwedEvent[]): void {
    const { subscription, onDelivered } = this.#options
    const changes = events.map((event) => subscription.ledger.settle(event)).filter((change) => change !== undefined)
    for (const event of events) this.#held.delete(placeKey(event))
    onDelivered(events.length)
    // How far the rest is gets noted once a second: what is not noted is sent again after a crash.
    if (changes.length > 0) subscription.note(changes)
  }

  failed(events: readonly OwedEvent[]): void {
    const { subscription } = this.#options
    subscription.note(
      events.map((event): LedgerChange => subscription.ledger.failed(event, { ...attemptOf(event), publishedAt: event.publishedAt, until: event.retryAt })),
    )
  }

  async givenUp(event: OwedEvent, reason: DeadLetterReason): Promise<void> {
    const { subscription, headers } = this.#options
    const read = this.#held.get(placeKey(event))
    if (!read) return
    await subscription.giveUp(read, attemptOf(event), reason, headers.shownOf(headers.isDynamic ? JSON.parse(event.body.toString()) : undefined))
    this.#held.delete(placeKey(event))
  }

  async #next(eventsMax: number, bytesMax: number, signal: AbortSignal): Promise<readonly OwedEvent[]> {
    const { subscription } = this.#options
    while (!signal.aborted) {
      for (const event of subscription.takeRedriven()) this.#earlier.push(event)
      if (this.#fresh.length === 0) this.#fresh = subscription.hold(eventsMax, bytesMax)
      // What was tried already goes before what stands behind it in its partition.
      const earlier = await this.#takeEarlier(Math.min(eventsMax, earlierMax), bytesMax)
      if (earlier.length > 0) return earlier
      const fresh = this.#fresh
      this.#fresh = []
      if (fresh.length > 0) return fresh.map((read) => this.#owed(read))
      await subscription.news(signal)
    }
    return []
  }

  async #takeEarlier(eventsMax: number, bytesMax: number): Promise<readonly OwedEvent[]> {
    const { subscription } = this.#options
    if (this.#earlier.length === 0) return []
    const { ledger } = subscription
    const due = this.#earlier.filter(({ partition, offset }) => offset < ledger.position(partition)).slice(0, eventsMax)
    const done = new Set<Unsettled>()
    const owed: OwedEvent[] = []
    let bytes = 0
    for (const event of due) {
      // Settled meanwhile, or gone from the topic.
      const read = ledger.get(event) && (await subscription.again(event))
      if (read && owed.length > 0 && bytes + read.bytes > bytesMax) break
      done.add(event)
      if (!read) continue
      bytes += read.bytes
      owed.push(this.#owed(read, event))
    }
    if (done.size > 0) this.#earlier = this.#earlier.filter((event) => !done.has(event))
    return owed
  }

  #owed(read: ReadEvent, tried?: Unsettled): OwedEvent {
    const { headers } = this.#options
    this.#held.set(placeKey(read), read)
    const body = jsonEvent(read.event)
    return {
      partition: read.partition,
      offset: read.offset,
      key: read.key?.toString() ?? null,
      body,
      headers: headers.of(headers.isDynamic ? JSON.parse(body.toString()) : undefined),
      publishedAt: tried?.publishedAt ?? read.publishedAt,
      deliveryCount: tried?.deliveryCount ?? 0,
      // A new one was held for ever.
      retryAt: tried === undefined || tried.until === Number.MAX_SAFE_INTEGER ? 0 : tried.until,
      lastResult: (tried?.lastResult ?? null) as DeliveryResult | null,
      lastAttemptAt: tried?.lastAttemptAt ?? null,
    }
  }
}

const attemptOf = ({ deliveryCount, lastResult, lastAttemptAt }: OwedEvent): Pick<Unsettled, 'deliveryCount' | 'lastResult' | 'lastAttemptAt'> => ({
  deliveryCount,
  lastResult,
  lastAttemptAt,
})
