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
  /** Records with QoS 2 receipts that are appended and not read back; at it progress waits, and shares the records behind. */
  readonly unreadMax: number
  /** `unreadMax` took effect. */
  onUnreadMax(): void
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
  /** Those, and what is on its way to become one of them. */
  #unreadCount = 0
  /** Goes on when one of them was read; undefined below the limit. */
  #room: Promise<void> | undefined
  #roomMade: (() => void) | undefined
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

  /** Resolves once everything noted so far is in the log; fails when the shard is let go of before it was handed to Kafka. */
  async written(): Promise<void> {
    const written: Promise<void>[] = []
    let isAll = true
    while (this.#progressed.size > 0 && !this.#isClosed) {
      const room = this.#awaitRoom()
      if (!room) written.push(this.#append())
      else {
        isAll = false
        await room
      }
    }
    if (this.#progressed.size > 0) throw new Error(`shard ${this.#options.shard} was let go of before its progress was written`)
    // One more when others may have written some of it: what is on its way already stands before it.
    if (written.length === 0 || !isAll) written.push(this.#append())
    await Promise.all(written)
  }

  close(): void {
    this.#isClosed = true
    this.#unread = []
    this.#makeRoom()
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
      this.#unreadCount--
      this.#makeRoom()
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
    void (this.#awaitRoom() ?? this.#append()).then(() => {
      this.#isWriting = false
      this.#write()
    })
  }

  /** While the inbox can be written and not read: what is noted meanwhile is held once a session, however much comes. */
  #awaitRoom(): Promise<void> | undefined {
    if (this.#unreadCount < this.#options.unreadMax) return undefined
    if (!this.#room) {
      this.#options.onUnreadMax()
      this.#room = new Promise((resolve) => {
        this.#roomMade = resolve
      })
    }
    return this.#room
  }

  #makeRoom(): void {
    this.#roomMade?.()
    this.#room = undefined
    this.#roomMade = undefined
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
    if (receiving.length > 0) this.#unreadCount++
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
