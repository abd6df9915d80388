/**
 * Keeps a storm of equal lines from becoming a storm of log: so many of a kind are written a second, the others are
 * counted and told together when it is over. Pure.
 */
export interface Withheld {
  readonly kind: string
  readonly more: number
}

/** Kinds are texts of the code, not of clients; should they be many all the same, the others share a place. */
const kindsMax = 1000
const others = 'others'
const windowMs = 1000

export class Repeats {
  readonly #max: number
  /** Lines of the second, by kind. */
  readonly #counts = new Map<string, number>()
  #since = Number.NEGATIVE_INFINITY
  /** Not written and not told yet. */
  readonly #untold = new Map<string, number>()
  /** Lines that were not written, since the start. */
  withheld = 0

  /** `max`: lines of one kind a second. */
  constructor(max: number) {
    this.#max = max
  }

  /** Whether one more line of the kind is written. */
  take(kind: string, nowMs: number): boolean {
    // A clock that was set back begins a second, too.
    if (nowMs - this.#since >= windowMs || nowMs < this.#since) {
      this.#counts.clear()
      this.#since = nowMs
    }
    const own = this.#counts.has(kind) || this.#counts.size < kindsMax ? kind : others
    const count = (this.#counts.get(own) ?? 0) + 1
    this.#counts.set(own, count)
    if (count <= this.#max) return true
    this.withheld++
    this.#untold.set(own, (this.#untold.get(own) ?? 0) + 1)
    return false
  }

  /** What was withheld since this was asked last. */
  due(): readonly Withheld[] {
    const due = [...this.#untold].map(([kind, more]) => ({ kind, more }))
    this.#untold.clear()
    return due
  }
}
