/** Everything below the position is done, although work ends in any order. */
export class Watermark {
  #position: number
  #weight = 0
  readonly #open: { readonly to: number; readonly weight: number; waits: number }[] = []
  readonly #onMoved: () => void

  constructor(position: number, onMoved: () => void = () => {}) {
    this.#position = position
    this.#onMoved = onMoved
  }

  get position(): number {
    return this.#position
  }

  /** Sum of the weights of what is begun and not done. */
  get weight(): number {
    return this.#weight
  }

  /** Begins work on everything up to `to` (ascending) that ends when the returned function was called `waits` times. */
  begin(to: number, waits: number, weight = 0): () => void {
    const work = { to, weight, waits }
    this.#open.push(work)
    this.#weight += weight
    if (waits === 0) this.#advance()
    return () => {
      work.waits--
      if (work.waits === 0) this.#advance()
    }
  }

  #advance(): void {
    let moved = false
    while (this.#open[0]?.waits === 0) {
      const done = this.#open.shift() as { to: number; weight: number }
      this.#weight -= done.weight
      this.#position = done.to
      moved = true
    }
    if (moved) this.#onMoved()
  }
}
