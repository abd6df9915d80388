/** Who had subscribed to what, as it was at a moment and moved on with the messages behind it: the sessions' journals, by the fold of the broker. */
import type { SessionIdentity } from '../access/principal.ts'
import { BeforeHistory } from '../history/before-history.ts'
import type { Moment } from '../history/moment.ts'
import { type PastTopics, shardsAt } from '../history/past-shard.ts'
import type { Log } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import { deliveryTerms, type Published } from '../model/delivery-terms.ts'
import { FilterTree } from '../model/filter-tree.ts'
import type { Session, Subscription } from '../model/session.ts'
import { type SessionChange, SessionFold } from '../model/session-fold.ts'
import { parseShared } from '../mqtt/topic.ts'
import { type PlacedRecord, recordsOf } from './records.ts'

/** One way in which a message is delivered. */
export interface DeliveryThen {
  /** Any of them would do: one session by its filters, or one of the members of a shared subscription. */
  readonly by: readonly { readonly identity: SessionIdentity; readonly filter: string }[]
  /** `$share/{group}/{filter}` when one member gets it. */
  readonly group: string | null
}

interface Journal {
  readonly fold: SessionFold
  readonly records: AsyncIterator<PlacedRecord>
  next: PlacedRecord | undefined
}

interface Held {
  readonly session: Session
  readonly subscription: Subscription
}

export class SessionsThen {
  readonly #journals: readonly Journal[]
  readonly #plain = new FilterTree<Session, Subscription>()
  /** By group, then its members. */
  readonly #shared = new FilterTree<Map<Session, Held>, string>()
  readonly #groups = new Map<string, Map<Session, Held>>()
  /** Time of the first record that is not applied. */
  #nextAt = 0

  /** The sessions of a namespace as they were. Rejects with BeforeHistory where the log does not hold that any more. `hasMoved`: there were fewer shards once. */
  static async at(log: Log, topics: PastTopics, partitions: number, moment: Moment, hasMoved: boolean): Promise<SessionsThen> {
    const [folds, ends] = await Promise.all([foldsAt(log, topics, partitions, moment, hasMoved), log.endOffsets(topics.sessions)])
    const journals = folds.map((fold) => ({
      fold,
      records: recordsOf(log, topics.sessions, fold.shard, { from: fold.position, to: ends.get(fold.shard) ?? 0 }),
      next: undefined,
    }))
    return await new SessionsThen(journals).#begin()
  }

  private constructor(journals: readonly Journal[]) {
    this.#journals = journals
    for (const { fold } of journals) {
      for (const session of fold.sessions.values()) if (!session.isOver) for (const each of session.subscriptions.values()) this.#add(session, each)
    }
  }

  async #begin(): Promise<this> {
    await Promise.all(this.#journals.map((journal) => this.#read(journal)))
    this.#look()
    return this
  }

  /** Applies what was in the log by then, milliseconds since the epoch; undefined when that is nothing more. */
  advance(untilMs: number): Promise<void> | undefined {
    return untilMs < this.#nextAt ? undefined : this.#advance(untilMs)
  }

  /** Of the session that the client id had; undefined when there was none, or another. */
  identityOf(clientId: string, id: number): SessionIdentity | undefined {
    const session = this.#journals[partitionOf(Buffer.from(clientId), this.#journals.length)]?.fold.sessions.get(clientId)
    return session?.id === id ? session : undefined
  }

  /** Who is sent the message: a copy for each session, and one for each shared subscription. */
  deliveriesOf(topic: string, message: Published): readonly DeliveryThen[] {
    const found = new Map<Session, Subscription[]>()
    this.#plain.match(topic, (subscribers) => {
      for (const [session, subscription] of subscribers) found.set(session, [...(found.get(session) ?? []), subscription])
    })
    const deliveries: DeliveryThen[] = []
    for (const [session, subscriptions] of found) {
      if (isDelivered(session, subscriptions, message)) deliveries.push({ by: subscriptions.map(({ filter }) => ({ identity: session, filter })), group: null })
    }
    this.#shared.match(topic, (groups) => {
      for (const [members, group] of groups) {
        const by = [...members.values()].filter(({ session, subscription }) => isDelivered(session, [subscription], message, true))
        if (by.length > 0) deliveries.push({ by: by.map(({ session, subscription }) => ({ identity: session, filter: subscription.filter })), group })
      }
    })
    return deliveries
  }

  async #advance(untilMs: number): Promise<void> {
    for (const journal of this.#journals) {
      while (journal.next && journal.next.place.at <= untilMs) {
        for (const change of journal.fold.apply(journal.next.place.offset, journal.next.record)) this.#changed(change)
        await this.#read(journal)
      }
    }
    this.#look()
  }

  async #read(journal: Journal): Promise<void> {
    const { done, value } = await journal.records.next()
    journal.next = done ? undefined : value
  }

  #look(): void {
    this.#nextAt = Math.min(...this.#journals.map(({ next }) => next?.place.at ?? Number.POSITIVE_INFINITY))
  }

  #changed(change: SessionChange): void {
    if (change.kind === 'subscribed') for (const each of change.added) this.#add(change.session, each)
    else if (change.kind === 'unsubscribed' || change.kind === 'ended') for (const { filter } of change.removed) this.#remove(change.session, filter)
  }

  #add(session: Session, subscription: Subscription): void {
    this.#remove(session, subscription.filter)
    // What is replayed is not traffic of that time.
    if (subscription.replay) return
    const shared = parseShared(subscription.filter)
    if (!shared) {
      this.#plain.set(subscription.filter, session, subscription)
      return
    }
    const members = this.#groups.get(subscription.filter) ?? new Map<Session, Held>()
    members.set(session, { session, subscription })
    this.#groups.set(subscription.filter, members)
    this.#shared.set(shared.filter, members, subscription.filter)
  }

  #remove(session: Session, filter: string): void {
    const shared = parseShared(filter)
    if (!shared) {
      this.#plain.delete(filter, session)
      return
    }
    const members = this.#groups.get(filter)
    if (!members?.delete(session) || members.size > 0) return
    this.#groups.delete(filter)
    this.#shared.delete(shared.filter, members)
  }
}

/** From what owners of the shards wrote down; from their beginning, where the journals still have it. A session that moved has its beginning in another. */
async function foldsAt(log: Log, topics: PastTopics, partitions: number, moment: Moment, hasMoved: boolean): Promise<readonly SessionFold[]> {
  try {
    return (await shardsAt({ log, topics, shards: partitions, moment })).map(({ sessions }) => sessions)
  } catch (error) {
    if (!(error instanceof BeforeHistory) || hasMoved || [...(await log.startOffsets(topics.sessions)).values()].some((start) => start > 0)) throw error
  }
  const folds = Array.from({ length: partitions }, (_, shard) => new SessionFold(shard))
  for (const fold of folds) {
    const range = { from: 0, to: moment.sessions.get(fold.shard) ?? 0 }
    for await (const { place, record } of recordsOf(log, topics.sessions, fold.shard, range)) fold.apply(place.offset, record)
  }
  return folds
}

/** As in matching: what is for a connection is delivered where there is one. */
function isDelivered(session: Session, subscriptions: readonly Subscription[], message: Published, isShared = false): boolean {
  const terms = deliveryTerms(session, subscriptions, message)
  return terms !== undefined && ((terms.qos > 0 && (session.isPersistent || isShared)) || session.attached !== null)
}
