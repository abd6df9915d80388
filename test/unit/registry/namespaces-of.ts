/** The namespaces of a deployment whose home registry a test has started, on a log in memory. */
import type { MemoryLog } from '../../../log/memory-log.ts'
import { ensureTopics, planTopics, topicSpecs } from '../../../log/topics.ts'
import type { Routers } from '../../../proto/routers.ts'
import type { RegistryConfig } from '../../../registry/config.ts'
import { Namespaces } from '../../../registry/namespaces.ts'
import { Registry } from '../../../registry/registry.ts'

export interface NamespacesOfOptions {
  readonly log: MemoryLog
  readonly registry: Registry
  readonly config: RegistryConfig
  readonly routers: Routers
  readonly onLimit: (limit: string) => void
  readonly clock?: { now(): number }
}

export function namespacesOf({ log, registry, config, routers, onLimit, clock = { now: Date.now } }: NamespacesOfOptions): Namespaces {
  const plan = planTopics(config, 'default', 'development')
  return new Namespaces({
    home: 'default',
    registry,
    log,
    plan,
    profile: 'development',
    limits: { NAMESPACES_MAX: config.NAMESPACES_MAX, NAMESPACE_SHARDS_MAX: config.NAMESPACE_SHARDS_MAX, partitions: plan.partitions },
    kafkaTopics: config.ROUTE_KAFKA_TOPICS,
    timeoutMs: config.REGISTRY_WRITE_TIMEOUT,
    removalDelayMs: config.NAMESPACE_REMOVAL_DELAY,
    clock,
    logger: { info: () => {}, error: () => {} },
    routersOf: () => routers,
    open: async ({ name }, own, onFailed) => {
      await ensureTopics(log, topicSpecs(own), 'development')
      return Registry.start({
        log,
        topics: own.names,
        namespace: name,
        clock,
        writeTimeoutMs: config.REGISTRY_WRITE_TIMEOUT,
        requestsMax: config.REGISTRY_REQUESTS_MAX,
        onLimit,
        onFailed,
      })
    },
    onLimit,
    onStuck: () => {},
    onNamespaces: () => {},
  })
}
