import { AppendError } from '../log/log.ts'

export interface AppendsOwner {
  /** What is answered later is answered to nobody. */
  readonly isOpen: boolean
  /** The process was paused, and the client may have gone on elsewhere. */
  readonly isDoubtful: boolean
  /** The log refused a record, and the client will be told so. */
  onNotInLog(error: AppendError): void
  /** Whether it is in the log is not known, or no cannot be said: nothing more can be promised on this connection. */
  onAppendFailed(error: AppendError): void
  /** One less is on its way. */
  onAppendAnswered(): void
}

/** How a client is answered when the log does not take a record, or says nothing. */
export interface AppendTerms {
  /** Milliseconds since the epoch: the client does not wait longer for its answer. Infinity: as long as it takes. */
  readonly until: number
  /** False: no cannot be said, and the connection ends instead. */
  readonly canRefuse: boolean
  /** The client may be told no though the record may be in the log all the same, or come to be. False: the connection ends instead. */
  readonly canDoubt: boolean
}

/** What a client is told of its record: `refused` and `unknown` are both no to it. */
export type Outcome = 'stored' | AppendError['outcome']

/** Waits for its yes, however long. */
export const onlyYes: AppendTerms = { until: Number.POSITIVE_INFINITY, canRefuse: false, canDoubt: false }

interface Pending {
  readonly terms: AppendTerms
  readonly answer: (outcome: Outcome) => void
  isAnswered: boolean
}

/** Records of a connection's session that are on their way into the log: the connection does not leave before they are answered. */
export class PendingAppends {
  readonly #owner: AppendsOwner
  #count = 0
  /** Those whose client does not wait for ever, in the order they were appended. */
  #bounded: Pending[] = []

  constructor(owner: AppendsOwner) {
    this.#owner = owner
  }

  get count(): number {
    return this.#count
  }

  /** When `giveUp` has something to do, ms since the epoch; Infinity: nothing. */
  get until(): number {
    return this.#bounded[0]?.terms.until ?? Number.POSITIVE_INFINITY
  }

  /** `answer` says yes or no, once. `onLog` hears what the log says, before that or long after: unless the connection is over. */
  add(
    append: (appended: (error: AppendError | null) => void) => void,
    answer: (outcome: Outcome) => void,
    terms: AppendTerms,
    onLog?: (isStored: boolean) => void,
  ): void {
    const pending = { terms, answer, isAnswered: false }
    if (terms.until !== Number.POSITIVE_INFINITY) this.#bounded.push(pending)
    this.#count++
    append((error) => {
      this.#count--
      if (!this.#owner.isOpen) return
      onLog?.(error === null)
      this.#settled(pending, error)
      if (this.#owner.isOpen) this.#owner.onAppendAnswered()
    })
  }

  /** Says no, or ends the connection, where the log has not answered in time. Answers how often. */
  giveUp(nowMs: number): number {
    let count = 0
    while (this.until <= nowMs && this.#owner.isOpen) {
      const pending = this.#bounded.shift() as Pending
      count++
      this.#refuse(pending, new AppendError('the log did not answer in time', 'unknown'))
    }
    return count
  }

  #settled(pending: Pending, error: AppendError | null): void {
    if (pending.isAnswered) return
    const at = this.#bounded.indexOf(pending)
    if (at >= 0) this.#bounded.splice(at, 1)
    if (error) this.#refuse(pending, error)
    else {
      pending.isAnswered = true
      pending.answer('stored')
    }
  }

  #refuse(pending: Pending, error: AppendError): void {
    const { canRefuse, canDoubt } = pending.terms
    pending.isAnswered = true
    // A client that has gone on elsewhere hears nothing here: what was done for it by then is not taken back behind its back.
    if (!canRefuse || (error.outcome === 'unknown' && (!canDoubt || this.#owner.isDoubtful))) {
      this.#owner.onAppendFailed(error)
      return
    }
    this.#owner.onNotInLog(error)
    pending.answer(error.outcome)
  }
}
