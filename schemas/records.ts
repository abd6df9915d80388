/** All records of the log, one interface per schema in this folder (schemas/*.avsc is the contract; a test holds both together). */
import type { ClientKey } from './client-key.ts'
import type { LifecycleEvent, SubscriptionCursor, UnsettledEvent } from './event-records.ts'
import type { AuditCheckpoint, DeliveryReceipts, HistoryBlocks } from './evidence-records.ts'
import type { GatewayUp } from './gateway-up.ts'
import type {
  Acknowledged,
  Chosen,
  Dropped,
  Indexed,
  IndexedRetained,
  MessagesHeld,
  Progress,
  Reassigned,
  Replayed,
  RetainedChanged,
  ShardOwned,
  SharedBehind,
  SharedChosen,
  SharedIndexed,
  TermAnnounced,
} from './inbox-records.ts'
import type { Message, Retained } from './message.ts'
import type { RegistryEntry, RegistrySnapshotChunk, RegistrySnapshotClosed } from './registry-records.ts'
import type {
  Attached,
  Detached,
  Reauthenticated,
  Released,
  SessionEnded,
  SessionMoved,
  Subscribed,
  Unsubscribed,
  WillDue,
  WillFired,
} from './session-records.ts'
import type { CheckpointClosed, RouteProgress, SessionState, SharedOrphans, SnapshotChunk, SnapshotClosed } from './snapshot-records.ts'

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
  RegistrySnapshotChunk: RegistrySnapshotChunk
  RegistrySnapshotClosed: RegistrySnapshotClosed
  Released: Released
  Replayed: Replayed
  RetainedChanged: RetainedChanged
  Retained: Retained
  RouteProgress: RouteProgress
  SessionEnded: SessionEnded
  SessionMoved: SessionMoved
  SessionState: SessionState
  ShardOwned: ShardOwned
  SharedBehind: SharedBehind
  SharedChosen: SharedChosen
  SharedIndexed: SharedIndexed
  SharedOrphans: SharedOrphans
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
