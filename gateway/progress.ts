/** Tells a socket that takes little from one that takes nothing: a slow client may be slow, a stuck one is ended. */
export class Progress {
  /** Since when bytes wait without any being taken, ms since the epoch; null when none wait. */
  #stuckSince: number | null = null
  #written = 0
  /** Of `#written`, what the network had taken at `#stuckSince`. */
  #takenThen = 0

  get stuckSince(): number | null {
    return this.#stuckSince
  }

  /** `bytes` were written, `waitingBytes` of all stand in the transport. True when watching begins. */
  written(bytes: number, waitingBytes: number, nowMs: number): boolean {
    this.#written += bytes
    if (this.#stuckSince !== null || waitingBytes === 0) return false
    this.#stuckSince = nowMs
    this.#takenThen = this.#written - waitingBytes
    return true
  }

  /** The transport has taken everything. */
  drained(): void {
    this.#stuckSince = null
  }

  /** Nothing was taken for `timeoutMs`. */
  isStuck(waitingBytes: number, nowMs: number, timeoutMs: number): boolean {
    if (this.#stuckSince === null) return false
    const taken = this.#written - waitingBytes
    if (waitingBytes === 0) this.#stuckSince = null
    else if (taken > this.#takenThen) {
      this.#stuckSince = nowMs
      this.#takenThen = taken
    } else return nowMs - this.#stuckSince >= timeoutMs
    return false
  }
}
