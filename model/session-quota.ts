/**
 * How many sessions one authentication name may have (Event Grid's MS-01, MS-02, SE-06). The sessions of one name live in
 * different shards, whose owners decide at the same time: each has read every shard to its end since the attach it decides
 * about, so that of two that are one too many at least the later one sees the other.
 */
import { foldName } from './registry-view.ts'
import type { Session } from './session.ts'
import type { SessionChange, SessionFold } from './session-fold.ts'

/** The deployment's setting at this value limits nothing. */
export const unlimitedSessions = 1_000_000

/** A session that began this long ago has been decided about, ms. */
const settledMs = 3_000

/** The value in force: what the namespace says, else 1 in its preset `eventgrid`; the deployment's setting bounds it. */
export function sessionsPerName(
  namespace: { readonly maximumClientSessionsPerAuthenticationName?: number; readonly limits?: { readonly preset: string } } | undefined,
  setting: number,
): number {
  const chosen = namespace?.maximumClientSessionsPerAuthenticationName ?? (namespace?.limits?.preset === 'eventgrid' ? 1 : setting)
  return Math.min(chosen, setting)
}

/** What an attach is limited to; 0 for any number. Whoever gives no user name has one session (MS-02); strangers without a name share none. */
export function sessionsMaxOf({ kind, hasUserName }: { readonly kind: string; readonly hasUserName: boolean }, perName: number): number {
  if (perName >= unlimitedSessions || kind === 'internal') return 0
  if (hasUserName) return perName
  return kind === 'anonymous' ? 0 : 1
}

/** `undecided`: those that are too many came after it, and their owners may not have seen it. */
export type QuotaDecision = 'admitted' | 'refused' | 'undecided'

/** Whether the session, just begun, may be there beside the others of its name. Sessions without a connection count (SE-06). */
export function decideQuota(session: Session, ofName: Iterable<Session>, now: number): QuotaDecision {
  let others = 0
  let before = 0
  for (const other of ofName) {
    if (other === session || other.isOver || other.expiresAt <= now) continue
    others++
    if (isBefore(other, session, now)) before++
  }
  if (others < session.sessionsMax) return 'admitted'
  return before < session.sessionsMax ? 'undecided' : 'refused'
}

/** An order that all owners share, for sessions that begin at the same time; whatever is older is before both. */
function isBefore(other: Session, session: Session, now: number): boolean {
  const { attached } = other
  if (!attached || other.id !== other.epoch || now - attached.at >= settledMs) return true
  const at = session.attached?.at ?? 0
  return attached.at < at || (attached.at === at && other.clientId < session.clientId)
}

const nobody: ReadonlySet<Session> = new Set()

/** The live sessions of each name. Costs nothing until it is asked for the first time: most deployments limit nothing. */
export class SessionsByName {
  readonly #folds: readonly SessionFold[]
  #byName: Map<string, Set<Session>> | undefined

  constructor(folds: readonly SessionFold[]) {
    this.#folds = folds
  }

  of(authenticationName: string): ReadonlySet<Session> {
    if (!this.#byName) {
      this.#byName = new Map()
      for (const fold of this.#folds) for (const session of fold.sessions.values()) if (!session.isOver) this.#add(session)
    }
    return this.#byName.get(foldName(authenticationName)) ?? nobody
  }

  /** What a fold says has changed. */
  changed(change: SessionChange): void {
    if (!this.#byName) return
    if (change.kind === 'attached') this.#add(change.session)
    else if (change.kind === 'ended') this.#remove(change.session)
  }

  #add(session: Session): void {
    const name = foldName(session.authenticationName)
    const sessions = this.#byName?.get(name)
    if (sessions) sessions.add(session)
    else this.#byName?.set(name, new Set([session]))
  }

  #remove(session: Session): void {
    const name = foldName(session.authenticationName)
    const sessions = this.#byName?.get(name)
    sessions?.delete(session)
    if (sessions?.size === 0) this.#byName?.delete(name)
  }
}
