/**
 * What became of one message in the queues of one client: its `inbox` journal, folded as the shard's owner folds it. Only what is the
 * client's is kept of each record, so that a fold is as large as one queue.
 */
import { InboxFold } from '../model/inbox-fold.ts'
import { neverExpires, Session } from '../model/session.ts'
import { SessionFold } from '../model/session-fold.ts'
import { isMarker, retainedShard, shardOfSource } from '../model/session-queue.ts'
import { restoreInbox, restoreQueues } from '../model/snapshot.ts'
import type { IndexReceiver } from '../schemas/inbox-records.ts'
import type { AnyRecord } from '../schemas/records.ts'
import type { Base } from './client-life.ts'
import type { Place, PlacedRecord } from './records.ts'

/** How a message came into a queue. */
export type Way = 'subscription' | 'shared' | 'handedOn' | 'retained' | 'replay' | 'liveReplay'

export type Fate =
  /** Not done: it waits, or is on its way. */
  | { readonly kind: 'owed'; readonly maySent: boolean; readonly received: boolean }
  /** At QoS 0, as replays have it: written by the gateway. */
  | { readonly kind: 'acknowledged'; readonly place: Place }
  | { readonly kind: 'dropped'; readonly reason: string; readonly place: Place }

export interface Owed {
  readonly way: Way
  readonly session: number
  readonly number: number
  readonly qos: number
  readonly group: string | null
  readonly place: Place
  fate: Fate
}

export interface MessageSought {
  readonly source: number
  readonly offset: number
}

interface Pinned {
  readonly session: Session
  readonly fold: InboxFold
}

/** Copies of one message in the queues of one client that are told: replays may be asked for again and again. */
const owedMax = 1_000

export class QueueTrace {
  readonly #clientId: string
  readonly #sought: MessageSought
  readonly #pinned: readonly Pinned[]
  readonly owed: Owed[] = []
  /** Where the client's shard had read `sessions` to when the message was matched; undefined while no record tells. */
  matchedWith: { readonly sessionsOffset: number; readonly place: Place } | undefined

  constructor(clientId: string, shard: number, shards: number, sessions: readonly number[], sought: MessageSought, base: Base) {
    this.#clientId = clientId
    this.#sought = sought
    this.#pinned = sessions.map((id) => pin(clientId, shard, shards, id, base))
  }

  apply({ place, record }: PlacedRecord): void {
    if (record.name === 'Indexed' || record.name === 'SharedIndexed') {
      const { shard, from, to, sessionsOffset } = record.value
      if (shard === this.#sought.source && from <= this.#sought.offset && this.#sought.offset < to) this.matchedWith ??= { sessionsOffset, place }
    }
    for (const { session, fold } of this.#pinned) {
      const own = ownPart(record, this.#clientId, session.id)
      if (!own) continue
      const { queue } = session
      const before = queue.next
      fold.apply(place.offset, own)
      for (let number = before; number < queue.next; number++) this.#look(session, number, own, place)
      for (const owed of this.owed) if (owed.session === session.id && owed.fate.kind === 'owed') owed.fate = fateOf(queue, owed.number, own, place)
    }
  }

  #look(session: Session, number: number, record: AnyRecord, place: Place): void {
    const entry = session.queue.get(number)
    if (!entry || this.owed.length >= owedMax || isMarker(entry.source) || shardOfSource(entry.source) !== this.#sought.source) return
    const isIt = retainedShard(entry.source) === undefined ? entry.offset === this.#sought.offset : this.#isRetained(record, entry.offset)
    if (!isIt) return
    const fate: Fate = { kind: 'owed', maySent: false, received: false }
    this.owed.push({ way: wayOf(record, entry.group), session: session.id, number, qos: entry.qos, group: entry.group, place, fate })
  }

  /** The record names a retained message by both of its places. */
  #isRetained(record: AnyRecord, retainedOffset: number): boolean {
    return (
      record.name === 'IndexedRetained' && record.value.entries.some((entry) => entry.retainedOffset === retainedOffset && entry.offset === this.#sought.offset)
    )
  }
}

/** The fold of one session, which is never over: what is still noted of it afterwards belongs to it. */
function pin(clientId: string, shard: number, shards: number, id: number, { closed, states, marks }: Base): Pinned {
  const about = { authenticationName: '', sequence: 0, attached: null, will: null, attributes: {}, vouchedBy: '', ownerKind: '' }
  const session = new Session({ clientId, shard, id, expiryInterval: neverExpires, ...about })
  const sessions = new SessionFold(shard)
  sessions.restore(session)
  const fold = new InboxFold(shard, shards, sessions)
  if (closed) {
    restoreInbox(fold, closed)
    for (const { shard: source, group, to } of marks) fold.restoreMark({ source, group, to })
    restoreQueues(
      sessions,
      fold,
      states.filter((state) => state.session === id),
    )
  }
  return { session, fold }
}

function wayOf(record: AnyRecord, group: string | null): Way {
  if (record.name === 'IndexedRetained') return 'retained'
  if (record.name === 'Replayed') return record.value.entries.length > 0 ? 'replay' : 'liveReplay'
  if (record.name === 'Reassigned') return 'handedOn'
  const isReplay = record.name === 'Indexed' && record.value.entries.every(({ receivers }) => receivers.every(({ replay }) => replay !== null))
  return isReplay ? 'liveReplay' : group === null ? 'subscription' : 'shared'
}

function fateOf(queue: Session['queue'], number: number, record: AnyRecord, place: Place): Fate {
  if (!queue.isDone(number)) return { kind: 'owed', maySent: number < queue.sent, received: queue.isReceived(number) }
  if (record.name === 'Dropped') return { kind: 'dropped', reason: record.value.reason, place }
  return { kind: 'acknowledged', place }
}

/** What of a record is about the session; undefined when it changes nothing of its queue. */
function ownPart(record: AnyRecord, clientId: string, session: number): AnyRecord | undefined {
  const isOwn = (of: { readonly clientId: string; readonly session: number }): boolean => of.clientId === clientId && of.session === session
  switch (record.name) {
    case 'ShardOwned':
    case 'TermAnnounced':
      return record
    case 'Indexed':
    case 'SharedIndexed': {
      const entries = record.value.entries.flatMap((entry) => {
        const receivers = entry.receivers.filter((receiver: IndexReceiver) => isOwn(receiver))
        return receivers.length === 0 ? [] : [{ ...entry, receivers }]
      })
      return { ...record, value: { ...record.value, entries } } as AnyRecord
    }
    case 'Reassigned': {
      const entries = record.value.entries.filter(({ receiver }) => isOwn(receiver))
      return entries.length === 0 ? undefined : { name: 'Reassigned', value: { ...record.value, entries } }
    }
    case 'Acknowledged': {
      const sessions = record.value.sessions.filter(isOwn)
      return sessions.length === 0 ? undefined : { name: 'Acknowledged', value: { ...record.value, sessions } }
    }
    case 'IndexedRetained':
      // Those of others, too: requests are completed in their order.
      return isOwn(record.value) ? record : { name: 'IndexedRetained', value: { ...record.value, entries: [] } }
    case 'Dropped':
    case 'Replayed':
      return isOwn(record.value) ? record : undefined
    default:
      return undefined
  }
}
