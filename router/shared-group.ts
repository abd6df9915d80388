import type { Session, Subscription } from '../model/session.ts'

/** A session and its subscription in a group. */
export interface Member {
  readonly session: Session
  readonly subscription: Subscription
}

/** Members looked at for one choice: a group of thousands must not cost thousands of steps a message. */
const candidatesMax = 16

/** The members of one shared subscription, and whose turn it is. */
export class SharedGroup {
  /** `$share/{group}/{filter}` */
  readonly filter: string
  readonly #members = new Map<Session, Subscription>()
  /** The same in a row, for turns. */
  #row: Session[] = []
  #turn = 0

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
    if (isNew) this.#row.push(session)
    return isNew
  }

  /** True when the session was a member. */
  remove(session: Session): boolean {
    if (!this.#members.delete(session)) return false
    this.#row = this.#row.filter((each) => each !== session)
    return true
  }

  member(session: Session): Member | undefined {
    const subscription = this.#members.get(session)
    return subscription && { session, subscription }
  }

  /**
   * The attached member that is owed least, among equals the one whose turn it is; without any a persistent one. Undefined
   * when nobody is eligible.
   */
  next(owed: (session: Session) => number, isEligible: (member: Member) => boolean = everybody): Member | undefined {
    const { length } = this.#row
    let best: Member | undefined
    let bestOwed = Number.POSITIVE_INFINITY
    let bestAt = 0
    let offline: Member | undefined
    let offlineAt = 0
    for (let step = 0, seen = 0; step < length && seen < candidatesMax; step++) {
      const at = (this.#turn + step) % length
      const session = this.#row[at] as Session
      if (!session.attached && (offline || !session.isPersistent)) continue
      const member = { session, subscription: this.#members.get(session) as Subscription }
      if (!isEligible(member)) continue
      if (!session.attached) {
        offline = member
        offlineAt = at
        continue
      }
      seen++
      const isOwed = owed(session)
      if (isOwed >= bestOwed) continue
      best = member
      bestOwed = isOwed
      bestAt = at
    }
    const chosen = best ?? offline
    if (chosen) this.#turn = (best ? bestAt : offlineAt) + 1
    return chosen
  }
}

const everybody = (): boolean => true
