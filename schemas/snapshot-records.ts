/** Records of a whole state at once: the topics `snapshots` and `checkpoints`. */
import type { GatewayIncarnation } from './gateway-up.ts'
import type { ReplayPosition } from './inbox-records.ts'
import type { ReplayRequest, Will } from './session-records.ts'

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

export interface ReplayState {
  /** Offset in `sessions` of the Subscribed record. */
  readonly replay: number
  /** reading, live or over (model/replay.ts). */
  readonly phase: string
  readonly positions: readonly ReplayPosition[]
  /** Put into the queue so far. */
  readonly messages: number
  /** As in Replayed. */
  readonly since: number | null
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

/** What shared subscriptions had given a session that is over, and no other member has yet: a piece of its queue (topic `snapshots`, in chunks). */
export interface SharedOrphans {
  readonly clientId: string
  readonly session: number
  /** Every number below this that is neither here nor in a piece before is done. */
  readonly next: number
  readonly entries: readonly QueueEntry[]
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
