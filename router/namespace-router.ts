/** A router of one namespace: its topics, its registry, its share of the shards, and what it answers over HTTP. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { OidcSettings } from '../access/token-roles.ts'
import type { Log } from '../log/log.ts'
import type { SchemaIds } from '../log/schema-registry/schema-ids.ts'
import { checkpointEveryMs, ensureTopics, type TopicPlan, topicSpecs } from '../log/topics.ts'
import { followServed } from '../model/partition-change.ts'
import type { RegistryFollower } from '../model/registry-follower.ts'
import { TokenVerifier } from '../outgoing/token-verifier.ts'
import { type DeliveryTls, dialDelivery } from '../proto/delivery.ts'
import type { RouterAddress } from '../proto/routers.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import type { RouterConfig } from './config.ts'
import { createRouterMetrics } from './metrics.ts'
import { Router } from './router.ts'
import type { RouteClusters } from './routes/route-clusters.ts'
import { observeShards } from './shard-metrics.ts'

export interface NamespaceRouterOptions {
  readonly config: RouterConfig
  readonly plan: TopicPlan
  /** What gateways know the namespace by; undefined for the home one. */
  readonly life?: string
  readonly log: Log
  /** Null without a schema registry. */
  readonly schemaIds: SchemaIds | null
  readonly logger: Logger
  readonly metricsRegistry: Registry
  readonly tls: DeliveryTls | undefined
  /** Other Kafka clusters that routes may write to. */
  readonly clusters: RouteClusters
  /** The key that the services use among themselves. */
  readonly key: string | undefined
  /** Null where nothing is traced. */
  readonly tracing?: Tracing | null
  /** The deployment's other routers. */
  readonly others: readonly RouterAddress[]
  isOwnersKey(given: string): boolean
  /** Undefined where no issuer is set. */
  readonly oidc: OidcSettings | undefined
  onFailed(error: unknown): void
}

export interface NamespaceRouter {
  readonly router: Router
  readonly registry: RegistryFollower
  /** Answers when the request is for sessions, retained messages, routes or events; false when it is for somebody else. */
  handle(request: IncomingMessage, response: ServerResponse): boolean
  stop(): Promise<void>
}

/** Reads the registry and makes the router; it has not started. */
export async function openNamespaceRouter(options: NamespaceRouterOptions): Promise<NamespaceRouter> {
  const { config, plan, life, log, logger, tls, key, onFailed } = options
  await ensureTopics(log, topicSpecs(plan), config.profile)
  await options.schemaIds?.learn(plan.names)
  const { registry: topic, 'registry-snapshots': snapshots } = plan.names
  const onUnusable = (error: unknown): void => logger.warn({ error }, 'all of the registry is read, because its snapshot cannot be used')
  const registry = await followServed({ log, topic, snapshots, clock: { now: () => performance.now() }, onUnusable, onFailed }, plan.partitions)
  const metrics = createRouterMetrics(options.metricsRegistry)
  const { oidc } = options
  const verifier = oidc && new TokenVerifier({ settings: oidc, fetch, now: Date.now, onTimeout: () => metrics.limitReached.inc({ limit: 'OIDC_TIMEOUT' }) })
  const router = new Router({
    config: { ...config, partitions: plan.partitions, checkpointMs: Math.min(config.checkpointMs, checkpointEveryMs(plan)) },
    log,
    topics: plan.names,
    registry,
    metrics,
    logger,
    now: Date.now,
    clusters: options.clusters,
    tls,
    tracing: options.tracing ?? null,
    dial: (address, files) => dialDelivery(address, files, life),
    onFailed,
  })
  observeShards(options.metricsRegistry, () => router.levels())
  const apis = [
    router.apis.sessions(key),
    router.apis.retained(key),
    router.apis.routes(key),
    router.apis.subscriptionActions(key),
    router.apis.pull({ others: options.others, isOwnersKey: options.isOwnersKey, bearerOf: verifier && ((token) => verifier.bearerOf(token)) }),
  ]
  return {
    router,
    registry,
    handle: (request, response) => apis.some((api) => api.handle(request, response)),
    async stop() {
      await router.close()
      await registry.close()
    },
  }
}
