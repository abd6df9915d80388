/** Records of what is owed and what became of it, written by the owners of shards: the topic `inbox`. */

/** A router takes a shard (topic `inbox`, the shard's own partition): this record's offset is its term. */
export interface ShardOwned {
  readonly shard: number
  readonly router: string
  readonly at: number
}

/** An owner's term, in every other inbox partition before it writes there. */
export interface TermAnnounced {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
}

export interface IndexReceiver {
  readonly clientId: string
  readonly session: number
  /** As granted for this delivery. */
  readonly qos: number
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
  /** `$share/{group}/{filter}` when it is given to this member of a shared subscription. */
  readonly group: string | null
  /** Offset in `sessions` of the Subscribed record, when it is for a replay that goes on with what is published. */
  readonly replay: number | null
}

export interface Choice {
  /** Position in `messages` of the shard. */
  readonly offset: number
  readonly receiver: IndexReceiver
}

/** Members of shared subscriptions chosen for QoS ≥ 1 messages of a stretch, before any effect of the choice (topic `inbox`, own partition). */
export interface Chosen {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  /** First offset of the stretch. */
  readonly from: number
  /** Offset after the stretch. */
  readonly to: number
  /** 0 … parts-1. */
  readonly part: number
  readonly parts: number
  readonly choices: readonly Choice[]
}

/** Members chosen for messages that a shared subscription was behind with, before any effect of the choice (topic `inbox`, own partition). */
export interface SharedChosen {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  /** `$share/{group}/{filter}` */
  readonly group: string
  /** First offset that this tells of. */
  readonly from: number
  /** Offset after the last. */
  readonly to: number
  readonly choices: readonly Choice[]
}

export interface IndexEntry {
  /** Position in `messages` of the source shard. */
  readonly offset: number
  /** Bytes of the record's value. */
  readonly size: number
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | null
  readonly receivers: readonly IndexReceiver[]
}

/** What a stretch of a source shard's messages owes to sessions of this shard (topic `inbox`). The high-water of the source moves with the last part only. */
export interface Indexed {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  /** First offset of the stretch. */
  readonly from: number
  /** Offset after the stretch. */
  readonly to: number
  /** 0 … parts-1. */
  readonly part: number
  readonly parts: number
  /** The receiving shard's `sessions` partition was applied up to here when this was matched. */
  readonly sessionsOffset: number
  readonly entries: readonly IndexEntry[]
  /** When it was put into the queues; 0 in records from before this was noted. */
  readonly at: number
}

/**
 * What a shared subscription that is behind gives to sessions of this shard (topic `inbox`; without entries, in snapshots). Has a high-water of its own
 * for the source and the group.
 */
export interface SharedIndexed {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  /** `$share/{group}/{filter}` */
  readonly group: string
  /** First offset that this tells of. */
  readonly from: number
  /** Offset after the last. */
  readonly to: number
  /** The receiving shard's `sessions` partition was applied up to here when the members were chosen. */
  readonly sessionsOffset: number
  readonly entries: readonly IndexEntry[]
  /** When it was put into the queues. */
  readonly at: number
}

export interface BehindGroup {
  /** `$share/{group}/{filter}` */
  readonly group: string
  /** From this offset in `messages` on nothing of QoS ≥ 1 is given to it when it is matched. */
  readonly from: number
  /** Where that ends; null while it is behind. */
  readonly to: number | null
  /** Everything from `from` up to here was given, or given up, by reading it again. */
  readonly position: number
}

/**
 * All shared subscriptions that are behind with the shard's messages, or were until a position that its progress has not passed (topic `inbox`, own
 * partition; also in snapshots).
 */
export interface SharedBehind {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  readonly groups: readonly BehindGroup[]
}

export interface ReassignedEntry {
  /** Shard whose `messages` holds it. */
  readonly source: number
  /** Position in `messages` of the source shard. */
  readonly offset: number
  /** Bytes of the record's value. */
  readonly size: number
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | null
  readonly receiver: IndexReceiver
  /** The member that had it. */
  readonly fromClientId: string
  readonly fromSession: number
}

/**
 * Unacknowledged messages of a shared subscription that another member gets (topic `inbox`, the new member's partition).
 * Not held against the high-water.
 */
export interface Reassigned {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  /** The receiving shard's `sessions` partition was applied up to here when the members were chosen. */
  readonly sessionsOffset: number
  readonly entries: readonly ReassignedEntry[]
  /** When it was put into the queues; 0 in records from before this was noted. */
  readonly at: number
}

export interface RetainedEntry {
  /** Position in `messages` of the source shard; tells repeats. */
  readonly offset: number
  /** Position in `retained` of the source shard, when it was known: where it is read. */
  readonly retainedOffset: number | null
  /** Bytes of the Message record's value. */
  readonly size: number
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | null
  /** As granted for this delivery. */
  readonly qos: number
  readonly subscriptionIdentifiers: readonly number[]
}

/** Retained messages of a source shard that a new subscription owes to a persistent session of this shard (topic `inbox`). */
export interface IndexedRetained {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  /** Offset in this shard's `sessions` of the Subscribed record. */
  readonly request: number
  readonly clientId: string
  readonly session: number
  /** True in the last record of the request: the high-water of the source moves past it. */
  readonly last: boolean
  readonly entries: readonly RetainedEntry[]
  /** When it was put into the queues; 0 in records from before this was noted. */
  readonly at: number
}

export interface ReplayPosition {
  /** Shard whose `messages` partition is read. */
  readonly source: number
  /** Everything below is in the queue, or does not match. */
  readonly next: number
  /** Where it ends; null goes on. */
  readonly end: number | null
}

export interface ReplayEntry {
  readonly source: number
  /** Position in `messages` of the source shard. */
  readonly offset: number
  /** Bytes of the record's value. */
  readonly size: number
  /** As granted for this delivery. */
  readonly qos: number
  readonly retain: boolean
}

/** A replay has come further: what of it goes into the session's queue (topic `inbox`). */
export interface Replayed {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  readonly clientId: string
  readonly session: number
  /** Offset in this shard's `sessions` of the Subscribed record. */
  readonly replay: number
  /** reading, joining, live, over, or gone when its subscription is (model/replay.ts). */
  readonly phase: string
  /** Of every partition that it reads. */
  readonly positions: readonly ReplayPosition[]
  readonly entries: readonly ReplayEntry[]
  /** Put into the queue so far, these included. */
  readonly messages: number
  readonly subscriptionIdentifiers: readonly number[]
  /** Of the subscription: that of the end marker. */
  readonly qos: number
  /** As subscribed to: told by the end marker. */
  readonly filter: string
  readonly at: number
  /** From when on nothing that was asked for is missing, milliseconds since the epoch; null when nothing is. */
  readonly since: number | null
}

export interface SessionProgress {
  readonly clientId: string
  readonly session: number
  /** Every number below is done. */
  readonly cursor: number
  /** Numbers at or above the cursor that are done. */
  readonly above: readonly number[]
  /** Numbers below this may have been sent once. */
  readonly sent: number
  /** Numbers of QoS 2 that the client has received (PUBREC) and that are not done: they go on with PUBREL. */
  readonly received: readonly number[]
}

/** Progress of sessions of this shard (topic `inbox`). */
export interface Acknowledged {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  readonly sessions: readonly SessionProgress[]
}

/** Owed messages that will never be delivered, and why (topic `inbox`). */
export interface Dropped {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  readonly clientId: string
  readonly session: number
  readonly numbers: readonly number[]
  /** expired, gone, unauthorized, tooLarge, queueFull, tooOld, reassigned (to another member of its group), noMember or sessionEnded. */
  readonly reason: string
}

export interface HeldMessage {
  readonly id: Buffer
  /** Of the record that counts, in `messages`. */
  readonly offset: number
}

/** Messages of the shard whose id may come again: every later record with the id is a repeat (topic `inbox`, before the Progress that passes them; also in snapshots). */
export interface MessagesHeld {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  readonly messages: readonly HeldMessage[]
}

export interface RetainedNote {
  readonly topic: string
  /** Position in `messages` of what was retained, or of what cleared it. */
  readonly offset: number
  readonly isCleared: boolean
  readonly receivedAt: number
  readonly expiresAt: number | null
  readonly qos: number
  /** Bytes of the Message record. */
  readonly size: number
}

/** What the owner of a shard has retained or cleared, in its order (topic `inbox`); in `checkpoints` all that was retained. */
export interface RetainedChanged {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  readonly entries: readonly RetainedNote[]
}

/** A source shard is done up to a position: all parts indexed, all gateways concerned acknowledged or lost (topic `inbox`, own partition). */
export interface Progress {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
  /** Offset in `messages` after the last finished stretch. */
  readonly position: number
  /** By partition: what the last stretch was matched with. */
  readonly sessionsOffsets: readonly number[]
  readonly registryOffset: number
  /** Offset in `sessions` up to which life cycle events are written. */
  readonly lifecyclePosition: number
  /** By partition of `sessions`: the retained messages of this shard that Subscribed records below are owed are sent or indexed. */
  readonly retainedOffsets: readonly number[]
}
