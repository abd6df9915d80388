/**
 * Pushes one subscription's events to its webhook: takes them from a source, sends what its queue gives out, tells the source
 * what came of it. At least once: what was sent and not noted before the process died is sent again, under the same id.
 */
import type { DeliveryHeaders } from '../../events/delivery-headers.ts'
import { type DeliveryAnswer, type DeliveryResult, judgeDelivery, type Probations } from '../../events/delivery-result.ts'
import { batchContent, type HttpContent, structuredContent } from '../../events/http-binding.ts'
import type { Pacing } from '../../events/pacing.ts'
import type { DeadLetterReason } from '../../events/retry-schedule.ts'
import type { OwedEvent } from './owed-event.ts'
import { type Batch, PushQueue, type PushQueueOptions } from './push-queue.ts'

/** Where the events come from, and where it is noted what became of them. */
export interface PushSource {
  /**
   * The next events in order, each given once: no more than that many or, after the first, that many bytes. None when `signal` ends
   * the wait, or when there will be no more.
   */
  next(eventsMax: number, bytesMax: number, signal: AbortSignal): Promise<readonly OwedEvent[]>
  delivered(events: readonly OwedEvent[]): void
  /** An attempt failed; they stand as they are to be tried again. */
  failed(events: readonly OwedEvent[]): void
  /** Keeps it as a dead letter if the subscription has a place for them. Resolves once the event needs nothing more. */
  givenUp(event: OwedEvent, reason: DeadLetterReason): Promise<void>
}

/** Requests and bytes of all subscriptions of the process. */
export interface PushBudget {
  /** A subscription that has none under way may always send one: nobody starves, and nobody else's silence holds it up. */
  takeRequest(underWay: number): boolean
  requestEnded(): void
  /** Calls back once when a request has ended. */
  whenFree(callback: () => void): void
}

export interface PusherCounters {
  /** An attempt ended. */
  attempted(result: DeliveryResult, events: number, ms: number): void
}

export interface PusherOptions {
  readonly source: PushSource
  readonly target: { deliver(content: HttpContent, headers: DeliveryHeaders): Promise<DeliveryAnswer> }
  readonly queue: PushQueueOptions
  readonly probations: Probations
  /** Least waits of single statuses are no longer than this, ms. */
  readonly leastWaitMaxMs: number
  /** Requests per minute that the webhook has agreed to; null for any number. */
  readonly perMinute: number | null
  /** When its last request went, whoever sent it. */
  readonly pacing: Pacing
  /** Held at a time; further ones stay in the log. */
  readonly eventsMax: number
  readonly bytesMax: number
  readonly budget: PushBudget
  /** False when this process may have lost the subscription to another one: nothing is sent then. */
  isOwner(): boolean
  readonly counters: PusherCounters
  readonly now: () => number
  /** From 0 to 1. */
  readonly chance: () => number
  /** The source failed. */
  onFailed(error: Error): void
}

/** As /status tells it. */
export interface PusherStatus {
  readonly events: number
  /** Of the events and of the dead letters that wait. */
  readonly bytes: number
  readonly requests: number
  readonly deadLettersWaiting: number
  /** ISO 8601; when it does not rest, undefined. */
  readonly restsUntil?: string
  readonly lastResult?: DeliveryResult
}

/** Longest that a timer is set for, ms. */
const timerMax = 60_000
/** A process that may not send asks again after, ms. */
const ownerAgainMs = 250

export class Pusher {
  readonly #options: PusherOptions
  readonly #queue: PushQueue
  /** Aborted when nothing more is taken and sent. */
  readonly #closing = new AbortController()
  readonly #ended: Promise<void>
  #isClosed = false
  #answered: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #awaitsBudget = false
  #roomWanted: (() => void) | undefined
  /** Given up and not yet settled, and their bytes. */
  #deadLetters = 0
  #deadLetterBytes = 0
  #lastResult: DeliveryResult | undefined

  constructor(options: PusherOptions) {
    this.#options = options
    this.#queue = new PushQueue(options.queue)
    this.#ended = this.#feed().catch((error: Error) => {
      if (!this.#isClosed) options.onFailed(error)
    })
  }

  get status(): PusherStatus {
    const { size: events, requests, restsUntil } = this.#queue
    return {
      events,
      bytes: this.#bytes,
      requests,
      deadLettersWaiting: this.#deadLetters,
      ...(restsUntil > this.#options.now() ? { restsUntil: new Date(restsUntil).toISOString() } : {}),
      ...(this.#lastResult === undefined ? {} : { lastResult: this.#lastResult }),
    }
  }

  /** Sends nothing more. Resolves when what is under way has been answered and noted, or the pusher was closed. */
  async leave(): Promise<void> {
    this.#stop()
    if (this.#queue.requests === 0) return
    await new Promise<void>((resolve) => {
      this.#answered = resolve
    })
  }

  /** Sends nothing more; what is under way is not noted any more. Resolves when the source is not asked any more. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#answered?.()
    this.#stop()
    await this.#ended
  }

  #stop(): void {
    this.#closing.abort()
    clearTimeout(this.#timer)
    this.#roomWanted?.()
  }

  get #isStopped(): boolean {
    return this.#closing.signal.aborted
  }

  get #bytes(): number {
    return this.#queue.bytes + this.#deadLetterBytes
  }

  get #hasRoom(): boolean {
    const { eventsMax, bytesMax } = this.#options
    return this.#queue.size + this.#deadLetters < eventsMax && this.#bytes < bytesMax
  }

  async #feed(): Promise<void> {
    const { source, eventsMax, bytesMax } = this.#options
    while (!this.#isStopped) {
      while (!this.#hasRoom && !this.#isStopped) {
        await new Promise<void>((resolve) => {
          this.#roomWanted = resolve
        })
      }
      if (this.#isStopped) return
      const room = eventsMax - this.#queue.size - this.#deadLetters
      const events = await source.next(room, bytesMax - this.#bytes, this.#closing.signal)
      // The source is over; whoever sees to the pushers closes this one.
      if (events.length === 0) return
      for (const event of events) this.#queue.add(event)
      this.#turn()
    }
  }

  /** Does what can be done now and sees to it that it is called again when there is more. */
  #turn(): void {
    clearTimeout(this.#timer)
    const waitMs = this.#act()
    if (waitMs === Number.POSITIVE_INFINITY) return
    this.#timer = setTimeout(() => this.#turn(), Math.min(timerMax, Math.max(1, waitMs)))
    this.#timer.unref()
  }

  /** Answers for how long there is nothing more to do, ms; Infinity: until something else happens. */
  #act(): number {
    const { now, isOwner, perMinute, pacing, budget } = this.#options
    while (!this.#isStopped) {
      if (!isOwner()) return ownerAgainMs
      const at = now()
      const next = this.#queue.peek(at)
      if (next.kind === 'wait') return next.until - at
      if (next.kind === 'givenUp') {
        void this.#giveUp(next.event, next.reason)
        continue
      }
      if (!budget.takeRequest(this.#queue.requests)) {
        if (!this.#awaitsBudget) budget.whenFree(() => this.#budgetFreed())
        this.#awaitsBudget = true
        break
      }
      const pauseMs = pacing.take(perMinute, at)
      if (pauseMs > 0) {
        budget.requestEnded()
        return pauseMs
      }
      void this.#send(this.#queue.cut())
    }
    return Number.POSITIVE_INFINITY
  }

  #budgetFreed(): void {
    this.#awaitsBudget = false
    this.#turn()
  }

  async #send(batch: Batch): Promise<void> {
    const { target, queue, counters, now, chance, source, budget, probations, leastWaitMaxMs } = this.#options
    const bodies = batch.events.map(({ body }) => body)
    const content = queue.batch ? batchContent(bodies) : structuredContent(bodies[0] as Buffer)
    const began = now()
    const answer = await target.deliver(content, batch.events[0]?.headers ?? {})
    budget.requestEnded()
    if (this.#isClosed) return
    const ended = now()
    const verdict = judgeDelivery(answer, ended, probations, leastWaitMaxMs)
    this.#lastResult = verdict.result
    counters.attempted(verdict.result, batch.events.length, ended - began)
    const { delivered, again, givenUp } = this.#queue.finish(batch, verdict, ended, chance)
    if (delivered.length > 0) source.delivered(delivered)
    if (again.length > 0) source.failed(again)
    for (const { event, reason } of givenUp) void this.#giveUp(event, reason)
    if (this.#queue.requests === 0) this.#answered?.()
    this.#changed()
  }

  async #giveUp(event: OwedEvent, reason: DeadLetterReason): Promise<void> {
    this.#deadLetters++
    this.#deadLetterBytes += event.body.length
    try {
      await this.#options.source.givenUp(event, reason)
    } catch (error) {
      if (!this.#isClosed) this.#options.onFailed(error as Error)
    }
    this.#deadLetters--
    this.#deadLetterBytes -= event.body.length
    this.#changed()
  }

  #changed(): void {
    if (this.#hasRoom) {
      this.#roomWanted?.()
      this.#roomWanted = undefined
    }
    this.#turn()
  }
}
