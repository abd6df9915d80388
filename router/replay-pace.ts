/**
 * How fast replays go beside what is published: as fast as they do not hold it up. How long live messages took from their gateways to here, on average of
 * an interval, is held against the least that it was lately, so that the gateways' clocks need not agree with this one (as LEDBAT does, RFC 6817): the rate
 * of all replays together grows by steps while they are on time, and is halved when they are late. It stays above what is published, or no replay would
 * ever come to its end, and above a least: what makes live messages late may be something else. Where nothing is published there is nothing to hold up.
 */

/** Of messages that are put into queues and of bytes that are looked through for them, in messages: so many bytes cost as much as one. */
const bytesPerMessage = 8 * 1024
/** Live messages that take so much longer than in the quickest interval are late, ms. */
const lateMs = 5
const intervalMs = 100
/** No further decrease until what the last one did can be seen, ms. */
const settleMs = 200
/** Intervals that the rate of what is published is an average of, more or less. */
const averaged = 5
/** Times as many as are published, at least: a replay has come to what is published when it has read as much again as it began with. */
const catchUp = 2
/** Messages a second; a second of being on time adds `growth`. */
const rateAtFirst = 2_000
const growth = 2_000
const shrink = 0.5
/** Without a live message for so long there is nobody to hold up; without a replay for so long the next one begins carefully, ms. */
const quietMs = 1_000
/** How long the least is remembered, at least, ms. */
const baseMs = 300_000
/** What one turn takes, ms of the rate: a gateway and its clients get a replay in pieces of that. */
const turnMs = 20
const turnMessages = { min: 20, max: 1_000 } as const
const turnBytes = { min: 64 * 1024, max: 1024 * 1024 } as const

/** What may be done in one turn, or was. */
export interface Portion {
  readonly messages: number
  readonly bytes: number
}

const between = (value: number, { min, max }: { readonly min: number; readonly max: number }): number => Math.round(Math.min(max, Math.max(min, value)))

export class ReplayPace {
  readonly #rateMin: number
  readonly #rateMax: number
  #rate: number
  /** The least averages of this span and of the one before. */
  #least = Number.POSITIVE_INFINITY
  #leastBefore = Number.POSITIVE_INFINITY
  #spanFrom = Number.NEGATIVE_INFINITY
  #interval = { from: Number.NEGATIVE_INFINITY, sum: 0, count: 0, messages: 0 }
  /** Live messages a second, of late. */
  #liveRate = 0
  #settledAt = Number.NEGATIVE_INFINITY
  #liveAt = Number.NEGATIVE_INFINITY
  #takenAt = Number.NEGATIVE_INFINITY
  /** When what was taken is paid for. */
  #paidAt = Number.NEGATIVE_INFINITY

  /** Messages a second: what is left to replays however late live messages are, and what their rate does not grow beyond. */
  constructor({ rateMin, rateMax }: { readonly rateMin: number; readonly rateMax: number }) {
    this.#rateMin = rateMin
    this.#rateMax = Math.max(rateMin, rateMax)
    this.#rate = this.#first
  }

  /** Messages a second of all replays together; Infinity while nothing is published. */
  rate(now: number): number {
    return now - this.#liveAt > quietMs ? Number.POSITIVE_INFINITY : Math.max(this.#rate, catchUp * this.#liveRate)
  }

  /** Live messages came here, the first of them so long after its gateway had it, ms by two clocks. */
  live(delayMs: number, { messages, bytes }: Portion, now: number): void {
    this.#liveAt = now
    const interval = this.#interval
    if (interval.count === 0 && now - interval.from > quietMs) interval.from = now
    interval.sum += delayMs
    interval.count++
    interval.messages += messages + bytes / bytesPerMessage
    const ms = now - interval.from
    if (ms < intervalMs) return
    const average = interval.sum / interval.count
    this.#liveRate += ((interval.messages * 1000) / ms - this.#liveRate) / averaged
    this.#interval = { from: now, sum: 0, count: 0, messages: 0 }
    if (now - this.#spanFrom >= baseMs) {
      this.#leastBefore = this.#least
      this.#least = Number.POSITIVE_INFINITY
      this.#spanFrom = now
    }
    this.#least = Math.min(this.#least, average)
    this.#judge(average - Math.min(this.#least, this.#leastBefore), ms, now)
  }

  /** What a turn may take, so that others are not kept waiting by it. */
  portion(now: number): Portion {
    const messages = (this.rate(now) * turnMs) / 1000
    return { messages: between(messages, turnMessages), bytes: between(messages * bytesPerMessage, turnBytes) }
  }

  /** So much was taken: for how long nothing more should be, ms. */
  take(messages: number, bytes: number, now: number): number {
    this.#takenAt = now
    const rate = this.rate(now)
    if (rate === Number.POSITIVE_INFINITY) return 0
    // Who comes late may catch up a turn.
    this.#paidAt = Math.max(this.#paidAt, now - turnMs) + ((messages + bytes / bytesPerMessage) * 1000) / rate
    return Math.max(0, Math.ceil(this.#paidAt - now))
  }

  get #first(): number {
    return Math.max(this.#rateMin, rateAtFirst)
  }

  #judge(late: number, ms: number, now: number): void {
    if (now - this.#takenAt > quietMs) this.#rate = this.#first
    else if (late > lateMs) {
      if (now < this.#settledAt) return
      this.#rate = Math.max(this.#rateMin, this.#rate * shrink)
      this.#settledAt = now + settleMs
    } else this.#rate = Math.min(this.#rateMax, this.#rate + (growth * ms) / 1000)
  }
}
