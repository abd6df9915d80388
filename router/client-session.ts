/**
 * Sending what one attached session is owed, pure: which number is next, whether it is a repeat, what is in flight. The
 * queue itself belongs to the fold; this is the part that a connection adds to it.
 */
import type { Session } from '../model/session.ts'

/** Packet ids derive from numbers modulo 65,535, so what is in flight spans fewer numbers than that. */
const numberSpanMax = 65_000

export class ClientSession {
  readonly session: Session
  /** Number to look at next on this connection. */
  nextToSend: number
  /** Numbers sent on this connection and not done. */
  readonly inFlight = new Set<number>()
  /** Numbers below this were sent on an earlier connection, or may have been: they carry DUP. */
  readonly #sentBefore: number
  /** Its payload is being read: nothing behind it goes out before. */
  isReading = false

  constructor(session: Session, sentBefore: number) {
    this.session = session
    this.nextToSend = session.queue.cursor
    this.#sentBefore = sentBefore
  }

  /** Takes over a connection that another router served: everything below `sent` that is not listed is done. Returns what became done. */
  resume(sent: number, unacknowledged: readonly number[]): number[] {
    const { queue } = this.session
    const open = new Set(unacknowledged)
    const finished: number[] = []
    for (let number = queue.cursor; number < Math.min(sent, queue.next); number++) {
      if (queue.isDone(number)) continue
      if (open.has(number)) this.inFlight.add(number)
      else finished.push(number)
    }
    for (const number of finished) queue.finish(number)
    this.nextToSend = Math.max(this.nextToSend, sent)
    queue.sent = Math.max(queue.sent, sent)
    return finished
  }

  /** The next number that may go out now; undefined when there is none or the client's window is full. */
  next(): number | undefined {
    const { queue, attached } = this.session
    if (!attached || this.isReading) return undefined
    if (this.nextToSend < queue.cursor) this.nextToSend = queue.cursor
    while (this.nextToSend < queue.next && queue.isDone(this.nextToSend)) this.nextToSend++
    if (this.nextToSend >= queue.next) return undefined
    if (this.inFlight.size >= attached.receiveMaximum) return undefined
    if (this.nextToSend - queue.cursor >= numberSpanMax) return undefined
    return this.nextToSend
  }

  /** The number went out; true when it carries DUP [MQTT-3.3.1-1]. */
  sent(number: number): boolean {
    this.inFlight.add(number)
    this.nextToSend = number + 1
    const { queue } = this.session
    if (queue.sent <= number) queue.sent = number + 1
    return number < this.#sentBefore
  }

  /** The number is done; false when it was already. */
  finish(number: number): boolean {
    this.inFlight.delete(number)
    return this.session.queue.finish(number)
  }
}
