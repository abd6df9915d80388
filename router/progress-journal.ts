import type { Appender } from '../log/log.ts'
import type { Session } from '../model/session.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { Records } from '../schemas/records.ts'

export interface ProgressJournalOptions<R> {
  readonly shard: number
  readonly term: number
  readonly appender: Appender
  /** The namespace's `inbox`. */
  readonly topic: string
  readonly now: () => number
  /** What the session's connection can be released from once the record that is being made is in the log; null for nothing. */
  takeUnreleased(session: Session): R | null
  /** Those stand in the log. */
  onReleasable(releases: readonly R[]): void
  /** The log knows what the client has received and not completed: what waited behind it may go on. */
  onReceivedStand(session: Session): void
  /** An append was refused: this router must let go of the shard. */
  onRefused(error: Error): void
}

/** Sessions, and numbers above their cursors, in one Acknowledged record: it stays well below max.message.bytes. */
const sessionsPerRecord = 500
const numbersPerRecord = 65_536

/** How far the sessions of a shard have come, written into its inbox: many sessions to a record. */
export class ProgressJournal<R> {
  readonly #options: ProgressJournalOptions<R>
  readonly #progressed = new Set<Session>()
  #isWriting = false
  #isScheduled = false
  #isClosed = false

  constructor(options: ProgressJournalOptions<R>) {
    this.#options = options
  }

  /** The session has come further. */
  note(session: Session): void {
    this.#progressed.add(session)
    if (this.#isWriting || this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#write()
    })
  }

  /** The session is over; true when something of it was still to be written. */
  forget(session: Session): boolean {
    return this.#progressed.delete(session)
  }

  /** Resolves once everything noted so far is in the log. */
  async written(): Promise<void> {
    const written: Promise<void>[] = []
    while (this.#progressed.size > 0 && !this.#isClosed) written.push(this.#append())
    // One more when there was nothing: what is on its way already stands before it.
    await Promise.all(written.length > 0 ? written : [this.#append()])
  }

  close(): void {
    this.#isClosed = true
  }

  /** One record at a time is on its way: what is noted meanwhile shares the next. */
  #write(): void {
    if (this.#isWriting || this.#isClosed || this.#progressed.size === 0) return
    this.#isWriting = true
    void this.#append().then(() => {
      this.#isWriting = false
      this.#write()
    })
  }

  /** Takes what fits into one record. */
  #append(): Promise<void> {
    const { shard, term, topic, now, appender, takeUnreleased, onReleasable, onReceivedStand, onRefused } = this.#options
    const sessions: Records['Acknowledged']['sessions'][number][] = []
    const releases: R[] = []
    const receiving: { readonly session: Session; readonly received: readonly number[] }[] = []
    let numbers = 0
    for (const session of this.#progressed) {
      this.#progressed.delete(session)
      if (session.isOver) continue
      const { queue } = session
      const above = queue.doneAbove
      const { received } = queue
      numbers += above.length + received.length
      sessions.push({ clientId: session.clientId, session: session.id, cursor: queue.cursor, above, sent: queue.sent, received })
      if (received.length > 0) {
        receiving.push({ session, received })
        const release = takeUnreleased(session)
        if (release) releases.push(release)
      }
      if (sessions.length === sessionsPerRecord || numbers >= numbersPerRecord) break
    }
    const value = encodeRecord('Acknowledged', { shard, term, sessions })
    return new Promise((resolve) =>
      appender.append({ topic, partition: shard, key: null, value, timestamp: now() }, (error) => {
        if (error) {
          onRefused(error)
          return
        }
        for (const { session, received } of receiving) {
          session.queue.confirmReceived(received)
          onReceivedStand(session)
        }
        if (releases.length > 0) onReleasable(releases)
        resolve()
      }),
    )
  }
}
