/** A rate from here on is no limit: nothing is counted. */
export const unlimited = 1_000_000_000

/**
 * Holds a rate on average, with one second's worth at once. It goes into debt: what has come is taken, and its sender
 * waits until the debt is paid. So nothing waits in here, however many share a bucket, and the average is exact.
 */
export class TokenBucket {
  #tokens = 0
  #at = Number.NEGATIVE_INFINITY

  /** Takes `amount`, none to ask only; answers for how long nothing more should be taken, ms: 0 while the bucket owes nothing. */
  take(amount: number, ratePerSecond: number, nowMs: number): number {
    if (ratePerSecond >= unlimited) return 0
    this.#refill(ratePerSecond, nowMs)
    this.#tokens -= amount
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / ratePerSecond)
  }

  /** Takes one when there is a whole one; false when there is not. */
  tryTake(ratePerSecond: number, nowMs: number): boolean {
    if (ratePerSecond >= unlimited) return true
    this.#refill(ratePerSecond, nowMs)
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** A clock that is set back gives nothing and takes nothing. */
  #refill(ratePerSecond: number, nowMs: number): void {
    this.#tokens = Math.min(ratePerSecond, this.#tokens + (Math.max(0, nowMs - this.#at) * ratePerSecond) / 1000)
    this.#at = nowMs
  }
}
