/**
 * Which sessions without a connection, and which that are over, hold messages of which shared subscription, so that a member
 * that comes is offered those alone.
 */
import type { SessionQueue } from '../model/session-queue.ts'

/** A session, or what is left of one that is over. */
export interface Holder {
  readonly clientId: string
  readonly id: number
  readonly queue: SessionQueue
}

export class SharedWaiting {
  /** By `$share/{group}/{filter}`: who holds some, and the number of the first. */
  readonly #byGroup = new Map<string, Map<Holder, number>>()
  readonly #groupsOf = new Map<Holder, Set<string>>()

  isEmpty(group: string): boolean {
    return !this.#byGroup.has(group)
  }

  has(group: string, holder: Holder): boolean {
    return this.#byGroup.get(group)?.has(holder) ?? false
  }

  /** What it holds of the group begins with this number. */
  put(group: string, holder: Holder, first: number): void {
    const holders = this.#byGroup.get(group) ?? new Map<Holder, number>()
    this.#byGroup.set(group, holders.set(holder, first))
    const groups = this.#groupsOf.get(holder) ?? new Set<string>()
    this.#groupsOf.set(holder, groups.add(group))
  }

  /** Who has held some of the group for longest. */
  first(group: string): readonly [holder: Holder, first: number] | undefined {
    return this.#byGroup.get(group)?.entries().next().value
  }

  delete(group: string, holder: Holder): void {
    const holders = this.#byGroup.get(group)
    holders?.delete(holder)
    if (holders?.size === 0) this.#byGroup.delete(group)
    const groups = this.#groupsOf.get(holder)
    groups?.delete(group)
    if (groups?.size === 0) this.#groupsOf.delete(holder)
  }

  /** Who holds something of some group. */
  get holders(): Iterable<Holder> {
    return this.#groupsOf.keys()
  }

  /** It holds nothing for others any more. */
  forget(holder: Holder): void {
    for (const group of this.#groupsOf.get(holder) ?? []) this.delete(group, holder)
  }
}
