/** What goes wrong again and again is told once in a while, with how often it was not. */
const tellMs = 30_000
/** Names remembered: more than there can be routes at a time. */
const knownMax = 2_000

export class Troubles {
  readonly #now: () => number
  readonly #told = new Map<string, { at: number; untold: number }>()

  constructor(now: () => number) {
    this.#now = now
  }

  /** Calls `tell` at most once in 30 s for one key, with the number of times that it was not called since. */
  tell(key: string, tell: (untold: number) => void): void {
    const known = this.#told.get(key)
    if (known && this.#now() - known.at < tellMs) {
      known.untold++
      return
    }
    if (this.#told.size >= knownMax) this.#told.clear()
    this.#told.set(key, { at: this.#now(), untold: 0 })
    tell(known?.untold ?? 0)
  }
}
