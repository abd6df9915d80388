/**
 * A shard's folded state in the compacted topic `snapshots`, so that a start reads the tail of the journals and not all
 * of them, and journals may be shorter than sessions live. Keys are `chunk/<generation>/<k>`, `closed` and `route/<name>`; a snapshot
 * counts only with its closing record. The writer is fenced: a router that lost the shard is refused by Kafka.
 */
import type { Appender, Log } from '../log/log.ts'
import type { InboxFold } from '../model/inbox-fold.ts'
import type { SessionFold } from '../model/session-fold.ts'
import {
  type ChunkContents,
  chunkKey,
  closedKey,
  heldChunks,
  joined,
  noContents,
  readChunk,
  type SnapshotPositions,
  sharedChunks,
  sharedState,
  snapshotChunks,
  snapshotPositions,
} from '../model/snapshot.ts'
import { decodeRecord, encodeRecord } from '../schemas/codec.ts'
import type { HeldMessage } from '../schemas/inbox-records.ts'
import type { RouteProgress, SnapshotClosed } from '../schemas/snapshot-records.ts'

export interface Snapshot extends ChunkContents {
  readonly closed: SnapshotClosed
}

/** What else stands in the shard's partition: how far its routes are, by name. */
export interface Shelved {
  readonly snapshot: Snapshot | undefined
  readonly routes: ReadonlyMap<string, RouteProgress>
}

export const chunkSizeMax = 512 * 1024
const routePrefix = 'route/'

export const routeProgressKey = (route: string): Buffer => Buffer.from(routePrefix + route)

/** The last complete snapshot of the shard; undefined when there is none. */
export async function readSnapshot(log: Log, topic: string, shard: number): Promise<Snapshot | undefined> {
  return (await readShelved(log, topic, shard)).snapshot
}

/** The snapshot, and how far the shard's routes are. */
export async function readShelved(log: Log, topic: string, shard: number): Promise<Shelved> {
  const routes = new Map<string, RouteProgress>()
  const chunks = new Map<string, readonly Buffer[]>()
  let closed: SnapshotClosed | undefined
  let offset = (await log.startOffsets(topic)).get(shard) ?? 0
  const end = (await log.endOffsets(topic)).get(shard) ?? 0
  while (offset < end) {
    const stretch = await log.read(topic, shard, offset)
    for (const { key, value } of stretch.records) {
      if (!key) continue
      if (!value) {
        const name = key.toString()
        chunks.delete(name)
        if (name.startsWith(routePrefix)) routes.delete(name.slice(routePrefix.length))
      } else {
        const record = decodeRecord(value)
        // Chunks are kept as copies: the fetched batch is far larger.
        if (record.name === 'SnapshotChunk')
          chunks.set(
            key.toString(),
            record.value.sessions.map((bytes) => Buffer.from(bytes)),
          )
        else if (record.name === 'SnapshotClosed' && key.equals(closedKey)) closed = record.value
        else if (record.name === 'RouteProgress') routes.set(record.value.route, record.value)
      }
    }
    offset = stretch.nextOffset
  }
  if (!closed) return { snapshot: undefined, routes }
  const contents = noContents()
  for (let chunk = 0; chunk < closed.chunks; chunk++) {
    const sessions = chunks.get(chunkKey(closed.generation, chunk))
    if (!sessions) throw new Error(`snapshot ${closed.generation} of shard ${shard} is closed but its chunk ${chunk} of ${closed.chunks} is missing`)
    readChunk(contents, sessions)
  }
  return { snapshot: { ...contents, closed, states: joined(contents.states) }, routes }
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
  const chunks = [
    ...snapshotChunks(sessions.sessions.values(), chunkSizeMax),
    ...heldChunks(shard, term, held),
    ...sharedChunks(shard, term, sharedState(inbox), chunkSizeMax),
  ]
  const closed: SnapshotClosed = {
    shard,
    term,
    generation,
    chunks: chunks.length,
    at: now,
    ...snapshotPositions(sessions, inbox, positions),
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
