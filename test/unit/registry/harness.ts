/** The API over a log in memory. */
import type { FastifyInstance } from 'fastify'
import { MemoryLog, MemoryStore } from '../../../log/memory-log.ts'
import { planTopics, type TopicNames, topicSpecs } from '../../../log/topics.ts'
import type { Routers } from '../../../proto/routers.ts'
import { createApi } from '../../../registry/api.ts'
import type { ApiOptions } from '../../../registry/api-options.ts'
import { readRegistryConfig } from '../../../registry/config.ts'
import type { Namespaces } from '../../../registry/namespaces.ts'
import { Registry } from '../../../registry/registry.ts'
import { namespacesOf } from './namespaces-of.ts'

export const ownersKey = 'correct-horse-battery'

export interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: whatever the API answers
  readonly json: any
  readonly text: string
}

export class ApiHarness {
  readonly log: MemoryLog
  readonly store: MemoryStore
  readonly topics: TopicNames
  readonly registry: Registry
  readonly namespaces: Namespaces
  readonly app: FastifyInstance
  readonly limits: string[]
  readonly failures: unknown[]

  static async open(
    environment: Readonly<Record<string, string>> = {},
    routers: Routers = { ask: async () => [] },
    bearerOf?: ApiOptions['bearerOf'],
    askWebhook: ApiOptions['askWebhook'] = async () => ({ origin: 'loggerhead.local', perMinute: null }),
  ): Promise<ApiHarness> {
    // A machine that is busy with other tests is no Kafka that does not answer.
    const config = readRegistryConfig({ API_KEY_FILE: 'unused', REGISTRY_STALE_MAX: '600000', ...environment })
    const store = new MemoryStore()
    const log = new MemoryLog(store)
    const plan = planTopics(config, 'default', 'development')
    await log.createTopics(topicSpecs(plan))
    const limits: string[] = []
    const failures: unknown[] = []
    const onLimit = (limit: string) => limits.push(limit)
    const registry = await Registry.start({
      log,
      topics: plan.names,
      namespace: 'default',
      historyWindowMs: plan.historyWindowMs,
      clock: { now: Date.now },
      writeTimeoutMs: config.REGISTRY_WRITE_TIMEOUT,
      requestsMax: config.REGISTRY_REQUESTS_MAX,
      onLimit,
      onFailed: (error) => failures.push(error),
    })
    const namespaces = namespacesOf({ log, registry, config, routers, onLimit })
    const app = createApi({
      namespaces,
      key: ownersKey,
      bearerOf,
      askWebhook,
      config,
      health: () => log.health(),
      onRequest: () => {},
      onLimit,
      onError: (error) => failures.push(error),
    })
    return new ApiHarness({ log, store, topics: plan.names, registry, namespaces, app, limits, failures })
  }

  private constructor(parts: Pick<ApiHarness, 'log' | 'store' | 'topics' | 'registry' | 'namespaces' | 'app' | 'limits' | 'failures'>) {
    this.log = parts.log
    this.store = parts.store
    this.topics = parts.topics
    this.registry = parts.registry
    this.namespaces = parts.namespaces
    this.app = parts.app
    this.limits = parts.limits
    this.failures = parts.failures
  }

  async send(
    method: 'GET' | 'PUT' | 'DELETE' | 'POST',
    rest: string,
    options: { readonly body?: object | string; readonly key?: string; readonly type?: string } = {},
  ): Promise<Answer> {
    const { body, key = ownersKey, type } = options
    const answer = await this.app.inject({
      method,
      url: rest.startsWith('/') ? rest : `/namespaces/default${rest === '' || rest.startsWith(':') ? rest : `/${rest}`}`,
      headers: { authorization: `Bearer ${key}`, ...(type ? { 'content-type': type } : {}) },
      ...(body === undefined ? {} : { payload: body }),
    })
    const isJson = /^application\/(problem\+)?json/.test(String(answer.headers['content-type'] ?? ''))
    return { status: answer.statusCode, json: isJson ? answer.json() : undefined, text: answer.body }
  }

  async close(): Promise<void> {
    await this.app.close()
    await this.namespaces.close()
    await this.registry.close()
    await this.log.close()
  }
}

export const client = (more: object = {}) => ({ clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' }, ...more })
