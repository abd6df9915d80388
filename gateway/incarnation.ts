/** A run of the gateway as the log and the routers know it (topic `gateways`): announced when it begins and ends, begun anew when the routers gave it up. */
import type { Logger } from 'pino'
import type { Appender } from '../log/log.ts'
import { encodeRecord } from '../schemas/codec.ts'

export interface IncarnationOptions {
  /** Of the gateway. */
  readonly id: string
  readonly version: string
  readonly appender: Appender
  /** Name of the topic. */
  readonly topic: string
  readonly now: () => number
  readonly logger: Logger
  /** Everything of the old incarnation is over: its sessions were given up by the routers. */
  onOver(): void
}

export class Incarnation {
  readonly #options: IncarnationOptions
  #offset: number | null = null
  #isSuperseded = false
  #isBeginningAgain = false

  constructor(options: IncarnationOptions) {
    this.#options = options
  }

  /** Of its first record; null until the log has answered it. */
  get offset(): number | null {
    return this.#offset
  }

  /** `address` is where routers find the delivery service. */
  async begin(address: string): Promise<void> {
    this.#offset = await this.#announce(address, null)
    this.#options.logger.info({ id: this.#options.id, incarnation: this.#offset, address }, 'gateway up')
  }

  async end(address: string): Promise<void> {
    if (this.#offset !== null) await this.#announce(address, this.#offset)
  }

  /** A router knows a later incarnation of this gateway's id. */
  superseded(newer: number): void {
    if (this.#isSuperseded) return
    this.#isSuperseded = true
    this.#options.logger.error(
      { id: this.#options.id, incarnation: this.#offset ?? -1, newer },
      'a router knows a later incarnation of this gateway: GATEWAY_ID must be unique',
    )
  }

  /** Begins anew if a later one is known. Called again and again. */
  async look(address: string): Promise<void> {
    if (!this.#isSuperseded || this.#isBeginningAgain) return
    this.#isBeginningAgain = true
    try {
      await this.#beginAnew(address)
    } catch (error) {
      this.#options.logger.error({ error }, 'the log did not take the new incarnation; trying again')
    }
    this.#isBeginningAgain = false
  }

  async #beginAnew(address: string): Promise<void> {
    this.#options.onOver()
    this.#offset = null
    this.#offset = await this.#announce(address, null)
    this.#isSuperseded = false
    this.#options.logger.info({ id: this.#options.id, incarnation: this.#offset }, 'gateway up again')
  }

  #announce(address: string, incarnation: number | null): Promise<number> {
    const { id, version, appender, topic, now } = this.#options
    const startedAt = now()
    const value = encodeRecord('GatewayUp', { id, address, startedAt, stopping: incarnation !== null, incarnation, version })
    return appender.write({ topic, partition: 0, key: Buffer.from(id), value, timestamp: startedAt })
  }
}
