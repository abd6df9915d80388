/** Records of events: the topics `lifecycle` and `deliveries`. */

/** A CloudEvent of a client's life, Event Grid's types and data (topic `lifecycle`, key: authentication name). */
export interface LifecycleEvent {
  readonly id: string
  readonly type: string
  readonly source: string
  readonly subject: string
  readonly time: number
  /** JSON. */
  readonly data: string
}

/** How far an event subscription is in one partition of its topic (topic `deliveries`). */
export interface SubscriptionCursor {
  /** Of the subscription: a later one of its name has another. */
  readonly id: string
  /** Every event below is settled, was not wanted, or stands as an UnsettledEvent. */
  readonly position: number
  readonly at: number
}

/** An event that was given out and is not settled (topic `deliveries`; a tombstone settles it). */
export interface UnsettledEvent {
  readonly id: string
  readonly publishedAt: number
  /** Deliveries so far, the present one included. */
  readonly deliveryCount: number
  /** What the lock token of the present receiver must say; empty: nobody has it. */
  readonly lock: string
  /** When the present receiver got it; 0: nobody has it. */
  readonly lockedSince: number
  /** End of the lock, or time of the next delivery: from then on it may be given out. */
  readonly until: number
  readonly lastAttemptAt: number | null
  readonly lastResult: string | null
}
