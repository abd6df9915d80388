/** The states of a shard that its owners wrote down, of which a moment of the past is folded on. */
import type { Log, LogRecord } from '../log/log.ts'
import { readBetween, unlessGone } from '../log/read-between.ts'
import { type ChunkContents, noContents, readChunk } from '../model/snapshot.ts'
import { decodeRecord } from '../schemas/codec.ts'
import type { CheckpointClosed, SnapshotClosed } from '../schemas/snapshot-records.ts'

export interface Checkpoint {
  readonly closing: CheckpointClosed
  /** Offset in `checkpoints` of its closing record. */
  readonly offset: number
  /** Where its folds stood. */
  readonly closed: SnapshotClosed
}

/** What a moment takes of the journals of a shard. */
export interface Reach {
  readonly at: number
  readonly sessions: number
  readonly inbox: number
}

/** The newest checkpoint that is not beyond the moment; undefined when there is none. */
export async function checkpointFor(log: Log, topic: string, shard: number, reach: Reach): Promise<Checkpoint | undefined> {
  // The clock of who wrote it may have been ahead of others: the offsets decide.
  const before = (await log.offsetsAt(topic, reach.at + 1)).get(shard) ?? 0
  return checkpointBelow(log, topic, shard, before, reach)
}

/** The newest there is. */
export async function newestCheckpoint(log: Log, topic: string, shard: number): Promise<Checkpoint | undefined> {
  return checkpointBelow(log, topic, shard, (await log.endOffsets(topic)).get(shard) ?? 0)
}

const anywhere = { sessions: Number.POSITIVE_INFINITY, inbox: Number.POSITIVE_INFINITY }

/** The newest whose closing record stands below an offset of `checkpoints`, and that is not beyond the reach. */
export function checkpointBelow(
  log: Log,
  topic: string,
  shard: number,
  before: number,
  reach: Pick<Reach, 'sessions' | 'inbox'> = anywhere,
): Promise<Checkpoint | undefined> {
  // What stands before a place that retention has removed meanwhile is gone too.
  return unlessGone(lookBelow(log, topic, shard, before, reach))
}

async function lookBelow(log: Log, topic: string, shard: number, before: number, reach: Pick<Reach, 'sessions' | 'inbox'>): Promise<Checkpoint | undefined> {
  const start = (await log.startOffsets(topic)).get(shard) ?? 0
  let at = before - 1
  while (at >= start) {
    const record = await recordAt(log, topic, shard, at)
    if (!record) {
      at--
      continue
    }
    const { name, value } = decodeRecord(record.value)
    if (name === 'CheckpointClosed') {
      const checkpoint = checkpointOf(value, record.offset)
      if (checkpoint.closed.sessionsOffset <= reach.sessions && value.inboxFrom <= reach.inbox) return checkpoint
      at -= value.chunks + 1
    } else at -= name === 'SnapshotChunk' ? value.chunk + 1 : 1
  }
  return undefined
}

/** The first checkpoint that stands; undefined when there is none. */
export async function oldestCheckpoint(log: Log, topic: string, shard: number): Promise<Checkpoint | undefined> {
  for await (const checkpoint of checkpointsFrom(log, topic, shard, (await log.startOffsets(topic)).get(shard) ?? 0)) return checkpoint
  return undefined
}

/** Those that stand behind an offset of their topic, in their order. */
export async function* checkpointsFrom(log: Log, topic: string, shard: number, from: number): AsyncGenerator<Checkpoint> {
  const to = (await log.endOffsets(topic)).get(shard) ?? 0
  for await (const records of readBetween(log, topic, shard, { from, to }, { passesGone: true })) {
    for (const { offset, value } of records) {
      const record = value && decodeRecord(value)
      if (record?.name === 'CheckpointClosed') yield checkpointOf(record.value, offset)
    }
  }
}

/** All that it holds; undefined when a part is gone from the log. */
export function contentsOfCheckpoint(log: Log, topic: string, shard: number, checkpoint: Checkpoint): Promise<ChunkContents | undefined> {
  return unlessGone(readContents(log, topic, shard, checkpoint))
}

async function readContents(log: Log, topic: string, shard: number, { closing, offset }: Checkpoint): Promise<ChunkContents | undefined> {
  const chunks = new Map<number, readonly Buffer[]>()
  for await (const records of readBetween(log, topic, shard, { from: closing.from, to: offset })) {
    for (const { value } of records) {
      const record = value && decodeRecord(value)
      if (record?.name !== 'SnapshotChunk' || record.value.term !== closing.term || record.value.generation !== closing.generation) continue
      // Copies: the fetched batch is far larger.
      const parts = record.value.sessions.map((bytes) => Buffer.from(bytes))
      chunks.set(record.value.chunk, parts)
    }
  }
  const contents = noContents()
  for (let chunk = 0; chunk < closing.chunks; chunk++) {
    const parts = chunks.get(chunk)
    if (!parts) return undefined
    readChunk(contents, parts)
  }
  return contents
}

function checkpointOf(closing: CheckpointClosed, offset: number): Checkpoint {
  const { name, value } = decodeRecord(closing.snapshot)
  if (name !== 'SnapshotClosed') throw new Error(`a checkpoint of shard ${closing.shard} holds a ${name} instead of a SnapshotClosed`)
  return { closing, offset, closed: value }
}

/** The record at exactly this offset. */
async function recordAt(log: Log, topic: string, shard: number, offset: number): Promise<(LogRecord & { readonly value: Buffer }) | undefined> {
  const found = (await log.read(topic, shard, offset, 1)).records.find((record) => record.offset === offset)
  return found?.value ? { ...found, value: found.value } : undefined
}
