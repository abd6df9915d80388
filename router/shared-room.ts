/**
 * How much members of shared subscriptions may be given now: what they are owed and what is on its way to their queues stays modest, so
 * that memory stays small and the spread even. What a group has no room for waits in the log (shared-lane.ts), not in queues.
 */
import type { QueueLimits } from '../model/queue-limits.ts'
import type { Session } from '../model/session.ts'
import type { SessionQueue } from '../model/session-queue.ts'

/** At most that share of what its queue may hold is given to a member. */
const takesShare = 4
/** Times as many may be owed to a member that goes on with a stream it has: it stays with it while others have no room either. */
const keepsTimes = 2
/** Who has had enough is given more again when so much of the room is free: a few large pieces instead of many small ones. */
const freeShare = 2

interface Load {
  messages: number
  bytes: number
}

export interface SharedRoomOptions {
  /** What the session has not acknowledged; undefined when its shard is another router's. */
  owed(session: Session): Pick<SessionQueue, 'length' | 'bytes'> | undefined
  /** Messages that a member may be owed when it is given one more. */
  readonly messagesMax: number
  /** Of sessions with a connection. */
  limits(): Pick<QueueLimits, 'messages' | 'bytes'>
}

export class SharedRoom {
  readonly #options: SharedRoomOptions
  /** Given by shards of this router, and not read back from the inbox yet. */
  #onTheWay = new WeakMap<Session, Load>()
  #onTheWayCount = 0
  /** Given within this second to sessions of other routers' shards: what those acknowledge is not seen here. */
  readonly #elsewhere = new Map<Session, Load>()
  /** By group: who goes on when a member has room. */
  readonly #waiting = new Map<string, Set<() => void>>()

  constructor(options: SharedRoomOptions) {
    this.#options = options
  }

  /** Messages that the session is owed, as far as is known here. */
  readonly debt = (session: Session): number => {
    const owed = this.#options.owed(session)
    return owed ? owed.length + (this.#onTheWay.get(session)?.messages ?? 0) : (this.#elsewhere.get(session)?.messages ?? 0)
  }

  /** It may be given what anybody may have. */
  readonly hasRoom = (session: Session): boolean => this.#isBelow(session, 1)

  /** It may go on with a stream that it has. */
  readonly mayKeep = (session: Session): boolean => this.#isBelow(session, keepsTimes)

  /** Much of its room is free. */
  readonly isFree = (session: Session): boolean => this.#isBelow(session, 1 / freeShare)

  given(session: Session, bytes: number): void {
    const isHere = this.#options.owed(session) !== undefined
    const loads = isHere ? this.#onTheWay : this.#elsewhere
    const load = loads.get(session)
    if (load) {
      load.messages++
      load.bytes += bytes
    } else loads.set(session, { messages: 1, bytes })
    if (isHere) this.#onTheWayCount++
  }

  /** Nothing is on its way: `arrived` need not be told. */
  get isIdle(): boolean {
    return this.#onTheWayCount === 0
  }

  /** What was given stands in the queue. */
  arrived(session: Session, bytes: number): void {
    const load = this.#onTheWay.get(session)
    if (!load || load.messages === 0) return
    load.messages--
    load.bytes = Math.max(0, load.bytes - bytes)
    this.#onTheWayCount--
  }

  /** A shard came or went: what was on its way may have come to nothing. */
  forget(): void {
    this.#onTheWay = new WeakMap()
    this.#onTheWayCount = 0
  }

  /** Calls back once when a member of the group may have room. */
  wait(group: string, retry: () => void): void {
    const waiting = this.#waiting.get(group)
    if (waiting) waiting.add(retry)
    else this.#waiting.set(group, new Set([retry]))
  }

  leave(group: string, retry: () => void): void {
    const waiting = this.#waiting.get(group)
    if (waiting?.delete(retry) && waiting.size === 0) this.#waiting.delete(group)
  }

  /** Somebody waits for a member. */
  get isAwaited(): boolean {
    return this.#waiting.size > 0
  }

  /** A member has acknowledged, has come, or has gone. */
  moved(group: string): void {
    const waiting = this.#waiting.get(group)
    if (!waiting) return
    this.#waiting.delete(group)
    for (const retry of waiting) retry()
  }

  /** Once a second. */
  tick(): void {
    this.#elsewhere.clear()
    for (const group of [...this.#waiting.keys()]) this.moved(group)
  }

  #isBelow(session: Session, times: number): boolean {
    const { messages, bytes } = this.#options.limits()
    const most = Math.max(1, Math.min(this.#options.messagesMax, messages / takesShare) * times)
    if (this.debt(session) >= most) return false
    const owed = this.#options.owed(session)
    const owedBytes = owed ? owed.bytes + (this.#onTheWay.get(session)?.bytes ?? 0) : (this.#elsewhere.get(session)?.bytes ?? 0)
    return owedBytes < (bytes / takesShare) * times
  }
}
