/** Sessions to be looked at in some second to come, each in one place only. */
import type { Session } from '../model/session.ts'

export class SecondWheel {
  readonly #bySecond = new Map<number, Set<Session>>()
  readonly #secondOf = new WeakMap<Session, number>()

  /** Looked at earlier than needed a session is put off then; later it must not be. */
  put(session: Session, atMs: number): void {
    const second = Math.ceil(atMs / 1000)
    const before = this.#secondOf.get(session)
    if (before !== undefined && before <= second) return
    if (before !== undefined) this.#bySecond.get(before)?.delete(session)
    this.#secondOf.set(session, second)
    const sessions = this.#bySecond.get(second) ?? new Set<Session>()
    this.#bySecond.set(second, sessions)
    sessions.add(session)
  }

  /** Takes those whose second has come. */
  due(nowMs: number): Session[] {
    const due: Session[] = []
    for (const [second, sessions] of this.#bySecond) {
      if (second * 1000 > nowMs) continue
      this.#bySecond.delete(second)
      for (const session of sessions) {
        this.#secondOf.delete(session)
        due.push(session)
      }
    }
    return due
  }
}
