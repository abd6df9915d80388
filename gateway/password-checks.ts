/**
 * Checks passwords off the event loop, few at a time: scrypt is made to cost. What was right is remembered, so that a storm
 * of reconnects costs each client one check; remembered is a keyed digest of hash and password together, under a key that
 * dies with the process. So it says nothing to who reads the memory, and a changed password is another entry.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { verifyPassword } from '../access/password-hash.ts'

export interface PasswordChecksOptions {
  readonly concurrencyMax: number
  readonly rememberedMax: number
  /** A check waits because as many as may be are under way. */
  onWait(): void
  /** What was remembered gives way. */
  onForgotten(): void
}

interface Waiting {
  readonly isWanted: () => boolean
  start(): void
  drop(): void
}

export class PasswordChecks {
  readonly #options: PasswordChecksOptions
  readonly #key = randomBytes(32)
  readonly #right: LRUCache<string, true>
  readonly #waiting: Waiting[] = []
  #running = 0

  constructor(options: PasswordChecksOptions) {
    this.#options = options
    this.#right = new LRUCache({ max: options.rememberedMax, disposeAfter: (_value, _digest, reason) => reason === 'evict' && options.onForgotten() })
  }

  /**
   * Whether the password is the one of the hash. `isDecoy`: the answer is not wanted, only its time, so that a name that
   * nobody has takes as long as one that somebody has.
   */
  async check(password: Buffer, hash: string, isDecoy: boolean, isWanted: () => boolean): Promise<boolean> {
    const digest = createHmac('sha256', this.#key).update(hash).update('\0').update(password).digest('base64')
    if (!isDecoy && this.#right.has(digest)) {
      this.#right.get(digest) // used again
      return true
    }
    if (!(await this.#turn(isWanted))) return false
    try {
      const isRight = await verifyPassword(password, hash)
      if (isRight && !isDecoy) this.#right.set(digest, true)
      return isRight && !isDecoy
    } finally {
      this.#running--
      this.#next()
    }
  }

  /** Resolves when it is this check's turn: false when nobody wants it any more. */
  #turn(isWanted: () => boolean): Promise<boolean> {
    if (this.#running < this.#options.concurrencyMax) {
      this.#running++
      return Promise.resolve(true)
    }
    this.#options.onWait()
    return new Promise((resolve) => this.#waiting.push({ isWanted, start: () => resolve(true), drop: () => resolve(false) }))
  }

  #next(): void {
    for (let waiting = this.#waiting.shift(); waiting; waiting = this.#waiting.shift()) {
      if (waiting.isWanted()) {
        this.#running++
        waiting.start()
        return
      }
      waiting.drop()
    }
  }
}
