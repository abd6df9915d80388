/**
 * What one client has been sent and has not acknowledged. Two sources, never both for one connection: a persistent
 * session's messages carry numbers from its shard's owner (`Owed`), a session that ends with its connection is
 * numbered here (`Direct`), numbers of shared subscriptions included (`Lent`).
 */
import type { LiveSession, Receiver } from '../proto/frames.ts'
import type { Outgoing } from './outgoing.ts'
import { type Flight, PacketWindow } from './packet-window.ts'

const packetIdMax = 65_535

/** The packet id of a queue number: every process that sends it again uses the same. */
export const packetIdOf = (number: number): number => 1 + (number % packetIdMax)

/** One at QoS 0 waits for nothing of its client's, but for room. */
const unwritten = 'unwritten'

interface Numbered {
  readonly number: number
  flight: Flight | typeof unwritten
}

/** QoS 1 and 2 messages that the client's shard owner has numbered. */
export class Owed {
  readonly #numbers = new Map<number, Numbered>()
  #sent = -1

  get inflight(): number {
    return this.#numbers.size
  }

  /** Takes a number in: its packet id, `known` when it is on its way on this connection, `done` when it was acknowledged here. */
  take(number: number, qos: 0 | 1 | 2): number | 'known' | 'done' {
    const packetId = packetIdOf(number)
    if (number < this.#sent) return this.#numbers.get(packetId)?.number === number ? 'known' : 'done'
    this.#sent = number + 1
    this.#numbers.set(packetId, { number, flight: qos === 0 ? unwritten : qos === 1 ? 'puback' : 'pubrec' })
    return packetId
  }

  /** What the packet id in flight waits for; null when none is. */
  flight(packetId: number): Flight | null {
    const flight = this.#numbers.get(packetId)?.flight ?? null
    return flight === unwritten ? null : flight
  }

  /** The client has received it (PUBREC): its number. */
  receive(packetId: number): number | null {
    const numbered = this.#numbers.get(packetId)
    if (!numbered) return null
    numbered.flight = 'release'
    return numbered.number
  }

  /** PUBREL may go out: its packet id; null when it went out on this connection already. An earlier connection may have brought the message. */
  release(number: number): number | null {
    const packetId = packetIdOf(number)
    const known = this.#numbers.get(packetId)
    if (known?.number === number && known.flight === 'pubcomp') return null
    this.#sent = Math.max(this.#sent, number + 1)
    this.#numbers.set(packetId, { number, flight: 'pubcomp' })
    return packetId
  }

  /** The number of a packet id that is done; null when none is in flight. */
  acknowledge(packetId: number): number | null {
    const numbered = this.#numbers.get(packetId)
    if (numbered === undefined) return null
    this.#numbers.delete(packetId)
    return numbered.number
  }

  /** Done without the client: expired, too large, or at QoS 0. */
  drop(number: number): void {
    this.#numbers.delete(packetIdOf(number))
  }

  state(connection: number, session: number): LiveSession {
    const inFlight = [...this.#numbers.values()].sort((a, b) => a.number - b.number)
    const received = inFlight.filter(({ flight }) => flight === 'release' || flight === 'pubcomp')
    return { connection, session, sent: this.#sent, unacknowledged: inFlight.map(numberOf), received: received.map(numberOf) }
  }
}

const numberOf = ({ number }: Numbered): number => number

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

/** QoS 1 and 2 messages of a session that ends with its connection: ids counted from 1, and a bounded queue behind the window. */
export class Direct {
  readonly #limits: DirectLimits
  readonly #inflight = new PacketWindow()
  #waiting: Waiting[] = []
  #head = 0
  #waitingBytes = 0

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
  take(qos: 1 | 2): number | null {
    return this.waiting > 0 ? null : this.#next(qos)
  }

  /** What the packet id in flight waits for; null when none is. */
  flight(packetId: number): Flight | null {
    return this.#inflight.flight(packetId)
  }

  /** The client has received it (PUBREC): nothing has to be kept of that, PUBREL goes out at once. */
  receive(packetId: number): void {
    this.#inflight.set(packetId, 'pubcomp')
  }

  /** Puts a message behind the window; names the limit that keeps it out. What is bounded elsewhere is always taken. */
  wait(waiting: Waiting, isBounded = false): 'OUTBOUND_QUEUE_MESSAGES_MAX' | 'OUTBOUND_QUEUE_BYTES_MAX' | null {
    if (!isBounded && this.waiting >= this.#limits.messagesMax) return 'OUTBOUND_QUEUE_MESSAGES_MAX'
    if (!isBounded && this.#waitingBytes + waiting.message.size > this.#limits.bytesMax) return 'OUTBOUND_QUEUE_BYTES_MAX'
    waiting.message.hold()
    this.#waiting.push(waiting)
    this.#waitingBytes += waiting.message.size
    return null
  }

  /** What waits behind the window, in its order. */
  behindWindow(): readonly Waiting[] {
    return this.#waiting.slice(this.#head)
  }

  acknowledge(packetId: number): boolean {
    return this.#inflight.free(packetId)
  }

  /** What may go now: the oldest waiting message with its packet id; null when the window is full or nothing waits. */
  shift(): { readonly waiting: Waiting; readonly packetId: number } | null {
    const waiting = this.#waiting[this.#head]
    if (waiting === undefined) return null
    const packetId = this.#next(waiting.receiver.qos === 2 ? 2 : 1)
    if (packetId === null) return null
    this.#head++
    if (this.#head === this.#waiting.length || this.#head === 1024) {
      this.#waiting = this.#waiting.slice(this.#head)
      this.#head = 0
    }
    this.#waitingBytes -= waiting.message.size
    return { waiting, packetId }
  }

  #next(qos: 1 | 2): number | null {
    if (this.#inflight.size >= this.#limits.receiveMaximum) return null
    return this.#inflight.take(qos === 1 ? 'puback' : 'pubrec')
  }
}
