/**
 * What one client has been sent and has not acknowledged. Two sources, never both for one connection: a persistent
 * session's messages carry numbers from its shard's owner (`Owed`), a session that ends with its connection is
 * numbered here (`Direct`), numbers of shared subscriptions included (`Lent`).
 */
import type { LiveSession, Receiver } from '../proto/frames.ts'
import type { Outgoing } from './outgoing.ts'

const packetIdMax = 65_535

/** The packet id of a queue number: every process that sends it again uses the same. */
export const packetIdOf = (number: number): number => 1 + (number % packetIdMax)

/** QoS 1 messages that the client's shard owner has numbered. */
export class Owed {
  readonly #numbers = new Map<number, number>()
  #sent = -1

  get inflight(): number {
    return this.#numbers.size
  }

  /** Takes a number in: its packet id, `known` when it is on its way on this connection, `done` when it was acknowledged here. */
  take(number: number): number | 'known' | 'done' {
    const packetId = packetIdOf(number)
    if (number < this.#sent) return this.#numbers.get(packetId) === number ? 'known' : 'done'
    this.#sent = number + 1
    this.#numbers.set(packetId, number)
    return packetId
  }

  /** The number of an acknowledged packet id; null when none is in flight. */
  acknowledge(packetId: number): number | null {
    const number = this.#numbers.get(packetId)
    if (number === undefined) return null
    this.#numbers.delete(packetId)
    return number
  }

  /** Done without the client: expired or too large. */
  drop(number: number): void {
    this.#numbers.delete(packetIdOf(number))
  }

  state(connection: number, session: number): LiveSession {
    return { connection, session, sent: this.#sent, unacknowledged: [...this.#numbers.values()].sort((a, b) => a - b) }
  }
}

export interface Waiting {
  readonly message: Outgoing
  readonly receiver: Receiver
}

export interface DirectLimits {
  /** Messages in flight at most. */
  readonly receiveMaximum: number
  readonly messagesMax: number
  readonly bytesMax: number
}

/** QoS 1 messages of a session that ends with its connection: ids counted from 1, and a bounded queue behind the window. */
export class Direct {
  readonly #limits: DirectLimits
  readonly #inflight = new Set<number>()
  #waiting: Waiting[] = []
  #head = 0
  #waitingBytes = 0
  #lastId = 0

  constructor(limits: DirectLimits) {
    this.#limits = limits
  }

  get inflight(): number {
    return this.#inflight.size
  }

  get waiting(): number {
    return this.#waiting.length - this.#head
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** A message would go out at once. */
  get hasRoom(): boolean {
    return this.waiting === 0 && this.#inflight.size < this.#limits.receiveMaximum
  }

  /** The next packet id when the window has room and nobody waits before; else null. */
  take(): number | null {
    return this.waiting > 0 ? null : this.#next()
  }

  /** Puts a message behind the window; names the limit that keeps it out. What is bounded elsewhere is always taken. */
  wait(waiting: Waiting, isBounded = false): 'OUTBOUND_QUEUE_MESSAGES_MAX' | 'OUTBOUND_QUEUE_BYTES_MAX' | null {
    if (!isBounded && this.waiting >= this.#limits.messagesMax) return 'OUTBOUND_QUEUE_MESSAGES_MAX'
    if (!isBounded && this.#waitingBytes + waiting.message.size > this.#limits.bytesMax) return 'OUTBOUND_QUEUE_BYTES_MAX'
    this.#waiting.push(waiting)
    this.#waitingBytes += waiting.message.size
    return null
  }

  acknowledge(packetId: number): boolean {
    return this.#inflight.delete(packetId)
  }

  /** What may go now: the oldest waiting message with its packet id; null when the window is full or nothing waits. */
  shift(): { readonly waiting: Waiting; readonly packetId: number } | null {
    const waiting = this.#waiting[this.#head]
    if (waiting === undefined) return null
    const packetId = this.#next()
    if (packetId === null) return null
    this.#head++
    if (this.#head === this.#waiting.length || this.#head === 1024) {
      this.#waiting = this.#waiting.slice(this.#head)
      this.#head = 0
    }
    this.#waitingBytes -= waiting.message.size
    return { waiting, packetId }
  }

  #next(): number | null {
    if (this.#inflight.size >= this.#limits.receiveMaximum) return null
    do this.#lastId = this.#lastId === packetIdMax ? 1 : this.#lastId + 1
    while (this.#inflight.has(this.#lastId))
    this.#inflight.add(this.#lastId)
    return this.#lastId
  }
}
