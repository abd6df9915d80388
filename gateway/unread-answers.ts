/**
 * How much of what answers a client (PUBACK, SUBACK, PINGRESP and their like) its socket has not taken. Messages are bounded where they are
 * delivered; whoever asks and asks and reads nothing is bounded by not being read any further.
 */

/** Answers that were written one after the other, with messages between them. */
interface Stretch {
  /** Bytes written to the connection up to its end. */
  end: number
  answers: number
}

export class UnreadAnswers {
  readonly #stretchMax: number
  #written = 0
  #unread = 0
  #stretches: Stretch[] = []

  /** Exact to an eighth of `bytesMax`. */
  constructor(bytesMax: number) {
    this.#stretchMax = bytesMax / 8
  }

  /** `bytes` more were written, `answers` of them answers, and `waiting` of all are not taken. Gives the answers among those, bytes. */
  written(bytes: number, answers: number, waiting: number): number {
    this.#written += bytes
    if (waiting === 0) {
      if (this.#unread > 0) this.taken()
      return 0
    }
    if (answers > 0) this.#add(answers)
    const taken = this.#written - waiting
    let first = 0
    for (let stretch = this.#stretches[0]; stretch && stretch.end <= taken; stretch = this.#stretches[++first]) this.#unread -= stretch.answers
    if (first > 0) this.#stretches = this.#stretches.slice(first)
    return this.#unread
  }

  /** The socket has taken everything. */
  taken(): void {
    this.#unread = 0
    this.#stretches = []
  }

  #add(answers: number): void {
    this.#unread += answers
    const last = this.#stretches.at(-1)
    if (last && last.answers < this.#stretchMax) {
      last.end = this.#written
      last.answers += answers
    } else this.#stretches.push({ end: this.#written, answers })
  }
}
