/** What other services and clients ask a router over HTTP. `key` is the one that the services use among themselves. */
import type { EventRefusal } from '../access/event-access.ts'
import type { RefusalAudit } from '../audit/refusal-audit.ts'
import { RefusedKind } from '../audit/refusals.ts'
import type { Appender } from '../log/log.ts'
import { namespaceTopicName } from '../log/topics.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { OwnedShard } from './owned-shard.ts'
import { SubscriptionActionsApi } from './push/subscription-actions-api.ts'
import { RetainedApi } from './retained-api.ts'
import type { RouterOptions } from './router-options.ts'
import type { RouteStatus } from './routes/route-status.ts'
import { RoutesApi } from './routes/routes-api.ts'
import { SessionsApi } from './sessions-api.ts'
import type { SessionsTail } from './sessions-tail.ts'
import { PullApi, type PullApiOptions } from './subscriptions/pull-api.ts'
import type { Subscriptions } from './subscriptions/subscriptions.ts'

export interface RouterApisOptions extends Pick<RouterOptions, 'config' | 'log' | 'topics' | 'registry' | 'metrics' | 'logger' | 'now'> {
  readonly tail: SessionsTail
  readonly subscriptions: Subscriptions
  /** By shard: those of this router. */
  readonly owned: ReadonlyMap<number, OwnedShard>
  readonly refusals: RefusalAudit
  /** There is one when requests come. */
  appender(): Appender
  routes(): readonly RouteStatus[]
}

export class RouterApis {
  readonly #options: RouterApisOptions

  constructor(options: RouterApisOptions) {
    this.#options = options
  }

  sessions(key: string | undefined): SessionsApi {
    const { topics, now, logger, tail, owned, appender } = this.#options
    return new SessionsApi({
      folds: tail.folds,
      catchUp: () => tail.catchUp(),
      termOf: (shard) => owned.get(shard)?.term,
      append: async (partition, clientId, value) => {
        const offset = await appender().write({ topic: topics.sessions, partition, key: Buffer.from(clientId), value, timestamp: now() })
        await tail.reached(partition, offset + 1)
      },
      now,
      key,
      onDecided: (by, clientId, what) => logger.info({ by, clientId }, `session ${what} by an operator`),
    })
  }

  retained(key: string | undefined): RetainedApi {
    const { config, topics, now, logger, tail, owned, appender } = this.#options
    return new RetainedApi({
      append: async (partition, topic, value) => {
        await appender().write({ topic: topics.messages, partition, key: Buffer.from(topic), value, timestamp: now() })
      },
      router: config.routerId,
      onCleared: (by, topic) => logger.info({ by, topic }, 'retained message cleared by an operator'),
      shards: tail.folds.length,
      owned: () => [...owned.values()].map(({ shard, retained }) => ({ shard, index: retained })),
      now,
      key,
    })
  }

  /** How routes get on. */
  routes(key: string | undefined): RoutesApi {
    return new RoutesApi({ routes: this.#options.routes, key })
  }

  /** Rewinding and redriving. */
  subscriptionActions(key: string | undefined): SubscriptionActionsApi {
    const { log, topics, logger, subscriptions } = this.#options
    return new SubscriptionActionsApi({
      log,
      find: (topic, name) => subscriptions.find(topic, name),
      kafkaTopicOf: (topic) => namespaceTopicName({ names: topics }, topic),
      key,
      onDone: (by, topic, subscription, action) => logger.info({ by, topic, subscription, action }, 'an event subscription was sent back'),
    })
  }

  /** Pull delivery. */
  pull(options: Pick<PullApiOptions, 'others' | 'isOwnersKey' | 'bearerOf'>): PullApi {
    const { config, registry, now, logger, metrics, subscriptions } = this.#options
    return new PullApi({
      ...options,
      subscriptions,
      registry,
      isProduction: config.profile === 'production',
      receivesMax: config.pullReceivesMax,
      metrics: metrics.pull,
      onRefused: (refusal, address) => this.#refused(refusal, address),
      onLimit: (limit) => metrics.limitReached.inc({ limit }),
      onError: (error) => logger.error({ err: error }, 'a request of pull delivery failed'),
      now,
    })
  }

  #refused({ status, detail, isForAddress }: EventRefusal, remoteAddress: string): void {
    const { metrics, refusals } = this.#options
    if (isForAddress) metrics.ipRefused.inc({ reason: 'inboundIpRules' })
    if (status >= 500) return
    const nobody = { authenticationName: '', clientId: '', remoteAddress, transport: 'http' }
    refusals.refused({ ...nobody, kind: RefusedKind.connect, reasonCode: ReasonCode.NotAuthorized, why: detail })
  }
}
