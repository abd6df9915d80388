/**
 * Sending what one attached session is owed, pure: which number is next, whether it is a repeat, what is in flight. The
 * queue itself belongs to the fold; this is the part that a connection adds to it.
 */
import type { Session } from '../model/session.ts'

/** Packet ids derive from numbers modulo 65,535, so what is in flight spans fewer numbers than that. */
const numberSpanMax = 65_000

/** Bytes in flight to one client above which nothing more goes out: large messages must not flood a slow socket. One always may. */
const inFlightBytesMax = 1024 * 1024

export class ClientSession {
  readonly session: Session
  /** Number to look at next on this connection. */
  nextToSend: number
  /** Numbers sent on this connection and not done, with their sizes in bytes. */
  readonly inFlight = new Map<number, number>()
  #inFlightBytes = 0
  /** Numbers below this were sent on an earlier connection, or may have been: they carry DUP. */
  readonly #sentBefore: number
  /** QoS 2 numbers that were sent here and that the client has received: PUBREL goes out once a record says so. */
  readonly #unreleased = new Set<number>()
  /** Of those done before it was known here: for PUBREL at once. */
  readonly #late: number[] = []
  /** Its payload is being read: nothing behind it goes out before. */
  isReading = false
  /** What the gateway told and the fold has not all of yet. */
  #told: { readonly sent: number; readonly open: Set<number>; readonly received: ReadonlySet<number>; settled: number } | undefined

  constructor(session: Session, sentBefore: number) {
    this.session = session
    this.nextToSend = session.queue.cursor
    this.#sentBefore = sentBefore
  }

  /**
   * Goes on where the gateway says its connection is: everything below `sent` that is not listed is done; what was sent
   * and never arrived goes out again. Returns what became done.
   */
  resume(sent: number, unacknowledged: readonly number[], received: readonly number[] = []): number[] {
    this.#told = { sent, open: new Set(unacknowledged), received: new Set(received), settled: this.session.queue.cursor }
    this.#clear()
    // What the log knows to be done may be with the client still, from an owner that did not know: it fills the window [MQTT-3.3.4-9].
    for (const number of unacknowledged) {
      if (!this.session.queue.isDone(number)) continue
      this.inFlight.set(number, 0)
      if (this.#told.received.has(number)) this.#late.push(number)
    }
    this.nextToSend = Math.max(this.session.queue.cursor, sent)
    this.session.queue.sent = Math.max(this.session.queue.sent, sent)
    return this.settle()
  }

  /** Begins anew on a connection that the gateway has been sent nothing on. */
  restart(): void {
    this.#told = undefined
    this.#clear()
    this.nextToSend = this.session.queue.cursor
  }

  /**
   * Settles what the gateway told of numbers that the fold has only now: an owner before this one may have been ahead
   * of it. Returns what became done.
   */
  settle(): number[] {
    const told = this.#told
    if (!told) return []
    const { queue } = this.session
    const finished: number[] = []
    const end = Math.min(told.sent, queue.next)
    for (let number = Math.max(told.settled, queue.cursor); number < end; number++) {
      if (queue.isDone(number)) continue
      if (told.open.has(number)) {
        this.#add(number)
        if (told.received.has(number)) this.received(number)
      } else finished.push(number)
    }
    told.settled = Math.max(told.settled, end)
    if (queue.next >= told.sent) this.#told = undefined
    for (const number of finished) queue.finish(number)
    return finished
  }

  /** The next number that may go out now; undefined when there is none or the client's window is full. */
  next(): number | undefined {
    const { queue, attached } = this.session
    if (!attached || this.isReading) return undefined
    if (this.nextToSend < queue.cursor) this.nextToSend = queue.cursor
    while (this.nextToSend < queue.next && queue.isDone(this.nextToSend)) this.nextToSend++
    if (this.nextToSend >= queue.next) return undefined
    // PUBREL is not counted by the client's window (section 4.9).
    if (queue.isReceived(this.nextToSend)) return this.nextToSend
    if (this.inFlight.size >= attached.receiveMaximum || this.#inFlightBytes >= inFlightBytesMax) return undefined
    if (this.nextToSend - queue.cursor >= numberSpanMax) return undefined
    return this.nextToSend
  }

  /** The number went out; true when it carries DUP [MQTT-3.3.1-1]. */
  sent(number: number): boolean {
    this.#add(number)
    this.nextToSend = number + 1
    const { queue } = this.session
    if (queue.sent <= number) queue.sent = number + 1
    return number < this.#sentBefore
  }

  /** A QoS 2 message whose PUBLISH an earlier connection may have brought: its client may wait for PUBREL. */
  isHalfDone(number: number): boolean {
    return number < this.#sentBefore && this.session.queue.get(number)?.qos === 2
  }

  /** The client has received the number (PUBREC); false when it is done already. */
  received(number: number): boolean {
    if (!this.session.queue.receive(number)) {
      if (this.inFlight.has(number) && this.session.queue.isDone(number)) this.#late.push(number)
      return false
    }
    this.#unreleased.add(number)
    this.#lighten(number)
    return true
  }

  /** Numbers that the log knows to be done and whose PUBREL the client waits for all the same: nothing has to be written down before it. */
  takeLate(): readonly number[] {
    return this.#late.splice(0)
  }

  /** PUBREL goes out in the number's turn, as on a connection that did not bring its PUBLISH. */
  released(number: number): void {
    this.sent(number)
    this.#lighten(number)
  }

  /** True while PUBREL of some number waits for its record. */
  get hasUnreleased(): boolean {
    return this.#unreleased.size > 0
  }

  /** Numbers that the next record says are received, in the order of the PUBRECs: so PUBREL follows it [MQTT-4.6.0-4]. */
  takeUnreleased(): number[] {
    const numbers = [...this.#unreleased]
    this.#unreleased.clear()
    return numbers
  }

  /** The number is done; false when it was already. */
  finish(number: number): boolean {
    this.#inFlightBytes -= this.inFlight.get(number) ?? 0
    this.inFlight.delete(number)
    this.#unreleased.delete(number)
    this.#told?.open.delete(number)
    return this.session.queue.finish(number)
  }

  #add(number: number): void {
    const size = this.session.queue.get(number)?.size ?? 0
    this.#inFlightBytes += size - (this.inFlight.get(number) ?? 0)
    this.inFlight.set(number, size)
  }

  /** The client has its payload: it does not load the socket any more. */
  #lighten(number: number): void {
    const size = this.inFlight.get(number)
    if (size === undefined) return
    this.#inFlightBytes -= size
    this.inFlight.set(number, 0)
  }

  #clear(): void {
    this.inFlight.clear()
    this.#unreleased.clear()
    this.#late.length = 0
    this.#inFlightBytes = 0
  }
}
