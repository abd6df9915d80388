/**
 * What a member of a shared subscription leaves unacknowledged goes to another member: a record in the inbox of that one's
 * shard first, then one in the own inbox that settles it here. A router that dies between the two leaves it to its
 * successor to do it again: QoS 1 allows the repetition.
 */

import type { Appender } from '../log/log.ts'
import type { Orphans } from '../model/inbox-fold.ts'
import type { Session } from '../model/session.ts'
import type { QueueEntry, SessionQueue } from '../model/session-queue.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { ReassignedEntry, RecordName, Records } from '../schemas/records.ts'
import type { Member } from './shared-group.ts'

export interface SharedHandoverOptions {
  readonly shard: number
  readonly term: number
  readonly appender: Appender
  readonly topics: { readonly inbox: string }
  readonly counters: { dropped(reason: string, count: number): void; reassigned(count: number): void }
  readonly now: () => number
  anotherMember(filter: string, left: { readonly clientId: string; readonly session: number }, isAttached: boolean): Member | undefined
  /** Offset in `sessions` of a shard that the members were chosen with. */
  sessionsPosition(shard: number): number
  onRefused(error: Error): void
  /** The session's queue moved: its progress is to be journaled. */
  onSettled(session: Session): void
}

/** Entries in one Reassigned record: it stays well below max.message.bytes. */
const entriesPerRecord = 1_000

/** Why a message is given up when a session is over. */
type GivenUp = 'noMember' | 'sessionEnded'

export class SharedHandover {
  readonly #options: SharedHandoverOptions
  /** Numbers that are on their way to another member, by the session that leaves them. */
  readonly #leaving = new WeakMap<Session, Set<number>>()
  #appending = 0

  constructor(options: SharedHandoverOptions) {
    this.#options = options
  }

  /** Records are on their way to the log. */
  get isBusy(): boolean {
    return this.#appending > 0
  }

  /**
   * The session has no connection: QoS 1 messages that it did not acknowledge go to members that have one. Without such
   * they stay here, as QoS 2 always does [MQTT-4.8.2-5].
   */
  leave(session: Session): void {
    if (session.attached || session.isOver) return
    const numbers: number[] = []
    const byShard = new Map<number, ReassignedEntry[]>()
    const leaving = this.#leaving.get(session) ?? new Set<number>()
    for (const entry of session.queue.shared()) {
      if (entry.qos !== 1 || leaving.has(entry.number)) continue
      const member = this.#options.anotherMember(entry.group as string, { clientId: session.clientId, session: session.id }, true)
      if (!member) continue
      add(byShard, member, entry, { clientId: session.clientId, session: session.id })
      numbers.push(entry.number)
      leaving.add(entry.number)
    }
    if (numbers.length === 0) return
    this.#leaving.set(session, leaving)
    this.#reassign(byShard, () => {
      const { shard, term } = this.#options
      this.#append(shard, 'Dropped', { shard, term, clientId: session.clientId, session: session.id, numbers, reason: 'reassigned' })
    })
  }

  /**
   * The session's queue moved by what was read of the inbox. Only there a message is settled that went to another member: an
   * owner that has lost the shard without knowing it must not send past one that nobody else was given.
   */
  moved(session: Session): void {
    const leaving = this.#leaving.get(session)
    if (!leaving) return
    let isSettled = false
    for (const number of leaving) if (session.queue.isDone(number)) isSettled = leaving.delete(number) || isSettled
    if (isSettled) this.#options.onSettled(session)
  }

  /** The session is over: what it did not acknowledge at QoS 1 goes to any other member, attached or not; QoS 2 goes with it [MQTT-4.8.2-5]. */
  inherit({ clientId, session, next, entries }: Orphans): void {
    const byShard = new Map<number, ReassignedEntry[]>()
    const givenUp = new Map<GivenUp, number[]>()
    for (const entry of entries) {
      const member = entry.qos === 1 ? this.#options.anotherMember(entry.group as string, { clientId, session }, false) : undefined
      if (member) add(byShard, member, entry, { clientId, session })
      else listOf(givenUp, entry.qos === 1 ? 'noMember' : 'sessionEnded').push(entry.number)
    }
    const { shard, term } = this.#options
    for (const [reason, numbers] of givenUp) {
      this.#options.counters.dropped(reason, numbers.length)
      this.#append(shard, 'Dropped', { shard, term, clientId, session, numbers, reason })
    }
    this.#reassign(byShard, () => {
      this.#append(shard, 'Acknowledged', { shard, term, sessions: [{ clientId, session, cursor: next, above: [], sent: next, received: [] }] })
    })
  }

  /** What a session that is over had acknowledged is not another member's. */
  settle(session: Session, queue: SessionQueue): void {
    const { shard, term } = this.#options
    const { cursor, doneAbove: above, sent } = queue
    this.#append(shard, 'Acknowledged', { shard, term, sessions: [{ clientId: session.clientId, session: session.id, cursor, above, sent, received: [] }] })
  }

  /** `settled` is called once all of it is in the log. */
  #reassign(byShard: ReadonlyMap<number, readonly ReassignedEntry[]>, settled: () => void): void {
    const { shard, term, counters, now } = this.#options
    const at = now()
    let waits = 1
    const done = (): void => {
      waits--
      if (waits === 0) settled()
    }
    for (const [to, entries] of byShard) {
      counters.reassigned(entries.length)
      const sessionsOffset = this.#options.sessionsPosition(to)
      for (let from = 0; from < entries.length; from += entriesPerRecord) {
        waits++
        this.#append(to, 'Reassigned', { shard, term, sessionsOffset, entries: entries.slice(from, from + entriesPerRecord), at }, done)
      }
    }
    done()
  }

  #append<N extends RecordName>(partition: number, name: N, record: Records[N], done: () => void = nothing): void {
    const { appender, topics, now, onRefused } = this.#options
    this.#appending++
    appender.append({ topic: topics.inbox, partition, key: null, value: encodeRecord(name, record), timestamp: now() }, (error) => {
      this.#appending--
      if (error) onRefused(error)
      else done()
    })
  }
}

const nothing = (): void => {}

function add(
  byShard: Map<number, ReassignedEntry[]>,
  { session, subscription }: Member,
  { source, offset, size, expiresAt, qos, retain, group }: QueueEntry,
  from: { readonly clientId: string; readonly session: number },
): void {
  listOf(byShard, session.shard).push({
    source,
    offset,
    size,
    expiresAt: expiresAt || null,
    receiver: {
      clientId: session.clientId,
      session: session.id,
      qos: Math.min(qos, subscription.qos),
      retain: retain && subscription.retainAsPublished,
      subscriptionIdentifiers: subscription.subscriptionIdentifier === null ? [] : [subscription.subscriptionIdentifier],
      group,
    },
    fromClientId: from.clientId,
    fromSession: from.session,
  })
}

function listOf<K, V>(map: Map<K, V[]>, key: K): V[] {
  const list = map.get(key) ?? []
  map.set(key, list)
  return list
}
