/**
 * The beginning of ownership: the term is appended, and what the owners before left is read up to it. Nobody decides anything for the shard meanwhile.
 */
import { newestCheckpoint } from '../history/checkpoint.ts'
import type { Appender, Log } from '../log/log.ts'
import { readUpTo } from '../log/read-up-to.ts'
import type { TopicNames } from '../log/topics.ts'
import { InboxFold } from '../model/inbox-fold.ts'
import { type SessionChange, SessionFold } from '../model/session-fold.ts'
import { restoreInbox, restoreQueues, restoreSessions, restoreShared } from '../model/snapshot.ts'
import { decodeRecord, encodeRecord, readableRecord } from '../schemas/codec.ts'
import type { HeldMessage } from '../schemas/inbox-records.ts'
import type { SnapshotClosed } from '../schemas/snapshot-records.ts'
import { RetainedJournal } from './retained-journal.ts'
import { RetainedStore, type RetainedStoreOptions, retainedFenceKey } from './retained-store.ts'
import type { ShardRoutesOptions } from './routes/shard-routes.ts'
import type { SessionsTail } from './sessions-tail.ts'
import { readShelved, type Snapshot } from './snapshots.ts'
import { deliveriesFenceKey } from './subscriptions/subscriptions.ts'

/** A folded record of `sessions` and what it changed. */
export interface Applied {
  readonly offset: number
  readonly changes: readonly SessionChange[]
}

export interface ShardTakingOptions {
  readonly shard: number
  readonly shards: number
  readonly router: string
  readonly log: Log
  readonly topics: TopicNames
  readonly appender: Appender
  /** Kafka's fence of the shard's compacted topics: a later owner's makes this one's writes fail. */
  readonly transactionalId: string
  readonly tail: SessionsTail
  readonly retained: Pick<RetainedStoreOptions, 'limits' | 'counters'>
  readonly now: () => number
  /** What was folded of the shard's `sessions` since the taking began: grows until `goLive`. */
  readonly captured: readonly Applied[]
  /** The log refused an append: this router cannot go on as owner. */
  onRefused(error: Error): void
  /** The log had removed messages that were not matched yet. */
  onGone(from: number, to: number): void
}

/** A shard as the owners before left it, under the term of its next one. */
export interface TakenShard {
  readonly term: number
  readonly inbox: InboxFold
  /** Writes the shard's compacted topics; Kafka refuses it once another owner has come. */
  readonly fenced: Appender
  readonly retained: RetainedStore
  readonly journal: RetainedJournal
  /** When the last checkpoint was written, ms since the epoch; -Infinity when there is none. */
  readonly checkpointAt: number
  /** Offset in `messages` from which on they are to be matched. */
  readonly position: number
  /** Offset in `messages` up to which the owner before may have been. */
  readonly backlogEnd: number
  readonly lifecyclePosition: number
  /** What happened to sessions since. */
  readonly known: readonly Applied[]
  readonly snapshot: Snapshot | undefined
  /** What is known of messages that may come again. */
  readonly held: readonly HeldMessage[]
  readonly routes: ShardRoutesOptions['progress']
  /** Hands the queues of sessions that have ended meanwhile to the inbox: right before the owner of the clients looks at the fold, which is told of later ones. */
  adopt(): void
}

/** Takes the shard: nobody else's writes below this term count from then on. Rejects with FencedError when another router has taken it. */
export async function takeShard(options: ShardTakingOptions): Promise<TakenShard> {
  const { shard, shards, log, topics, appender, router, tail, now, transactionalId } = options
  const fenced = await log.appender({ transactionalId })
  // The first write under the new epoch is what makes Kafka refuse the old one.
  const fence = (topic: string, key: Buffer): Promise<number> =>
    fenced.write({ topic, partition: shard, key, value: encodeRecord('ShardOwned', { shard, router, at: now() }), timestamp: now() })
  await Promise.all([fence(topics.snapshots, Buffer.from('fence')), fence(topics.retained, retainedFenceKey()), fence(topics.deliveries, deliveriesFenceKey())])
  const announce = (topic: string, partition: number, term: number): Promise<number> =>
    appender.write({ topic, partition, key: null, value: encodeRecord('TermAnnounced', { shard, term }), timestamp: now() })
  const owned = encodeRecord('ShardOwned', { shard, router, at: now() })
  const term = await appender.write({ topic: topics.inbox, partition: shard, key: null, value: owned, timestamp: now() })
  await Promise.all([
    announce(topics.sessions, shard, term),
    ...Array.from({ length: shards }, (_, other) => other)
      .filter((other) => other !== shard)
      .map((other) => announce(topics.inbox, other, term)),
  ])
  const { limits, counters } = options.retained
  const journal = new RetainedJournal({ shard, term, appender, topic: topics.inbox, now, onRefused: options.onRefused })
  const retained = new RetainedStore({ shard, appender: fenced, journal, topic: topics.retained, limits, counters, now, onRefused: options.onRefused })
  const [{ snapshot, routes }, checkpoint] = await Promise.all([
    readShelved(log, topics.snapshots, shard),
    newestCheckpoint(log, topics.checkpoints, shard),
    retained.load(log),
  ])
  // Whatever the inbox up to the term was matched with is in `sessions` by now.
  await tail.catchUp()
  const inbox = new InboxFold(shard, shards, tail.folds[shard] as SessionFold)
  if (snapshot) restoreInbox(inbox, snapshot.closed)
  restoreQueues(tail.folds[shard] as SessionFold, inbox, snapshot?.states ?? [])
  if (snapshot) restoreShared(inbox, snapshot)
  // Sessions may end while their queues are read; those that ended before had none here.
  const adopt = adopter(inbox, options.captured)
  if (snapshot) await recallChoices(options, inbox, snapshot.closed)
  const held: HeldMessage[] = [...(snapshot?.held ?? [])]
  await readUpTo(log, topics.inbox, shard, inbox.position, term + 1, (offset, value) => {
    adopt()
    const record = decodeRecord(value)
    inbox.apply(offset, record)
    if (record.name === 'MessagesHeld' && record.value.term >= (inbox.terms[shard] as number)) held.push(...record.value.messages)
  })
  const start = (await log.startOffsets(topics.messages)).get(shard) ?? 0
  const position = inbox.progress?.position ?? start
  if (position < start) options.onGone(position, start)
  retained.tellAgain(position)
  const backlogEnd = (await log.endOffsets(topics.messages)).get(shard) ?? 0
  const lifecyclePosition = inbox.progress?.lifecyclePosition ?? 0
  const known = await lifecycleSince(options, snapshot, lifecyclePosition)
  return {
    term,
    inbox,
    fenced,
    retained,
    journal,
    checkpointAt: checkpoint?.closing.at ?? Number.NEGATIVE_INFINITY,
    position: Math.max(position, start),
    backlogEnd,
    lifecyclePosition,
    known,
    snapshot,
    held,
    routes,
    adopt,
  }
}

/**
 * What happened to the shard's sessions since the last event its owner is known to have written. The fold of this router
 * is past that point, so the stretch is folded once more on the side, up to exactly where the router's fold stands.
 */
async function lifecycleSince(options: ShardTakingOptions, snapshot: Snapshot | undefined, position: number): Promise<readonly Applied[]> {
  const { log, topics, shard, tail } = options
  const live = tail.folds[shard] as SessionFold
  const aside = new SessionFold(shard)
  if (snapshot) restoreSessions(aside, snapshot.states, snapshot.closed)
  const known: Applied[] = []
  while (aside.position < live.position) {
    const before = aside.position
    await readUpTo(log, topics.sessions, shard, before, live.position, (offset, value) => {
      // What cannot be read the router's fold has passed over, and told.
      const record = readableRecord(value)
      if (!record) return
      const changes = aside.apply(offset, record)
      if (offset >= position) known.push({ offset, changes })
    })
    if (aside.position < live.position) aside.position = live.position
  }
  return known
}

/** Hands the queues of sessions that end from now on to the inbox, each once, as far as that has been captured. */
function adopter(inbox: InboxFold, captured: readonly Applied[]): () => void {
  let seen = captured.length
  return () => {
    for (; seen < captured.length; seen++) {
      for (const change of (captured[seen] as Applied).changes) {
        if (change.kind === 'ended') inbox.adopt(change.session.clientId, change.session.id, change.queue)
      }
    }
  }
}

/** Choices from before the snapshot that its writer may have acted on and whose messages were not done. */
async function recallChoices({ log, topics, shard }: ShardTakingOptions, inbox: InboxFold, closed: SnapshotClosed): Promise<void> {
  if (closed.choicesFrom === null) return
  await readUpTo(log, topics.inbox, shard, closed.choicesFrom, closed.inboxOffset, (offset, value) => {
    const record = decodeRecord(value)
    if (record.name === 'Chosen' && record.value.shard === shard && record.value.term === closed.term) inbox.recall(offset, record.value)
    else if (record.name === 'SharedChosen' && record.value.shard === shard && record.value.term === closed.term) inbox.recallShared(offset, record.value)
  })
}
