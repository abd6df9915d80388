import { connect } from 'node:net'
import { MqttClient } from 'mqtt'
import type { Logger } from 'pino'
import type { CanaryAddress } from './config.ts'
import { type GatewayFigures, nothingBefore, tellFigures } from './figures.ts'

export interface FiguresPublisherOptions {
  readonly addresses: readonly CanaryAddress[]
  /** The internal key, read again for each connection. */
  readonly key: () => Buffer
  /** Asks every gateway; those that do not answer are left out. Never rejects. */
  readonly ask: () => Promise<readonly GatewayFigures[]>
  readonly intervalMs: number
  /** Milliseconds; only differences matter. */
  readonly now: () => number
  readonly logger: Logger
}

/** Figures that are not renewed go away: they expire after so many intervals. */
const expiryIntervals = 3

/**
 * Publishes the figures of all gateways every interval, through whichever gateway takes them. Retained and at QoS 0: they
 * are the first to be dropped when something is full, and the next round brings newer ones.
 */
export class FiguresPublisher {
  readonly #options: FiguresPublisherOptions
  readonly #timer: NodeJS.Timeout
  #client: MqttClient | null = null
  /** Of the address tried last. */
  #turn = 0
  #before = nothingBefore
  #payloads: ReadonlyMap<string, string> = new Map()
  #askedAt: number
  #isRunning = false

  constructor(options: FiguresPublisherOptions) {
    this.#options = options
    this.#askedAt = options.now()
    this.#timer = setInterval(() => void this.#round(), options.intervalMs)
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#client?.end(true)
  }

  async #round(): Promise<void> {
    if (this.#isRunning) return
    this.#isRunning = true
    try {
      const { ask, now } = this.#options
      const gateways = await ask()
      const at = now()
      const { payloads, next } = tellFigures(gateways, this.#before, at - this.#askedAt)
      this.#before = next
      this.#askedAt = at
      this.#payloads = payloads
      if (this.#client?.connected) this.#publish(this.#client)
      else this.#client ??= this.#connect()
    } catch (error) {
      this.#options.logger.warn({ error }, 'the figures below $SYS could not be published')
    } finally {
      this.#isRunning = false
    }
  }

  #publish(client: MqttClient): void {
    const messageExpiryInterval = Math.ceil((expiryIntervals * this.#options.intervalMs) / 1000)
    for (const [topic, payload] of this.#payloads) client.publish(topic, payload, { qos: 0, retain: true, properties: { messageExpiryInterval } })
  }

  /** To the next of the gateways; publishes what is newest once it is there. */
  #connect(): MqttClient {
    const { addresses, key, intervalMs, logger } = this.#options
    const address = addresses[this.#turn++ % addresses.length] as CanaryAddress
    const client = new MqttClient(() => connect({ host: address.host, port: address.port, noDelay: true }), {
      protocolVersion: 5,
      clientId: '$loggerhead/figures',
      username: '$loggerhead',
      password: key(),
      clean: true,
      keepalive: 30,
      reconnectPeriod: 0,
      connectTimeout: intervalMs,
      queueQoSZero: false,
    })
    client.on('connect', () => this.#publish(client))
    client.on('error', (error) => logger.warn({ gateway: address.gateway, error }, 'the figures below $SYS could not be published'))
    client.on('close', () => {
      if (this.#client === client) this.#client = null
      client.end(true)
    })
    return client
  }
}
