/**
 * A shard in this router's hands: the fold of its inbox, the owner of its messages and the owner of its clients, from the
 * moment its term is in the log until the shard is taken away.
 */
import { LogIndex } from '../history/log-index.ts'
import type { Appender, Stretch } from '../log/log.ts'
import type { InboxFold } from '../model/inbox-fold.ts'
import type { Session, Subscription } from '../model/session.ts'
import type { SessionChange, SessionFold } from '../model/session-fold.ts'
import { heldPerRecord } from '../model/snapshot.ts'
import { decodeRecord, encodeRecord } from '../schemas/codec.ts'
import type { Chosen, IndexReceiver, SharedChosen } from '../schemas/inbox-records.ts'
import { type RepeatableId, RepeatableKind } from '../schemas/message-id.ts'
import type { AnyRecord } from '../schemas/records.ts'
import type { CheckpointTarget } from './checkpoint-writer.ts'
import { ClientShard, type ClientShardOptions } from './client-shard.ts'
import { IndexWriter } from './index-writer.ts'
import { LifecycleWriter } from './lifecycle-writer.ts'
import { Replays, type ReplaysOptions } from './replays.ts'
import type { RetainedJournal } from './retained-journal.ts'
import { RetainedRequests, type RetainedRequestsOptions } from './retained-requests.ts'
import type { RetainedStore, RetainedStoreOptions } from './retained-store.ts'
import { ShardRoutes, type ShardRoutesOptions } from './routes/shard-routes.ts'
import type { SessionsTail } from './sessions-tail.ts'
import { ShardAudit, type ShardAuditOptions } from './shard-audit.ts'
import { ShardSnapshots } from './shard-snapshots.ts'
import { type ShardTakingOptions, type TakenShard, takeShard } from './shard-taking.ts'
import { SharedLanes, type SharedLanesOptions } from './shared-lanes.ts'
import { type RetainedKeeper, SourceShard, type SourceShardOptions } from './source-shard.ts'

export interface OwnedShardOptions extends ShardTakingOptions {
  readonly namespace: string
  readonly client: Omit<ClientShardOptions, 'shard' | 'term' | 'fold' | 'appender' | 'topics' | 'sessionsPosition' | 'log' | 'partitions' | 'onRefused'>
  readonly source: Pick<
    SourceShardOptions,
    'trie' | 'choice' | 'room' | 'shardOf' | 'gateways' | 'repeatsRemembered' | 'onUnreadable' | 'onMatched' | 'onRepeat' | 'tracing'
  >
  readonly lanes: Pick<SharedLanesOptions, 'turns' | 'groupsMax' | 'counters' | 'remember' | 'onTold' | 'onFailure'>
  readonly retained: Pick<RetainedStoreOptions, 'limits' | 'counters'> &
    Pick<RetainedRequestsOptions, 'onSent'> & { readonly requestLimits: RetainedRequestsOptions['limits'] }
  readonly routes: Pick<ShardRoutesOptions, 'limits' | 'counters' | 'topicOf' | 'clusterNamed' | 'attributesOf' | 'unsealing' | 'onTrouble' | 'tracing'>
  readonly replays: Pick<ReplaysOptions, 'formerly' | 'accessKept' | 'turns' | 'limits' | 'counters' | 'roomOf' | 'remember' | 'onFailure'>
  /** Undefined: the shard has no chains. */
  readonly audit: Omit<ShardAuditOptions, 'shard' | 'term' | 'log' | 'topic' | 'appender' | 'now'> | undefined
  /** Records of a block of the index; 0 writes none. */
  readonly indexRecords: number
  /** How often the state is written down for who asks about the past, ms. */
  readonly checkpointMs: number
  readonly registryDigest: CheckpointTarget['registry']
  /** Position in `registry` that decisions are made under. */
  registryPosition(): number
  /** A later term is in the journal. */
  onSuperseded(owned: OwnedShard): void
}

export class OwnedShard {
  readonly shard: number
  readonly term: number
  readonly client: ClientShard
  readonly source: SourceShard
  readonly routes: ShardRoutes
  readonly audit: ShardAudit | undefined
  readonly snapshots: ShardSnapshots
  readonly #options: OwnedShardOptions
  readonly #inbox: InboxFold
  readonly #lifecycle: LifecycleWriter
  readonly #fenced: Appender
  readonly #retained: RetainedStore
  readonly #requests: RetainedRequests
  readonly #replays: Replays
  readonly #index: IndexWriter
  /** As the predecessor left them; undefined when there was none. */
  readonly #retainedFrom: readonly number[] | undefined
  readonly #retainedJournal: RetainedJournal
  #isClosed = false
  readonly #capturedSeen: number
  #journaled = { position: -1, lifecyclePosition: -1, served: 0 }

  /** Takes the shard and goes on where the last owner's progress stands. Rejects with FencedError when another router has taken it. */
  static async take(options: OwnedShardOptions): Promise<OwnedShard> {
    return new OwnedShard(options, await takeShard(options))
  }

  /** Writes the shard's compacted topics; Kafka refuses it once another owner has come. */
  get fenced(): Appender {
    return this.#fenced
  }

  /** Replays of its sessions that have something to read still. */
  get replayCount(): number {
    return this.#replays.size
  }

  /** What is retained on the shard's topics. */
  get retained(): RetainedStore['index'] {
    return this.#retained.index
  }

  private constructor(options: OwnedShardOptions, taken: TakenShard) {
    const { shard, appender, topics, tail, onRefused, now } = options
    const { term } = taken
    taken.adopt()
    this.#options = options
    this.shard = shard
    this.term = term
    this.#inbox = taken.inbox
    this.#fenced = taken.fenced
    this.#retained = taken.retained
    this.#retainedJournal = taken.journal
    this.#retainedFrom = taken.inbox.progress?.retainedOffsets
    this.#requests = new RetainedRequests({
      shard,
      term,
      index: taken.retained.index,
      gateways: options.source.gateways,
      appender,
      inboxTopic: topics.inbox,
      limits: options.retained.requestLimits,
      onSent: options.retained.onSent,
      now,
      onRefused,
    })
    const sessionsPosition = (of: number): number => (tail.folds[of] as SessionFold).position
    const { log, shards: partitions } = options
    this.client = new ClientShard({
      ...options.client,
      shard,
      term,
      fold: tail.folds[shard] as SessionFold,
      log,
      partitions,
      appender,
      topics,
      sessionsPosition,
      onRefused,
    })
    this.#replays = new Replays({
      ...options.replays,
      index: () => new LogIndex(log, topics.index),
      shard,
      term,
      partitions,
      fold: tail.folds[shard] as SessionFold,
      log,
      topics,
      now,
      append: (record) =>
        appender.append(record, (error) => {
          if (error) onRefused(error)
        }),
    })
    this.#index = new IndexWriter({
      shard,
      recordsMax: options.indexRecords,
      append: (value) =>
        appender.append({ topic: topics.index, partition: shard, key: null, value, timestamp: now() }, (error) => {
          if (error) onRefused(error)
        }),
    })
    this.source = new SourceShard({
      ...options.source,
      index: (offset, size, topic, clientId) => this.#index.add(offset, size, topic, clientId),
      retained: keeperOf(taken.retained, this.#requests),
      shard,
      term,
      position: taken.position,
      backlogEnd: taken.backlogEnd,
      appender,
      inboxTopic: topics.inbox,
      now,
      held: taken.held,
      isOver: (id) => isOver(tail, id),
      recorded: taken.inbox.takeChoices(),
      lanes: this.#makeLanes(taken.inbox, taken.backlogEnd),
      sessionsPosition,
      onRefused,
      onProgress: () => {},
    })
    this.#lifecycle = new LifecycleWriter({
      namespace: options.namespace,
      shard,
      position: taken.lifecyclePosition,
      appender,
      topic: topics.lifecycle,
      partitions: options.shards,
      onRefused,
      onProgress: () => {},
    })
    this.snapshots = new ShardSnapshots({
      term,
      log,
      topics,
      fenced: taken.fenced,
      sessions: tail.folds[shard] as SessionFold,
      inbox: taken.inbox,
      source: this.source,
      client: this.client,
      lifecycle: this.#lifecycle,
      retained: taken.retained,
      retainedJournal: taken.journal,
      previous: taken.snapshot?.closed,
      checkpointAt: taken.checkpointAt,
      checkpointMs: options.checkpointMs,
      registryDigest: options.registryDigest,
      now,
      retainedOffsets: () => this.#retainedOffsets(),
    })
    this.audit = options.audit && new ShardAudit({ ...options.audit, shard, term, log, topic: topics.audit, appender: taken.fenced, now })
    this.routes = new ShardRoutes({
      ...options.routes,
      shard,
      term,
      namespace: options.namespace,
      log,
      topics,
      fenced: taken.fenced,
      progress: taken.routes,
      isRepeat: (messageId, offset) => this.source.isRepeatElsewhere(messageId, offset),
      onFenced: () => options.onSuperseded(this),
      now,
    })
    for (const { offset, changes } of [...taken.known, ...options.captured]) this.#lifecycle.applied(offset, changes)
    // The owner of the clients has just looked at the whole fold.
    this.#capturedSeen = options.captured.length
  }

  /** Whether the debts of the source's messages up to this offset are in the queues. */
  hasIndexed(source: number, offset: number): boolean {
    return (this.#inbox.highWaters[source] ?? 0) > offset
  }

  #makeLanes(inbox: InboxFold, backlogEnd: number): SharedLanes {
    const { lanes, source, shard, log, topics, appender, tail, now, onRefused } = this.#options
    const { trie, choice, room, shardOf } = source
    return new SharedLanes({
      ...lanes,
      shard,
      term: this.term,
      log,
      topics,
      appender,
      trie,
      choice,
      room,
      now,
      shardOf,
      onRefused,
      sessionsPosition: (of) => (tail.folds[of] as SessionFold).position,
      isRepeat: (id, offset) => this.source.isRepeatElsewhere(id, offset),
      behind: inbox.behind,
      backlogEnd,
      choices: inbox.takeSharedChoices(),
    })
  }

  /** From now on `applied` is called; takes what was captured since the fold was looked at. */
  goLive(): void {
    this.source.settle()
    for (const { offset, changes } of this.#options.captured.slice(this.#capturedSeen)) this.applied(offset, changes)
    this.#serveUnserved()
    this.source.lanes.start(this.source.taken)
    this.client.giveOn(this.#inbox.takeOrphans())
  }

  /** Somebody, of any shard, has subscribed to what may be retained here. */
  subscribed(session: Session, at: number, subscriptions: readonly Subscription[]): void {
    this.#requests.add(session, at, subscriptions, this.source.taken)
  }

  /** Once a second. */
  tick(): void {
    this.client.tick()
    this.#index.flush()
    this.#retained.tick()
    this.audit?.tick()
  }

  /** What the predecessor may not have seen to. It may have matched messages beyond its progress, so that none counts as still to come. */
  #serveUnserved(): void {
    const requests = new Map<Session, Map<number, Subscription[]>>()
    for (const fold of this.#options.tail.folds) {
      const from = this.#retainedFrom?.[fold.shard]
      if (from === undefined) continue
      for (const session of fold.sessions.values()) {
        for (const subscription of session.subscriptions.values()) {
          const at = subscription.retainedAt ?? -1
          if (at < from) continue
          const ofSession = requests.get(session) ?? new Map<number, Subscription[]>()
          requests.set(session, ofSession)
          ofSession.set(at, [...(ofSession.get(at) ?? []), subscription])
        }
      }
    }
    const all = [...requests].flatMap(([session, byPosition]) => [...byPosition].map(([at, subscriptions]) => ({ session, at, subscriptions })))
    // In the order of each shard's positions: see RetainedRequests.
    for (const { session, at, subscriptions } of all.sort((a, b) => a.at - b.at)) this.#requests.add(session, at, subscriptions, Number.POSITIVE_INFINITY)
  }

  /** Where to follow `inbox` from. */
  get inboxPosition(): number {
    return this.#inbox.position
  }

  /** A record of `sessions` was folded. */
  applied(offset: number, changes: readonly SessionChange[]): void {
    this.#lifecycle.applied(offset, changes)
    for (const change of changes) {
      this.client.changed(change)
      this.#replays.changed(change)
      if (change.kind !== 'ended') continue
      this.#inbox.adopt(change.session.clientId, change.session.id, change.queue)
      this.client.giveOn(this.#inbox.takeOrphans())
    }
  }

  /** Takes a stretch of the shard's inbox. */
  async inbox(stretch: Stretch): Promise<void> {
    if (this.#isClosed) return
    const touched = new Set<Session>()
    const { room } = this.#options.source
    for (const { offset, value } of stretch.records) {
      if (!value || offset < this.#inbox.position) continue
      const record = decodeRecord(value)
      if (record.name === 'Indexed' || record.name === 'SharedIndexed' || record.name === 'Reassigned') {
        const behind = this.#options.tail.reached(this.shard, record.value.sessionsOffset)
        if (behind) await behind
      } else if (record.name === 'IndexedRetained') {
        const behind = this.#options.tail.reached(this.shard, record.value.request + 1)
        if (behind) await behind
      }
      // The queues may be another owner's by now, this router's next one included.
      if (this.#isClosed) return
      for (const session of this.#inbox.apply(offset, record)) touched.add(session)
      if (!room.isIdle) this.#arrived(record)
      if (record.name === 'Chosen') this.#chosen(record.value)
      else if (record.name === 'SharedChosen') this.#sharedChosen(record.value)
      else if (record.name === 'Replayed' && record.value.shard === this.shard) this.#replays.folded(record.value)
    }
    if (stretch.nextOffset > this.#inbox.position) this.#inbox.position = stretch.nextOffset
    if (touched.size > 0) this.client.touched([...touched])
    for (const session of touched) this.#replays.touched(session)
    if ((this.#inbox.terms[this.shard] ?? -1) > this.term) this.#options.onSuperseded(this)
    else this.client.inboxRead(this.#inbox.position)
    this.client.giveOn(this.#inbox.takeOrphans())
  }

  /** Journals how far the shard is, when that moved. */
  writeProgress(): void {
    const { position } = this.source
    this.#noteProgress(position)
    // Behind it: what is not withheld any more was passed by the progress that a successor begins at.
    this.source.lanes.journal(position)
  }

  #noteProgress(position: number): void {
    const lifecyclePosition = this.#lifecycle.position
    const { served } = this.#requests
    const journaled = this.#journaled
    if (position === journaled.position && lifecyclePosition === journaled.lifecyclePosition && served === journaled.served) return
    this.#journaled = { position, lifecyclePosition, served }
    const { appender, topics, tail, now, onRefused, registryPosition } = this.#options
    const append = (value: Buffer): void =>
      appender.append({ topic: topics.inbox, partition: this.shard, key: null, value, timestamp: now() }, (error) => {
        if (error) onRefused(error)
      })
    // First, so that whoever begins at the position knows what may come again from before it. A position further on does no harm.
    const held = this.source.takeUntold()
    this.snapshots.held(held.length)
    for (let from = 0; from < held.length; from += heldPerRecord) {
      append(encodeRecord('MessagesHeld', { shard: this.shard, term: this.term, messages: held.slice(from, from + heldPerRecord) }))
    }
    const value = encodeRecord('Progress', {
      shard: this.shard,
      term: this.term,
      position,
      sessionsOffsets: tail.folds.map((fold) => fold.position),
      registryOffset: registryPosition(),
      lifecyclePosition,
      retainedOffsets: this.#retainedOffsets(),
    })
    append(value)
  }

  /** Stops deciding; what is appended already stays. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.client.close()
    this.source.close()
    this.#replays.close()
    this.#requests.close()
    this.#retained.close()
    this.#retainedJournal.close()
    this.audit?.close()
    await this.routes.close()
    // Queues are folded by the owner only.
    for (const session of (this.#options.tail.folds[this.shard] as SessionFold).sessions.values()) session.resetQueue()
    await this.#fenced.close()
  }

  #retainedOffsets(): number[] {
    return this.#options.tail.folds.map((fold) => this.#requests.servedTo(fold.shard, fold.position))
  }

  /** Read back under the own term, and no later term before it: nobody else chooses for these messages. */
  #chosen(record: Chosen): void {
    if (record.shard !== this.shard || record.term !== this.term || this.#inbox.terms[this.shard] !== this.term) return
    if (record.part === record.parts - 1) this.source.chosen(record.to)
  }

  #sharedChosen({ shard, term, group, to }: SharedChosen): void {
    if (shard === this.shard && term === this.term && this.#inbox.terms[this.shard] === this.term) this.source.lanes.chosen(group, to)
  }

  /** What members of shared subscriptions were given stands in their queues. */
  #arrived(record: AnyRecord): void {
    const { sessions } = this.#options.tail.folds[this.shard] as SessionFold
    const arrived = ({ clientId, session: id, group }: IndexReceiver, size: number): void => {
      const session = group === null ? undefined : sessions.get(clientId)
      if (session?.id === id) this.#options.source.room.arrived(session, size)
    }
    if (record.name === 'Reassigned') for (const { receiver, size } of record.value.entries) arrived(receiver, size)
    else if (record.name === 'Indexed' || record.name === 'SharedIndexed')
      for (const { receivers, size } of record.value.entries) for (const receiver of receivers) arrived(receiver, size)
  }
}

const keeperOf = (store: RetainedStore, requests: RetainedRequests): RetainedKeeper => ({
  take: (topic, offset, value, done) => store.take(topic, offset, value, done),
  get isBusy() {
    return requests.isBusy
  },
  hurry: (session, topic) => requests.hurry(session, topic),
})

/** Nobody appends a message of this id again, as the folds of `sessions` have it. */
function isOver(tail: SessionsTail, { kind, shard, session, use, detail }: RepeatableId): boolean {
  // WillFired follows at once; what comes later is a copy by a router that was stopped.
  if (kind === RepeatableKind.Will) return true
  const live = tail.folds[shard]?.live(session)
  if (!live) return true
  return kind === RepeatableKind.Publish && (live.uses?.of(detail) ?? 0) !== use
}
