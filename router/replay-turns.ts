/** One read of a replay at a time, whoever's: live traffic shares the event loop and Kafka with one of them at most. */
import { TokenBucket } from '../log/token-bucket.ts'

export class ReplayTurns {
  readonly #waiting = new Set<() => Promise<void>>()
  readonly #bucket = new TokenBucket()
  readonly #ratePerSecond: number
  #isRunning = false

  /** `ratePerSecond`: messages of all replays. */
  constructor(ratePerSecond: number) {
    this.#ratePerSecond = ratePerSecond
  }

  /** Takes a step when it is its turn, behind those who asked before. Must not reject. */
  want(step: () => Promise<void>): void {
    this.#waiting.add(step)
    if (!this.#isRunning) void this.#run()
  }

  leave(step: () => Promise<void>): void {
    this.#waiting.delete(step)
  }

  /** Messages were taken: for how long no more should be, ms. */
  take(messages: number, now: number): number {
    return this.#bucket.take(messages, this.#ratePerSecond, now)
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    for (const step of this.#waiting) {
      this.#waiting.delete(step)
      // What has come meanwhile goes first.
      await new Promise(setImmediate)
      await step()
    }
    this.#isRunning = false
  }
}
