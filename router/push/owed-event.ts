import type { DeliveryHeaders } from '../../events/delivery-headers.ts'
import type { DeliveryResult } from '../../events/delivery-result.ts'

/** An event that a webhook is owed. Partition and offset in the namespace topic name it. */
export interface OwedEvent {
  readonly partition: number
  readonly offset: number
  /** The record's key: what order is kept for. Null has no order. */
  readonly key: string | null
  /** In the CloudEvents JSON format. */
  readonly body: Buffer
  /** What an operator adds to its request. */
  readonly headers: DeliveryHeaders
  /** When the topic accepted it, ms since the epoch. */
  readonly publishedAt: number
  /** Attempts that have ended. */
  readonly deliveryCount: number
  /** Not before, ms since the epoch; 0 at once. */
  readonly retryAt: number
  readonly lastResult: DeliveryResult | null
  /** Milliseconds since the epoch; null when there was no attempt. */
  readonly lastAttemptAt: number | null
}
