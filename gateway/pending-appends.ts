import type { AppendError } from '../log/log.ts'

export interface AppendsOwner {
  /** What is answered later is answered to nobody. */
  readonly isOpen: boolean
  /** The log refused a record, and the client will be told so. */
  onNotInLog(error: AppendError): void
  /** Whether it is in the log is not known, or no cannot be said: nothing more can be promised on this connection. */
  onAppendFailed(error: AppendError): void
  /** One less is on its way. */
  onAppendAnswered(): void
}

/** Records of a connection's session that are on their way into the log: the connection does not leave before they are answered. */
export class PendingAppends {
  readonly #owner: AppendsOwner
  #count = 0

  constructor(owner: AppendsOwner) {
    this.#owner = owner
  }

  get count(): number {
    return this.#count
  }

  /**
   * `answer` says yes or no; `canRefuse` false: no cannot be said, and the connection ends. What may be in the log or not is for
   * the next connection to find out.
   */
  add(append: (appended: (error: AppendError | null) => void) => void, answer: (isInLog: boolean) => void, canRefuse = true): void {
    this.#count++
    append((error) => {
      this.#count--
      if (!this.#owner.isOpen) return
      if (error && (error.outcome === 'unknown' || !canRefuse)) {
        this.#owner.onAppendFailed(error)
        return
      }
      if (error) this.#owner.onNotInLog(error)
      answer(error === null)
      this.#owner.onAppendAnswered()
    })
  }
}
