import type { Connection } from './connection.ts'

/** Who has something to write: once in a turn of the event loop, however much was gathered. */
export class Flushes {
  readonly #after: () => void
  #dirty: Connection[] = []
  #isScheduled = false

  /** `after`: called when a turn's output is written. */
  constructor(after: () => void) {
    this.#after = after
  }

  /** Output waits: `flush` is called before the turn of the event loop ends. */
  schedule(connection: Connection): void {
    if (connection.isFlushScheduled) return
    connection.isFlushScheduled = true
    this.#dirty.push(connection)
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.flush())
  }

  /** Writes what waits. */
  flush(): void {
    this.#isScheduled = false
    const dirty = this.#dirty
    this.#dirty = []
    for (const connection of dirty) {
      connection.isFlushScheduled = false
      connection.flush()
    }
    this.#after()
  }
}
