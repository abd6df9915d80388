/** Bytes that may be held at one time by all who share it. */
export class ByteBudget {
  readonly #most: () => number
  #held = 0

  constructor(most: () => number) {
    this.#most = most
  }

  get held(): number {
    return this.#held
  }

  /** False when there is no room. */
  tryTake(bytes: number): boolean {
    if (this.#held + bytes > this.#most()) return false
    this.#held += bytes
    return true
  }

  give(bytes: number): void {
    this.#held -= bytes
  }
}
