import type { Session, Subscription } from './session.ts'

/** What matching needs to know of a message. */
export interface Published {
  readonly clientId: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** Milliseconds since the epoch, by its gateway's clock. */
  readonly receivedAt?: number
}

/** How one session gets one message. */
export interface DeliveryTerms {
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
}

const noIdentifiers: readonly number[] = []

/**
 * One copy for a session whose subscriptions overlap, at the highest granted QoS and with all their identifiers
 * [MQTT-3.3.4-2, -3]. Undefined when only No Local subscriptions match the publisher's own message [MQTT-3.8.3-3].
 */
export function deliveryTerms(session: Session, subscriptions: readonly Subscription[], message: Published): DeliveryTerms | undefined {
  const isOwn = message.clientId === session.clientId
  let granted = -1
  let retainAsPublished = false
  let identifiers: number[] | undefined
  for (const subscription of subscriptions) {
    if (isOwn && subscription.noLocal) continue
    if (subscription.qos > granted) granted = subscription.qos
    if (subscription.retainAsPublished) retainAsPublished = true
    // Published before the SUBSCRIBE and read after it: to this client it is what was retained [MQTT-3.3.1-8] of 3.1.1.
    else if (message.retain && message.receivedAt !== undefined && message.receivedAt <= (subscription.retainedSince ?? 0)) retainAsPublished = true
    if (subscription.subscriptionIdentifier !== null) {
      identifiers ??= []
      identifiers.push(subscription.subscriptionIdentifier)
    }
  }
  if (granted < 0) return undefined
  return {
    qos: Math.min(granted, message.qos) as 0 | 1 | 2,
    retain: message.retain && retainAsPublished,
    subscriptionIdentifiers: identifiers ?? noIdentifiers,
  }
}
