/**
 * Whether this process was paused: stopped, frozen with its machine, or moved to another. It goes on where it stood and
 * believes what it believed, while the others may have given it up. Pure; whoever asks brings the time of the wall clock, which
 * runs while a machine sleeps. A step of that clock looks like a pause.
 */
export class PauseWatch {
  readonly #longestMs: number
  #lookedAt: number

  /** Gaps of up to `longestMs` between two looks are a busy event loop. */
  constructor(longestMs: number, nowMs: number) {
    this.#longestMs = longestMs
    this.#lookedAt = nowMs
  }

  /** To be called several times in `longestMs`. Milliseconds since the last look when that was a pause, else 0; each pause is told once. */
  look(nowMs: number): number {
    const gap = nowMs - this.#lookedAt
    this.#lookedAt = nowMs
    return gap > this.#longestMs ? gap : 0
  }
}
