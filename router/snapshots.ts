/**
 * A shard's folded state in the compacted topic `snapshots`, so that a start reads the tail of the journals and not all
 * of them, and journals may be shorter than sessions live. Keys are `chunk/<generation>/<k>` and `closed`; a snapshot
 * counts only with its closing record. The writer is fenced: a router that lost the shard is refused by Kafka.
 */
import type { Appender, Log } from '../log/log.ts'
import type { InboxFold } from '../model/inbox-fold.ts'
import type { SessionFold } from '../model/session-fold.ts'
import { contentsOf, heldChunks, joined, type SnapshotPositions, snapshotChunks } from '../model/snapshot.ts'
import { decodeRecord, encodeRecord } from '../schemas/codec.ts'
import type { HeldMessage, SessionState, SnapshotClosed } from '../schemas/records.ts'

export interface Snapshot {
  readonly closed: SnapshotClosed
  readonly states: readonly SessionState[]
  /** Messages of the shard that may come again. */
  readonly held: readonly HeldMessage[]
}

const chunkSizeMax = 512 * 1024
const chunkKey = (generation: number, chunk: number): string => `chunk/${generation}/${chunk}`
const closedKey = Buffer.from('closed')

/** The last complete snapshot of the shard; undefined when there is none. */
export async function readSnapshot(log: Log, topic: string, shard: number): Promise<Snapshot | undefined> {
  const chunks = new Map<string, readonly Buffer[]>()
  let closed: SnapshotClosed | undefined
  let offset = (await log.startOffsets(topic)).get(shard) ?? 0
  const end = (await log.endOffsets(topic)).get(shard) ?? 0
  while (offset < end) {
    const stretch = await log.read(topic, shard, offset)
    for (const { key, value } of stretch.records) {
      if (!key) continue
      if (!value) chunks.delete(key.toString())
      else {
        const record = decodeRecord(value)
        // Chunks are kept as copies: the fetched batch is far larger.
        if (record.name === 'SnapshotChunk')
          chunks.set(
            key.toString(),
            record.value.sessions.map((bytes) => Buffer.from(bytes)),
          )
        else if (record.name === 'SnapshotClosed') closed = record.value
      }
    }
    offset = stretch.nextOffset
  }
  if (!closed) return undefined
  const states: SessionState[] = []
  const held: HeldMessage[] = []
  for (let chunk = 0; chunk < closed.chunks; chunk++) {
    const sessions = chunks.get(chunkKey(closed.generation, chunk))
    if (!sessions) throw new Error(`snapshot ${closed.generation} of shard ${shard} is closed but its chunk ${chunk} of ${closed.chunks} is missing`)
    const contents = contentsOf(sessions)
    states.push(...contents.states)
    held.push(...contents.held)
  }
  return { closed, states: joined(states), held }
}

/**
 * Writes the state as it stands at the call; resolves once the closing record and the tombstones of the generation
 * before are in the log. Rejects with FencedError when another router has the shard.
 */
export async function writeSnapshot(options: {
  readonly appender: Appender
  readonly topic: string
  readonly sessions: SessionFold
  readonly inbox: InboxFold
  readonly term: number
  readonly held: readonly HeldMessage[]
  readonly positions: Pick<SnapshotPositions, 'position' | 'lifecyclePosition' | 'retainedOffsets'>
  /** What `readSnapshot` or the last `writeSnapshot` left. */
  readonly previous: Pick<SnapshotClosed, 'generation' | 'chunks'> | undefined
  readonly now: number
  /** Awaited before the snapshot counts: until the journals have all that its state was made of. */
  journaled(): Promise<void>
}): Promise<Pick<SnapshotClosed, 'generation' | 'chunks'>> {
  const { appender, topic, sessions, inbox, term, held, positions, previous, now, journaled } = options
  const { shard } = sessions
  const generation = (previous?.generation ?? 0) + 1
  // Taken in one go, before the first wait: one moment of the fold.
  const chunks = [...snapshotChunks(sessions.sessions.values(), chunkSizeMax), ...heldChunks(shard, term, held)]
  const closed: SnapshotClosed = {
    shard,
    term,
    generation,
    chunks: chunks.length,
    at: now,
    sessionsOffset: sessions.position,
    inboxOffset: inbox.position,
    highWaters: [...inbox.highWaters],
    terms: [...inbox.terms],
    retainedHighWaters: [...inbox.retainedHighWaters],
    choicesFrom: inbox.choicesFrom(positions.position),
    ...positions,
  }
  const write = (key: Buffer, value: Buffer | null): Promise<number> => appender.write({ topic, partition: shard, key, value, timestamp: now })
  await Promise.all(
    chunks.map((bytes, chunk) =>
      write(Buffer.from(chunkKey(generation, chunk)), encodeRecord('SnapshotChunk', { shard, term, generation, chunk, sessions: bytes })),
    ),
  )
  await journaled()
  await write(closedKey, encodeRecord('SnapshotClosed', closed))
  await Promise.all(Array.from({ length: previous?.chunks ?? 0 }, (_, chunk) => write(Buffer.from(chunkKey(generation - 1, chunk)), null)))
  return closed
}
