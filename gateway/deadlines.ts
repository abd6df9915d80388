/**
 * One timer for the deadlines of all connections. Each connection has one deadline at a time (TLS handshake and
 * CONNECT, attach answer, keep alive …) and checks itself when it comes: moving a deadline further into the future
 * costs nothing, because the wheel only looks at a connection when its slot comes round.
 */
export interface Timed {
  /** Called when the slot of its deadline has come; answers the next moment to look again (ms), or null for never. */
  onDeadline(nowMs: number): number | null
}

/** Width of a slot, ms: how late a deadline may be noticed. */
const slotMs = 250
const slots = 1024

export class Deadlines {
  readonly #wheel: Set<Timed>[] = Array.from({ length: slots }, () => new Set())
  readonly #slotOf = new Map<Timed, number>()
  #turnedTo: number
  #timer: NodeJS.Timeout | null = null

  constructor(nowMs: number) {
    this.#turnedTo = Math.floor(nowMs / slotMs)
  }

  start(now: () => number): void {
    this.#timer = setInterval(() => this.turn(now()), slotMs)
    this.#timer.unref()
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer)
  }

  /** Looks at `timed` at `atMs`, or a little later; replaces its earlier deadline. */
  set(timed: Timed, atMs: number): void {
    this.remove(timed)
    // What lies beyond one turn of the wheel is looked at early and put back.
    const slot = Math.min(Math.max(Math.floor(atMs / slotMs) + 1, this.#turnedTo + 1), this.#turnedTo + slots - 1) % slots
    this.#slotOf.set(timed, slot)
    ;(this.#wheel[slot] as Set<Timed>).add(timed)
  }

  remove(timed: Timed): void {
    const slot = this.#slotOf.get(timed)
    if (slot === undefined) return
    this.#slotOf.delete(timed)
    ;(this.#wheel[slot] as Set<Timed>).delete(timed)
  }

  turn(nowMs: number): void {
    const current = Math.floor(nowMs / slotMs)
    // After a long pause of the process one whole turn sees everybody.
    const first = Math.max(this.#turnedTo + 1, current - slots + 1)
    for (let slot = first; slot <= current; slot++) {
      this.#turnedTo = slot
      const due = this.#wheel[slot % slots] as Set<Timed>
      if (due.size === 0) continue
      const all = [...due]
      due.clear()
      for (const timed of all) {
        if (!this.#slotOf.delete(timed)) continue
        const next = timed.onDeadline(nowMs)
        if (next !== null) this.set(timed, next)
      }
    }
  }
}
