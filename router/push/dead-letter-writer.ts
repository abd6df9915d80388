/** Writes one subscription's dead letters away: several at a time, again when the place for them is away, and not for ever (PU-12). */
import { type RetrySchedule, retryWait } from '../../events/retry-schedule.ts'

/** Where an event stands in its topic. */
export interface DeadLetterSource {
  readonly partition: number
  readonly offset: number
}

/** Dead letters that were written together, as they are read again. */
export interface WrittenDeadLetters {
  readonly sources: readonly DeadLetterSource[]
  /** They are not dead any more: where that can be noted, they are not read again. */
  done(): Promise<void>
}

export interface DeadLetterSink {
  /** All of them or, when it rejects, perhaps some; they are written again then. */
  write(documents: readonly object[]): Promise<void>
  /** The subscription's dead letters that were written since a time, ms since the epoch. */
  read(sinceMs: number): AsyncIterable<WrittenDeadLetters>
}

export interface DeadLetterWriterOptions {
  readonly sink: DeadLetterSink
  /** Waits between attempts. */
  readonly schedule: RetrySchedule
  /** From the first attempt on, ms; what cannot be written by then is dropped. */
  readonly periodMs: number
  readonly now: () => number
  /** From 0 to 1. */
  readonly chance: () => number
  /** An attempt failed. */
  onFailed(error: Error, documents: number): void
}

interface Waiting {
  readonly document: object
  readonly since: number
  readonly settle: (isKept: boolean) => void
}

/** Documents of one write. */
const documentsMax = 1_000

export class DeadLetterWriter {
  readonly #options: DeadLetterWriterOptions
  #waiting: Waiting[] = []
  #isWriting = false
  #attempt = 0
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: DeadLetterWriterOptions) {
    this.#options = options
  }

  /** Those that are written. */
  read(sinceMs: number): AsyncIterable<WrittenDeadLetters> {
    return this.#options.sink.read(sinceMs)
  }

  /** Documents that are not written yet. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Resolves with true once it is written, with false when it was dropped, and not at all after `close`. */
  keep(document: object): Promise<boolean> {
    return new Promise((settle) => {
      this.#waiting.push({ document, since: this.#options.now(), settle })
      // What is given up in the same turn goes together.
      if (this.#attempt === 0) queueMicrotask(() => void this.#write())
    })
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  async #write(): Promise<void> {
    if (this.#isWriting || this.#isClosed || this.#waiting.length === 0) return
    const { sink, schedule, periodMs, now, chance, onFailed } = this.#options
    this.#isWriting = true
    const some = this.#waiting.slice(0, documentsMax)
    let isWritten = false
    try {
      await sink.write(some.map(({ document }) => document))
      isWritten = true
    } catch (error) {
      if (!this.#isClosed) onFailed(error as Error, some.length)
    }
    this.#isWriting = false
    if (this.#isClosed) return
    if (isWritten) {
      this.#attempt = 0
      this.#waiting.splice(0, some.length)
      for (const { settle } of some) settle(true)
      void this.#write()
      return
    }
    const tooOld = now() - periodMs
    const dropped = this.#waiting.filter(({ since }) => since <= tooOld)
    this.#waiting = this.#waiting.filter(({ since }) => since > tooOld)
    for (const { settle } of dropped) settle(false)
    this.#attempt++
    if (this.#waiting.length === 0) this.#attempt = 0
    else this.#timer = setTimeout(() => void this.#write(), retryWait(schedule, this.#attempt, chance())).unref()
  }
}
