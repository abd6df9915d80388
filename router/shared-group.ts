import type { Session, Subscription } from '../model/session.ts'

/** A session and its subscription in a group. */
export interface Member {
  readonly session: Session
  readonly subscription: Subscription
}

/** Members looked at for one choice: a group of thousands must not cost thousands of steps a message. */
const candidatesMax = 16

/** Sessions in a row, and whose turn it is. Who leaves gives its place to the last one: a step, however long the row. */
class Row {
  readonly #sessions: Session[] = []
  readonly #places = new Map<Session, number>()
  #turn = 0

  add(session: Session): void {
    if (this.#places.has(session)) return
    this.#places.set(session, this.#sessions.length)
    this.#sessions.push(session)
  }

  has(session: Session): boolean {
    return this.#places.has(session)
  }

  get isEmpty(): boolean {
    return this.#sessions.length === 0
  }

  remove(session: Session): void {
    const place = this.#places.get(session)
    if (place === undefined) return
    this.#places.delete(session)
    const last = this.#sessions.pop() as Session
    if (last === session) return
    this.#sessions[place] = last
    this.#places.set(last, place)
  }

  /** Of the next few the one that is owed least, among equals the one whose turn it is. */
  next(owed: (session: Session) => number, isEligible: (session: Session) => boolean, most: number): Session | undefined {
    const { length } = this.#sessions
    let best: Session | undefined
    let bestOwed = Number.POSITIVE_INFINITY
    let bestAt = 0
    for (let step = 0, seen = 0; step < length && seen < most; step++) {
      const at = (this.#turn + step) % length
      const session = this.#sessions[at] as Session
      if (!isEligible(session)) continue
      seen++
      const isOwed = owed(session)
      if (isOwed >= bestOwed) continue
      best = session
      bestOwed = isOwed
      bestAt = at
    }
    if (best) this.#turn = bestAt + 1
    return best
  }
}

/** The members of one shared subscription, and whose turn it is. */
export class SharedGroup {
  /** `$share/{group}/{filter}` */
  readonly filter: string
  readonly #members = new Map<Session, Subscription>()
  readonly #attached = new Row()
  /** Persistent ones without a connection. */
  readonly #away = new Row()
  /** Of both those that were granted QoS 1 or more: they may be given what another leaves. */
  readonly #attachedKeepers = new Row()
  readonly #awayKeepers = new Row()

  constructor(filter: string) {
    this.filter = filter
  }

  get size(): number {
    return this.#members.size
  }

  /** True when the session is a new member. */
  add(session: Session, subscription: Subscription): boolean {
    const isNew = !this.#members.has(session)
    this.#members.set(session, subscription)
    this.connectionChanged(session)
    return isNew
  }

  /** True when the session was a member. */
  remove(session: Session): boolean {
    if (!this.#members.delete(session)) return false
    for (const row of [this.#attached, this.#away, this.#attachedKeepers, this.#awayKeepers]) row.remove(session)
    return true
  }

  /** To be called when a member has got or lost its connection. */
  connectionChanged(session: Session): void {
    const subscription = this.#members.get(session)
    if (!subscription) return
    const isAttached = session.attached !== null
    const isAway = !isAttached && session.isPersistent
    const keeps = subscription.qos > 0
    place(this.#attached, session, isAttached)
    place(this.#away, session, isAway)
    place(this.#attachedKeepers, session, isAttached && keeps)
    place(this.#awayKeepers, session, isAway && keeps)
  }

  /** The session may be given what others leave, now. */
  isAttachedKeeper(session: Session): boolean {
    return this.#attachedKeepers.has(session)
  }

  member(session: Session): Member | undefined {
    const subscription = this.#members.get(session)
    return subscription && { session, subscription }
  }

  /**
   * The attached member that is owed least, among equals the one whose turn it is; without any a persistent one. Undefined
   * when there is nobody.
   */
  next(owed: (session: Session) => number): Member | undefined {
    return this.#memberOf(this.#attached.next(owed, everybody, candidatesMax) ?? this.#away.next(owed, everybody, 1))
  }

  /**
   * Of the attached members with room the one that is owed least, among equals the one whose turn it is. Who was granted QoS 0 is owed nothing and has
   * room, unless the message goes into queues.
   */
  nextAttached(owed: (session: Session) => number, hasRoom: (session: Session) => boolean, isQueued = false): Member | undefined {
    const isEligible = (session: Session): boolean => (!isQueued && this.#members.get(session)?.qos === 0) || hasRoom(session)
    return this.#memberOf(this.#attached.next(owed, isEligible, candidatesMax))
  }

  /** Some member has a connection. */
  get hasAttached(): boolean {
    return !this.#attached.isEmpty
  }

  /** Some persistent member has none. */
  get hasAway(): boolean {
    return !this.#away.isEmpty
  }

  /** The same, of those but one that were granted QoS 1 or more: at QoS 0 nobody would know whether what is left arrived. */
  nextKeeper(owed: (session: Session) => number, isOther: (session: Session) => boolean, isAttached: boolean): Member | undefined {
    const attached = this.#attachedKeepers.next(owed, isOther, candidatesMax)
    return this.#memberOf(attached ?? (isAttached ? undefined : this.#awayKeepers.next(owed, isOther, 1)))
  }

  #memberOf(session: Session | undefined): Member | undefined {
    return session && this.member(session)
  }
}

function place(row: Row, session: Session, belongs: boolean): void {
  if (belongs) row.add(session)
  else row.remove(session)
}

const everybody = (): boolean => true
