/** Writes what it has gathered when it is told to. */
interface Writer {
  /** Kept here: it is in the list. */
  isFlushScheduled: boolean
  flush(): void
}

/** Who has something to write: once in a turn of the event loop, however much was gathered. */
export class Flushes {
  readonly #after: () => void
  #dirty: Writer[] = []
  #isScheduled = false

  /** `after`: called when a turn's output is written. */
  constructor(after: () => void) {
    this.#after = after
  }

  /** Output waits: `flush` is called before the turn of the event loop ends. */
  schedule(writer: Writer): void {
    if (writer.isFlushScheduled) return
    writer.isFlushScheduled = true
    this.#dirty.push(writer)
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.flush())
  }

  /** Writes what waits. */
  flush(): void {
    this.#isScheduled = false
    const dirty = this.#dirty
    this.#dirty = []
    for (const writer of dirty) {
      writer.isFlushScheduled = false
      writer.flush()
    }
    this.#after()
  }
}
