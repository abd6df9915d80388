/** What is so wrong for so long that connections are closed for it: once per outage, not once per look. */
import type { Logger } from 'pino'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { GatewayConfig } from './config.ts'
import type { Connection } from './connection.ts'
import type { Connections } from './connections.ts'
import { ended } from './disconnection.ts'
import type { GatewayMetrics } from './metrics.ts'

export interface OutagesOptions {
  /** As it is now. */
  readonly config: () => GatewayConfig
  readonly metrics: GatewayMetrics
  readonly logger: Logger
  readonly connections: Connections
}

/** How things are, as times in ms. */
export interface Reach {
  readonly shards: number
  /** Shards whose owners have been silent for longer than SHARD_SILENCE. */
  readonly silent: readonly number[]
  readonly kafkaUnreachableMs: number
  readonly registryUnconfirmedMs: number
}

export class Outages {
  readonly #options: OutagesOptions
  readonly #closedFor = new Set<string>()
  /** Since when the registry could have been confirmed, ms since the epoch: before, Kafka was away or this process paused. */
  #registryDueSince = 0

  constructor(options: OutagesOptions) {
    this.#options = options
  }

  /** The process was paused: that the registry was not confirmed meanwhile says nothing of it. */
  paused(nowMs: number): void {
    this.#registryDueSince = nowMs
  }

  look({ shards, silent, kafkaUnreachableMs, registryUnconfirmedMs }: Reach, nowMs: number): void {
    const { config, connections } = this.#options
    const { KAFKA_AWAY_CLOSE, REGISTRY_STALE, REGISTRY_LOST } = config()
    for (let shard = 0; shard < shards; shard++) {
      const detail = `no router has spoken for shard ${shard} for too long`
      this.#closeOnce(`shard ${shard}`, silent.includes(shard), 'SHARD_SILENCE', detail, connections.ofShard(shard))
    }
    this.#closeOnce('kafka', kafkaUnreachableMs >= KAFKA_AWAY_CLOSE, 'KAFKA_AWAY_CLOSE', 'the log is away', connections.attached.values())
    // While Kafka itself is away nobody is let in, nothing published is acknowledged and nobody can change the registry: KAFKA_AWAY_CLOSE decides.
    // When it is back the registry is not the first thing that it answers.
    if (kafkaUnreachableMs >= REGISTRY_STALE) this.#registryDueSince = nowMs
    const isLost = Math.min(registryUnconfirmedMs, nowMs - this.#registryDueSince) >= REGISTRY_LOST
    this.#closeOnce('registry', isLost, 'REGISTRY_LOST', 'the registry cannot be confirmed', connections.attached.values())
  }

  #closeOnce(
    what: string,
    isTrouble: boolean,
    limit: 'SHARD_SILENCE' | 'KAFKA_AWAY_CLOSE' | 'REGISTRY_LOST',
    detail: string,
    connections: Iterable<Connection>,
  ): void {
    if (!isTrouble) {
      this.#closedFor.delete(what)
      return
    }
    const all = [...connections]
    if (all.length > 0) this.#options.metrics.reached(limit)
    if (!this.#closedFor.has(what)) this.#options.logger.warn({ limit, connections: all.length }, detail)
    this.#closedFor.add(what)
    for (const connection of all) connection.close(ended(ReasonCode.ServerBusy, detail))
  }
}
