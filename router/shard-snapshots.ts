/** When a shard's state is written down as a whole: snapshots for its next owner and, as often as they are wanted, checkpoints for who asks about the past. */
import type { Appender, Log } from '../log/log.ts'
import type { TopicNames } from '../log/topics.ts'
import type { InboxFold } from '../model/inbox-fold.ts'
import type { SessionFold } from '../model/session-fold.ts'
import type { SnapshotClosed } from '../schemas/snapshot-records.ts'
import { type CheckpointTarget, takeCheckpoint } from './checkpoint-writer.ts'
import type { ClientShard } from './client-shard.ts'
import type { LifecycleWriter } from './lifecycle-writer.ts'
import type { RetainedJournal } from './retained-journal.ts'
import type { RetainedStore } from './retained-store.ts'
import { writeSnapshot } from './snapshots.ts'
import type { SourceShard } from './source-shard.ts'

/** Well below the shortest history window of an hour, ms. */
const snapshotAgeMaxMs = 15 * 60 * 1000

export interface ShardSnapshotsOptions {
  readonly term: number
  readonly log: Log
  readonly topics: TopicNames
  readonly fenced: Appender
  readonly sessions: SessionFold
  readonly inbox: InboxFold
  readonly source: Pick<SourceShard, 'position' | 'hasRecorded' | 'held'>
  readonly client: Pick<ClientShard, 'isGivingOn' | 'journal'>
  readonly lifecycle: Pick<LifecycleWriter, 'position'>
  readonly retained: Pick<RetainedStore, 'notes'>
  readonly retainedJournal: Pick<RetainedJournal, 'settled'>
  /** The newest snapshot there is. */
  readonly previous: Pick<SnapshotClosed, 'generation' | 'chunks'> | undefined
  /** When the last checkpoint was written, ms since the epoch; -Infinity when there is none. */
  readonly checkpointAt: number
  /** How often one is wanted, ms. */
  readonly checkpointMs: number
  readonly registryDigest: CheckpointTarget['registry']
  readonly now: () => number
  /** By shard: what its Subscribed records below are owed of what is retained here is seen to. */
  retainedOffsets(): number[]
}

export class ShardSnapshots {
  readonly #options: ShardSnapshotsOptions
  #previous: Pick<SnapshotClosed, 'generation' | 'chunks'> | undefined
  /** Positions of the folds at the last snapshot. */
  #folded: number
  /** Messages held since the last snapshot: a successor reads them all. */
  #heldSince = 0
  #writtenAt: number
  #isWriting = false
  #checkpointAt: number

  constructor(options: ShardSnapshotsOptions) {
    this.#options = options
    this.#previous = options.previous
    this.#checkpointAt = options.checkpointAt
    this.#folded = this.#foldPositions()
    this.#writtenAt = options.now()
  }

  /**
   * True when `recordsMax` were folded since the last snapshot, or any some time ago: a quiet shard's sessions must not
   * leave the log with its oldest records.
   */
  isDue(recordsMax: number): boolean {
    const records = this.#foldPositions() - this.#folded + this.#heldSince
    return this.#isCheckpointDue || records >= recordsMax || (records > 0 && this.#options.now() - this.#writtenAt >= snapshotAgeMaxMs)
  }

  /** So many messages that may come again were noted in the journal. */
  held(messages: number): void {
    this.#heldSince += messages
  }

  /**
   * Writes a snapshot; false when one is being written, life cycle events are on their way, or a stretch is indexed by half. Rejects with FencedError when
   * another router has the shard.
   */
  async write(): Promise<boolean> {
    const { sessions, inbox, term, source, client, lifecycle, fenced, topics, now } = this.#options
    // A successor derives the events it owes from the snapshot on, so none before it may be missing.
    if (this.#isWriting || lifecycle.position < sessions.position || inbox.isBetweenParts) return false
    // Nor a choice that stands in an earlier owner's records only, nor a message between two members.
    if (source.hasRecorded || client.isGivingOn) return false
    this.#isWriting = true
    this.#heldSince = 0
    this.#folded = this.#foldPositions()
    this.#writtenAt = now()
    const checkpoint = this.#isCheckpointDue ? this.#takeCheckpoint() : undefined
    try {
      this.#previous = await writeSnapshot({
        appender: fenced,
        topic: topics.snapshots,
        sessions,
        inbox,
        term,
        held: source.held(),
        positions: this.#positions(),
        previous: this.#previous,
        now: now(),
        journaled: () => client.journal(),
      })
      await checkpoint?.()
      return true
    } finally {
      this.#isWriting = false
    }
  }

  get #isCheckpointDue(): boolean {
    return this.#options.now() - this.#checkpointAt >= this.#options.checkpointMs
  }

  /** The moment of the snapshot, for the past. */
  #takeCheckpoint(): () => Promise<void> {
    const { sessions, inbox, term, retained, fenced, log, topics, client, retainedJournal, registryDigest, now } = this.#options
    const write = takeCheckpoint({ sessions, inbox, term, retained: retained.notes(), positions: this.#positions(), now: now() })
    return async () => {
      await write({
        appender: fenced,
        log,
        topics,
        registry: registryDigest,
        journaled: async () => {
          await Promise.all([client.journal(), retainedJournal.settled()])
        },
        now,
      })
      this.#checkpointAt = now()
    }
  }

  #positions(): Pick<SnapshotClosed, 'position' | 'lifecyclePosition' | 'retainedOffsets'> {
    const { source, lifecycle, retainedOffsets } = this.#options
    return { position: source.position, lifecyclePosition: lifecycle.position, retainedOffsets: retainedOffsets() }
  }

  #foldPositions(): number {
    return this.#options.sessions.position + this.#options.inbox.position
  }
}
