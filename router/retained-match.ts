/**
 * What one SUBSCRIBE is owed of a shard's retained messages, pure: walked in steps, each topic once however many of its
 * filters match it.
 */

import { deliveryTerms } from '../model/delivery-terms.ts'
import type { RetainedIndex, RetainedWalk } from '../model/retained-index.ts'
import type { Session, Subscription } from '../model/session.ts'
import { matches } from '../mqtt/topic.ts'
import { peekMessage } from '../schemas/message-record.ts'
import type { RetainedMessage } from './retained-store.ts'

export interface RetainedDelivery {
  readonly message: RetainedMessage
  readonly qos: 0 | 1 | 2
  readonly subscriptionIdentifiers: readonly number[]
}

export interface RetainedRequest {
  readonly session: Session
  /** Offset of the Subscribed record in the `sessions` partition of the session's shard. */
  readonly at: number
  readonly subscriptions: readonly Subscription[]
  /** Messages from this position on have come after the subscription: they are delivered as they come. */
  readonly before: number
}

export class RetainedMatch {
  readonly request: RetainedRequest
  readonly #index: RetainedIndex<RetainedMessage>
  readonly #now: () => number
  readonly #wants: (qos: number) => boolean
  /** Sent ahead of the walk. */
  readonly #hurried = new Set<string>()
  #current = -1
  #walk: RetainedWalk<RetainedMessage> | undefined
  #isOver = false

  /** `wants` chooses by the QoS of the delivery. */
  constructor(index: RetainedIndex<RetainedMessage>, request: RetainedRequest, now: () => number, wants: (qos: number) => boolean) {
    this.#index = index
    this.request = request
    this.#now = now
    this.#wants = wants
    this.#nextFilter()
  }

  /** Nothing more will come; also when the session or the subscription is gone, or subscribed anew. */
  get isDone(): boolean {
    return this.#isOver || this.#walk === undefined
  }

  /** The next delivery within so many steps; undefined when there is none (look at `isDone`). */
  next(budget: { steps: number }): RetainedDelivery | undefined {
    while (this.#walk && budget.steps > 0) {
      const message = this.#walk.next(budget)
      if (message) {
        const delivery = this.#hurried.has(message.topic) ? undefined : this.#deliveryOf(message, this.#current)
        if (delivery) return delivery
      } else if (this.#walk.isDone) this.#nextFilter()
    }
    return undefined
  }

  /** A message on the topic is about to be delivered: what is retained there goes first. */
  hurry(topic: string): RetainedDelivery | undefined {
    if (this.isDone || this.#hurried.has(topic)) return undefined
    const first = this.request.subscriptions.findIndex(({ filter }) => matches(filter, topic))
    if (first < 0 || first < this.#current || (first === this.#current && this.#walk?.isPast(topic))) return undefined
    const message = this.#index.get(topic)
    this.#hurried.add(topic)
    return message && this.#deliveryOf(message, first)
  }

  /** Looks whether it is still wanted. */
  refresh(): void {
    const { session, at, subscriptions } = this.request
    if (session.isOver || !subscriptions.some(({ filter }) => session.subscriptions.get(filter)?.retainedAt === at)) this.#isOver = true
  }

  end(): void {
    this.#isOver = true
  }

  #nextFilter(): void {
    const subscription = this.request.subscriptions[++this.#current]
    this.#walk = subscription && this.#index.walk(subscription.filter)
  }

  #deliveryOf(message: RetainedMessage, first: number): RetainedDelivery | undefined {
    const { session, subscriptions, before } = this.request
    if (message.offset >= before || (message.expiresAt !== 0 && message.expiresAt <= this.#now())) return undefined
    // An earlier filter of the same SUBSCRIBE has brought it.
    for (let i = 0; i < first; i++) if (matches((subscriptions[i] as Subscription).filter, message.topic)) return undefined
    const matching = subscriptions.length === 1 ? subscriptions : subscriptions.filter(({ filter }) => matches(filter, message.topic))
    const needsPublisher = matching.some(({ noLocal }) => noLocal)
    const clientId = needsPublisher ? peekMessage(message.value).clientId : ''
    const terms = deliveryTerms(session, matching, { clientId, qos: message.qos, retain: true })
    if (!terms || !this.#wants(terms.qos)) return undefined
    return { message, qos: terms.qos, subscriptionIdentifiers: terms.subscriptionIdentifiers }
  }
}
