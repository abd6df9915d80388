/**
 * What a member of a shared subscription leaves unacknowledged goes to other members, as far as they have room: a record in the
 * inbox of that one's shard first, then one in the own inbox that settles it here. Until then it stays in the queue it was in, whose
 * session may be over. A router that dies between the two leaves it to its successor to do it again: QoS 1 allows the repetition.
 */

import type { Appender } from '../log/log.ts'
import type { Over } from '../model/inbox-fold.ts'
import type { QueueLimitsInForce } from '../model/queue-limits.ts'
import type { Session } from '../model/session.ts'
import type { QueueEntry, SessionQueue } from '../model/session-queue.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { ReassignedEntry } from '../schemas/inbox-records.ts'
import type { RecordName, Records } from '../schemas/records.ts'
import type { Member } from './shared-group.ts'
import type { SharedRoom } from './shared-room.ts'
import { type Holder, SharedWaiting } from './shared-waiting.ts'

export interface SharedHandoverOptions {
  readonly shard: number
  readonly term: number
  readonly appender: Appender
  readonly topics: { readonly inbox: string }
  readonly counters: { dropped(reason: string, count: number): void; reassigned(count: number): void }
  readonly now: () => number
  anotherMember: AnotherMember
  readonly room: SharedRoom
  queueLimits(): QueueLimitsInForce
  /** Offset in `sessions` of a shard that the members were chosen with. */
  sessionsPosition(shard: number): number
  onRefused(error: Error): void
  /** The session's queue moved: its progress is to be journaled. */
  onSettled(session: Session): void
}

/** Whose session it is that leaves something. */
export interface Left {
  readonly clientId: string
  readonly session: number
}

/** Another member of the group than the one that leaves something: an attached one, else any unless `isAttached`. */
export type AnotherMember = (filter: string, left: Left, isAttached: boolean, owed: (session: Session) => number) => Member | undefined

/** Messages handed on, and entries looked at, before others have their turn. */
const handedPerTurn = 1_000
const lookedAtPerTurn = 10_000
/** Entries in one Reassigned record: it stays well below max.message.bytes. */
const entriesPerRecord = 1_000
/** Times as many messages as one queue may hold are kept of sessions that are over in a shard: what is above goes to members whether they have room or not. */
const orphanQueuesMax = 4

/** Why a message is given up when a session is over. */
type GivenUp = 'noMember' | 'sessionEnded'
/** Numbers in one Dropped record. */
const numbersPerRecord = 65_536

export class SharedHandover {
  readonly #options: SharedHandoverOptions
  /** Numbers that are on their way to another member, by the queue that they leave. */
  readonly #leaving = new WeakMap<SessionQueue, Set<number>>()
  /** What absent members hold at QoS 1. */
  readonly #waiting = new SharedWaiting()
  /** What those that are over have left. */
  readonly #orphaned = new SharedWaiting()
  /** The number up to which either is known. */
  readonly #surveyed = new WeakMap<Holder, number>()
  /** More was left than is kept. */
  #isCrowded = false
  /** Groups of which something is to be offered. */
  readonly #due = new Set<string>()
  /** Groups whose attached members have enough for now. */
  readonly #busy = new Map<string, () => void>()
  /** Records of offers on their way: what comes next waits for them. */
  #offersUnderWay = 0
  #isScheduled = false
  #isClosed = false
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
   * they stay here until one comes, as QoS 2 always does [MQTT-4.8.2-5].
   */
  leave(session: Session): void {
    this.#surveyed.delete(session)
    this.#waiting.forget(session)
    this.grew(session)
  }

  /** The queue of a session without a connection has new entries. */
  grew(session: Session): void {
    if (session.attached || session.isOver) return
    const { queue } = session
    for (const { number, qos, group } of queue.shared(this.#surveyed.get(session))) {
      if (qos !== 1 || group === null || this.#waiting.has(group, session)) continue
      this.#waiting.put(group, session, number)
      this.#due.add(group)
    }
    this.#surveyed.set(session, queue.next)
    this.#schedule()
  }

  /** The session has a connection, or is over: it holds nothing for others. */
  forget(session: Session): void {
    this.#surveyed.delete(session)
    this.#waiting.forget(session)
  }

  /** A member with a connection may be given what absent ones hold of the group. */
  memberCame(group: string): void {
    if (this.#isEmpty(group)) return
    this.#due.add(group)
    this.#schedule()
  }

  /** Once a second: members may take more. */
  tick(): void {
    this.#countOrphans()
  }

  close(): void {
    this.#isClosed = true
    for (const [group, retry] of this.#busy) this.#options.room.leave(group, retry)
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed || this.#offersUnderWay > 0 || this.#due.size === 0) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (!this.#isClosed && this.#offersUnderWay === 0) this.#offer()
    })
  }

  /** Hands on some of what is due, group by group. */
  #offer(): void {
    const turn = { handed: handedPerTurn, lookedAt: lookedAtPerTurn }
    for (const group of this.#due) {
      this.#due.delete(group)
      // Nobody else has the first.
      for (const from of [this.#orphaned, this.#waiting]) {
        let holder = from.first(group)
        while (holder && this.#handOn(group, from, ...holder, turn)) holder = from.first(group)
      }
      if (turn.handed > 0 && turn.lookedAt > 0) continue
      // Last in the row, so that no group waits for another's end.
      if (!this.#busy.has(group) && !this.#isEmpty(group)) this.#due.add(group)
      break
    }
    this.#schedule()
  }

  #isEmpty(group: string): boolean {
    return this.#waiting.isEmpty(group) && this.#orphaned.isEmpty(group)
  }

  /** True when all that it held of the group went to others; else nobody takes more, or the turn is over. */
  #handOn(group: string, from: SharedWaiting, holder: Holder, first: number, turn: { handed: number; lookedAt: number }): boolean {
    const left: Left = { clientId: holder.clientId, session: holder.id }
    const leaving = this.#leaving.get(holder.queue) ?? new Set<number>()
    const isOver = from === this.#orphaned
    const byShard = new Map<number, ReassignedEntry[]>()
    const numbers: number[] = []
    const nobodys: number[] = []
    let stoppedAt: number | undefined
    for (const entry of holder.queue.shared(first)) {
      if (turn.handed === 0 || turn.lookedAt === 0) {
        stoppedAt = entry.number
        break
      }
      turn.lookedAt--
      if (entry.group !== group || entry.qos !== 1 || leaving.has(entry.number)) continue
      const member = this.#takerOf(group, left, isOver)
      if (!member && isOver && !this.#busy.has(group)) {
        nobodys.push(entry.number)
        continue
      }
      if (!member) {
        stoppedAt = entry.number
        break
      }
      turn.handed--
      this.#give(byShard, member, entry, left)
      numbers.push(entry.number)
      leaving.add(entry.number)
    }
    if (stoppedAt === undefined) from.delete(group, holder)
    else from.put(group, holder, stoppedAt)
    this.#giveUp(holder, nobodys, 'noMember')
    if (numbers.length > 0) {
      this.#leaving.set(holder.queue, leaving)
      this.#offersUnderWay++
      this.#reassign(byShard, () => {
        this.#drop(holder, numbers, 'reassigned')
        this.#offersUnderWay--
        this.#schedule()
      })
    }
    return stoppedAt === undefined
  }

  /** A member with a connection that takes more; of what a session that is over has left, any when none has a connection. */
  #takerOf(group: string, left: Left, isOver: boolean): Member | undefined {
    const { anotherMember, room } = this.#options
    const member = anotherMember(group, left, !isOver, room.debt)
    if (!member || room.hasRoom(member.session) || (isOver && (this.#isCrowded || !member.session.attached))) return member
    this.#await(group)
    return undefined
  }

  #await(group: string): void {
    if (this.#busy.has(group)) return
    const retry = (): void => {
      this.#busy.delete(group)
      this.#due.add(group)
      this.#schedule()
    }
    this.#busy.set(group, retry)
    this.#options.room.wait(group, retry)
  }

  #giveUp(holder: Holder, numbers: readonly number[], reason: GivenUp): void {
    if (numbers.length === 0) return
    this.#options.counters.dropped(reason, numbers.length)
    this.#drop(holder, numbers, reason)
  }

  #drop({ clientId, id: session }: Holder, numbers: readonly number[], reason: GivenUp | 'reassigned'): void {
    const { shard, term } = this.#options
    for (let from = 0; from < numbers.length; from += numbersPerRecord) {
      this.#append(shard, 'Dropped', { shard, term, clientId, session, numbers: numbers.slice(from, from + numbersPerRecord), reason })
    }
  }

  #countOrphans(): void {
    const { messages, bytes } = this.#options.queueLimits().connected
    let held = 0
    let heldBytes = 0
    for (const { queue } of this.#orphaned.holders) {
      held += queue.sharedLength
      heldBytes += queue.bytes
    }
    this.#isCrowded = held > orphanQueuesMax * messages || heldBytes > orphanQueuesMax * bytes
  }

  #give(byShard: Map<number, ReassignedEntry[]>, member: Member, entry: QueueEntry, left: Left): void {
    this.#options.room.given(member.session, entry.size)
    add(byShard, member, entry, left)
  }

  /**
   * The session's queue moved by what was read of the inbox. Only there a message is settled that went to another member: an
   * owner that has lost the shard without knowing it must not send past one that nobody else was given.
   */
  moved(session: Session): void {
    const leaving = this.#leaving.get(session.queue)
    if (!leaving) return
    let isSettled = false
    for (const number of leaving) if (session.queue.isDone(number)) isSettled = leaving.delete(number) || isSettled
    if (isSettled) this.#options.onSettled(session)
  }

  /** The session is over: what it did not acknowledge at QoS 1 is any other member's, attached or not; QoS 2 goes with it [MQTT-4.8.2-5]. */
  inherit(over: Over): void {
    const { queue } = over
    const givenUp: number[] = []
    for (const { number, qos, group } of queue.shared(this.#surveyed.get(over))) {
      if (group === null) continue
      if (qos !== 1) givenUp.push(number)
      else if (!this.#orphaned.has(group, over)) {
        this.#orphaned.put(group, over, number)
        this.#due.add(group)
      }
    }
    this.#surveyed.set(over, queue.next)
    this.#giveUp(over, givenUp, 'sessionEnded')
    this.#countOrphans()
    this.#schedule()
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
  from: Left,
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
      replay: null,
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
