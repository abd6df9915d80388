/** When a message of the past is due again: as it was published, a number of times faster, or at once. */
export class Pace {
  readonly #speed: number | null
  #began: { readonly past: number; readonly now: number } | undefined

  /** 1 for the original pace, 10 for ten times that; null for none. */
  constructor(speed: number | null) {
    this.#speed = speed
  }

  /** Milliseconds until what was received then is due; 0 or less when it is. The first that is asked for is due at once. Times are milliseconds since the epoch. */
  dueInMs(receivedAt: number, now: number): number {
    if (this.#speed === null) return 0
    this.#began ??= { past: receivedAt, now }
    return (receivedAt - this.#began.past) / this.#speed - (now - this.#began.now)
  }
}
