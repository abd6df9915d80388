/**
 * What one webhook is owed and what is sent to it next: batches (PU-08), retries (PU-05), rests (PU-10), time to live and
 * number of deliveries (PU-07), order by key. Knows no clock and sends nothing.
 */
import type { DeliveryVerdict } from '../../events/delivery-result.ts'
import { afterFailure, type DeadLetterReason, type RetryPolicy, whyGivenUp } from '../../events/retry-schedule.ts'
import { placeKey } from '../subscriptions/ledger.ts'
import type { OwedEvent } from './owed-event.ts'

export interface PushQueueOptions {
  readonly policy: RetryPolicy
  /** Null when events go one by one. */
  readonly batch: { readonly eventsMax: number; readonly bytesMax: number } | null
  /** An event waits until those before it of its key are settled. */
  readonly isOrdered: boolean
  /** Requests under way at a time. */
  readonly requestsMax: number
}

export interface Batch {
  readonly events: readonly OwedEvent[]
}

export type Next =
  /** `cut` gives the batch. */
  | { readonly kind: 'send' }
  /** Their time was over before they were sent. */
  | { readonly kind: 'givenUp'; readonly event: OwedEvent; readonly reason: DeadLetterReason }
  /** Nothing goes before that time, ms since the epoch; Infinity: before something else happens. */
  | { readonly kind: 'wait'; readonly until: number }

export interface Settled {
  readonly delivered: readonly OwedEvent[]
  /** To be tried again, as they stand now. */
  readonly again: readonly OwedEvent[]
  readonly givenUp: readonly { readonly event: OwedEvent; readonly reason: DeadLetterReason }[]
}

/** Of a batch, brackets and commas. */
const separatorBytes = 1

const keyOf = (event: OwedEvent): string => event.key ?? `\u0000${placeKey(event)}`
const sameHeaders = (one: OwedEvent, other: OwedEvent): boolean => {
  const names = Object.keys(one.headers)
  return names.length === Object.keys(other.headers).length && names.every((name) => one.headers[name] === other.headers[name])
}

/** Events of one key, or a single one where no order is kept: only the first may be sent, or several from it on in one batch. */
interface Line {
  readonly key: string
  events: OwedEvent[]
}

export class PushQueue {
  readonly #options: PushQueueOptions
  /** By key where order is kept. */
  readonly #lines = new Map<string, Line>()
  /** Lines whose first event may go; in the order in which they came. */
  readonly #ready = new Fifo<Line>()
  /** Lines whose first event was tried and waits, by the time it may go. */
  readonly #waiting: { readonly at: number; readonly line: Line }[] = []
  /** Lines of a batch that is under way. */
  readonly #underWay = new Map<Batch, readonly Line[]>()
  /** Go by themselves: the webhook refused a batch with them in it, and only one of them may be to blame. */
  readonly #alone = new Set<string>()
  #restsUntil = 0
  /** It failed, and has not taken anything since: one request at a time asks whether it is back. */
  #isProbing = false
  #size = 0
  #bytes = 0

  constructor(options: PushQueueOptions) {
    this.#options = options
  }

  /** Events held, those under way included. */
  get size(): number {
    return this.#size
  }

  get bytes(): number {
    return this.#bytes
  }

  get requests(): number {
    return this.#underWay.size
  }

  /** Until when nothing is sent after a failure, ms since the epoch; 0 or a time that is past when it does not rest. */
  get restsUntil(): number {
    return this.#restsUntil
  }

  /** Takes an event; those of a partition come in the order of their offsets. */
  add(event: OwedEvent): void {
    this.#size++
    this.#bytes += event.body.length
    const key = this.#options.isOrdered ? keyOf(event) : placeKey(event)
    const line = this.#lines.get(key)
    if (line) {
      line.events.push(event)
      return
    }
    const made = { key, events: [event] }
    this.#lines.set(key, made)
    this.#queue(made)
  }

  /** What is to be done now. What is given up is not held any more; a batch is, until it is finished. */
  peek(nowMs: number): Next {
    this.#wake(nowMs)
    const line = this.#ready.first
    const event = line?.events[0]
    const reason = event && whyGivenUp(event, this.#options.policy, nowMs)
    if (line && event && reason !== undefined) {
      this.#ready.take()
      this.#leave(line)
      return { kind: 'givenUp', event, reason }
    }
    if (nowMs < this.#restsUntil) return { kind: 'wait', until: line || this.#waiting.length > 0 ? this.#restsUntil : Number.POSITIVE_INFINITY }
    if (this.#underWay.size >= (this.#isProbing ? 1 : this.#options.requestsMax)) return { kind: 'wait', until: Number.POSITIVE_INFINITY }
    if (!line) return { kind: 'wait', until: this.#waiting[0]?.at ?? Number.POSITIVE_INFINITY }
    return { kind: 'send' }
  }

  /** The next batch; after `peek` said so. */
  cut(): Batch {
    const { batch: limits } = this.#options
    const lines: Line[] = []
    const events: OwedEvent[] = []
    let bytes = 0
    const fits = (event: OwedEvent): boolean => {
      const [first] = events
      if (!first) return true
      if (!limits || events.length >= limits.eventsMax || bytes + separatorBytes + event.body.length > limits.bytesMax) return false
      return !this.#alone.has(placeKey(first)) && !this.#alone.has(placeKey(event)) && sameHeaders(first, event)
    }
    for (let line = this.#ready.first; line && fits(line.events[0] as OwedEvent); line = this.#ready.first) {
      this.#ready.take()
      lines.push(line)
      for (const event of line.events) {
        if (!fits(event)) break
        events.push(event)
        bytes += separatorBytes + event.body.length
      }
    }
    const batch = { events }
    this.#underWay.set(batch, lines)
    return batch
  }

  /** Takes the outcome of a batch that `cut` gave out. `chance` is from 0 to 1. */
  finish(batch: Batch, verdict: DeliveryVerdict, nowMs: number, chance: () => number): Settled {
    const lines = this.#underWay.get(batch)
    if (!lines) throw new Error('the batch is not under way')
    this.#underWay.delete(batch)
    if (verdict.fate === 'delivered') {
      this.#isProbing = false
      for (const event of batch.events) this.#alone.delete(placeKey(event))
      for (const line of lines) this.#shorten(line, batch)
      return { delivered: batch.events, again: [], givenUp: [] }
    }
    if (verdict.probationMs > 0) {
      this.#restsUntil = Math.max(this.#restsUntil, nowMs + verdict.probationMs)
      this.#isProbing = true
    }
    return this.#failed(batch, lines, verdict, nowMs, chance)
  }

  #failed(batch: Batch, lines: readonly Line[], verdict: DeliveryVerdict, nowMs: number, chance: () => number): Settled {
    const again: OwedEvent[] = []
    const givenUp: Settled['givenUp'][number][] = []
    // Which one of several is at fault the answer does not say.
    const isOneToBlame = batch.events.length > 1 && (verdict.result === 'BadRequest' || verdict.result === 'PayloadTooLarge')
    const members = new Set(batch.events)
    for (const line of lines) {
      const kept: OwedEvent[] = []
      for (const event of line.events) {
        if (!members.has(event)) {
          kept.push(event)
          continue
        }
        // What is sent again by itself at once has not had its attempt: with one attempt only, none of them would be left.
        const deliveryCount = event.deliveryCount + (isOneToBlame ? 0 : 1)
        const tried = { ...event, deliveryCount, lastResult: verdict.result, lastAttemptAt: nowMs }
        const outcome = isOneToBlame ? { retryAt: nowMs } : afterFailure(tried, verdict, this.#options.policy, nowMs, chance())
        if ('deadLetter' in outcome) {
          givenUp.push({ event: tried, reason: outcome.deadLetter })
          this.#drop(event)
        } else {
          const waits = { ...tried, retryAt: outcome.retryAt }
          again.push(waits)
          kept.push(waits)
          if (isOneToBlame) this.#alone.add(placeKey(event))
        }
      }
      line.events = kept
      this.#requeue(line)
    }
    return { delivered: [], again, givenUp }
  }

  /** Waits are over: their lines may go. */
  #wake(nowMs: number): void {
    while (this.#waiting[0] && this.#waiting[0].at <= nowMs) this.#ready.put((this.#waiting.shift() as { readonly line: Line }).line)
  }

  /** Takes the events of a batch out of a line. */
  #shorten(line: Line, batch: Batch): void {
    const members = new Set(batch.events)
    let gone = 0
    while (gone < line.events.length && members.has(line.events[gone] as OwedEvent)) this.#drop(line.events[gone++] as OwedEvent)
    line.events.splice(0, gone)
    this.#requeue(line)
  }

  /** The first event of a line is settled otherwise. */
  #leave(line: Line): void {
    this.#drop(line.events.shift() as OwedEvent)
    this.#requeue(line)
  }

  #drop(event: OwedEvent): void {
    this.#size--
    this.#bytes -= event.body.length
    this.#alone.delete(placeKey(event))
  }

  #requeue(line: Line): void {
    if (line.events.length === 0) this.#lines.delete(line.key)
    else this.#queue(line)
  }

  /** By the time of its first event. */
  #queue(line: Line): void {
    const at = (line.events[0] as OwedEvent).retryAt
    if (at === 0) {
      this.#ready.put(line)
      return
    }
    let low = 0
    let high = this.#waiting.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#waiting[middle] as { readonly at: number }).at <= at) low = middle + 1
      else high = middle
    }
    this.#waiting.splice(low, 0, { at, line })
  }
}

/** First in, first out, without moving what is left each time. */
class Fifo<T> {
  #items: T[] = []
  #from = 0

  get first(): T | undefined {
    return this.#items[this.#from]
  }

  put(item: T): void {
    this.#items.push(item)
  }

  take(): void {
    this.#from++
    if (this.#from < 1024 || this.#from * 2 < this.#items.length) return
    this.#items = this.#items.slice(this.#from)
    this.#from = 0
  }
}
