/** Writes one subscription's dead letters away: several at a time, again when the place for them is away, and not for ever (PU-12). */
import { type RetrySchedule, retryWait } from '../../events/retry-schedule.ts'
import { AppendError } from '../../log/log.ts'
import type { EventPlace } from '../subscriptions/ledger.ts'

/** Dead letters that were written together, as they are read again. */
export interface WrittenDeadLetters {
  readonly sources: readonly EventPlace[]
  /** They are not dead any more: where that can be noted, they are not read again. */
  done(): Promise<void>
}

/** A dead letter as it is written. */
export interface EncodedDeadLetter {
  readonly body: Buffer
  /** Where the event stands in its topic. */
  readonly source: EventPlace | undefined
}

export interface DeadLetterSink {
  /** Throws for a document that can never be written, such as one that nests too deep. */
  encode(document: object): EncodedDeadLetter
  /** For each of them in turn why it is not written, undefined for one that is; rejects when none is. What is not is written again. */
  write(letters: readonly EncodedDeadLetter[]): Promise<readonly (Error | undefined)[]>
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
  /** An attempt failed for so many. */
  onFailed(error: Error, documents: number): void
  /** One can never be written: it is dropped. */
  onDropped(error: Error): void
}

interface Waiting {
  readonly letter: EncodedDeadLetter
  readonly since: number
  readonly settle: (isKept: boolean) => void
}

/** Documents of one write, and their bytes beyond the first. */
const documentsMax = 1_000
const bytesMax = 16 * 1024 * 1024

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
    const { sink, now, onDropped } = this.#options
    let letter: EncodedDeadLetter
    try {
      letter = sink.encode(document)
    } catch (error) {
      onDropped(error as Error)
      return Promise.resolve(false)
    }
    return new Promise((settle) => {
      this.#waiting.push({ letter, since: now(), settle })
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
    const { sink, schedule, periodMs, now, chance, onFailed, onDropped } = this.#options
    this.#isWriting = true
    const some = this.#some()
    let outcomes: readonly (Error | undefined)[]
    try {
      outcomes = await sink.write(some.map(({ letter }) => letter))
    } catch (error) {
      outcomes = some.map(() => error as Error)
    }
    this.#isWriting = false
    if (this.#isClosed) return
    // Others may have come behind them meanwhile.
    this.#waiting.splice(0, some.length)
    const again: Waiting[] = []
    let failure: Error | undefined
    let isAnyWritten = false
    for (const [index, each] of some.entries()) {
      const error = outcomes[index]
      if (error === undefined) {
        isAnyWritten = true
        each.settle(true)
      } else if (error instanceof AppendError && error.refusal === 'tooLarge') {
        onDropped(error)
        each.settle(false)
      } else {
        failure = error
        again.push(each)
      }
    }
    if (!failure) {
      this.#attempt = 0
      void this.#write()
      return
    }
    onFailed(failure, again.length)
    const tooOld = now() - periodMs
    // Those that failed stand behind the others, so that a thousand of them keep nobody waiting for ever.
    const waiting = [...this.#waiting, ...again]
    this.#waiting = waiting.filter(({ since }) => since > tooOld)
    for (const { since, settle } of waiting) if (since <= tooOld) settle(false)
    this.#attempt = isAnyWritten || this.#waiting.length === 0 ? 0 : this.#attempt + 1
    if (this.#attempt === 0) void this.#write()
    else this.#timer = setTimeout(() => void this.#write(), retryWait(schedule, this.#attempt, chance())).unref()
  }

  /** Those of the next write. */
  #some(): readonly Waiting[] {
    let bytes = 0
    const end = this.#waiting.findIndex(({ letter }, index) => {
      bytes += letter.body.length
      return index >= documentsMax || (index > 0 && bytes > bytesMax)
    })
    return this.#waiting.slice(0, end < 0 ? this.#waiting.length : end)
  }
}
