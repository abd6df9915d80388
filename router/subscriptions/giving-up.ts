/**
 * What becomes of a subscription's events that are too old, were delivered too often or rejected: dead letters, or nothing. Their
 * payloads are in memory on the way, so that few are on it at a time; the others wait in the ledger, or where they were read to.
 */
import { jsonEvent } from '../../events/cloud-event.ts'
import { deadLetter } from '../../events/dead-letter.ts'
import type { DeliveryHeaders } from '../../events/delivery-headers.ts'
import { parseExactly } from '../../events/json-text.ts'
import { DeadLetterReason, whyGivenUp } from '../../events/retry-schedule.ts'
import type { WrittenDeadLetters } from '../push/dead-letter-writer.ts'
import type { DeliveryPolicy } from './delivery-policy.ts'
import { type EventPlace, type Ledger, placeKey, type Unsettled } from './ledger.ts'
import type { ReadAhead, ReadEvent } from './read-ahead.ts'
import { SubscriptionClosed } from './subscription-closed.ts'

/** Where dead letters go; resolves with true once it is kept, with false when it was dropped. */
export interface DeadLetterKeeper {
  keep(document: object): Promise<boolean>
  /** Those that were kept since a time, ms since the epoch. */
  read(sinceMs: number): AsyncIterable<WrittenDeadLetters>
  close(): void
}

export interface GivingUpOptions {
  readonly ledger: Ledger
  readonly ahead: ReadAhead
  readonly deadLetters: DeadLetterKeeper | undefined
  /** Events that are given out and not settled. */
  readonly unsettledMax: number
  readonly now: () => number
  policy(): DeliveryPolicy
  /** An event that was given out before, read again; undefined when it is gone, and settled therefore. */
  again(place: EventPlace): Promise<ReadEvent | undefined>
  /** It is a dead letter, or dropped. */
  onGivenUp(reason: string, isDropped: boolean): void
  /** It needs nothing more. */
  settle(place: EventPlace): void
}

/** Dead letters on their way. */
const underWayMax = 64
/** What the ledger says of an event that its receiver rejected. */
export const rejected = 'Rejected'

export class GivingUp {
  readonly #options: GivingUpOptions
  /** By place. Another one, or none, once the subscription was sent back to before the event: it is owed again, whatever becomes of the dead letter. */
  readonly #underWay = new Map<string, EventPlace>()

  constructor(options: GivingUpOptions) {
    this.#options = options
  }

  /** It is on its way to the dead letters. */
  has(place: EventPlace): boolean {
    return this.#underWay.has(placeKey(place))
  }

  /** The subscription goes on before them: they come again. A dead letter that is being written is there nevertheless. */
  forget(partition: number, from: number): void {
    for (const [key, place] of this.#underWay) if (place.partition === partition && place.offset >= from) this.#underWay.delete(key)
  }

  /** Keeps an event as a dead letter when there is a place for them, and settles it. */
  async giveUp(
    read: ReadEvent,
    { deliveryCount, lastResult, lastAttemptAt }: Pick<Unsettled, 'deliveryCount' | 'lastResult' | 'lastAttemptAt'>,
    reason: string,
    headers: DeliveryHeaders = {},
  ): Promise<void> {
    const { deadLetters, onGivenUp, settle } = this.#options
    const key = placeKey(read)
    this.#underWay.set(key, read)
    const event = parseExactly(jsonEvent(read.event).toString()) as object
    const source = { partition: read.partition, offset: read.offset }
    const document = deadLetter({ event, source, reason, deliveryCount, lastResult, publishedAt: read.publishedAt, lastAttemptAt, headers })
    const isKept = deadLetters ? await deadLetters.keep(document) : false
    onGivenUp(reason, !isKept)
    if (this.#underWay.get(key) !== read) return
    settle(read)
    this.#underWay.delete(key)
  }

  /** Begins with those whose time has come and whose count or life is over, and of those read ahead that are too old. */
  giveUpDue(): void {
    const { ledger, ahead, unsettledMax, now } = this.#options
    const at = now()
    for (const event of ledger.due(at)) {
      if (this.#underWay.size >= underWayMax) return
      if (this.has(event)) continue
      const reason = this.whyOver(event, at)
      if (reason) void this.#giveUpUnsettled(event, reason)
    }
    while (this.#underWay.size < underWayMax && ledger.size < unsettledMax) {
      const next = ahead.first
      if (!next) return
      const reason = this.whyOverUnseen(next, at)
      if (!reason) return
      ahead.take()
      ledger.hold(next, next.publishedAt)
      void this.giveUp(next, { deliveryCount: 0, lastResult: null, lastAttemptAt: null }, reason)
    }
  }

  /** Why an event is not given out any more; undefined when it is. */
  whyOver(event: Unsettled, at: number): DeadLetterReason | undefined {
    return event.lastResult === rejected ? DeadLetterReason.rejected : this.#why(event, at)
  }

  /** The same of one that nobody has had yet. */
  whyOverUnseen({ publishedAt }: ReadEvent, at: number): DeadLetterReason | undefined {
    return this.#why({ publishedAt, deliveryCount: 0 }, at)
  }

  #why(event: Pick<Unsettled, 'publishedAt' | 'deliveryCount'>, at: number): DeadLetterReason | undefined {
    const { maxDeliveryCount, timeToLiveMs } = this.#options.policy()
    return whyGivenUp(event, { schedule: [0], maxDeliveryCount, timeToLiveMs }, at)
  }

  async #giveUpUnsettled(event: Unsettled, reason: string): Promise<void> {
    const key = placeKey(event)
    this.#underWay.set(key, event)
    try {
      const read = await this.#options.again(event)
      if (this.#underWay.get(key) !== event) return
      if (read) await this.giveUp(read, event, reason)
      else this.#underWay.delete(key)
    } catch (error) {
      // The next owner gives it up.
      if (!(error instanceof SubscriptionClosed)) throw error
    }
  }
}
