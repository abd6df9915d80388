/**
 * The fold of one `inbox` partition: what the sessions of a shard are owed and how far they are. It works on the
 * sessions that the `sessions` fold holds; being ahead of it there is harmless (sessions are told apart by their begin),
 * being behind is not, so the caller applies `sessions` up to an Indexed record's sessionsOffset first.
 */
import type {
  Acknowledged,
  BehindGroup,
  Choice,
  Chosen,
  Dropped,
  IndexEntry,
  Indexed,
  IndexedRetained,
  IndexReceiver,
  Progress,
  Reassigned,
  Replayed,
  SharedBehind,
  SharedChosen,
  SharedIndexed,
} from '../schemas/inbox-records.ts'
import type { AnyRecord } from '../schemas/records.ts'
import { advanced, newReplay, type Replay, takesLive } from './replay.ts'
import type { Session } from './session.ts'
import type { SessionFold } from './session-fold.ts'
import { markerSource, type QueueEntry, replayedSource, retainedSource, SessionQueue } from './session-queue.ts'

/** Parts of a stretch that wait for the last one. */
interface Pending {
  readonly term: number
  readonly from: number
  readonly entries: IndexEntry[]
  nextPart: number
}

/** A request for retained messages that is served by half. */
interface OpenRequest {
  readonly clientId: string
  readonly session: number
  /** Positions in `messages` that are in the queue already: a successor serves the request again from its beginning. */
  readonly indexed: Set<number>
}

/** A session that is over; what shared subscriptions had given it that it did not acknowledge stands in its queue until it is settled. */
export interface Over {
  readonly clientId: string
  readonly id: number
  readonly queue: SessionQueue
}

/** Members chosen for one message, and under which term. */
interface Recorded {
  readonly term: number
  readonly receivers: IndexReceiver[]
}

/** What a shared subscription that is behind has brought of a source's messages: everything below is in the queues here. */
export interface SharedMark {
  readonly source: number
  readonly group: string
  readonly to: number
}

/** Marks that are kept; one is needed until the successor of an owner that died has done what that one had begun. Who moved longest ago gives way. */
const sharedMarksMax = 10_000
/** Characters of their groups' names: share names may be long. */
const sharedMarksSizeMax = 4 * 1024 * 1024

/** Sessions that are over whose queues are kept for what is still on its way to them; the oldest give way. */
const overMax = 10_000

export class InboxFold {
  readonly shard: number
  readonly #sessions: SessionFold
  /** Offset in `inbox` after the last applied record. */
  position = 0
  /** Highest announced term by source shard. */
  readonly terms: number[]
  /** By source shard: everything of its messages below this offset is indexed here. */
  readonly highWaters: number[]
  /** The shard's own progress as a source. */
  progress: Progress | null = null
  readonly #pending = new Map<number, Pending>()
  /** By source shard: the retained messages that Subscribed records of this shard below this offset are owed are indexed here. */
  readonly retainedHighWaters: number[]
  /** By source shard and request. */
  readonly #openRequests: Map<number, OpenRequest>[]
  /** Replays that join, and may have done so since. */
  readonly #joining = new Set<Replay>()
  /** Queues of sessions that are over: what shared subscriptions gave them belongs to other members. */
  readonly #over = new Map<string, Over>()
  /** Of those, the ones that may hold something since the last `takeOrphans`. */
  readonly #orphaned = new Set<Over>()
  /** Chosen records that the shard's progress has not passed. */
  #chosenAt: { readonly at: number; readonly to: number }[] = []
  /** By offset in `messages`: members an owner chose and may have acted on. Gathered until `takeChoices`. */
  #choices: Map<number, Recorded> | null = new Map()

  /** Shared subscriptions that are behind with the shard's own messages, as its owner told last. */
  behind: readonly BehindGroup[] = []
  /** By source shard and group; who moved last is last. */
  readonly #sharedMarks = new Map<string, SharedMark>()
  #sharedMarksSize = 0
  /** SharedChosen records that those have not passed. */
  #sharedChosenAt: { readonly at: number; readonly group: string; readonly to: number }[] = []
  /** As #choices, by group. */
  #sharedChoices: Map<string, Map<number, Recorded>> | null = new Map()

  constructor(shard: number, shards: number, sessions: SessionFold) {
    this.shard = shard
    this.#sessions = sessions
    this.terms = new Array<number>(shards).fill(-1)
    this.highWaters = new Array<number>(shards).fill(0)
    this.retainedHighWaters = new Array<number>(shards).fill(0)
    this.#openRequests = Array.from({ length: shards }, () => new Map())
  }

  /** True while parts of a stretch wait for the rest, or a replay joins: what a snapshot of this moment would lose. */
  get isBetweenParts(): boolean {
    for (const replay of this.#joining) if (replay.phase !== 'joining') this.#joining.delete(replay)
    if (this.#joining.size > 0) return true
    return this.#pending.size > 0 || this.#openRequests.some((requests) => [...requests].some(([at, request]) => this.#isWanted(at, request)))
  }

  /** Applies the record at `offset`; returns the sessions whose queue grew or moved. */
  apply(offset: number, record: AnyRecord): readonly Session[] {
    if (offset < this.position) return []
    this.position = offset + 1
    switch (record.name) {
      case 'ShardOwned':
        this.#newTerm(record.value.shard, offset)
        return []
      case 'TermAnnounced':
        this.#newTerm(record.value.shard, record.value.term)
        return []
      case 'Indexed':
        return this.#isStale(record.value) ? [] : this.#indexed(record.value)
      case 'IndexedRetained':
        return this.#isStale(record.value) ? [] : this.#indexedRetained(record.value)
      case 'Acknowledged':
        return this.#isStale(record.value) ? [] : this.#acknowledged(record.value)
      case 'Dropped':
        return this.#isStale(record.value) ? [] : this.#dropped(record.value)
      case 'Progress':
        if (!this.#isStale(record.value)) this.#progressed(record.value)
        return []
      case 'Reassigned':
        return this.#isStale(record.value) ? [] : this.#reassigned(record.value)
      case 'Replayed':
        return this.#isStale(record.value) ? [] : this.#replayed(offset, record.value)
      case 'Chosen':
        if (!this.#isStale(record.value)) this.recall(offset, record.value)
        return []
      case 'SharedIndexed':
        return this.#isStale(record.value) ? [] : this.#sharedIndexed(record.value)
      case 'SharedChosen':
        if (!this.#isStale(record.value)) this.#sharedChosen(offset, record.value)
        return []
      case 'SharedBehind':
        if (!this.#isStale(record.value)) this.#fellBehind(record.value)
        return []
      default:
        return []
    }
  }

  /** A record of a lower term than the shard's announced one: its writer had lost the shard. */
  #isStale(record: { readonly shard: number; readonly term: number }): boolean {
    return record.term < (this.terms[record.shard] ?? -1)
  }

  #newTerm(source: number, term: number): void {
    if (term <= (this.terms[source] ?? -1)) return
    this.terms[source] = term
    this.#pending.delete(source)
  }

  #indexed(record: Indexed): readonly Session[] {
    const source = record.shard
    let entries: readonly IndexEntry[] = record.entries
    if (record.parts > 1) {
      const pending = record.part === 0 ? { term: record.term, from: record.from, entries: [], nextPart: 0 } : this.#pending.get(source)
      // A part without the ones before it belongs to a stretch that was given up.
      if (!pending || pending.nextPart !== record.part || pending.from !== record.from) return []
      pending.entries.push(...record.entries)
      pending.nextPart++
      this.#pending.set(source, pending)
      if (record.part < record.parts - 1) return []
      this.#pending.delete(source)
      entries = pending.entries
    }
    const highWater = this.highWaters[source] ?? 0
    const touched = new Set<Session>()
    for (const entry of entries) {
      if (entry.offset < highWater) continue
      for (const receiver of entry.receivers) {
        const session = this.#push(receiver, source, entry, record.at)
        if (session) touched.add(session)
      }
    }
    this.highWaters[source] = Math.max(highWater, record.to)
    return [...touched]
  }

  #sharedIndexed({ shard: source, group, to, entries, at }: SharedIndexed): readonly Session[] {
    const mark = this.#sharedMarks.get(`${source} ${group}`)?.to ?? 0
    const touched = new Set<Session>()
    for (const entry of entries) {
      // What the owner before had given.
      if (entry.offset < mark) continue
      for (const receiver of entry.receivers) {
        const session = this.#push(receiver, source, entry, at)
        if (session) touched.add(session)
      }
    }
    this.restoreMark({ source, group, to: Math.max(mark, to) })
    return [...touched]
  }

  /** For a snapshot. */
  get sharedMarks(): Iterable<SharedMark> {
    return this.#sharedMarks.values()
  }

  restoreMark(mark: SharedMark): void {
    const key = `${mark.source} ${mark.group}`
    this.#forgetMark(key)
    this.#sharedMarks.set(key, mark)
    this.#sharedMarksSize += key.length
    for (const oldest of this.#sharedMarks.keys()) {
      if (this.#sharedMarks.size <= sharedMarksMax && this.#sharedMarksSize <= sharedMarksSizeMax) return
      this.#forgetMark(oldest)
    }
  }

  #forgetMark(key: string): void {
    if (this.#sharedMarks.delete(key)) this.#sharedMarksSize -= key.length
  }

  #fellBehind({ shard, groups }: SharedBehind): void {
    if (shard !== this.shard) return
    this.behind = groups
    if (this.#sharedChosenAt.length > 0) this.#sharedChosenAt = this.#sharedChosenAt.filter(({ group, to }) => isOpen(groups, group, to - 1))
  }

  /** Each record counts as it comes, so that what a live message follows is before it in the queue. */
  #indexedRetained(record: IndexedRetained): readonly Session[] {
    const { shard: source, request, clientId } = record
    if (request < (this.retainedHighWaters[source] ?? 0)) return []
    const requests = this.#openRequests[source] as Map<number, OpenRequest>
    const open = requests.get(request) ?? { clientId, session: record.session, indexed: new Set<number>() }
    const session = this.#session(clientId, record.session)
    let hasGrown = false
    for (const entry of session ? record.entries : []) {
      if (open.indexed.has(entry.offset)) continue
      open.indexed.add(entry.offset)
      hasGrown = true
      session?.queue.push({
        source: entry.retainedOffset === null ? source : retainedSource(source),
        offset: entry.retainedOffset ?? entry.offset,
        size: entry.size,
        expiresAt: entry.expiresAt ?? 0,
        qos: entry.qos as 0 | 1 | 2,
        retain: true, // [MQTT-3.3.1-8] of 3.1.1
        subscriptionIdentifiers: entry.subscriptionIdentifiers,
        group: null,
        at: record.at,
      })
    }
    if (!record.last) requests.set(request, open)
    else {
      // Requests are completed in their order.
      this.retainedHighWaters[source] = request + 1
      for (const at of requests.keys()) if (at <= request) requests.delete(at)
    }
    return session && hasGrown ? [session] : []
  }

  /** Somebody will go on with it. */
  #isWanted(at: number, { clientId, session }: OpenRequest): boolean {
    const held = this.#session(clientId, session)
    return held !== undefined && [...held.subscriptions.values()].some(({ retainedAt }) => retainedAt === at)
  }

  #acknowledged(record: Acknowledged): readonly Session[] {
    const touched: Session[] = []
    for (const progress of record.sessions) {
      const session = this.#session(progress.clientId, progress.session)
      const queue = session?.queue ?? this.#over.get(keyOf(progress.clientId, progress.session))?.queue
      queue?.advance(progress.cursor, progress.above, progress.sent, progress.received)
      if (session) touched.push(session)
    }
    return touched
  }

  #dropped(record: Dropped): readonly Session[] {
    const session = this.#session(record.clientId, record.session)
    const queue = session?.queue ?? this.#over.get(keyOf(record.clientId, record.session))?.queue
    for (const number of record.numbers) queue?.finish(number)
    if (queue && !session) letGo(queue)
    return session ? [session] : []
  }

  /** The session is over; what is folded of it from now on joins what it was owed. */
  adopt(clientId: string, session: number, queue: SessionQueue): void {
    for (const replay of queue.replays?.values() ?? []) this.#joining.delete(replay)
    const over: Over = { clientId, id: session, queue }
    this.#over.delete(keyOf(clientId, session))
    this.#over.set(keyOf(clientId, session), over)
    this.#orphaned.add(over)
    for (const [key, oldest] of this.#over) {
      if (this.#over.size <= overMax) return
      if (this.#orphaned.has(oldest) || oldest.queue.sharedLength > 0) continue
      this.#over.delete(key)
    }
  }

  /** Sessions that are over whose queues have got something of shared subscriptions since this was last asked, and hold it. */
  takeOrphans(): readonly Over[] {
    const orphans: Over[] = []
    for (const over of this.#orphaned) {
      if (over.queue.sharedLength > 0) orphans.push(over)
      else letGo(over.queue)
    }
    this.#orphaned.clear()
    return orphans
  }

  /** For a snapshot: those that hold something, and whose numbers must go on. */
  *orphans(): Generator<Over> {
    for (const over of this.#over.values()) if (over.queue.next > 0) yield over
  }

  /** The members chosen for messages that the shard's progress has not passed, by offset; from now on they are not gathered. */
  takeChoices(): ReadonlyMap<number, readonly IndexReceiver[]> {
    const from = this.progress?.position ?? 0
    const choices = new Map<number, readonly IndexReceiver[]>()
    for (const [offset, { receivers }] of this.#choices ?? []) if (offset >= from) choices.set(offset, receivers)
    this.#choices = null
    return choices
  }

  /** Where the inbox holds the first choice that a successor who begins at `position` has to know; null when it needs none. */
  choicesFrom(position: number): number | null {
    const at = this.#chosenAt.find(({ to }) => to > position)?.at ?? Number.POSITIVE_INFINITY
    const first = Math.min(at, this.#sharedChosenAt[0]?.at ?? Number.POSITIVE_INFINITY)
    return first === Number.POSITIVE_INFINITY ? null : first
  }

  /** The members chosen for messages that groups are behind with, by group and offset; from now on they are not gathered. */
  takeSharedChoices(): ReadonlyMap<string, ReadonlyMap<number, readonly IndexReceiver[]>> {
    const taken = new Map<string, Map<number, readonly IndexReceiver[]>>()
    for (const [group, choices] of this.#sharedChoices ?? []) {
      const open = new Map<number, readonly IndexReceiver[]>()
      for (const [offset, { receivers }] of choices) if (isOpen(this.behind, group, offset)) open.set(offset, receivers)
      if (open.size > 0) taken.set(group, open)
    }
    this.#sharedChoices = null
    return taken
  }

  /** As `recall`, of what a group is behind with; what its place had passed by the snapshot is over, and nobody would tell of it again. */
  recallShared(offset: number, record: SharedChosen): void {
    if (isOpen(this.behind, record.group, record.to - 1)) this.#sharedChosen(offset, record)
  }

  #sharedChosen(offset: number, record: SharedChosen): void {
    const { group, to, term, choices } = record
    this.#sharedChosenAt.push({ at: offset, group, to })
    if (!this.#sharedChoices) return
    const known = this.#sharedChoices.get(group) ?? new Map<number, Recorded>()
    this.#sharedChoices.set(group, known)
    for (const choice of choices) noteChoice(known, term, choice)
  }

  /** Notes the choices of the record at `offset`: a later owner's word for a message is the one that counts. */
  recall(offset: number, record: Chosen): void {
    this.#chosenAt.push({ at: offset, to: record.to })
    if (!this.#choices) return
    for (const choice of record.choices) noteChoice(this.#choices, record.term, choice)
  }

  #progressed(progress: Progress): void {
    this.progress = progress
    if (this.#chosenAt.length > 0) this.#chosenAt = this.#chosenAt.filter(({ to }) => to > progress.position)
  }

  #reassigned(record: Reassigned): readonly Session[] {
    const touched = new Set<Session>()
    for (const { source, receiver, ...entry } of record.entries) {
      // Taken even where the queue holds it: that one may be on its way to the member this one comes back from.
      const session = this.#push(receiver, source, entry, record.at)
      if (session) touched.add(session)
    }
    return [...touched]
  }

  #replayed(offset: number, record: Replayed): readonly Session[] {
    const session = this.#session(record.clientId, record.session)
    const queue = this.#queueOf(record, session)
    if (record.phase === 'gone') {
      const known = queue.replays?.get(record.replay)
      if (known) this.#joining.delete(known)
      queue.replays?.delete(record.replay)
      return session ? [session] : []
    }
    queue.replays ??= new Map()
    const replay = queue.replays.get(record.replay) ?? newReplay(record.replay)
    queue.replays.set(record.replay, replay)
    const { subscriptionIdentifiers, at } = record
    for (const { source, size, qos, retain, offset } of record.entries) {
      const owed = { source: replayedSource(source), offset, size, expiresAt: 0, qos: qos as 0 | 1 | 2, retain, subscriptionIdentifiers, group: null, at }
      queue.push(owed)
    }
    const before = replay.phase
    const live = advanced(replay, record, this.highWaters)
    if (replay.phase === 'joining' && session) this.#joining.add(replay)
    if (replay.phase !== before && (replay.phase === 'live' || replay.phase === 'over')) {
      const qos = record.qos as 0 | 1 | 2
      queue.push({ source: markerSource(this.shard), offset, size: 0, expiresAt: 0, qos, retain: false, subscriptionIdentifiers, group: null, at })
    }
    for (const entry of live) queue.push(entry)
    return session ? [session] : []
  }

  /** Puts an entry into its receiver's queue; the session when it is alive. */
  #push(receiver: IndexReceiver, source: number, entry: Omit<IndexEntry, 'receivers'>, at: number): Session | undefined {
    const session = this.#session(receiver.clientId, receiver.session)
    const queue = this.#queueOf(receiver, session)
    const owed: Omit<QueueEntry, 'number'> = {
      source,
      offset: entry.offset,
      size: entry.size,
      expiresAt: entry.expiresAt ?? 0,
      qos: receiver.qos as 0 | 1 | 2,
      retain: receiver.retain,
      subscriptionIdentifiers: receiver.subscriptionIdentifiers,
      group: receiver.group,
      at,
    }
    if (receiver.replay === null || takesLive(queue.replays?.get(receiver.replay), owed)) queue.push(owed)
    return session
  }

  /** Of a session that is over too: its numbers go on, so that what is journaled of them means the same to a successor. */
  #queueOf({ clientId, session: id }: Pick<IndexReceiver, 'clientId' | 'session'>, session: Session | undefined): SessionQueue {
    if (session) return session.queue
    const over = this.#over.get(keyOf(clientId, id))
    if (over) {
      this.#orphaned.add(over)
      return over.queue
    }
    const queue = new SessionQueue()
    this.adopt(clientId, id, queue)
    return queue
  }

  #session(clientId: string, id: number): Session | undefined {
    const session = this.#sessions.sessions.get(clientId)
    return session && !session.isOver && session.id === id ? session : undefined
  }
}

/** A later owner's word for a message is the one that counts. */
function noteChoice(choices: Map<number, Recorded>, term: number, { offset, receiver }: Choice): void {
  const known = choices.get(offset)
  if (known?.term === term) known.receivers.push(receiver)
  else choices.set(offset, { term, receivers: [receiver] })
}

/** The group is still to be seen through with the message. */
const isOpen = (behind: readonly BehindGroup[], of: string, offset: number): boolean =>
  behind.some(({ group, from, to, position }) => group === of && from <= offset && position <= offset && (to === null || offset < to))

/** Only the numbers are needed of a queue whose session is over, once nothing in it is another member's. */
function letGo(queue: SessionQueue): void {
  if (queue.sharedLength === 0) queue.advance(queue.next, [], queue.sent)
}

const keyOf = (clientId: string, session: number): string => `${session}:${clientId}`
