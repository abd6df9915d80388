/**
 * Sessions of one shard that have just begun and whose authentication name may not have any number of them: each is
 * decided about once all shards are read to where it began, and answered then.
 */
import { foldName } from '../model/registry-view.ts'
import type { Session } from '../model/session.ts'
import { decideQuota } from '../model/session-quota.ts'

export interface NameQuotaOptions {
  /** The live sessions of an authentication name, of all shards. */
  ofName(authenticationName: string): Iterable<Session>
  /** Resolves once everything that is in `sessions` now has been folded. */
  catchUp(): Promise<void>
  readonly now: () => number
  onAdmitted(session: Session): void
  onRefused(session: Session): void
  onFailed(error: Error): void
}

/** One that is undecided is refused after this long: those that seemed to come after it were let in before it was seen, ms. */
const undecidedMs = 2_000

export class NameQuota {
  readonly #options: NameQuotaOptions
  /** When the shards had been read, or null before that. */
  readonly #undecided = new Map<Session, number | null>()

  constructor(options: NameQuotaOptions) {
    this.#options = options
  }

  isUndecided(session: Session): boolean {
    return this.#undecided.has(session)
  }

  decide(session: Session): void {
    // What is being read for an earlier connection of the session says as much.
    if (this.#undecided.has(session)) return
    this.#undecided.set(session, null)
    this.#options.catchUp().then(
      () => {
        if (!this.#undecided.has(session)) return
        this.#undecided.set(session, this.#options.now())
        this.#look(session)
      },
      (error: Error) => this.#options.onFailed(error),
    )
  }

  /** A session of the name has ended, in whatever shard. */
  freed(authenticationName: string): void {
    if (this.#undecided.size === 0) return
    const name = foldName(authenticationName)
    for (const session of [...this.#undecided.keys()]) if (foldName(session.authenticationName) === name) this.#look(session)
  }

  /** Once a second. */
  look(): void {
    for (const session of [...this.#undecided.keys()]) this.#look(session)
  }

  forget(session: Session): void {
    this.#undecided.delete(session)
  }

  #look(session: Session): void {
    const since = this.#undecided.get(session)
    if (since === null || since === undefined) return
    const now = this.#options.now()
    const decision = decideQuota(session, this.#options.ofName(session.authenticationName), now)
    if (decision === 'undecided' && now - since < undecidedMs) return
    if (decision !== 'admitted') {
      this.#options.onRefused(session)
      return
    }
    this.#undecided.delete(session)
    this.#options.onAdmitted(session)
  }
}
