import type { HeldFilters } from './protocol.ts'

/** A filter of which something is on its way into the log. */
interface Moving {
  /** The session has it in the log, as far as the log has answered. What is to be taken back does not count. */
  isInLog: boolean
  /** The last SUBSCRIBE or UNSUBSCRIBE whose client waits for its answer; 0: none does. */
  last: number
  /** The last SUBSCRIBE among them. */
  lastAsk: number
  /** The last SUBSCRIBE that may have brought it into the log though its client was told no; 0: none. */
  doubted: number
  /** Records that the log has not answered, whether or not the client still waits. */
  unanswered: number
}

/**
 * The filters of one session as its gateway knows them, while SUBSCRIBEs and UNSUBSCRIBEs for the same filter may be on their way at once. Each is one
 * step with a number. Two things are told of a step: what its client heard (`granted`, `refused`) and what the log says (`stored`, `answered`), which can
 * be later, or never differ. The log answers in the order of the steps, and so do clients hear.
 */
export class SessionFilters implements HeldFilters {
  /** What the session has once everything on its way is done. */
  readonly named: Set<string>
  readonly unnamed: number
  readonly #moving = new Map<string, Moving>()
  #steps = 0

  /** `filters`: how many there are, where the session's owner did not name them. */
  constructor(filters: readonly string[] | number) {
    this.named = new Set(typeof filters === 'number' ? [] : filters)
    this.unnamed = typeof filters === 'number' ? filters : 0
  }

  /** A SUBSCRIBE goes to the log. Answers its number. */
  asked(filters: readonly string[]): number {
    const step = ++this.#steps
    for (const filter of new Set(filters)) {
      const moving = this.#move(filter)
      moving.last = moving.lastAsk = step
      this.named.add(filter)
    }
    return step
  }

  /** An UNSUBSCRIBE goes to the log. Answers its number. */
  askedToEnd(filters: readonly string[]): number {
    const step = ++this.#steps
    for (const filter of new Set(filters)) {
      this.#move(filter).last = step
      this.named.delete(filter)
    }
    return step
  }

  /** What takes filters back goes to the log. Answers its number. */
  askedBack(filters: readonly string[]): number {
    for (const filter of filters) this.#move(filter)
    return ++this.#steps
  }

  /** The log has answered a SUBSCRIBE. */
  subscribed(step: number, filters: readonly string[], isStored: boolean): void {
    this.#answered(filters, (moving) => {
      // One that was refused is taken back: only a later one makes it stay.
      if (!isStored || moving.doubted >= step) return
      moving.isInLog = true
      moving.doubted = 0
    })
  }

  /** The log has answered an UNSUBSCRIBE, maybe after its client was told no. */
  unsubscribed(step: number, filters: readonly string[], isStored: boolean): void {
    this.#answered(filters, (moving) => {
      if (!isStored) return
      moving.isInLog = false
      if (moving.doubted < step) moving.doubted = 0
    })
  }

  /** The log has answered what takes filters back; `written`: those that it names. */
  takenBack(step: number, filters: readonly string[], written: readonly string[], isStored: boolean): void {
    const gone = new Set(isStored ? written : [])
    this.#answered(filters, (moving, filter) => {
      if (gone.has(filter) && moving.doubted < step) moving.doubted = 0
    })
  }

  /** The client of a SUBSCRIBE or UNSUBSCRIBE has heard yes, or no where there is nothing to take back. */
  told(step: number, filters: readonly string[]): void {
    for (const filter of new Set(filters)) {
      const moving = this.#moving.get(filter)
      if (!moving) continue
      if (moving.lastAsk === step) moving.lastAsk = 0
      if (moving.last === step) moving.last = 0
      this.#settle(filter, moving)
    }
  }

  /**
   * The client of a SUBSCRIBE has heard no; `isUncertain`: it may be in the log all the same. Answers what is to be taken back: not what the session had
   * before, and not what a later SUBSCRIBE asks for again, whose answer decides.
   */
  refused(step: number, filters: readonly string[], isUncertain: boolean): readonly string[] {
    if (isUncertain) {
      for (const filter of filters) {
        const moving = this.#moving.get(filter)
        if (moving && !moving.isInLog) moving.doubted = step
      }
    }
    this.told(step, filters)
    return this.toTakeBack([...new Set(filters)])
  }

  /** Which of them are still to be taken back. */
  toTakeBack(filters: readonly string[]): readonly string[] {
    return filters.filter((filter) => {
      const moving = this.#moving.get(filter)
      return moving !== undefined && moving.doubted > 0 && moving.lastAsk === 0 && !moving.isInLog
    })
  }

  #move(filter: string): Moving {
    let moving = this.#moving.get(filter)
    if (!moving) {
      moving = { isInLog: this.named.has(filter), last: 0, lastAsk: 0, doubted: 0, unanswered: 0 }
      this.#moving.set(filter, moving)
    }
    moving.unanswered++
    return moving
  }

  #answered(filters: readonly string[], note: (moving: Moving, filter: string) => void): void {
    for (const filter of new Set(filters)) {
      const moving = this.#moving.get(filter)
      if (!moving) continue
      moving.unanswered--
      note(moving, filter)
      this.#settle(filter, moving)
    }
  }

  /** Where no client waits, what the log has counts. */
  #settle(filter: string, moving: Moving): void {
    if (moving.last > 0) return
    if (moving.isInLog) this.named.add(filter)
    else this.named.delete(filter)
    if (moving.unanswered === 0 && moving.doubted === 0) this.#moving.delete(filter)
  }
}
