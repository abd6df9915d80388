/** A namespace's shards as nobody serves them: folded to the end of their journals, as their next owners would. */
import type { Log } from '../../log/log.ts'
import { readUpTo } from '../../log/read-up-to.ts'
import type { TopicNames } from '../../log/topics.ts'
import { InboxFold } from '../../model/inbox-fold.ts'
import { SessionFold } from '../../model/session-fold.ts'
import { restoreInbox, restoreQueues, restoreSessions, restoreShared } from '../../model/snapshot.ts'
import { decodeRecord, readableRecord } from '../../schemas/codec.ts'
import type { HeldMessage } from '../../schemas/inbox-records.ts'
import { RecordError } from '../../schemas/record-error.ts'
import type { AnyRecord } from '../../schemas/records.ts'
import type { SnapshotClosed } from '../../schemas/snapshot-records.ts'
import { readShelved } from '../snapshots.ts'

export interface ShardAtRest {
  readonly shard: number
  readonly sessions: SessionFold
  readonly inbox: InboxFold
  readonly held: readonly HeldMessage[]
  /** Its last snapshot's; undefined when there is none. */
  readonly closed: SnapshotClosed | undefined
}

/** By partition: where reading ends. */
export interface Ends {
  readonly sessions: readonly number[]
  readonly inbox: readonly number[]
}

/** Reads so many shards. Who wrote behind the ends is not heard. Rejects with RecordError at a damaged record that tells what is owed. */
export async function readShards(log: Log, topics: TopicNames, shards: number, ends: Ends): Promise<readonly ShardAtRest[]> {
  const read: ShardAtRest[] = []
  for (let shard = 0; shard < shards; shard++) read.push(await readShard(log, topics, shard, shards, ends))
  return read
}

async function readShard(log: Log, topics: TopicNames, shard: number, shards: number, ends: Ends): Promise<ShardAtRest> {
  const { snapshot } = await readShelved(log, topics.snapshots, shard)
  const sessions = new SessionFold(shard)
  if (snapshot) restoreSessions(sessions, snapshot.states, snapshot.closed)
  await readUpTo(log, topics.sessions, shard, sessions.position, ends.sessions[shard] ?? 0, (offset, value) => {
    // Routers pass over the others as well.
    const record = readableRecord(value)
    if (record) sessions.apply(offset, record)
  })
  const inbox = new InboxFold(shard, shards, sessions)
  if (snapshot) restoreInbox(inbox, snapshot.closed)
  restoreQueues(sessions, inbox, snapshot?.states ?? [])
  if (snapshot) restoreShared(inbox, snapshot)
  const held: HeldMessage[] = [...(snapshot?.held ?? [])]
  await readUpTo(log, topics.inbox, shard, inbox.position, ends.inbox[shard] ?? 0, (offset, value) => {
    const record = decodeOwed(topics.inbox, shard, offset, value)
    inbox.apply(offset, record)
    if (record.name === 'MessagesHeld' && record.value.term >= (inbox.terms[shard] as number)) held.push(...record.value.messages)
  })
  return { shard, sessions, inbox, held, closed: snapshot?.closed }
}

/** No router goes on behind one either. */
function decodeOwed(topic: string, shard: number, offset: number, value: Buffer): AnyRecord {
  try {
    return decodeRecord(value)
  } catch (error) {
    if (!(error instanceof RecordError)) throw error
    throw new RecordError(`${topic}[${shard}] has a record at ${offset} that cannot be read (${error.message})`, { cause: error })
  }
}

/**
 * What somebody would still have to do with the shards as they count now, a sentence each; none when everything is done. `messages`: where its
 * partitions end.
 */
export function whyNotAtRest(shards: readonly ShardAtRest[], ends: Ends, messages: readonly number[]): readonly string[] {
  return shards.flatMap(({ shard, sessions, inbox }) => {
    const why: string[] = []
    const { progress } = inbox
    const unmatched = (messages[shard] ?? 0) - (progress?.position ?? 0)
    if (unmatched > 0) why.push(`${unmatched} messages of shard ${shard} are not matched with subscriptions yet`)
    if ((progress?.lifecyclePosition ?? 0) < (ends.sessions[shard] ?? 0)) why.push(`life cycle events of shard ${shard} may not be written yet`)
    const isServed = ends.sessions.every((end, of) => (progress?.retainedOffsets[of] ?? 0) >= end)
    if (!isServed || inbox.isBetweenParts) why.push(`new subscriptions or replays are still to get messages of shard ${shard}`)
    if (inbox.takeOrphans().length > 0) why.push(`messages of shared subscriptions in shard ${shard} are on their way to other members`)
    for (const { group } of inbox.behind) why.push(`the shared subscription ${group} is behind with messages of shard ${shard}`)
    const wills = [...sessions.sessions.values()].filter((session) => session.wills.some(({ isDecided }) => isDecided)).length
    if (wills > 0) why.push(`${wills} wills of shard ${shard} are being published`)
    return why
  })
}
