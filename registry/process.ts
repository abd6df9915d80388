/** The registry with everything around it: the log, the API, /status and /metrics. */
import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Registry as Metrics } from 'prom-client'
import { readOidcSettings } from '../access/token-roles.ts'
import type { Log } from '../log/log.ts'
import type { SchemaIds } from '../log/schema-registry/schema-ids.ts'
import { ensureTopics, type Profile, planTopics, type TopicPlan, topicSpecs } from '../log/topics.ts'
import { NamespaceMetrics } from '../model/namespace-metrics.ts'
import { holdPartitions } from '../model/partition-change.ts'
import { resourceKinds } from '../model/registry-resources.ts'
import { OutgoingRequests } from '../outgoing/outgoing-request.ts'
import { readAuthorities, readOutgoingPolicy } from '../outgoing/outgoing-settings.ts'
import { TokenVerifier } from '../outgoing/token-verifier.ts'
import { parseRouterUrls, routersByHttp } from '../proto/routers.ts'
import { SettingError } from '../settings/setting.ts'
import { createProcessMetrics } from '../telemetry/process-metrics.ts'
import { createApi } from './api.ts'
import { callerByToken } from './callers.ts'
import type { RegistryConfig } from './config.ts'
import { seedDevelopmentSamples } from './development-samples.ts'
import { createMetrics, observeRegistry } from './metrics.ts'
import { Namespaces } from './namespaces.ts'
import { Registry } from './registry.ts'
import { webhookAsker } from './webhook-consent.ts'

export interface RegistryProcessOptions {
  readonly config: RegistryConfig
  readonly logger: Logger
  /** Makes the log; its metrics go where the process's go. */
  readonly openLog: (metrics: Metrics) => Log
  /** Null without a schema registry. */
  readonly schemaIds?: SchemaIds | null
  /** Called once when this process must end and start anew. */
  readonly onFailed: (error: unknown) => void
}

export interface RegistryProcess {
  readonly ports: { readonly internal: number }
  close(): Promise<void>
}

/** Handshakes under way with one host. */
const handshakesMax = 8

/** At the start the other namespaces are waited for this long, ms: one that cannot start keeps no other from answering. */
const namespacesStartMs = 10_000

async function readKey(file: string): Promise<string> {
  let key: string
  try {
    key = (await readFile(file, 'utf8')).trim()
  } catch (error) {
    throw new SettingError('API_KEY_FILE', `cannot read the file “${file}”: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (!/^\S{16,}$/.test(key)) throw new SettingError('API_KEY_FILE', `the file “${file}” does not hold a key of 16 or more characters without spaces`)
  return key
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function listen(app: FastifyInstance, config: RegistryConfig): Promise<number> {
  const { INTERNAL_PORT: port, LOGGERHEAD_INTERNAL_BIND: host } = config
  try {
    await app.listen({ port, host })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') throw new SettingError('INTERNAL_PORT', `port ${port} of ${host} is in use by another program`)
    throw error
  }
  return (app.server.address() as AddressInfo).port
}

function addStatus(app: FastifyInstance, namespaces: Namespaces, log: Log, metrics: NamespaceMetrics, staleMs: number): void {
  const { registry } = namespaces.home
  app.get('/status', async (_request, reply) => {
    const { reachable, unreachableMs, reason } = log.health()
    const confirmedMs = registry.follower.confirmedMs()
    const isCurrent = confirmedMs <= staleMs
    const ok = reachable && isCurrent
    return reply.code(ok ? 200 : 503).send({
      ok,
      ...(ok
        ? {}
        : { reason: reachable ? `the view was last confirmed ${Math.round(confirmedMs)} ms ago` : `Kafka does not answer${reason ? `: ${reason}` : ''}` }),
      kafka: { reachable, unreachableMs: Math.round(unreachableMs), ...(reason === undefined ? {} : { reason }) },
      position: registry.view.position,
      confirmedMs: Math.round(confirmedMs),
      resources: Object.fromEntries(resourceKinds.map((kind) => [kind, registry.view.of(kind).size])),
      ...namespaces.status(),
    })
  })
  app.get('/metrics', async (_request, reply) => reply.header('content-type', metrics.contentType).send(await metrics.metrics()))
}

/** Brings the registry up: topics, the fence, the view, the samples of the development profile, the API. */
export async function startRegistry({ config, logger, openLog, schemaIds = null, onFailed }: RegistryProcessOptions): Promise<RegistryProcess> {
  const metrics = new NamespaceMetrics()
  createProcessMetrics(metrics.process, 'registry', logger)
  const { requests, limits, snapshots } = createMetrics(metrics.process)
  const onLimit = (limit: string) => limits.inc({ limit })
  const profile = config.LOGGERHEAD_PROFILE as Profile
  const namespace = config.LOGGERHEAD_NAMESPACE
  const plan = planTopics(config, namespace, profile)
  const key = await readKey(config.API_KEY_FILE)
  const addresses = parseRouterUrls(config.ROUTER_URLS)
  if (!addresses) throw new SettingError('ROUTER_URLS', `“${config.ROUTER_URLS}” is not a list of addresses such as router=http://127.0.0.1:7002`)
  const oidc = readOidcSettings(config)
  const verifier = oidc && new TokenVerifier({ settings: oidc, fetch, now: Date.now, onTimeout: () => onLimit('OIDC_TIMEOUT') })
  const internalKey = config.INTERNAL_KEY_FILE === '' ? undefined : (await readFile(config.INTERNAL_KEY_FILE, 'utf8')).trim()
  const log = openLog(metrics.process)
  const closers: (() => Promise<unknown>)[] = [() => log.close()]
  const close = async () => {
    for (const step of closers.toReversed()) await step()
  }
  try {
    const open = async (name: string, own: TopicPlan, fail: (error: unknown) => void): Promise<Registry> => {
      await ensureTopics(log, topicSpecs(own), profile)
      await schemaIds?.learn(own.names)
      const opened = await Registry.start({
        log,
        topics: own.names,
        namespace: name,
        historyWindowMs: own.historyWindowMs,
        clock: { now: Date.now },
        writeTimeoutMs: config.REGISTRY_WRITE_TIMEOUT,
        requestsMax: config.REGISTRY_REQUESTS_MAX,
        onLimit,
        onUntold: (error) => logger.error({ namespace: name, error }, 'a change could not be told of in the topic lifecycle'),
        onSnapshot(result, error) {
          snapshots.inc({ result })
          if (result === 'unusable') logger.warn({ namespace: name, error }, 'all of the registry is read, because its snapshot cannot be used')
          if (result === 'failed') logger.warn({ namespace: name, error }, 'a snapshot of the registry was not written: starts read more until the next one')
        },
        onFailed: fail,
      })
      try {
        holdPartitions(opened.follower, own.partitions, fail)
      } catch (error) {
        await opened.close()
        throw error
      }
      observeRegistry(metrics.begin(name), () => opened)
      return opened
    }
    const registry = await open(namespace, plan, onFailed)
    closers.push(() => registry.close())
    const routerOptions = { addresses, key: internalKey, timeoutMs: config.ROUTER_TIMEOUT, onTimeout: () => onLimit('ROUTER_TIMEOUT') }
    const namespaces = new Namespaces({
      home: namespace,
      registry,
      log,
      plan,
      profile,
      limits: { NAMESPACES_MAX: config.NAMESPACES_MAX, NAMESPACE_SHARDS_MAX: config.NAMESPACE_SHARDS_MAX, partitions: plan.partitions },
      kafkaTopics: config.ROUTE_KAFKA_TOPICS,
      timeoutMs: config.REGISTRY_WRITE_TIMEOUT,
      removalDelayMs: config.NAMESPACE_REMOVAL_DELAY,
      clock: { now: Date.now },
      logger,
      routersOf: (name) => routersByHttp(routerOptions, name === namespace ? undefined : name),
      open: (other, own, fail) => open(other.name, own, fail),
      onLimit,
      onStuck: onFailed,
      onNamespaces: (names) => metrics.keep(names),
    })
    closers.push(() => namespaces.close())
    if (profile === 'development') {
      const ca = await readIfThere(join(config.LOGGERHEAD_DATA, 'certificates', 'ca.pem'))
      await seedDevelopmentSamples({ registry, namespace, limits: config, ca })
    }
    const outgoing = new OutgoingRequests({
      policy: readOutgoingPolicy(config, profile),
      connectionsMax: handshakesMax,
      ca: readAuthorities(config.OUTGOING_CA),
    })
    closers.push(async () => outgoing.close())
    const app = createApi({
      askWebhook: webhookAsker(outgoing, config, (name) => namespaces.entryOf(name).hostNames, onLimit),
      namespaces,
      key,
      bearerOf: verifier && ((token) => callerByToken(verifier.bearerOf(token))),
      config,
      health: () => log.health(),
      onLimit,
      onRequest: (method, kind, status, seconds) => requests.observe({ method, kind, status }, seconds),
      onError: (error) => logger.error({ error }, 'a request failed'),
    })
    closers.push(() => app.close())
    await namespaces.settled(namespacesStartMs)
    addStatus(app, namespaces, log, metrics, config.REGISTRY_STALE_MAX)
    return { ports: { internal: await listen(app, config) }, close }
  } catch (error) {
    await close()
    throw error
  }
}
