/** The pushers of the subscriptions that this router owns: one for each that pushes, from when it is there until it changes, pauses or goes. */
import type { Logger } from 'pino'
import { compileHeaders } from '../../events/delivery-headers.ts'
import { Pacing } from '../../events/pacing.ts'
import { parseDuration } from '../../log/duration.ts'
import { PauseWatch } from '../../log/pause.ts'
import type { EventSubscriptionProperties, PushDelivery, WebhookConsent } from '../../model/event-subscriptions.ts'
import type { OutgoingPolicy } from '../../outgoing/outgoing-policy.ts'
import { OutgoingRequests } from '../../outgoing/outgoing-request.ts'
import type { Tracing } from '../../telemetry/tracing.ts'
import type { Subscription } from '../subscriptions/subscription.ts'
import { PushBudget } from './push-budget.ts'
import type { PushMetrics } from './push-metrics.ts'
import type { PushQueueOptions } from './push-queue.ts'
import type { PushConfig } from './push-settings.ts'
import { Pusher } from './pusher.ts'
import { SubscriptionSource } from './subscription-source.ts'
import { WebhookTarget } from './webhook-target.ts'

export interface PushersOptions {
  readonly config: PushConfig
  readonly policy: OutgoingPolicy
  /** Authorities of the webhooks' certificates (PEM); undefined: the public ones. */
  readonly ca: string | undefined
  /** Those of the shards that this router owns now. */
  subscriptions(): readonly Subscription[]
  readonly metrics: PushMetrics
  readonly logger: Logger
  /** Null where nothing is traced. */
  readonly tracing: Tracing | null
  readonly now: () => number
}

interface Running {
  readonly properties: EventSubscriptionProperties
  readonly pusher: Pusher
  readonly requests: OutgoingRequests
  /** It sends nothing more and waits for the answers to what it has sent. */
  isLeaving: boolean
}

/** A gap between two looks of more than this may have cost the shard, ms; well below the least time after which Kafka gives it away. */
const pauseMsMax = 2_000
/** Without either, a batch has as much as Event Grid’s defaults say. */
const batchEventsMax = 5_000
const batchKilobytes = 64

export class Pushers {
  readonly #options: PushersOptions
  readonly #budget: PushBudget
  readonly #running = new Map<Subscription, Running>()
  readonly #pauses: PauseWatch
  /** They outlive their pushers: a webhook has agreed to a rate, however often its subscription begins anew. */
  readonly #pacings = new WeakMap<Subscription, Pacing>()
  /** Subscriptions that may have another owner since a pause; nothing is sent until Kafka has taken a write of theirs. */
  readonly #unsure = new Set<Subscription>()

  constructor(options: PushersOptions) {
    this.#options = options
    this.#budget = new PushBudget(options.config.requestsMax)
    this.#pauses = new PauseWatch(pauseMsMax, options.now())
  }

  /** Begins, replaces and ends pushers; to be called when subscriptions, or who owns them, have changed, and once a second. */
  match(): void {
    this.#look()
    const there = new Set(this.#options.subscriptions())
    for (const [subscription, running] of this.#running) {
      if (!there.has(subscription) || subscription.isMoving || subscription.isExpired) this.#end(subscription, running)
      else if (running.properties !== subscription.properties) this.#replace(subscription, running)
    }
    for (const subscription of there) if (!this.#running.has(subscription)) this.#begin(subscription)
    this.#gauge()
  }

  /** For /status. */
  status(): readonly object[] {
    return [...this.#running].map(([{ topic, name }, { pusher }]) => ({ topic, subscription: name, ...pusher.status }))
  }

  close(): void {
    for (const [subscription, running] of this.#running) this.#end(subscription, running)
    this.#gauge()
  }

  #begin(subscription: Subscription): void {
    const { properties, topic, name } = subscription
    const { deliveryConfiguration, consent, deliveryState } = properties
    if (deliveryConfiguration.deliveryMode !== 'Push' || !consent || deliveryState === 'Paused' || subscription.isExpired || subscription.isMoving) return
    const { config, policy, ca, metrics, logger, tracing, now } = this.#options
    const { push } = deliveryConfiguration
    const { endpointUrl, deliveryAttributeMappings, minimumTlsVersionAllowed } = push.destination.properties
    const queue = queueOptions(push, config)
    const requests = new OutgoingRequests({
      policy,
      connectionsMax: queue.requestsMax,
      ca,
      minVersion: minimumTlsVersionAllowed === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    })
    const labels = { topic, event_subscription: name }
    const pacing = this.#pacings.get(subscription) ?? new Pacing()
    this.#pacings.set(subscription, pacing)
    const pusher = new Pusher({
      source: new SubscriptionSource({
        subscription,
        headers: compileHeaders(deliveryAttributeMappings),
        onDelivered: (events) => metrics.delivered.inc(labels, events),
      }),
      target: new WebhookTarget({ requests, url: endpointUrl, origin: consent.origin, timeoutMs: config.timeoutMs, tracing }),
      queue,
      probations: config.probations,
      leastWaitMaxMs: config.schedule[0] * 12,
      perMinute: rateOf(push, consent),
      pacing,
      eventsMax: config.eventsHeldMax,
      bytesMax: config.bytesHeldMax,
      budget: this.#budget,
      isOwner: () => this.#isOwner(subscription),
      counters: { attempted: (result, events, ms) => metrics.attempted(labels, result, events, ms) },
      now,
      chance: Math.random,
      onFailed: (error) => {
        logger.error({ err: error, topic, subscription: name }, 'events cannot be pushed; beginning anew')
        const running = this.#running.get(subscription)
        if (running?.pusher === pusher) this.#end(subscription, running)
      },
    })
    this.#running.set(subscription, { properties, pusher, requests, isLeaving: false })
  }

  /** What is under way to the same webhook is answered first, within PUSH_TIMEOUT: cut, it would come again. */
  #replace(subscription: Subscription, running: Running): void {
    if (running.pusher.status.requests === 0 || webhookOf(running.properties) !== webhookOf(subscription.properties)) {
      this.#end(subscription, running)
      return
    }
    if (running.isLeaving) return
    running.isLeaving = true
    void running.pusher.leave().then(() => {
      if (this.#running.get(subscription) !== running) return
      this.#end(subscription, running)
      this.match()
    })
  }

  /** What is under way is cut, and what comes of it noted nowhere. */
  #end(subscription: Subscription, { pusher, requests }: Running): void {
    this.#running.delete(subscription)
    this.#unsure.delete(subscription)
    void pusher.close()
    requests.close()
  }

  #isOwner(subscription: Subscription): boolean {
    this.#look()
    return !this.#unsure.has(subscription)
  }

  #look(): void {
    if (this.#pauses.look(this.#options.now()) === 0) return
    for (const subscription of this.#running.keys()) {
      this.#unsure.add(subscription)
      // When Kafka refuses it, the router lets go of the shard.
      subscription.confirm().then(
        () => this.#unsure.delete(subscription),
        () => {},
      )
    }
  }

  #gauge(): void {
    const { metrics } = this.#options
    metrics.requests.set(this.#budget.requests)
    metrics.eventsHeld.reset()
    metrics.bytesHeld.reset()
    for (const [{ topic, name }, { pusher }] of this.#running) {
      const { events, deadLettersWaiting, bytes } = pusher.status
      metrics.eventsHeld.set({ topic, event_subscription: name }, events + deadLettersWaiting)
      metrics.bytesHeld.set({ topic, event_subscription: name }, bytes)
    }
  }
}

/** Undefined where nothing is pushed. */
const webhookOf = ({ deliveryConfiguration }: EventSubscriptionProperties): string | undefined =>
  deliveryConfiguration.deliveryMode === 'Push' ? deliveryConfiguration.push.destination.properties.endpointUrl : undefined

/** How a subscription's events go out. */
function queueOptions({ destination, maxDeliveryCount, eventTimeToLive }: PushDelivery, config: PushConfig): PushQueueOptions {
  const { maxEventsPerBatch, preferredBatchSizeInKilobytes, maxConcurrentRequests, deliveryOrder } = destination.properties
  const isBatched = maxEventsPerBatch !== undefined || preferredBatchSizeInKilobytes !== undefined
  return {
    policy: { schedule: config.schedule, maxDeliveryCount, timeToLiveMs: parseDuration(eventTimeToLive) ?? Number.POSITIVE_INFINITY },
    batch: isBatched ? { eventsMax: maxEventsPerBatch ?? batchEventsMax, bytesMax: (preferredBatchSizeInKilobytes ?? batchKilobytes) * 1024 } : null,
    isOrdered: deliveryOrder === 'ByKey',
    requestsMax: Math.min(config.requestsPerSubscription, maxConcurrentRequests ?? config.requestsPerSubscription),
  }
}

/** The least of what the operator wants and the webhook allows. */
export function rateOf({ destination }: PushDelivery, consent: WebhookConsent): number | null {
  const rates = [destination.properties.maxRequestsPerMinute, consent.perMinute].filter((rate) => typeof rate === 'number')
  return rates.length === 0 ? null : Math.min(...rates)
}
