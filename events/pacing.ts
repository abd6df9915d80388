/** A rate that a receiver has agreed to, kept to the request: no burst after a quiet time, for it would be more than was agreed. */
export class Pacing {
  #nextAt = Number.NEGATIVE_INFINITY

  /** Milliseconds until a request may go; 0: it goes now and is counted. `perMinute` is above 0, or null for no limit. */
  take(perMinute: number | null, nowMs: number): number {
    if (perMinute === null) return 0
    if (nowMs < this.#nextAt) return Math.ceil(this.#nextAt - nowMs)
    this.#nextAt = nowMs + 60_000 / perMinute
    return 0
  }
}
