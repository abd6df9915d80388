/**
 * New subscriptions and what a shard holds retained for them. Persistent sessions are owed it at QoS ≥ 1 through the
 * inbox of their shard; everything else goes to the gateway in pages, the next one when the client has taken the last.
 * Nobody waits for anybody: requests of different sessions are walked in turns, a bounded number of steps each.
 */
import type { Appender } from '../log/log.ts'
import type { RetainedIndex } from '../model/retained-index.ts'
import type { Session, Subscription } from '../model/session.ts'
import { retainedSource } from '../model/session-queue.ts'
import type { DeliveredMessage } from '../proto/frames.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { RetainedEntry } from '../schemas/inbox-records.ts'
import type { Attachment } from '../schemas/snapshot-records.ts'
import type { Gateway } from './gateway.ts'
import type { Gateways } from './gateways.ts'
import { type RetainedDelivery, RetainedMatch } from './retained-match.ts'
import type { RetainedMessage } from './retained-store.ts'

export interface RetainedRequestsOptions {
  readonly shard: number
  readonly term: number
  readonly index: RetainedIndex<RetainedMessage>
  readonly gateways: Gateways
  readonly appender: Appender
  readonly inboxTopic: string
  readonly limits: {
    /** Entries above which the session ends: more need not be indexed. */
    queueMessagesMax(session: Session): number
    /** Bytes of pages that one gateway may have without having passed them on. */
    readonly gatewayBytesMax: number
  }
  readonly now: () => number
  onRefused(error: Error): void
  /** Messages sent or indexed. */
  onSent(count: number): void
}

/** Steps of walking in one turn of the event loop: about a millisecond or two. */
const stepsPerTurn = 5_000
const entriesPerRecord = 2_000
/** Keeps one record well below max.message.bytes. */
const recordSizeMax = 256 * 1024
const pageMessagesMax = 64
const pageSizeMax = 32 * 1024

interface Tracked {
  readonly shard: number
  readonly at: number
  waits: number
}

interface Job {
  readonly match: RetainedMatch
  readonly tracked: Tracked
}

interface JournalJob extends Job {
  records: number
  entries: number
}

interface DirectJob extends Job {
  readonly attachment: Attachment
  /** Pages that are not confirmed, and the walk until it is over. */
  waits: number
  isPageOut: boolean
  pages: number
}

export class RetainedRequests {
  readonly #options: RetainedRequestsOptions
  /** By shard of the sessions: what is not served, in order of position. */
  readonly #open = new Map<number, Map<number, Tracked>>()
  /** By shard of the sessions: one after the other, so that the high-water there can tell what is done. */
  readonly #journals = new Map<number, JournalJob[]>()
  readonly #appending = new Set<number>()
  readonly #directs = new Map<Session, DirectJob[]>()
  readonly #bySession = new Map<Session, Set<Job>>()
  readonly #wanting = new Set<Session>()
  /** Their gateway has too much on its way. */
  readonly #withoutRoom = new Set<Session>()
  #pumpScheduled = false
  #isClosed = false
  /** Requests served since this router took the shard. */
  served = 0

  constructor(options: RetainedRequestsOptions) {
    this.#options = options
  }

  /** Something is not sent yet: `hurry` is to be called before a message goes out. */
  get isBusy(): boolean {
    return this.#bySession.size > 0
  }

  get openCount(): number {
    let count = 0
    for (const requests of this.#open.values()) count += requests.size
    return count
  }

  /** Every request of the shard's sessions below this is served; `position` is how far its fold is. */
  servedTo(shard: number, position: number): number {
    for (const at of this.#open.get(shard)?.keys() ?? []) return at
    return position
  }

  /** A Subscribed record at `at` of the session's shard; `before` as in RetainedRequest. */
  add(session: Session, at: number, subscriptions: readonly Subscription[], before: number): void {
    const { index, now } = this.#options
    if (index.size === 0) return
    const request = { session, at, subscriptions, before }
    const { isPersistent, attached } = session
    const isJournaled = isPersistent && subscriptions.some(({ qos }) => qos > 0)
    const tracked: Tracked = { shard: session.shard, at, waits: (isJournaled ? 1 : 0) + (attached ? 1 : 0) }
    if (tracked.waits === 0) return
    const open = this.#open.get(session.shard) ?? new Map<number, Tracked>()
    this.#open.set(session.shard, open)
    open.set(at, tracked)
    const jobs = this.#bySession.get(session) ?? new Set<Job>()
    this.#bySession.set(session, jobs)
    if (isJournaled) {
      const job: JournalJob = { match: new RetainedMatch(index, request, now, (qos) => qos > 0), tracked, records: 0, entries: 0 }
      const queue = this.#journals.get(session.shard) ?? []
      this.#journals.set(session.shard, queue)
      queue.push(job)
      jobs.add(job)
    }
    if (attached) {
      const wants = isPersistent ? (qos: number) => qos === 0 : () => true
      const job: DirectJob = { match: new RetainedMatch(index, request, now, wants), tracked, attachment: attached, waits: 1, isPageOut: false, pages: 0 }
      const queue = this.#directs.get(session) ?? []
      this.#directs.set(session, queue)
      queue.push(job)
      jobs.add(job)
      this.#wanting.add(session)
    }
    this.#schedule()
  }

  /** A message on the topic is about to be delivered to the session: what is retained there goes out before it. */
  hurry(session: Session, topic: string): void {
    for (const job of this.#bySession.get(session) ?? []) {
      const delivery = job.match.hurry(topic)
      if (!delivery) continue
      if ('attachment' in job) this.#send(job as DirectJob, [delivery], false)
      else this.#index(job as JournalJob, [delivery], false, () => {})
    }
  }

  close(): void {
    this.#isClosed = true
  }

  #schedule(): void {
    if (this.#pumpScheduled || this.#isClosed) return
    this.#pumpScheduled = true
    setImmediate(() => {
      this.#pumpScheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    if (this.#isClosed) return
    const budget = { steps: stepsPerTurn }
    let goesOn = false
    for (const shard of this.#journals.keys()) if (!this.#appending.has(shard) && this.#journal(shard, budget)) goesOn = true
    for (const session of [...this.#wanting]) {
      if (budget.steps <= 0) {
        goesOn = true
        break
      }
      this.#wanting.delete(session)
      if (this.#page(session, budget)) {
        this.#wanting.add(session)
        goesOn = true
      }
    }
    if (goesOn) this.#schedule()
  }

  /** True when it is to go on in the next turn. */
  #journal(shard: number, budget: { steps: number }): boolean {
    const queue = this.#journals.get(shard) as JournalJob[]
    for (let job = queue[0]; job; job = queue[0]) {
      if (budget.steps <= 0) return true
      // Small requests cost a turn too, however little they walk.
      budget.steps -= 10
      const deliveries = this.#collect(
        job.match,
        budget,
        entriesPerRecord,
        recordSizeMax,
        ({ subscriptionIdentifiers }) => 40 + subscriptionIdentifiers.length * 5,
      )
      // The session's end is certain by then: its owner sees the queue.
      if (job.entries + deliveries.length > this.#options.limits.queueMessagesMax(job.match.request.session)) job.match.end()
      const isLast = job.match.isDone
      if (isLast) {
        queue.shift()
        this.#forget(job)
        const { tracked, records } = job
        if (deliveries.length > 0 || records > 0) this.#index(job, deliveries, true, () => this.#finished(tracked))
        else this.#finished(tracked)
      } else if (deliveries.length > 0) {
        // The next part goes when Kafka has this one.
        this.#appending.add(shard)
        this.#index(job, deliveries, false, () => {
          this.#appending.delete(shard)
          this.#schedule()
        })
        return false
      }
    }
    this.#journals.delete(shard)
    return false
  }

  #index(job: JournalJob, deliveries: readonly RetainedDelivery[], last: boolean, done: () => void): void {
    const { shard, term, inboxTopic, appender, now, onRefused, onSent } = this.#options
    const { session, at: request } = job.match.request
    const at = now()
    job.records++
    job.entries += deliveries.length
    const entries: RetainedEntry[] = deliveries.map(({ message, qos, subscriptionIdentifiers }) => ({
      offset: message.offset,
      retainedOffset: message.retainedOffset,
      size: message.value.length,
      expiresAt: message.expiresAt || null,
      qos,
      subscriptionIdentifiers,
    }))
    const value = encodeRecord('IndexedRetained', { shard, term, request, clientId: session.clientId, session: session.id, last, entries, at })
    onSent(deliveries.length)
    appender.append({ topic: inboxTopic, partition: session.shard, key: null, value, timestamp: at }, (error) => (error ? onRefused(error) : done()))
  }

  /** Sends the session's next page when the last one is confirmed; true when it is to go on in the next turn. */
  #page(session: Session, budget: { steps: number }): boolean {
    const queue = this.#directs.get(session)
    const job = queue?.[0]
    if (!queue || !job || job.isPageOut) return false
    const gateway = this.#gatewayOf(job)
    if (!gateway) job.match.end()
    else if (gateway.retainedBytes > this.#options.limits.gatewayBytesMax) {
      this.#withoutRoom.add(session)
      return false
    }
    const deliveries = this.#collect(job.match, budget, pageMessagesMax, pageSizeMax, ({ message }) => message.value.length)
    const isLast = job.match.isDone
    if (isLast) {
      queue.shift()
      if (queue.length === 0) this.#directs.delete(session)
      this.#forget(job)
    }
    if (deliveries.length > 0 || (isLast && job.pages > 0 && gateway)) {
      job.isPageOut = true
      this.#send(job, deliveries, isLast, () => {
        job.isPageOut = false
        this.#wanting.add(session)
        this.#wake()
      })
    }
    if (isLast) this.#confirmed(job)
    return isLast ? queue.length > 0 : deliveries.length === 0
  }

  /** A gateway has room again: those that waited for it are looked at. */
  #wake(): void {
    for (const session of this.#withoutRoom) this.#wanting.add(session)
    this.#withoutRoom.clear()
    this.#schedule()
  }

  #send(job: DirectJob, deliveries: readonly RetainedDelivery[], last: boolean, onTaken: () => void = () => {}): void {
    const { shard, term, onSent } = this.#options
    const { connection } = job.attachment
    const messages: DeliveredMessage[] = deliveries.map(({ message, qos, subscriptionIdentifiers }) => ({
      // One that came from another shard has no position in `messages` here.
      ...(message.offset < 0 && message.retainedOffset !== null
        ? { source: retainedSource(shard), offset: message.retainedOffset }
        : { source: shard, offset: message.offset }),
      value: message.value,
      receivers: [{ connection, qos, dup: false, retain: true, number: -1, subscriptionIdentifiers }], // [MQTT-3.3.1-8] of 3.1.1
    }))
    const gateway = this.#gatewayOf(job)
    if (!gateway) {
      onTaken()
      return
    }
    job.waits++
    job.pages++
    onSent(deliveries.length)
    gateway.retained({ shard, term, connection, request: job.match.request.at, last, messages }, () => {
      onTaken()
      this.#confirmed(job)
    })
  }

  /** The connection that subscribed is the only one that gets what is not journaled. */
  #gatewayOf({ match, attachment }: DirectJob): Gateway | undefined {
    const { attached } = match.request.session
    return attached?.connection === attachment.connection && attached.gateway.incarnation === attachment.gateway.incarnation
      ? this.#options.gateways.get(attachment.gateway)
      : undefined
  }

  #collect(
    match: RetainedMatch,
    budget: { steps: number },
    countMax: number,
    sizeMax: number,
    sizeOf: (delivery: RetainedDelivery) => number,
  ): RetainedDelivery[] {
    const deliveries: RetainedDelivery[] = []
    let size = 0
    match.refresh()
    while (!match.isDone && budget.steps > 0 && deliveries.length < countMax && size < sizeMax) {
      const delivery = match.next(budget)
      if (!delivery) continue
      deliveries.push(delivery)
      size += sizeOf(delivery)
    }
    return deliveries
  }

  #forget(job: Job): void {
    const { session } = job.match.request
    const jobs = this.#bySession.get(session)
    jobs?.delete(job)
    if (jobs?.size === 0) this.#bySession.delete(session)
  }

  #confirmed(job: DirectJob): void {
    job.waits--
    if (job.waits === 0) this.#finished(job.tracked)
  }

  #finished(tracked: Tracked): void {
    tracked.waits--
    if (tracked.waits > 0) return
    const open = this.#open.get(tracked.shard)
    open?.delete(tracked.at)
    if (open?.size === 0) this.#open.delete(tracked.shard)
    this.served++
  }
}
