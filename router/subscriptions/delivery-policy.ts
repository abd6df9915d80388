/** What a subscription's resource says of how often, how long and for how long at a time an event is given out. */
import { parseDuration } from '../../log/duration.ts'
import { deliveryPolicyOf, type EventSubscriptionProperties } from '../../model/event-subscriptions.ts'

export interface DeliveryPolicy {
  readonly maxDeliveryCount: number
  /** Of an event, ms; Infinity where only the topic's retention bounds it. */
  readonly timeToLiveMs: number
  /** Of a receiver's lock; 0 where events are pushed. */
  readonly lockMs: number
  /** Of the subscription, ms since the epoch. */
  readonly expiresAt: number
}

export function policyOf({ deliveryConfiguration, expirationTimeUtc }: EventSubscriptionProperties): DeliveryPolicy {
  const { maxDeliveryCount, eventTimeToLive } = deliveryPolicyOf(deliveryConfiguration)
  return {
    maxDeliveryCount,
    timeToLiveMs: parseDuration(eventTimeToLive) ?? Number.POSITIVE_INFINITY,
    lockMs: deliveryConfiguration.deliveryMode === 'Queue' ? deliveryConfiguration.queue.receiveLockDurationInSeconds * 1000 : 0,
    expiresAt: expirationTimeUtc === undefined ? Number.POSITIVE_INFINITY : Date.parse(expirationTimeUtc),
  }
}
