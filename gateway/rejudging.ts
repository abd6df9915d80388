/**
 * Judges everybody again after a change, a bounded number in a turn of the event loop. A change during a round does not
 * begin it anew, or a stream of changes would keep it from those at the end: another round follows.
 */
export class Rejudging<T> {
  readonly #everybody: () => Iterable<T>
  readonly #judge: (one: T) => number
  readonly #perTurn: number
  readonly #later: (turn: () => void) => void
  #round: Iterator<T> | null = null
  #hasChanged = false

  /** `judge` answers how many judgements it took; `perTurn` of them are a turn's work. */
  constructor(everybody: () => Iterable<T>, judge: (one: T) => number, perTurn: number, later: (turn: () => void) => void = setImmediate) {
    this.#everybody = everybody
    this.#judge = judge
    this.#perTurn = perTurn
    this.#later = later
  }

  changed(): void {
    this.#hasChanged = true
    if (this.#round === null) this.#turn()
  }

  #turn(): void {
    let judgements = 0
    while (judgements < this.#perTurn) {
      if (this.#round === null) {
        if (!this.#hasChanged) return
        this.#hasChanged = false
        // A copy: judging ends connections.
        this.#round = [...this.#everybody()].values()
      }
      const next = this.#round.next()
      if (next.done) this.#round = null
      else judgements += this.#judge(next.value)
    }
    this.#later(() => this.#turn())
  }
}
