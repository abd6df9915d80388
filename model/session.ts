import type { SubscriptionRequest, Will } from '../schemas/session-records.ts'
import type { Attachment, PendingWill } from '../schemas/snapshot-records.ts'
import type { PacketUses } from './packet-uses.ts'
import { SessionQueue } from './session-queue.ts'

/** A subscription as granted. */
export interface Subscription extends SubscriptionRequest {
  /** Offset of the last Subscribed record for which it is owed retained messages; none when it never was. */
  readonly retainedAt?: number | null
  /** Time of that record, milliseconds since the epoch. */
  readonly retainedSince?: number | null
  /** The attach that it was made under, as an offset in `sessions`. */
  readonly epoch?: number
  /** Offset of the Subscribed record that asked for its replay; none when none did. */
  readonly replayAt?: number | null
}

/** Attributes that came with a credential, for clients that are not in the registry. */
export type Attributes = Readonly<Record<string, number | string | readonly string[]>>

/** The reason in SessionEnded of a session that its authentication name may not have: its CONNECT was not accepted. */
export const quotaExceeded = 'QuotaExceeded'

export const noWills: readonly PendingWill[] = []

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
  /** Of this client id's connections that are over: waiting for their delay, or being published. */
  wills: readonly PendingWill[] = noWills
  attributes: Attributes
  /** Who vouched for the name (access/principal.ts); empty: the registry. */
  vouchedBy: string
  /** How its name was shown to be its owner's; empty: by records that do not tell. */
  ownerKind: string
  /** Position in `registry` that the newest decision about it had read: an older view must not judge it. Not in snapshots, which are older than any view. */
  judgedAt = 0
  /** Sessions its authentication name may have, as the attach that began it had it; 0 for any number. Not in snapshots: it is looked at once. */
  sessionsMax = 0
  queue = new SessionQueue()
  /** Of the client's QoS 2 publishes; null before the first was released. */
  uses: PacketUses | null = null

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
    readonly vouchedBy: string
    readonly ownerKind: string
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
    this.vouchedBy = begin.vouchedBy
    this.ownerKind = begin.ownerKind
  }

  /** Empties the queue: its owner reads it anew. */
  resetQueue(): void {
    this.queue = new SessionQueue()
  }

  /**
   * Its QoS ≥ 1 messages are journaled. One that was taken over from an earlier connection may still be owed some, so it
   * stays so even when it now ends with its connection: two ways to one client would lose the order and mix packet ids.
   */
  get isPersistent(): boolean {
    return this.expiryInterval > 0 || this.id !== this.epoch
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
