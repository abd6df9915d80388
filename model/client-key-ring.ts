/** The clients' keys where they are seldom needed: followed from the first time that somebody asks, for most namespaces seal nothing. */
import type { Log } from '../log/log.ts'
import { ClientKeys } from './client-keys.ts'

export interface ClientKeyRingOptions {
  readonly log: Log
  /** The topic `keys`. */
  readonly topic: string
  readonly logger: { error(detail: object, message: string): void }
}

export class ClientKeyRing {
  readonly #options: ClientKeyRingOptions
  #asked: Promise<ClientKeys> | undefined
  #known: ClientKeys | undefined
  #isClosed = false

  constructor(options: ClientKeyRingOptions) {
    this.#options = options
  }

  /** The keys as they are followed already; undefined before that, and after following them has failed. */
  get known(): ClientKeys | undefined {
    return this.#known
  }

  /** Resolves to all keys that are there when it is first called, and what comes. Rejects when they cannot be read; the next call tries again. */
  keys(): Promise<ClientKeys> {
    const { log, topic, logger } = this.#options
    if (this.#isClosed) return Promise.reject(new Error('the keys of clients are not followed any more'))
    const onUnreadable = (offset: number, { message: error }: Error): void =>
      logger.error({ topic, offset, error }, 'a record cannot be read and is skipped: what was sealed with its key is lost')
    this.#asked ??= ClientKeys.start({ log, topic, onUnreadable, onFailed: () => this.#forget() }).then(
      (keys) => {
        this.#known = keys
        return keys
      },
      (error: unknown) => {
        this.#forget()
        throw error
      },
    )
    return this.#asked
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await (await this.#asked?.catch(() => undefined))?.close()
  }

  #forget(): void {
    this.#asked = undefined
    this.#known = undefined
  }
}
