/** A connection whose socket is not read. */
interface Unread {
  resumeReading(reason: 'log' | 'registry'): void
}

/** How the log and the registry are, as far as reading depends on them. */
export interface Room {
  /** Of the log, bytes: what waits for it. */
  readonly pendingBytes: () => number
  /** KAFKA_BYTES_WAITING_MAX, as it is now. */
  readonly pendingBytesMax: () => number
  /** Confirmed within REGISTRY_STALE. */
  readonly isRegistryCurrent: () => boolean
}

/** Connections that are not read until the log has room, or the registry is current. */
export class UnreadConnections {
  readonly #room: Room
  readonly #forLog = new Set<Unread>()
  readonly #forRegistry = new Set<Unread>()

  constructor(room: Room) {
    this.#room = room
  }

  get size(): number {
    return this.#forLog.size + this.#forRegistry.size
  }

  /** Resumes with `resumeReading(reason)`. */
  add(connection: Unread, reason: 'log' | 'registry'): void {
    ;(reason === 'log' ? this.#forLog : this.#forRegistry).add(connection)
  }

  remove(connection: Unread): void {
    this.#forLog.delete(connection)
    this.#forRegistry.delete(connection)
  }

  look(): void {
    this.resumeForLog()
    if (this.#forRegistry.size === 0 || !this.#room.isRegistryCurrent()) return
    for (const connection of [...this.#forRegistry]) {
      this.#forRegistry.delete(connection)
      connection.resumeReading('registry')
    }
  }

  /** Those who wait for the log go on when half of it is free, until it is full again. */
  resumeForLog(): void {
    if (this.#forLog.size === 0) return
    const { pendingBytes, pendingBytesMax } = this.#room
    const bytesMax = pendingBytesMax()
    if (pendingBytes() * 2 > bytesMax) return
    for (const connection of [...this.#forLog]) {
      this.#forLog.delete(connection)
      connection.resumeReading('log')
      if (pendingBytes() > bytesMax) return
    }
  }
}
