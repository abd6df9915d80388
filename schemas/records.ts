/** The records of the log, one interface per schema in this folder (schemas/*.avsc is the contract; a test holds both together). */

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

export interface GatewayIncarnation {
  readonly id: string
  /** offset of the gateway's first record in the gateways topic. */
  readonly incarnation: number
}

export interface UserProperty {
  readonly name: string
  readonly value: string
}

export interface Will {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: number
  readonly retain: boolean
  readonly delaySeconds: number
  readonly messageExpiryInterval: number | null
  readonly payloadFormatIndicator: number | null
  readonly contentType: string | null
  readonly responseTopic: string | null
  readonly correlationData: Buffer | null
  readonly userProperties: readonly UserProperty[]
}

/** A connection asks for the session of its client id (topic `sessions`, key: client id). Its offset is the connection's epoch. */
export interface Attached {
  readonly clientId: string
  readonly authenticationName: string
  readonly at: number
  readonly gateway: GatewayIncarnation
  /** Number of the connection within the gateway's incarnation, never reused. */
  readonly connection: number
  /** Random. */
  readonly connectionId: Buffer
  readonly cleanStart: boolean
  /** Seconds as granted; 0 ends with the connection, 4294967295 never. */
  readonly sessionExpiryInterval: number
  readonly receiveMaximum: number
  /** 0: no limit. */
  readonly maximumPacketSize: number
  /** Seconds as granted. */
  readonly keepAlive: number
  readonly protocolVersion: number
  readonly remoteAddress: string
  /** tcp, tls, ws or wss. */
  readonly transport: string
  /** Offset of `registry` up to which the decision to let it in had read. */
  readonly registryPosition: number
  readonly will: Will | null
  /** Attributes that came with the credential. */
  readonly attributes: Readonly<Record<string, number | string | readonly string[]>>
  /** Sessions that the authentication name may have, one that this begins included; 0 for any number. */
  readonly sessionsMax: number
  /** Who vouched for the name when no resource of the registry had to: customJwt, oauth2Jwt or webhook; empty: the registry. */
  readonly vouchedBy: string
  /** How the name was shown to be its bearer's: registered, customJwt, oauth2Jwt, webhook, internal, or anonymous when it was not; empty: not told. */
  readonly ownerKind: string
}

export interface Choice {
  /** Position in `messages` of the shard. */
  readonly offset: number
  readonly receiver: IndexReceiver
}

/** A shard's state at a moment of the past is complete (topic `checkpoints`, behind the SnapshotChunk records that hold it). */
export interface CheckpointClosed {
  readonly shard: number
  readonly term: number
  /** As in the chunks. */
  readonly generation: number
  readonly chunks: number
  /** Offset in `checkpoints` of the first chunk, or of this record when there is none. */
  readonly from: number
  readonly at: number
  /** It holds for moments from here on in `inbox`: what its state was ahead of `inboxOffset` stands before. */
  readonly inboxFrom: number
  /** A SnapshotClosed: where the folds stood. */
  readonly snapshot: Buffer
  readonly registryPosition: number
  /** Of the registry at that position, hexadecimal; empty when it is not told. */
  readonly registryDigest: string
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

/** A connection is over (topic `sessions`). */
export interface Detached {
  readonly clientId: string
  /** The connection's attach; ignored by the fold when it is no longer the session's. */
  readonly epoch: number
  readonly at: number
  /** Event Grid's disconnectionReason. */
  readonly reason: string
  /** MQTT 5 reason code, sent or received; 0 when none was. */
  readonly reasonCode: number
  /** Seconds, when the client's DISCONNECT changed it. */
  readonly sessionExpiryInterval: number | null
  /** False when the will is discarded (a normal DISCONNECT). */
  readonly keepWill: boolean
  /** gateway, or router when it speaks for a lost gateway. */
  readonly by: string
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

/** A gateway process has started, or (stopping) ends by itself (topic `gateways`, key: gateway id). */
export interface GatewayUp {
  readonly id: string
  /** host:port of its gRPC delivery server. */
  readonly address: string
  readonly startedAt: number
  readonly stopping: boolean
  /** Null in the record that begins it. */
  readonly incarnation: number | null
  readonly version: string
}

export interface HistoryBlock {
  /** First offset. */
  readonly from: number
  /** Offset after the last. */
  readonly to: number
  /** What its records take in a fetch, roughly. */
  readonly bytes: number
  /** 24-bit hashes, ascending, little-endian, of its topics and of their first levels (history/block.ts). */
  readonly topics: Buffer
  /** The same of its publishers' MQTT client ids. */
  readonly clients: Buffer
}

/** What stretches of a shard's `messages` may hold (topic `index`): who reads for one topic or client passes over the others. */
export interface HistoryBlocks {
  readonly shard: number
  readonly blocks: readonly HistoryBlock[]
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

/** An accepted PUBLISH, in the topic `messages` (key: the MQTT topic; timestamp: receivedAt). */
export interface Message {
  /** The same in every repeated append of one publish. */
  readonly messageId: Buffer
  /** The publisher's MQTT client id. */
  readonly clientId: string
  /** The publisher's session: offset in `sessions` of the attach that began it. */
  readonly session: number
  readonly receivedAt: number
  readonly topic: string
  readonly qos: number
  readonly retain: boolean
  /** Seconds, as published. */
  readonly messageExpiryInterval: number | null
  readonly authenticationName: string
  /** Id of the gateway that received it. */
  readonly gateway: string
  /** 4 is MQTT 3.1.1, 5 is MQTT 5. */
  readonly protocolVersion: number
  readonly payloadFormatIndicator: number | null
  readonly contentType: string | null
  readonly responseTopic: string | null
  readonly correlationData: Buffer | null
  /** In the order of the packet. */
  readonly userProperties: readonly UserProperty[]
  readonly payload: Buffer
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
}

/** A whole resource as the API last wrote it (topic `registry`, key: kind/name; a tombstone deletes). */
export interface RegistryEntry {
  /** clients, clientGroups, topicSpaces, permissionBindings, caCertificates or namespace. */
  readonly kind: string
  readonly name: string
  /** JSON, as in the API. */
  readonly properties: string
  readonly etag: string
  readonly createdAt: number
  readonly updatedAt: number
  /** Who made the change. */
  readonly by: string
}

/** A client has shown new credentials on its open connection, and they give it other attributes (topic `sessions`). */
export interface Reauthenticated {
  readonly clientId: string
  /** The connection's attach; ignored by the fold when it is no longer the session's. */
  readonly epoch: number
  readonly at: number
  /** Offset of `registry` up to which the decision had read. */
  readonly registryPosition: number
  /** All attributes that came with the new credentials. */
  readonly attributes: Readonly<Record<string, number | string | readonly string[]>>
}

/** A QoS 2 publish of a client is over, PUBREL came: its packet id may be used again (topic `sessions`). */
export interface Released {
  readonly clientId: string
  /** The connection's attach; ignored by the fold when it is no longer the session's. */
  readonly epoch: number
  readonly at: number
  readonly packetId: number
}

/** The last retained message of a topic (topic `retained`, key: the MQTT topic; a tombstone clears it). Written by the shard's owner under Kafka's fence. */
export interface Retained {
  /** Position in `messages` of the same shard. */
  readonly offset: number
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | null
  /** The value of the Message record. */
  readonly message: Buffer
}

/**
 * The number of shards was changed, and a session came to another one (topic `sessions`, key: client id). It goes on under this record's offset, and so
 * do, under further ones, its wills and replays. What it holds stands in the shard's snapshot.
 */
export interface SessionMoved {
  readonly clientId: string
  readonly fromShard: number
  /** What it was called there: the offset of an Attached, or of a Subscribed for a replay. */
  readonly formerly: number
  /** session, will or replay. */
  readonly what: string
  readonly at: number
}

/** A session is over and all it held is gone (topic `sessions`). */
export interface SessionEnded {
  readonly clientId: string
  readonly session: number
  /** The attach that was current when this was decided; ignored by the fold when another has come since. */
  readonly epoch: number
  readonly at: number
  /** SessionExpiry, TransientSession, SessionOverflow, AuthorizationError, QuotaExceeded or Deleted. */
  readonly reason: string
  readonly shard: number
  /** Of the router that decided; a lower term than the shard's is ignored. */
  readonly term: number
}

export interface Attachment {
  readonly gateway: GatewayIncarnation
  readonly connection: number
  readonly connectionId: Buffer
  readonly receiveMaximum: number
  readonly maximumPacketSize: number
  readonly keepAlive: number
  readonly protocolVersion: number
  readonly remoteAddress: string
  readonly transport: string
  readonly at: number
}

export interface ReplayRequest {
  /** A time in UTC, or positions (history/replay-range.ts). */
  readonly from: string
  /** The same, not included; null goes on with what is published. */
  readonly to: string | null
  /** Only what this MQTT client id has published. */
  readonly client: string | null
  /** Times the pace at which it was published; null as fast as the limits allow. */
  readonly speed: number | null
}

export interface SubscriptionRequest {
  readonly filter: string
  /** As granted. */
  readonly qos: number
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: number
  readonly subscriptionIdentifier: number | null
  /** What was published before is sent too. */
  readonly replay: ReplayRequest | null
}

export interface QueueEntry {
  readonly number: number
  readonly source: number
  readonly offset: number
  readonly size: number
  readonly expiresAt: number | null
  readonly qos: number
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
  /** `$share/{group}/{filter}` when it is given to this member of a shared subscription. */
  readonly group: string | null
  /** When it was put into the queue, to the second; 0 when that was not noted. */
  readonly at: number
}

/** A subscription in a snapshot. */
export interface SessionSubscription {
  readonly filter: string
  /** As granted. */
  readonly qos: number
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: number
  readonly subscriptionIdentifier: number | null
  /** Offset of the last Subscribed record that is owed retained messages. */
  readonly retainedAt: number | null
  /** Its time. */
  readonly retainedSince: number | null
  /** The attach that it was made under; -1 from before this was told. */
  readonly epoch: number
  readonly replay: ReplayRequest | null
  /** Offset of the Subscribed record that asked for the replay. */
  readonly replayAt: number | null
}

/** The will of a connection that is over. */
export interface PendingWill {
  /** The attach that it came with. */
  readonly epoch: number
  readonly session: number
  readonly authenticationName: string
  readonly gateway: string
  readonly protocolVersion: number
  readonly dueAt: number
  /** Nothing cancels it any more. */
  readonly isDecided: boolean
  readonly will: Will
}

export interface ReplayPosition {
  /** Shard whose `messages` partition is read. */
  readonly source: number
  /** Everything below is in the queue, or does not match. */
  readonly next: number
  /** Where it ends; null goes on. */
  readonly end: number | null
}

export interface ReplayState {
  /** Offset in `sessions` of the Subscribed record. */
  readonly replay: number
  /** reading, live or over (model/replay.ts). */
  readonly phase: string
  readonly positions: readonly ReplayPosition[]
  /** Put into the queue so far. */
  readonly messages: number
}

/** One session in a snapshot. */
export interface SessionState {
  readonly clientId: string
  readonly authenticationName: string
  readonly session: number
  readonly epoch: number
  /** Connections so far, for life cycle events. */
  readonly sequence: number
  readonly sessionExpiryInterval: number
  readonly attached: Attachment | null
  readonly detachedAt: number | null
  /** Only the sequence is kept. */
  readonly endedAt: number | null
  readonly subscriptions: readonly SessionSubscription[]
  readonly will: Will | null
  readonly attributes: Readonly<Record<string, number | string | readonly string[]>>
  /** Number of the next queue entry. */
  readonly next: number
  readonly cursor: number
  readonly above: readonly number[]
  readonly sent: number
  readonly queue: readonly QueueEntry[]
  /** Of connections that are over: waiting for their delay or being published. */
  readonly wills: readonly PendingWill[]
  /** Numbers of QoS 2 that the client has received (PUBREC) and that are not done. */
  readonly received: readonly number[]
  /** How often each packet id of the client's QoS 2 publishes was released (model/packet-uses.ts). */
  readonly uses: Buffer
  /** Who vouched for the name when no resource of the registry had to: customJwt, oauth2Jwt or webhook; empty: the registry. */
  readonly vouchedBy: string
  /** How the name was shown to be its bearer's: registered, customJwt, oauth2Jwt, webhook, internal, or anonymous when it was not; empty: not told. */
  readonly ownerKind: string
  /** Replays of its subscriptions, as far as the inbox tells. */
  readonly replays: readonly ReplayState[]
}

/** A router takes a shard (topic `inbox`, the shard's own partition): this record's offset is its term. */
export interface ShardOwned {
  readonly shard: number
  readonly router: string
  readonly at: number
}

/** A part of a shard's folded state (topic `snapshots`). */
export interface SnapshotChunk {
  readonly shard: number
  readonly term: number
  readonly generation: number
  readonly chunk: number
  /** Folded sessions, each a SessionState. */
  readonly sessions: readonly Buffer[]
}

/** A shard's snapshot is complete (topic `snapshots`, key: shard). */
export interface SnapshotClosed {
  readonly shard: number
  readonly term: number
  readonly generation: number
  readonly chunks: number
  readonly at: number
  /** The fold had applied `sessions` up to here. */
  readonly sessionsOffset: number
  readonly inboxOffset: number
  /** Progress in `messages`. */
  readonly position: number
  readonly lifecyclePosition: number
  /** By source shard. */
  readonly highWaters: readonly number[]
  /** By source shard. */
  readonly terms: readonly number[]
  /** As in Progress. */
  readonly retainedOffsets: readonly number[]
  /** By source shard: requests below are indexed here. */
  readonly retainedHighWaters: readonly number[]
  /** Offset in `inbox` of the first Chosen record that `position` has not passed. */
  readonly choicesFrom: number | null
}

/** Granted filters of one SUBSCRIBE (topic `sessions`). */
export interface Subscribed {
  readonly clientId: string
  /** The connection's attach; ignored by the fold when it is no longer the session's. */
  readonly epoch: number
  readonly at: number
  readonly subscriptions: readonly SubscriptionRequest[]
  readonly registryPosition: number
}

/** An owner's term, in every other inbox partition before it writes there. */
export interface TermAnnounced {
  /** The shard whose owner writes this. */
  readonly shard: number
  readonly term: number
}

/** Filters of one UNSUBSCRIBE (topic `sessions`). */
export interface Unsubscribed {
  readonly clientId: string
  /** The connection's attach; ignored by the fold when it is no longer the session's. */
  readonly epoch: number
  readonly at: number
  readonly filters: readonly string[]
  /**
   * Takes back what the connection had asked for and was told it did not get: counts for subscriptions that were made under `epoch`,
   * whatever the session's attach is by then.
   */
  readonly withdraws: boolean
}

/** The delay of a will is over and no connection has come: it is to be published (topic `sessions`). From here on nothing cancels it. */
export interface WillDue {
  readonly clientId: string
  /** The attach that the will came with. */
  readonly epoch: number
  readonly at: number
  readonly shard: number
  /** Of the router that decided; a lower term than the shard's is ignored. */
  readonly term: number
}

/** A will is in `messages`, or will never be: the fold forgets it (topic `sessions`). */
export interface WillFired {
  readonly clientId: string
  /** The attach that the will came with. */
  readonly epoch: number
  readonly at: number
  /** published or unauthorized. */
  readonly outcome: string
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

/** How far a route is with a shard's messages, and where its target stood then (topic `snapshots`, key: route/ and the route's name). */
export interface RouteProgress {
  readonly shard: number
  readonly term: number
  readonly route: string
  /** Milliseconds since the epoch when the route was made: a later one of the same name begins anew. */
  readonly since: number
  /** Offset in `registry` of the record that the route was run by: it is gone only when a later view does not have it. */
  readonly registryOffset: number
  /** Offset in `messages`: everything below is in the target, or was dropped and counted. */
  readonly position: number
  /** Kafka topic that the route writes to. */
  readonly target: string
  /** By partition of the target: what the route has written of messages from the position on stands at or above. */
  readonly targetOffsets: readonly number[]
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

/** What became of one message at a client's connection. */
export interface Receipt {
  readonly clientId: string
  /** As in the Message record. */
  readonly messageId: Buffer
  /** Partition of `messages`; -1 where the message was delivered as a retained one. */
  readonly source: number
  /** In that partition; -1 likewise. */
  readonly offset: number
  /** Of the delivery. */
  readonly qos: number
  /** sent (written to the connection), acknowledged (PUBACK, PUBCOMP, or PUBREC with a reason code that refuses it) or dropped. */
  readonly outcome: string
  /** Why it was dropped; of one that was acknowledged the name of the reason code with which the client refused it; empty otherwise. */
  readonly reason: string
  readonly at: number
}

/** What became of messages at the connections of clients of one shard (topic `receipts`), where that is to be noted. */
export interface DeliveryReceipts {
  /** Of the clients. */
  readonly shard: number
  /** Id of the gateway that writes this. */
  readonly gateway: string
  /** Receipts of the shard that found no room since the record before: what became of their messages is not told. */
  readonly lost: number
  readonly receipts: readonly Receipt[]
}

/** Where the chains of hashes over a shard's topics stand (topic `audit`). */
export interface AuditCheckpoint {
  /** JSON in UTF-8: exactly these bytes are signed. */
  readonly statement: Buffer
  /** Ed25519, by the key that the statement names. */
  readonly signature: Buffer
}

/** A key that a client's messages are sealed with (topic `keys`); a tombstone destroys it. */
export interface ClientKey {
  readonly authenticationName: string
  /** 16 random bytes: what sealed messages name it by. */
  readonly id: Buffer
  /** 32 random bytes, for AES-256-GCM. */
  readonly key: Buffer
  readonly at: number
}

/** Every record type that stands alone in a topic, by schema name. */
export interface Records {
  Acknowledged: Acknowledged
  Attached: Attached
  AuditCheckpoint: AuditCheckpoint
  CheckpointClosed: CheckpointClosed
  Chosen: Chosen
  ClientKey: ClientKey
  DeliveryReceipts: DeliveryReceipts
  Detached: Detached
  Dropped: Dropped
  GatewayUp: GatewayUp
  HistoryBlocks: HistoryBlocks
  IndexedRetained: IndexedRetained
  Indexed: Indexed
  LifecycleEvent: LifecycleEvent
  Message: Message
  MessagesHeld: MessagesHeld
  Progress: Progress
  Reassigned: Reassigned
  Reauthenticated: Reauthenticated
  RegistryEntry: RegistryEntry
  Released: Released
  Replayed: Replayed
  RetainedChanged: RetainedChanged
  Retained: Retained
  RouteProgress: RouteProgress
  SessionEnded: SessionEnded
  SessionMoved: SessionMoved
  SessionState: SessionState
  ShardOwned: ShardOwned
  SnapshotChunk: SnapshotChunk
  SnapshotClosed: SnapshotClosed
  Subscribed: Subscribed
  SubscriptionCursor: SubscriptionCursor
  TermAnnounced: TermAnnounced
  UnsettledEvent: UnsettledEvent
  Unsubscribed: Unsubscribed
  WillDue: WillDue
  WillFired: WillFired
}

export type RecordName = keyof Records

/** A decoded record, told apart by `name`. */
export type AnyRecord = { [N in RecordName]: { readonly name: N; readonly value: Records[N] } }[RecordName]
