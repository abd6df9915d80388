/**
 * The replays of a shard's sessions: reads what was published and puts what matches into their queues, a record at a time
 * (docs/decisions/0019-replay.md). What comes of a record is for the fold of the inbox to say (model/replay.ts); nothing is read on before it has.
 */
import { AccessThen } from '../access/access-then.ts'
import type { SessionIdentity } from '../access/principal.ts'
import { type Found, type HistoryIndex, type HistoryQuery, HistoryReader } from '../history/history-reader.ts'
import { LogBeginning } from '../history/log-beginning.ts'
import { firstTime } from '../history/moment.ts'
import { resolvePlaces } from '../history/places.ts'
import { type Bound, parseBound, withoutReplay } from '../history/replay-range.ts'
import type { Append, Log } from '../log/log.ts'
import { TokenBucket } from '../log/token-bucket.ts'
import { deliveryTerms } from '../model/delivery-terms.ts'
import type { HistoryKept } from '../model/history-kept.ts'
import type { Replay, ReplayPhase } from '../model/replay.ts'
import type { Session, Subscription } from '../model/session.ts'
import type { SessionChange, SessionFold } from '../model/session-fold.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { ReplayEntry, Replayed } from '../schemas/inbox-records.ts'
import type { ReplayRequest } from '../schemas/session-records.ts'
import type { ReplayTurns } from './replay-turns.ts'

export interface ReplayLimits {
  /** Messages that a session may be owed before a replay waits for it. */
  readonly windowMessages: number
  /** Messages a second of one replay. */
  readonly ratePerSecond: number
  /** Replays of a session that are read at a time: each that joins may hold live messages. */
  readonly sideBySide: number
}

export interface ReplayCounters {
  replayed(messages: number): void
  /** Bytes of `messages` that were read for replays. */
  read(bytes: number): void
  /** Messages that retention had removed before a replay came to them. */
  gone(messages: number): void
  joined(): void
}

export interface ReplaysOptions {
  readonly shard: number
  readonly term: number
  readonly partitions: number
  /** How many there were before. */
  formerly(): readonly number[]
  readonly fold: SessionFold
  readonly log: Log
  readonly topics: { readonly messages: string; readonly inbox: string; readonly registry: string }
  /** How far back the topic `registry` holds every change; undefined: it does not. */
  accessKept(): HistoryKept | undefined
  readonly turns: ReplayTurns
  /** A new one for each replay. */
  index(): HistoryIndex
  readonly limits: ReplayLimits
  readonly counters: ReplayCounters
  readonly now: () => number
  /** Messages and bytes that the session may be owed before it counts as full. */
  roomOf(session: Session): { readonly messages: number; readonly bytes: number }
  append(record: Append): void
  /** What was read will be sent soon. */
  remember(source: number, found: readonly Found['record'][]): void
  onFailure(error: Error): void
}

/** One fetch, bytes; where the pace bounds it most of it would be fetched again. */
const readBytes = 256 * 1024
const pacedReadBytes = 32 * 1024
/** A record tells how far it is at least this often, bytes read. */
const progressBytes = 8 * 1024 * 1024
/** Bytes that a session may be owed before a replay waits for it. */
const windowBytes = 8 * 1024 * 1024
const failureMs = 1_000
const pacedMsMax = 10_000

interface Job {
  readonly session: Session
  readonly subscription: Subscription
  readonly request: ReplayRequest
  readonly replay: number
  readonly query: HistoryQuery
  readonly bucket: TokenBucket
  readonly step: () => Promise<void>
  /** Lets go of what it holds beside its place, which is in the log. */
  readonly close: () => void
  reader: HistoryReader | undefined
  /** What its client could subscribe to then, of a replay that asks for it; and who the client was thought to be. */
  access: AccessThen | undefined
  accessOf: SessionIdentity | undefined
  /** Ends of `messages` when its subscription was in the log: what is behind them was matched with it. */
  ends: ReadonlyMap<number, number>
  /** A record is on its way, or a step is under way. */
  isBusy: boolean
  isStopped: boolean
  timer: NodeJS.Timeout | undefined
  bytesTold: number
  /** From when on nothing that was asked for is missing, milliseconds since the epoch; null when nothing is. */
  since: number | null
  /** Where retention has overtaken it: offsets of the first messages there are, by partition, until it is known when those came. */
  readonly overtaken: Map<number, number>
  /** Of a replay with a speed: a time in the log and the time here that it was, milliseconds since the epoch. */
  pace: { readonly past: number; readonly now: number } | undefined
}

export class Replays {
  readonly #options: ReplaysOptions
  readonly #jobs = new Map<Session, Map<number, Job>>()
  readonly #beginning: LogBeginning
  #isClosed = false

  constructor(options: ReplaysOptions) {
    this.#options = options
    this.#beginning = new LogBeginning(options.log, options.topics.messages)
    for (const session of options.fold.sessions.values()) if (!session.isOver) this.look(session)
  }

  /** Replays that have something to read still. */
  get size(): number {
    let size = 0
    for (const jobs of this.#jobs.values()) size += jobs.size
    return size
  }

  /** What the fold of `sessions` says has changed. */
  changed(change: SessionChange): void {
    switch (change.kind) {
      case 'subscribed':
      case 'unsubscribed':
        this.look(change.session)
        return
      case 'attached':
      case 'detached':
      case 'ended':
        this.touched(change.session)
    }
  }

  /** The session, its connection or its queue are not what they were. */
  touched(session: Session): void {
    if (this.#jobs.has(session)) this.look(session)
  }

  /** Its subscriptions are not what they were, or may not be. */
  look(session: Session): void {
    if (this.#isClosed) return
    if (!session.isOver) {
      for (const subscription of session.subscriptions.values()) if (subscription.replay) this.#lookAt(session, subscription, subscription.replay)
      if (session.queue.replays) for (const replay of session.queue.replays.keys()) if (!isWanted(session, replay)) this.#tell(session, gone(replay))
    }
    for (const job of this.#jobs.get(session)?.values() ?? []) if (session.isOver || !isWanted(session, job.replay)) this.#stop(job)
  }

  /** The fold of the inbox has taken a record of this shard's owner. */
  folded({ clientId, session: id, replay, term }: Replayed): void {
    const session = this.#options.fold.sessions.get(clientId)
    const job = session && this.#jobs.get(session)?.get(replay)
    if (!job || term !== this.#options.term || session.id !== id) return
    job.isBusy = false
    this.look(session)
  }

  close(): void {
    this.#isClosed = true
    for (const jobs of this.#jobs.values()) for (const job of [...jobs.values()]) this.#stop(job)
  }

  #lookAt(session: Session, subscription: Subscription, request: ReplayRequest): void {
    const replay = subscription.replayAt
    if (replay === null || replay === undefined) return
    const jobs = this.#jobs.get(session) ?? new Map<number, Job>()
    let job = jobs.get(replay)
    const phase = session.queue.replays?.get(replay)?.phase
    if (phase === 'live' || phase === 'over') {
      if (job) this.#stop(job)
      return
    }
    if (!job) {
      const made: Job = {
        session,
        subscription,
        request,
        replay,
        query: { filter: withoutReplay(subscription.filter), client: request.client },
        bucket: new TokenBucket(),
        step: () => this.#step(made),
        close: () => {
          made.reader = undefined
          made.access = undefined
        },
        reader: undefined,
        access: undefined,
        accessOf: undefined,
        ends: new Map(),
        isBusy: false,
        isStopped: false,
        timer: undefined,
        bytesTold: 0,
        since: null,
        overtaken: new Map(),
        pace: undefined,
      }
      job = made
      this.#jobs.set(session, jobs.set(replay, job))
    }
    if (this.#wants(job)) this.#options.turns.want(session, job.step)
  }

  /** One that joins holds live messages: it goes on whatever the session is owed. */
  #wants(job: Job): boolean {
    if (job.isBusy || job.isStopped || job.timer) return false
    const { session } = job
    const phase = this.#stateOf(job)?.phase
    if (phase === 'joining') return true
    if (!session.attached || !this.#mayBegin(job)) return false
    const { messages, bytes } = this.#options.roomOf(session)
    const { queue } = session
    return queue.length < Math.min(this.#options.limits.windowMessages, Math.ceil(messages / 2)) && queue.bytes < Math.min(windowBytes, bytes / 2)
  }

  /** It has begun already, or not as many others of the session have as may be side by side. */
  #mayBegin(job: Job): boolean {
    const hasBegun = (each: Job): boolean => each.isBusy || each.reader !== undefined || this.#stateOf(each) !== undefined
    if (hasBegun(job)) return true
    let begun = 0
    for (const each of this.#jobs.get(job.session)?.values() ?? []) if (hasBegun(each)) begun++
    return begun < this.#options.limits.sideBySide
  }

  #stateOf({ session, replay }: Job): Replay | undefined {
    return session.queue.replays?.get(replay)
  }

  async #step(job: Job): Promise<void> {
    if (!this.#wants(job) || this.#isClosed) return
    job.isBusy = true
    try {
      const access = job.request.access === 'then' ? await this.#accessOf(job) : undefined
      job.reader ??= await this.#open(job)
      this.#options.turns.used(job.close)
      await this.#read(job, job.reader, access)
    } catch (error) {
      if (job.isStopped) return
      this.#options.onFailure(error as Error)
      // What it had read and not told is read again.
      job.reader = undefined
      job.isBusy = false
      this.#wait(job, failureMs)
    }
  }

  /** Of the session as it is: other credentials on its connection may have made it somebody else. */
  async #accessOf(job: Job): Promise<AccessThen> {
    const { log, topics, accessKept, now } = this.#options
    const { authenticationName, vouchedBy, ownerKind, attributes } = job.session
    const known = job.accessOf
    const isKnown =
      known?.authenticationName === authenticationName && known.vouchedBy === vouchedBy && known.ownerKind === ownerKind && known.attributes === attributes
    if (job.access && isKnown) return job.access
    const identity = { authenticationName, vouchedBy, ownerKind, attributes }
    const access = new AccessThen({ log, topic: topics.registry, identity, kept: accessKept, now })
    await access.fold()
    job.access = access
    job.accessOf = identity
    return access
  }

  async #open(job: Job): Promise<HistoryReader> {
    const { log, topics, partitions, formerly, counters } = this.#options
    const { request, query } = job
    // Its subscription is in the log.
    job.ends = await log.endOffsets(topics.messages)
    job.bytesTold = 0
    const known = this.#stateOf(job)
    const [from, to] = [boundOf(request.from), request.to === null ? null : boundOf(request.to)]
    const places = known
      ? known.positions.map((place) => ({ ...place, time: 0 }))
      : await resolvePlaces({ log, topic: topics.messages, filter: query.filter, partitions, formerly: formerly(), from, to })
    if (known) job.since = known.since
    else {
      await this.#beginning.look()
      const sources = places.map(({ source }) => source)
      job.since = this.#beginning.since(from, this.#options.now(), sources) ?? null
    }
    const onGone = (source: number, from: number, to: number): void => {
      counters.gone(to - from)
      job.overtaken.set(source, to)
    }
    return new HistoryReader({ log, topic: topics.messages, query, places, index: this.#options.index(), onGone })
  }

  /** Reads until a record is worth its while, or nothing more is due. */
  async #read(job: Job, reader: HistoryReader, access: AccessThen | undefined): Promise<void> {
    const { counters, remember, now } = this.#options
    const phase: ReplayPhase = this.#stateOf(job)?.phase ?? 'reading'
    const joinAt = this.#stateOf(job)?.joinAt ?? []
    if (phase === 'joining') reader.aim(new Map(joinAt.map((at, source) => [source, Math.max(at, job.ends.get(source) ?? 0)])))
    else reader.aimAtEnd()
    const before = reader.bytesRead
    const entries: ReplayEntry[] = []
    const portion = this.#options.turns.portion(now())
    do {
      const until = this.#until(job)
      const found = await reader.read(until === undefined ? readBytes : pacedReadBytes, portion.messages - entries.length, until)
      if (access && found.some(({ record }) => !access.reaches(record.timestamp))) await access.fold()
      if (job.isStopped) return
      const taken = found.filter((each) => (!access || mayHave(job, each, access)) && this.#enter(job, each, entries))
      if (taken.length > 0)
        remember(
          (taken[0] as Found).source,
          taken.map(({ record }) => record),
        )
    } while (entries.length < portion.messages / 2 && !reader.isThere && reader.notBefore === undefined && reader.bytesRead - before < portion.bytes)
    counters.read(reader.bytesRead - before)
    await this.#noteOvertaken(job)
    if (job.isStopped) return
    const next = this.#nextPhase(job, phase, reader)
    const waitMs = Math.max(
      job.bucket.take(entries.length, this.#options.limits.ratePerSecond, now()),
      this.#options.turns.take(entries.length, reader.bytesRead - before, now()),
    )
    if (entries.length > 0 || next !== phase || reader.bytesRead - job.bytesTold >= progressBytes) {
      job.bytesTold = reader.bytesRead
      this.#tell(
        job.session,
        { replay: job.replay, phase: next, positions: reader.places.map(({ source, next, end }) => ({ source, next, end })), entries },
        job,
      )
      counters.replayed(entries.length)
      if (next === 'live') counters.joined()
    } else job.isBusy = false
    const dueMs = this.#dueMs(job, reader)
    if (waitMs > 0 || dueMs > 0) this.#wait(job, Math.max(waitMs, dueMs))
    else if (!job.isBusy) this.look(job.session)
  }

  /** What is gone from under it is told like what was gone before it began. */
  async #noteOvertaken(job: Job): Promise<void> {
    const { log, topics, now } = this.#options
    for (const [source, start] of job.overtaken) {
      const time = await firstTime(log, topics.messages, source, start)
      job.since = Math.max(job.since ?? 0, time ?? now())
      job.overtaken.delete(source)
    }
  }

  /** True when the message is for the session: then it is entered. */
  #enter({ session, subscription }: Job, { source, record, view }: Found, entries: ReplayEntry[]): boolean {
    const terms = deliveryTerms(session, [subscription], { clientId: view.clientId, qos: view.qos as 0 | 1 | 2, retain: view.retain })
    if (!terms) return false
    entries.push({ source, offset: record.offset, size: record.value.length, qos: terms.qos, retain: terms.retain })
    return true
  }

  #nextPhase({ request }: Job, phase: ReplayPhase, reader: HistoryReader): ReplayPhase {
    if (!reader.isThere) return phase
    if (request.to !== null) return 'over'
    return phase === 'joining' ? 'live' : 'joining'
  }

  /** Up to which time in the log its speed has brought it. */
  #until(job: Job): number | undefined {
    const { speed, from } = job.request
    if (speed === null) return undefined
    const now = this.#options.now()
    const bound = boundOf(from)
    // From positions on it begins with the first message, whenever that was published.
    job.pace ??= bound.kind === 'time' && !this.#stateOf(job) ? { past: bound.at, now } : undefined
    return job.pace ? job.pace.past + (now - job.pace.now) * speed : 0
  }

  #dueMs(job: Job, reader: HistoryReader): number {
    const { speed } = job.request
    const { notBefore } = reader
    if (speed === null || notBefore === undefined) return 0
    job.pace ??= { past: notBefore, now: this.#options.now() }
    return Math.min(pacedMsMax, Math.max(1, (notBefore - (this.#until(job) as number)) / speed))
  }

  #wait(job: Job, ms: number): void {
    if (job.isStopped) return
    job.timer = setTimeout(() => {
      job.timer = undefined
      this.look(job.session)
    }, ms)
  }

  #tell(session: Session, record: Pick<Replayed, 'replay' | 'phase' | 'positions' | 'entries'>, job?: Job): void {
    const { shard, term, topics, now, append } = this.#options
    const subscription = job?.subscription
    const identifier = subscription?.subscriptionIdentifier ?? null
    const value = encodeRecord('Replayed', {
      shard,
      term,
      clientId: session.clientId,
      session: session.id,
      ...record,
      messages: (job ? (this.#stateOf(job)?.messages ?? 0) : 0) + record.entries.length,
      subscriptionIdentifiers: identifier === null ? [] : [identifier],
      qos: subscription?.qos ?? 0,
      filter: subscription?.filter ?? '',
      at: now(),
      since: job?.since ?? null,
    })
    append({ topic: topics.inbox, partition: shard, key: null, value, timestamp: now() })
  }

  #stop(job: Job): void {
    job.isStopped = true
    clearTimeout(job.timer)
    const { turns } = this.#options
    turns.leave(job.session, job.step)
    turns.closed(job.close)
    const jobs = this.#jobs.get(job.session)
    jobs?.delete(job.replay)
    if (jobs?.size === 0) this.#jobs.delete(job.session)
    // One that has waited for this one may begin.
    if (!this.#isClosed) for (const each of jobs?.values() ?? []) if (this.#wants(each)) turns.want(each.session, each.step)
  }
}

const gone = (replay: number) => ({ replay, phase: 'gone', positions: [], entries: [] })

function isWanted(session: Session, replay: number): boolean {
  for (const subscription of session.subscriptions.values()) if (subscription.replayAt === replay) return true
  return false
}

/** The gateway has written what it had understood. */
function boundOf(text: string): Exclude<Bound, { readonly kind: 'ago' }> {
  const bound = parseBound(text)
  if (typeof bound === 'string' || bound.kind === 'ago') throw new Error(`a replay ${typeof bound === 'string' ? bound : 'from a moving place'}`)
  return bound
}

/** Whether its client could have subscribed to the message when it came. What is not known is left out, and told like what is gone. */
function mayHave(job: Job, { topic, record }: Found, access: AccessThen): boolean {
  if (record.timestamp >= access.since) return access.allows(topic, record.timestamp)
  // Where nothing of it is known, what comes now is not either.
  job.since = Math.max(job.since ?? 0, access.since === Number.POSITIVE_INFINITY ? record.timestamp + 1 : access.since)
  return false
}
