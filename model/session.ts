import type { Attachment, SubscriptionRequest, Will } from '../schemas/records.ts'
import { SessionQueue } from './session-queue.ts'

/** A subscription as granted. */
export type Subscription = SubscriptionRequest

/** Attributes that came with a credential, for clients that are not in the registry. */
export type Attributes = Readonly<Record<string, number | string | readonly string[]>>

/** Sessions with this expiry interval never expire. */
export const neverExpires = 0xffff_ffff

/** One client id's session as the `sessions` journal tells it, with what the `inbox` journal says it is owed. */
export class Session {
  readonly clientId: string
  /** Shard of the client id. */
  readonly shard: number
  authenticationName: string
  /** Offset of the attach that began the session. */
  id: number
  /** Offset of the current (or last) attach. */
  epoch: number
  /** Connections so far: the life cycle events' sequence number. */
  sequence: number
  /** Seconds. */
  expiryInterval: number
  attached: Attachment | null
  /** Milliseconds since the epoch of the last detach, when not attached. */
  detachedAt: number | null
  /** Set once the session is over; only the sequence is kept then. */
  endedAt: number | null
  subscriptions = new Map<string, Subscription>()
  will: Will | null
  attributes: Attributes
  queue = new SessionQueue()

  constructor(begin: {
    readonly clientId: string
    readonly shard: number
    readonly authenticationName: string
    readonly id: number
    readonly sequence: number
    readonly expiryInterval: number
    readonly attached: Attachment | null
    readonly will: Will | null
    readonly attributes: Attributes
  }) {
    this.clientId = begin.clientId
    this.shard = begin.shard
    this.authenticationName = begin.authenticationName
    this.id = begin.id
    this.epoch = begin.id
    this.sequence = begin.sequence
    this.expiryInterval = begin.expiryInterval
    this.attached = begin.attached
    this.detachedAt = null
    this.endedAt = null
    this.will = begin.will
    this.attributes = begin.attributes
  }

  /** Empties the queue: its owner reads it anew. */
  resetQueue(): void {
    this.queue = new SessionQueue()
  }

  /** Its QoS ≥ 1 messages are journaled and outlive the connection. */
  get isPersistent(): boolean {
    return this.expiryInterval > 0
  }

  get isOver(): boolean {
    return this.endedAt !== null
  }

  /** When it expires, milliseconds since the epoch; Infinity while attached or when it never does. */
  get expiresAt(): number {
    if (this.detachedAt === null || this.expiryInterval === neverExpires) return Number.POSITIVE_INFINITY
    return this.detachedAt + this.expiryInterval * 1000
  }
}
