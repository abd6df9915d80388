import { anyAge, isOverLimit, oldestToDrop, type QueueLimits, type QueueLimitsInForce } from '../model/queue-limits.ts'
import type { Session } from '../model/session.ts'
import type { QueueEntry } from '../model/session-queue.ts'
import { SecondWheel } from './second-wheel.ts'

export interface QueueBoundsOptions {
  limits(): QueueLimitsInForce
  readonly now: () => number
  /** The number from which on nothing of the queue can be under way to the client; undefined while that is not known. */
  underWay(session: Session): number | undefined
  /** Numbers of the queue are done without having been delivered: to be written down. */
  onDropped(session: Session, numbers: readonly number[], reason: 'tooOld' | 'queueFull'): void
  /** The session is to end. */
  onOverflow(session: Session): void
}

/** Numbers in one Dropped record: it stays well below max.message.bytes. */
const numbersPerRecord = 65_536
/** A queue whose oldest message is too old and kept all the same is looked at again after this, ms. */
const keptAgainMs = 5_000

/** Holds the queues of a shard's sessions to their limits: count, bytes and age. */
export class QueueBounds {
  readonly #options: QueueBoundsOptions
  /** Sessions whose oldest message may have waited too long by then. */
  readonly #aging = new SecondWheel()

  constructor(options: QueueBoundsOptions) {
    this.#options = options
  }

  check(session: Session): void {
    if (session.isOver) return
    const { queue } = session
    const { connected, offline } = this.#options.limits()
    const limits = session.attached ? connected : offline
    const now = this.#options.now()
    if (isOverLimit(queue, limits, now)) {
      if (limits.whenFull === 'endSession') {
        this.#options.onOverflow(session)
        return
      }
      this.#dropOldest(session, limits, now)
    }
    const since = limits.seconds < anyAge ? queue.oldest?.at : 0
    if (!since) return
    const due = since + limits.seconds * 1000
    // What is kept although it is too old is not looked at each second.
    this.#aging.put(session, due > now ? due : now + keptAgainMs)
  }

  /** Once a second. */
  tick(nowMs: number): void {
    for (const session of this.#aging.due(nowMs)) this.check(session)
  }

  /** What may be under way stays: the client would take a later message with the packet id of a QoS 2 one for its repeat. */
  #dropOldest(session: Session, limits: QueueLimits, now: number): void {
    const underWay = this.#options.underWay(session)
    if (underWay === undefined) return
    const { queue } = session
    const isKept = ({ number, qos }: QueueEntry): boolean => number < underWay || queue.isReceived(number) || (qos === 2 && number < queue.sent)
    const dropped = oldestToDrop(queue, limits, now, isKept)
    for (const reason of ['tooOld', 'queueFull'] as const) {
      const numbers = dropped[reason]
      for (const number of numbers) queue.finish(number)
      for (let from = 0; from < numbers.length; from += numbersPerRecord) this.#options.onDropped(session, numbers.slice(from, from + numbersPerRecord), reason)
    }
  }
}
