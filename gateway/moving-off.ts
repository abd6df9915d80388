import type { Logger } from 'pino'
import type { GatewayConfig } from './config.ts'
import type { Connections } from './connections.ts'
import type { Ending } from './disconnection.ts'
import { Drain } from './drain.ts'
import type { GatewayMetrics } from './metrics.ts'

export interface MovingOffOptions {
  /** As it is now. */
  readonly config: () => GatewayConfig
  readonly connections: Connections
  readonly metrics: GatewayMetrics
  readonly logger: Logger
  readonly now: () => number
}

/** How often clients have their turn, ms. */
const tickMs = 20

/** A gateway that stops says good-bye to its clients, a few at a time (drain.ts). */
export class MovingOff {
  readonly #options: MovingOffOptions
  /** Called when those who are left have to go at once; null before it begins. */
  #hurry: (() => void) | null = null

  constructor(options: MovingOffOptions) {
    this.#options = options
  }

  get hasBegun(): boolean {
    return this.#hurry !== null
  }

  /** Each goes when its publishes are answered; resolves when all have gone, DRAIN_PERIOD is over, or `hurry` was called. */
  async run(ending: Ending): Promise<void> {
    const { config, connections, metrics, logger, now } = this.#options
    const { promise: hurried, resolve: hurry } = Promise.withResolvers<void>()
    let isHurried = false
    this.#hurry = () => {
      isHurried = true
      hurry()
    }
    const drain = new Drain([...connections.sockets], config().DRAIN_PERIOD, now(), Math.random)
    if (connections.sockets.size > 0) logger.info({ clients: connections.sockets.size }, 'clients are moved off')
    while (!isHurried && this.#anybodyIsHere && now() < drain.endsAt) {
      for (const connection of drain.due(now())) connection.leave(ending)
      await Promise.race([hurried, new Promise((resolve) => setTimeout(resolve, tickMs))])
    }
    if (connections.attached.size === 0 || isHurried || config().DRAIN_PERIOD === 0) return
    metrics.reached('DRAIN_PERIOD')
    logger.warn({ limit: 'DRAIN_PERIOD', clients: connections.attached.size }, 'the clients that are left are closed at once')
  }

  /** Ends a `run` that is under way. */
  hurry(): void {
    this.#hurry?.()
  }

  /** Sockets on which no CONNECT has come are nobody: they are refused when it comes. */
  get #anybodyIsHere(): boolean {
    for (const connection of this.#options.connections.sockets) if (!connection.isNew) return true
    return false
  }
}
