/**
 * A subscription's events as a pusher takes them: the seam between the ledger and what sends to webhooks. Each event is given once in
 * the life of this object: first those that a former attempt has failed, as they stand in `deliveries`, then new ones.
 *
 * Nothing is written when an event is given: a failed attempt is (with its count and the time of the next one), and what needs nothing
 * more is settled. So an event that was on its way when the router died is sent again by its successor, under the same id.
 */
import { jsonEvent } from '../../events/cloud-event.ts'
import type { DeliveryHeaders } from '../../events/delivery-headers.ts'
import type { DeliveryResult } from '../../events/delivery-result.ts'
import type { OwedEvent } from '../push/owed-event.ts'
import type { PushSource } from '../push/pusher.ts'
import type { EventPlace, Unsettled } from './ledger.ts'
import type { ReadEvent, Subscription } from './subscription.ts'

export interface PushEventsOptions {
  readonly subscription: Subscription
  /** What an operator adds to the request of an event. */
  headersOf(read: ReadEvent): DeliveryHeaders
}

const placeKey = ({ partition, offset }: EventPlace): string => `${partition}/${offset}`

export class PushEvents implements PushSource {
  readonly #options: PushEventsOptions
  /** Noted by a former attempt, and not given yet. */
  readonly #noted: Unsettled[]
  /** Given and not settled. */
  readonly #given = new Map<string, ReadEvent>()

  constructor(options: PushEventsOptions) {
    this.#options = options
    this.#noted = options.subscription.ledger.all().filter(({ deliveryCount }) => deliveryCount > 0)
  }

  /** Rejects with SubscriptionClosed when the subscription is over here. */
  async next(eventsMax: number, bytesMax: number, signal: AbortSignal): Promise<readonly OwedEvent[]> {
    const { subscription } = this.#options
    while (!signal.aborted) {
      const again = await this.#nextNoted()
      if (again) return [again]
      const held = subscription.hold(eventsMax, bytesMax)
      if (held.length > 0) return held.map((read) => this.#owed(read))
      await subscription.news(signal)
    }
    return []
  }

  delivered(events: readonly OwedEvent[]): void {
    const { subscription } = this.#options
    for (const event of events) this.#given.delete(placeKey(event))
    subscription.note(events.map((event) => subscription.ledger.settle(event)))
  }

  failed(events: readonly OwedEvent[]): void {
    const { subscription } = this.#options
    subscription.note(events.map((event) => subscription.ledger.failed(event, { ...event, until: event.retryAt })))
  }

  async givenUp(event: OwedEvent, reason: string): Promise<void> {
    const read = this.#given.get(placeKey(event))
    if (read) await this.#options.subscription.giveUp(read, event, reason)
    this.#given.delete(placeKey(event))
  }

  async #nextNoted(): Promise<OwedEvent | undefined> {
    for (;;) {
      const noted = this.#noted.shift()
      if (!noted) return undefined
      const read = await this.#options.subscription.again(noted)
      if (read) return this.#owed(read, noted)
    }
  }

  #owed(read: ReadEvent, noted?: Unsettled): OwedEvent {
    const { partition, offset, key, event, publishedAt } = read
    this.#given.set(placeKey(read), read)
    return {
      partition,
      offset,
      key: key === null ? null : key.toString(),
      body: jsonEvent(event),
      headers: this.#options.headersOf(read),
      publishedAt,
      deliveryCount: noted?.deliveryCount ?? 0,
      retryAt: noted?.until ?? 0,
      lastResult: (noted?.lastResult ?? null) as DeliveryResult | null,
      lastAttemptAt: noted?.lastAttemptAt ?? null,
    }
  }
}
