/**
 * Which sessions without a connection hold messages of which shared subscription, so that a member that comes is offered
 * those alone.
 */
import type { Session } from '../model/session.ts'

export class SharedWaiting {
  /** By `$share/{group}/{filter}`: who holds some, and the number of the first. */
  readonly #byGroup = new Map<string, Map<Session, number>>()
  readonly #groupsOf = new Map<Session, Set<string>>()

  isEmpty(group: string): boolean {
    return !this.#byGroup.has(group)
  }

  has(group: string, session: Session): boolean {
    return this.#byGroup.get(group)?.has(session) ?? false
  }

  /** What the session holds of the group begins with this number. */
  put(group: string, session: Session, first: number): void {
    const sessions = this.#byGroup.get(group) ?? new Map<Session, number>()
    this.#byGroup.set(group, sessions.set(session, first))
    const groups = this.#groupsOf.get(session) ?? new Set<string>()
    this.#groupsOf.set(session, groups.add(group))
  }

  /** Who has held some of the group for longest. */
  first(group: string): readonly [session: Session, first: number] | undefined {
    return this.#byGroup.get(group)?.entries().next().value
  }

  delete(group: string, session: Session): void {
    const sessions = this.#byGroup.get(group)
    sessions?.delete(session)
    if (sessions?.size === 0) this.#byGroup.delete(group)
    const groups = this.#groupsOf.get(session)
    groups?.delete(group)
    if (groups?.size === 0) this.#groupsOf.delete(session)
  }

  /** The session has a connection, or is over. */
  forget(session: Session): void {
    for (const group of this.#groupsOf.get(session) ?? []) this.delete(group, session)
  }
}
