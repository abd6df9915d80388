/**
 * Writes a shard's state into the journal `checkpoints`, so that moments of the past can be folded on from there once older records are gone.
 * The same chunks as in `snapshots`, and what is retained.
 */
import type { Appender, Log } from '../log/log.ts'
import type { InboxFold } from '../model/inbox-fold.ts'
import type { SessionFold } from '../model/session-fold.ts'
import { sharedChunks, sharedState, snapshotChunks, snapshotPositions } from '../model/snapshot.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { RetainedNote } from '../schemas/inbox-records.ts'
import type { SnapshotClosed } from '../schemas/snapshot-records.ts'

export interface CheckpointState {
  readonly sessions: SessionFold
  readonly inbox: InboxFold
  readonly term: number
  readonly retained: Iterable<RetainedNote>
  readonly positions: Pick<SnapshotClosed, 'position' | 'lifecyclePosition' | 'retainedOffsets'>
  /** Milliseconds since the epoch. */
  readonly now: number
}

export interface CheckpointTarget {
  /** Fenced: the shard's own. */
  readonly appender: Appender
  readonly log: Log
  readonly topics: { readonly checkpoints: string; readonly inbox: string }
  /** What the registry is where it stands. */
  registry(): Promise<{ readonly position: number; readonly digest: string }>
  /** Awaited before it counts: until the journals have all that the state was made of. */
  journaled(): Promise<void>
  now(): number
}

const chunkSizeMax = 512 * 1024
/** Retained topics in one record: with names of 64 KiB each it would be too large, so that bytes count as well. */
const notesMax = 4_000

/** Takes the state as it stands at the call, in one go; writes it when the returned function is called, which rejects with FencedError when another router has the shard. */
export function takeCheckpoint(state: CheckpointState): (target: CheckpointTarget) => Promise<void> {
  const { sessions, inbox, term, retained, positions, now } = state
  const { shard } = sessions
  const chunks: (readonly Buffer[])[] = [
    ...snapshotChunks(sessions.sessions.values(), chunkSizeMax),
    ...retainedChunks(shard, term, retained),
    ...sharedChunks(shard, term, sharedState(inbox), chunkSizeMax),
  ]
  const snapshot = encodeRecord('SnapshotClosed', {
    shard,
    term,
    generation: now,
    chunks: chunks.length,
    at: now,
    ...snapshotPositions(sessions, inbox, positions),
  })
  return async ({ appender, log, topics, registry, journaled, now: clock }) => {
    const topic = topics.checkpoints
    const write = (value: Buffer): Promise<number> => appender.write({ topic, partition: shard, key: null, value, timestamp: clock() })
    const offsets = await Promise.all(
      chunks.map((sessions, chunk) => write(encodeRecord('SnapshotChunk', { shard, term, generation: now, chunk, sessions: [...sessions] }))),
    )
    await journaled()
    const inboxFrom = (await log.endOffsets(topics.inbox)).get(shard) ?? inbox.position
    const { position: registryPosition, digest: registryDigest } = await registry()
    const from = offsets[0] ?? (await log.endOffsets(topic)).get(shard) ?? 0
    await write(
      encodeRecord('CheckpointClosed', {
        shard,
        term,
        generation: now,
        chunks: chunks.length,
        from,
        at: clock(),
        inboxFrom,
        snapshot,
        registryPosition,
        registryDigest,
      }),
    )
  }
}

function* retainedChunks(shard: number, term: number, retained: Iterable<RetainedNote>): Generator<readonly Buffer[]> {
  let entries: RetainedNote[] = []
  let bytes = 0
  for (const note of retained) {
    entries.push(note)
    bytes += note.topic.length * 3
    if (entries.length < notesMax && bytes < chunkSizeMax / 2) continue
    yield [encodeRecord('RetainedChanged', { shard, term, entries })]
    entries = []
    bytes = 0
  }
  if (entries.length > 0) yield [encodeRecord('RetainedChanged', { shard, term, entries })]
}
