/** Which messages of one stream came to those who were to get them: a bit each, so that a second copy is known for what it is. */
export class Tracker {
  readonly #seen: Uint8Array
  readonly #messages: number
  unique = 0
  duplicates = 0

  constructor(messages: number) {
    this.#messages = messages
    this.#seen = new Uint8Array((messages >> 3) + 1)
  }

  /** True for a first copy. */
  take(sequence: number): boolean {
    if (sequence >= this.#messages) return false
    const at = sequence >> 3
    const bit = 1 << (sequence & 7)
    const byte = this.#seen[at] ?? 0
    if ((byte & bit) !== 0) {
      this.duplicates++
      return false
    }
    this.#seen[at] = byte | bit
    this.unique++
    return true
  }

  /** How many of these (a bit each) did not come. */
  missing(owed: Uint8Array): number {
    let count = 0
    for (const [at, bits] of owed.entries()) {
      for (let left = bits & ~(this.#seen[at] ?? 0); left !== 0; left &= left - 1) count++
    }
    return count
  }
}

/** What one subscriber gets of one stream: with the others of a shared subscription it has the tracker in common, the order is its own. */
export class Intake {
  readonly tracker: Tracker
  #highest = -1
  outOfOrder = 0

  constructor(tracker: Tracker) {
    this.tracker = tracker
  }

  /** True for a first copy. */
  take(sequence: number): boolean {
    if (!this.tracker.take(sequence)) return false
    if (sequence < this.#highest) this.outOfOrder++
    else this.#highest = sequence
    return true
  }
}
