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
  /** Those stand in the log, and no other owner's term before them. */
  onReleasable(releases: readonly R[]): void
  /** The log knows so what the client has received and not completed: what waited behind it may go on. */
  onReceivedStand(session: Session): void
  /** An append was refused: this router must let go of the shard. */
  onRefused(error: Error): void
}

/** Sessions, and numbers above their cursors, in one Acknowledged record: it stays well below max.message.bytes. */
const sessionsPerRecord = 500
const numbersPerRecord = 65_536

/** What clients have received at QoS 2 by a record that is in the log. */
interface Received<R> {
  readonly offset: number
  readonly sessions: readonly { readonly session: Session; readonly received: readonly number[] }[]
  readonly releases: readonly R[]
}

/** How far the sessions of a shard have come, written into its inbox: many sessions to a record. */
export class ProgressJournal<R> {
  readonly #options: ProgressJournalOptions<R>
  readonly #progressed = new Set<Session>()
  /** Not read back yet, in the order of their offsets. */
  #unread: Received<R>[] = []
  #readTo = 0
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
    this.#unread = []
  }

  /**
   * The inbox was read up to the position, and this owner's term is still the newest. Only so is it known that a record counts: an owner that was
   * expelled and does not know still writes, behind its successor's term, and the successor would send again what was released by it.
   */
  read(position: number): void {
    this.#readTo = position
    while (!this.#isClosed) {
      const [first] = this.#unread
      if (!first || first.offset >= position) return
      this.#unread.shift()
      for (const { session, received } of first.sessions) {
        session.queue.confirmReceived(received)
        this.#options.onReceivedStand(session)
      }
      if (first.releases.length > 0) this.#options.onReleasable(first.releases)
    }
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
    const { shard, term, topic, now, appender, takeUnreleased, onRefused } = this.#options
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
      appender.append({ topic, partition: shard, key: null, value, timestamp: now() }, (error, offset) => {
        if (error) {
          onRefused(error)
          return
        }
        if (receiving.length > 0 && !this.#isClosed) {
          this.#unread.push({ offset, sessions: receiving, releases })
          // It may have been read before it was confirmed.
          this.read(this.#readTo)
        }
        resolve()
      }),
    )
  }
}
