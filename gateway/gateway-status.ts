/** How a gateway is: what /status and the front door's figures show of it. */
import type { GatewayConfig } from './config.ts'
import type { GatewayMetrics } from './metrics.ts'

/** How things are, as times in ms. */
export interface Standing {
  readonly isStopping: boolean
  readonly kafkaUnreachableMs: number
  readonly registryUnconfirmedMs: number
  readonly shardsWithoutRouter: readonly number[]
}

/** Why clients are not served as they should be; null when they are. */
export function troubleOf(
  { isStopping, kafkaUnreachableMs, registryUnconfirmedMs, shardsWithoutRouter }: Standing,
  { KAFKA_AWAY_REFUSE, REGISTRY_STALE }: Pick<GatewayConfig, 'KAFKA_AWAY_REFUSE' | 'REGISTRY_STALE'>,
): string | null {
  if (isStopping) return 'shutting down'
  if (kafkaUnreachableMs >= KAFKA_AWAY_REFUSE) return `Kafka has not answered for ${Math.round(kafkaUnreachableMs / 1000)} s`
  if (registryUnconfirmedMs >= REGISTRY_STALE) return 'the registry is not current'
  if (shardsWithoutRouter.length > 0) return `no router speaks for shard ${shardsWithoutRouter.join(', ')}`
  return null
}

/** What the front door tells below $SYS/broker (door/figures.ts). */
export function figuresOf(metrics: GatewayMetrics): Readonly<Record<string, number>> {
  const { packetsIn, packetsOut, operations, publishesDropped, deliveries, bytesIn, bytesOut } = metrics
  const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0)
  return {
    packetsReceived: packetsIn,
    packetsSent: packetsOut,
    publishesReceived: operations.publishes,
    publishesSent: sum(deliveries),
    publishesDropped: sum(Object.values(publishesDropped)),
    bytesReceived: bytesIn,
    bytesSent: bytesOut,
  }
}
