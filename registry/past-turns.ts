import { Problem } from './problem.ts'

/** Who reads the past at one time: each holds a fetch, and the time of this process. */
export class PastTurns {
  readonly #max: number
  readonly #onLimit: (limit: 'HISTORY_STREAMS_MAX') => void
  #underWay = 0

  constructor(max: number, onLimit: (limit: 'HISTORY_STREAMS_MAX') => void) {
    this.#max = max
    this.#onLimit = onLimit
  }

  /** A turn, until what it answers is called. Throws Problem when there are too many. */
  begin(): () => void {
    if (this.#underWay >= this.#max) {
      this.#onLimit('HISTORY_STREAMS_MAX')
      throw new Problem(503, `${this.#max} streams of the past are under way, which is the most (HISTORY_STREAMS_MAX)`, { retryAfter: 5 })
    }
    this.#underWay++
    return () => {
      this.#underWay--
    }
  }
}
