/** A shard's sessions, queues and retained messages as of a moment: the newest checkpoint before it, and the journals from there on, by the folds of the broker. */
import type { Log } from '../log/log.ts'
import { readBetween, unlessGone } from '../log/read-between.ts'
import type { TopicNames } from '../log/topics.ts'
import { InboxFold } from '../model/inbox-fold.ts'
import { RetainedFold } from '../model/retained-fold.ts'
import { SessionFold } from '../model/session-fold.ts'
import { joined, restoreInbox, restoreQueues, restoreSessions, restoreShared } from '../model/snapshot.ts'
import { readableRecord } from '../schemas/codec.ts'
import type { AnyRecord } from '../schemas/records.ts'
import { BeforeHistory } from './before-history.ts'
import { type Checkpoint, checkpointFor, contentsOfCheckpoint, oldestCheckpoint } from './checkpoint.ts'
import type { Moment } from './moment.ts'

export interface PastShard {
  readonly shard: number
  readonly sessions: SessionFold
  /** What the sessions were owed stands in their queues. */
  readonly inbox: InboxFold
  readonly retained: RetainedFold
  /** What it was folded on from. */
  readonly checkpoint: Checkpoint
}

export type PastTopics = Pick<TopicNames, 'sessions' | 'inbox' | 'checkpoints'>

export interface PastShardOptions {
  readonly log: Log
  readonly topics: PastTopics
  readonly shard: number
  /** Shards of the namespace. */
  readonly shards: number
  readonly moment: Pick<Moment, 'at' | 'sessions' | 'inbox'>
}

/** All shards of a namespace at a moment. Rejects with BeforeHistory when the log no longer holds what one of them was. */
export async function shardsAt(options: Omit<PastShardOptions, 'shard'>): Promise<readonly PastShard[]> {
  const past: PastShard[] = []
  // One after another: each may be large while it is read.
  for (let shard = 0; shard < options.shards; shard++) past.push(await shardAt({ ...options, shard }))
  return past
}

/** One shard at a moment. Rejects with BeforeHistory. */
export async function shardAt(options: PastShardOptions): Promise<PastShard> {
  const { log, topics, shard, moment } = options
  const reach = { at: moment.at, sessions: moment.sessions.get(shard) ?? 0, inbox: moment.inbox.get(shard) ?? 0 }
  const checkpoint = await checkpointFor(log, topics.checkpoints, shard, reach)
  const folded = checkpoint && (await unlessGone(foldFrom(options, checkpoint, reach)))
  if (folded) return folded
  throw new BeforeHistory(await shardHistorySince(log, topics, shard))
}

/** From when on moments of the shard can be had, milliseconds since the epoch; null when there is none yet. */
async function shardHistorySince(log: Log, topics: PastTopics, shard: number): Promise<number | null> {
  const oldest = await oldestCheckpoint(log, topics.checkpoints, shard)
  return oldest ? oldest.closing.at : null
}

/**
 * The state that the checkpoint holds, folded on to the moment; undefined when the log no longer holds all of it. Where a record of `inbox`
 * needs more of `sessions` than the moment has, queues end; with `followsInbox` `sessions` are folded on to there instead.
 */
export async function foldFrom(
  { log, topics, shard, shards }: Omit<PastShardOptions, 'moment'>,
  checkpoint: Checkpoint,
  reach: { readonly sessions: number; readonly inbox: number; readonly followsInbox?: true },
): Promise<PastShard | undefined> {
  const contents = await contentsOfCheckpoint(log, topics.checkpoints, shard, checkpoint)
  if (!contents) return undefined
  const { closed } = checkpoint
  const states = joined(contents.states)
  const sessions = new SessionFold(shard)
  restoreSessions(sessions, states, closed)
  let sessionsTo = closed.sessionsOffset
  const foldSessions = async (to: number): Promise<void> => {
    for await (const records of recordsBetween(log, topics.sessions, shard, sessionsTo, to)) {
      for (const [offset, record] of records) sessions.apply(offset, record)
    }
    sessionsTo = Math.max(sessionsTo, to)
  }
  await foldSessions(reach.sessions)
  const inbox = new InboxFold(shard, shards, sessions)
  restoreInbox(inbox, closed)
  restoreQueues(sessions, inbox, states)
  restoreShared(inbox, contents)
  const retained = new RetainedFold(shard, closed.term)
  retained.restore(contents.retained)
  let isWithin = true
  for await (const records of recordsBetween(log, topics.inbox, shard, closed.inboxOffset, reach.inbox)) {
    for (const [offset, record] of records) {
      retained.apply(offset, record)
      const needed = neededOf(record)
      if (reach.followsInbox && needed > sessionsTo) await foldSessions(needed)
      // By different clocks a note may be of the moment while the subscription that it is about is not: queues end there.
      isWithin &&= needed <= sessionsTo
      if (isWithin) inbox.apply(offset, record)
    }
  }
  return { shard, sessions, inbox, retained, checkpoint }
}

/** Offset in `sessions` up to which a record of the inbox was made. */
function neededOf(record: AnyRecord): number {
  if (record.name === 'Indexed' || record.name === 'SharedIndexed' || record.name === 'Reassigned') return record.value.sessionsOffset
  return record.name === 'IndexedRetained' ? record.value.request + 1 : 0
}

/** The records of [from, to) with their offsets, as many at a time as one read brings. What cannot be read is passed over, as by every fold. */
async function* recordsBetween(
  log: Log,
  topic: string,
  shard: number,
  from: number,
  to: number,
): AsyncGenerator<readonly (readonly [offset: number, record: AnyRecord])[]> {
  for await (const records of readBetween(log, topic, shard, { from, to })) {
    yield records.flatMap(({ offset, value }) => {
      const record = value && readableRecord(value)
      return record ? [[offset, record] as const] : []
    })
  }
}
