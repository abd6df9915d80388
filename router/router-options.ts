import type { Logger } from 'pino'
import type { Log } from '../log/log.ts'
import type { TopicNames } from '../log/topics.ts'
import type { RegistryFollower } from '../model/registry-follower.ts'
import type { DeliveryTls, dialDelivery } from '../proto/delivery.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import type { RouterConfig } from './config.ts'
import type { RouterMetrics } from './metrics.ts'
import type { RouteClusters } from './routes/route-clusters.ts'

export interface RouterOptions {
  readonly config: RouterConfig
  readonly log: Log
  readonly topics: TopicNames
  readonly registry: RegistryFollower
  readonly metrics: RouterMetrics
  readonly logger: Logger
  readonly now: () => number
  /** Other Kafka clusters that routes may write to. */
  readonly clusters?: RouteClusters | undefined
  readonly tls?: DeliveryTls | undefined
  /** Null where nothing is traced. */
  readonly tracing?: Tracing | null
  /** How gateways are reached; over gRPC when not given. */
  readonly dial?: typeof dialDelivery
  /** The router cannot go on: the process ends and starts anew. */
  onFailed(error: Error): void
}
