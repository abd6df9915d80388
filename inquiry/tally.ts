/** How often something was, exactly, and for which client and topic, as far as there is room: what finds none is counted together. Pure. */

export interface Counted {
  readonly authenticationName: string
  readonly topic: string
  readonly count: number
  /** Positions in `messages`, partition:offset, of the first and the last one; missing where no message stands behind it. */
  readonly first?: string
  readonly last?: string
}

export interface Told {
  readonly count: number
  /** The most frequent ones. */
  readonly top: readonly Counted[]
  /** Of the count, those that `top` does not show. */
  readonly others: number
}

interface Pair {
  readonly authenticationName: string
  readonly topic: string
  count: number
  first: string | undefined
  last: string | undefined
}

export class Tally {
  readonly #pairsMax: number
  readonly #charactersMax: number
  readonly #pairs = new Map<string, Pair>()
  #count = 0
  #characters = 0

  /** `pairsMax` pairs of client and topic are told apart, and no more than have so many characters together. */
  constructor(pairsMax: number, charactersMax = 8 * 1024 * 1024) {
    this.#pairsMax = pairsMax
    this.#charactersMax = charactersMax
  }

  get count(): number {
    return this.#count
  }

  add(authenticationName: string, topic: string, place?: string, times = 1): void {
    this.#count += times
    const key = `${authenticationName}\n${topic}`
    let pair = this.#pairs.get(key)
    if (!pair) {
      if (this.#pairs.size >= this.#pairsMax || this.#characters + key.length > this.#charactersMax) return
      this.#characters += key.length
      pair = { authenticationName, topic, count: 0, first: place, last: undefined }
      this.#pairs.set(key, pair)
    }
    pair.count += times
    pair.last = place
  }

  told(top: number): Told {
    const shown = [...this.#pairs.values()]
      .sort((a, b) => b.count - a.count || (a.authenticationName < b.authenticationName ? -1 : 1))
      .slice(0, top)
      .map(({ authenticationName, topic, count, first, last }) => ({
        authenticationName,
        topic,
        count,
        ...(first === undefined ? {} : { first }),
        ...(last === undefined ? {} : { last }),
      }))
    return { count: this.#count, top: shown, others: this.#count - shown.reduce((sum, { count }) => sum + count, 0) }
  }
}
