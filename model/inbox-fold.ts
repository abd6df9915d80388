/**
 * The fold of one `inbox` partition: what the sessions of a shard are owed and how far they are. It works on the
 * sessions that the `sessions` fold holds; being ahead of it there is harmless (sessions are told apart by their begin),
 * being behind is not, so the caller applies `sessions` up to an Indexed record's sessionsOffset first.
 */
import type { Acknowledged, AnyRecord, Dropped, IndexEntry, Indexed, IndexedRetained, Progress } from '../schemas/records.ts'
import type { Session } from './session.ts'
import type { SessionFold } from './session-fold.ts'
import { retainedSource } from './session-queue.ts'

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

  constructor(shard: number, shards: number, sessions: SessionFold) {
    this.shard = shard
    this.#sessions = sessions
    this.terms = new Array<number>(shards).fill(-1)
    this.highWaters = new Array<number>(shards).fill(0)
    this.retainedHighWaters = new Array<number>(shards).fill(0)
    this.#openRequests = Array.from({ length: shards }, () => new Map())
  }

  /** True while parts of a stretch wait for the rest: what a snapshot of this moment would lose. */
  get isBetweenParts(): boolean {
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
        if (!this.#isStale(record.value)) this.progress = record.value
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
        const session = this.#session(receiver.clientId, receiver.session)
        if (!session) continue
        session.queue.push({
          source,
          offset: entry.offset,
          size: entry.size,
          expiresAt: entry.expiresAt ?? 0,
          qos: receiver.qos as 0 | 1 | 2,
          retain: receiver.retain,
          subscriptionIdentifiers: receiver.subscriptionIdentifiers,
        })
        touched.add(session)
      }
    }
    this.highWaters[source] = Math.max(highWater, record.to)
    return [...touched]
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
      if (!session) continue
      session.queue.advance(progress.cursor, progress.above, progress.sent)
      touched.push(session)
    }
    return touched
  }

  #dropped(record: Dropped): readonly Session[] {
    const session = this.#session(record.clientId, record.session)
    if (!session) return []
    for (const number of record.numbers) session.queue.finish(number)
    return [session]
  }

  #session(clientId: string, id: number): Session | undefined {
    const session = this.#sessions.sessions.get(clientId)
    return session && !session.isOver && session.id === id ? session : undefined
  }
}
