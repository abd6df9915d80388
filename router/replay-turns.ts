/** One read of a replay at a time, whoever's: live traffic shares the event loop and Kafka with one of them at most. */
import { TokenBucket } from '../log/token-bucket.ts'
import { type Portion, ReplayPace } from './replay-pace.ts'

/** Of all replays together. */
export interface TurnLimits {
  readonly messagesPerSecond: number
  /** What is left to them however late live messages are. */
  readonly messagesPerSecondMin: number
  readonly bytesPerSecond: number
  /** Replays that hold something in memory. */
  readonly openMax: number
}

type Step = () => Promise<void>

export class ReplayTurns {
  /** By whom they are for: each has its turn, and within it what asked first. */
  readonly #waiting = new Map<object, Set<Step>>()
  /** Closes what a replay holds; what was used longest ago first. */
  readonly #open = new Set<() => void>()
  readonly #messages = new TokenBucket()
  readonly #bytes = new TokenBucket()
  readonly #limits: TurnLimits
  readonly #pace: ReplayPace
  #isRunning = false

  constructor(limits: TurnLimits) {
    this.#limits = limits
    this.#pace = new ReplayPace({ rateMin: limits.messagesPerSecondMin, rateMax: limits.messagesPerSecond })
  }

  /** Live messages came here, the first of them so long after its gateway had it, ms: replays make room for those. */
  live(delayMs: number, published: Portion, now: number): void {
    this.#pace.live(delayMs, published, now)
  }

  /** Messages a second of all replays, as it is beside what is published now. */
  rate(now: number): number {
    return Math.min(this.#limits.messagesPerSecond, this.#pace.rate(now))
  }

  /** What a step may take. */
  portion(now: number): Portion {
    return this.#pace.portion(now)
  }

  /** Takes a step when it is its owner's turn, behind those who asked before. Must not reject. */
  want(owner: object, step: Step): void {
    const steps = this.#waiting.get(owner)
    if (steps) steps.add(step)
    else this.#waiting.set(owner, new Set([step]))
    if (!this.#isRunning) void this.#run()
  }

  leave(owner: object, step: Step): void {
    const steps = this.#waiting.get(owner)
    if (steps?.delete(step) && steps.size === 0) this.#waiting.delete(owner)
  }

  /** So much was taken: for how long nothing more should be, ms. */
  take(messages: number, bytes: number, now: number): number {
    const { messagesPerSecond, bytesPerSecond } = this.#limits
    return Math.max(this.#messages.take(messages, messagesPerSecond, now), this.#bytes.take(bytes, bytesPerSecond, now), this.#pace.take(messages, bytes, now))
  }

  /** Whoever takes a step holds something until it is closed: the others may have to let go for it. */
  used(close: () => void): void {
    this.#open.delete(close)
    this.#open.add(close)
    for (const oldest of this.#open) {
      if (this.#open.size <= this.#limits.openMax) return
      this.#open.delete(oldest)
      oldest()
    }
  }

  /** It holds nothing any more. */
  closed(close: () => void): void {
    this.#open.delete(close)
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    for (const [owner, steps] of this.#waiting) {
      // Behind all others, with what it wants besides.
      this.#waiting.delete(owner)
      for (const step of steps) {
        steps.delete(step)
        if (steps.size > 0) this.#waiting.set(owner, steps)
        // What has come meanwhile goes first.
        await new Promise(setImmediate)
        await step()
        break
      }
    }
    this.#isRunning = false
  }
}
