/** A gateway of one namespace: its topics, its registry, its appender. Listeners and the delivery service are the process's. */
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { readOidcSettings } from '../access/token-roles.ts'
import type { Log } from '../log/log.ts'
import type { SchemaIds } from '../log/schema-registry/schema-ids.ts'
import { ensureTopics, type Profile, type TopicPlan, topicSpecs } from '../log/topics.ts'
import { ClientKeys } from '../model/client-keys.ts'
import { followServed } from '../model/partition-change.ts'
import type { RegistryFollower } from '../model/registry-follower.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { TokenVerifier } from '../outgoing/token-verifier.ts'
import { type RouterAddress, routersByHttp } from '../proto/routers.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import type { GatewayConfig } from './config.ts'
import { ended } from './disconnection.ts'
import { EventPublisher } from './events/event-publisher.ts'
import { Gateway, usualPauseMsMax } from './gateway.ts'
import { NamespaceHttp } from './http/namespace-http.ts'
import { Sealing } from './sealing.ts'

export interface NamespaceGatewayOptions {
  readonly namespace: string
  /** That lead to it, as they are now. */
  readonly hostNames: () => readonly string[]
  readonly config: GatewayConfig
  readonly plan: TopicPlan
  readonly log: Log
  /** Null without a schema registry. */
  readonly schemaIds?: SchemaIds | null
  readonly logger: Logger
  readonly metricsRegistry: Registry
  readonly internalKey: Buffer | null
  readonly version: string
  readonly clock: { now(): number }
  readonly tracing?: Tracing | null
  /** As a gateway takes it. */
  readonly pauseMsMax?: number
  /** The routers as they are asked over HTTP, and who shows the key of the HTTP API’s owner. */
  readonly routers: readonly RouterAddress[]
  isOwnersKey(given: string): boolean
  onFailed(error: unknown): void
}

export interface NamespaceGateway {
  readonly gateway: Gateway
  readonly registry: RegistryFollower
  readonly http: NamespaceHttp
  /** Moves off or closes the clients, `isGone`: because the namespace is no more. */
  stop(address: string, isGone: boolean): Promise<void>
}

/** Reads the registry and makes the gateway; it has not begun. */
export async function openNamespaceGateway(options: NamespaceGatewayOptions): Promise<NamespaceGateway> {
  const { namespace, config, plan, log, clock, pauseMsMax = usualPauseMsMax } = options
  await ensureTopics(log, topicSpecs(plan), config.LOGGERHEAD_PROFILE as Profile)
  await options.schemaIds?.learn(plan.names)
  const { registry: topic, 'registry-snapshots': snapshots } = plan.names
  const onUnusable = (error: unknown): void => options.logger.warn({ error }, 'all of the registry is read, because its snapshot cannot be used')
  const registry = await followServed({ log, topic, snapshots, clock, onUnusable, onFailed: options.onFailed }, plan.partitions)
  const appender = await log.appender({ pauseMsMax, paceMs: config.APPEND_PACE }).catch(async (error: unknown) => {
    await registry.close()
    throw error
  })
  // Of its own: what is published there waits for none of the messages of devices, nor they for it.
  const eventAppender = await log.appender().catch(async (error: unknown) => {
    await Promise.all([registry.close(), appender.close()])
    throw error
  })
  const { ERASABLE_ATTRIBUTE: attribute } = config
  const asked =
    attribute === ''
      ? null
      : ClientKeys.start({
          log,
          topic: plan.names.keys,
          onUnreadable(offset, { message }) {
            options.logger.error(
              { topic: plan.names.keys, offset, error: message },
              'a record cannot be read and is skipped: what was sealed with its key is lost',
            )
          },
          onFailed: options.onFailed,
        })
  // A namespace that cannot be opened is tried again and again.
  const keys = await (asked?.catch(async (error: unknown) => {
    await Promise.all([registry.close(), appender.close(), eventAppender.close()])
    throw error
  }) ?? null)
  const sealing =
    keys &&
    new Sealing({
      attribute,
      keys,
      appender: eventAppender,
      topic: plan.names.keys,
      logger: options.logger,
      now: () => clock.now(),
      keysMax: config.SEALING_KEYS_MAX,
      onLost: (loss) => gateway.metrics.lost[loss]++,
    })
  const gateway = new Gateway({ ...options, registry, topics: plan.names, partitions: plan.partitions, sealing }, appender)
  keys?.onDestroyed(() => gateway.sealingChanged())
  const routers = routersByHttp(
    {
      addresses: options.routers,
      key: options.internalKey?.toString(),
      timeoutMs: config.ROUTER_TIMEOUT,
      onTimeout: () => gateway.metrics.reached('ROUTER_TIMEOUT'),
    },
    namespace === config.LOGGERHEAD_NAMESPACE ? undefined : namespace,
  )
  const oidc = readOidcSettings(config)
  const verifier = oidc && new TokenVerifier({ settings: oidc, fetch, now: Date.now, onTimeout: () => gateway.metrics.reached('OIDC_TIMEOUT') })
  const http = new NamespaceHttp({
    host: gateway,
    routers,
    events: new EventPublisher({ appender: eventAppender, topics: plan.names, view: registry.view, now: () => clock.now() }),
    isOwnersKey: options.isOwnersKey,
    bearerOf: verifier && ((token) => verifier.bearerOf(token)),
    isProduction: config.LOGGERHEAD_PROFILE === 'production',
    onError: (error) => options.logger.error({ error }, 'a request failed'),
  })
  return {
    gateway,
    registry,
    http,
    async stop(address, isGone) {
      if (isGone) await gateway.stop(address, ended(ReasonCode.AdministrativeAction, 'the namespace was deleted'))
      else await gateway.stop(address)
      await Promise.all([registry.close(), keys?.close(), appender.close(), eventAppender.close()])
    },
  }
}
