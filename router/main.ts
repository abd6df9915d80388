import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { keyChecker } from '../access/api-keys.ts'
import { readOidcSettings } from '../access/token-roles.ts'
import { kafkaConnection } from '../log/kafka/connection-settings.ts'
import { KafkaLog } from '../log/kafka/kafka-log.ts'
import { TopicMismatch } from '../log/log.ts'
import { openSchemaIds, SchemaRegistryError } from '../log/schema-registry/schema-ids.ts'
import { schemaRegistryConfig, schemaRegistrySettings } from '../log/schema-registry/settings.ts'
import { planFor, planTopics } from '../log/topics.ts'
import { NamespaceDirectory } from '../model/namespace-directory.ts'
import { NamespaceInstances } from '../model/namespace-instances.ts'
import { NamespaceMetrics } from '../model/namespace-metrics.ts'
import { lifeName } from '../model/namespaces.ts'
import { PartitionsChanged } from '../model/partition-change.ts'
import { parseRouterUrls } from '../proto/routers.ts'
import { readSettings, SettingError } from '../settings/setting.ts'
import { letHeapGrow } from '../telemetry/heap-growth.ts'
import { openLogger } from '../telemetry/logger.ts'
import { openTracing } from '../telemetry/open-tracing.ts'
import { createProcessMetrics } from '../telemetry/process-metrics.ts'
import { telemetrySettings } from '../telemetry/telemetry-settings.ts'
import { readRouterConfig } from './config.ts'
import { type NamespaceRouter, openNamespaceRouter } from './namespace-router.ts'
import { parseClusters, RouteClusters } from './routes/route-clusters.ts'
import { isPullPath } from './subscriptions/pull-request.ts'

/** From SIGTERM to the end of the process, whatever is open then, ms. */
const stopMs = 5_000

const logger = openLogger('router', process.env.ROUTER_ID || undefined, process.env)

// The supervisor is gone: nobody would stop this process any more.
process.on('disconnect', () => process.exit(0))

function fail(error: unknown, message: string): never {
  if (error instanceof SettingError || error instanceof TopicMismatch || error instanceof SchemaRegistryError || error instanceof PartitionsChanged)
    logger.fatal(error.message)
  else logger.fatal({ err: error }, message)
  process.exit(1)
}

async function run(): Promise<void> {
  letHeapGrow()
  const { values, config, tls } = readRouterConfig(process.env)
  const metrics = new NamespaceMetrics()
  createProcessMetrics(metrics.process, 'router', logger)
  const log = new KafkaLog({ ...kafkaConnection(values), clientId: config.routerId, logger, metrics: metrics.process })
  const plan = planTopics(values, config.namespace, config.profile)
  const key = values.INTERNAL_KEY_FILE === '' ? undefined : readFileSync(values.INTERNAL_KEY_FILE, 'utf8').trim()
  const tracing = await openTracing({
    config: readSettings(telemetrySettings, process.env),
    key: Buffer.from(key ?? ''),
    service: 'router',
    instance: config.routerId,
    registry: metrics.process,
    logger,
  })
  const clusters = new RouteClusters(
    values.ROUTE_CLUSTERS_FILE === '' ? new Map() : parseClusters(readFileSync(values.ROUTE_CLUSTERS_FILE, 'utf8')),
    (connection) => new KafkaLog({ ...connection, clientId: config.routerId, logger }),
  )
  const routers = parseRouterUrls(values.ROUTER_URLS)
  if (!routers) throw new SettingError('ROUTER_URLS', `“${values.ROUTER_URLS}” is not a list of addresses such as router=http://127.0.0.1:7002`)
  const others = routers.filter(({ id }) => id !== config.routerId)
  const ownersKey = values.API_KEY_FILE === '' ? undefined : readFileSync(values.API_KEY_FILE, 'utf8').trim()
  const schemaIds = openSchemaIds(schemaRegistryConfig(readSettings(schemaRegistrySettings, process.env)), logger)
  const isOwnersKey = ownersKey === undefined ? () => false : keyChecker(ownersKey)
  const common = { config, log, schemaIds, tls, key, tracing, clusters, others, isOwnersKey, oidc: readOidcSettings(values) }
  const home = await openNamespaceRouter({
    ...common,
    plan,
    logger,
    metricsRegistry: metrics.begin(config.namespace),
    onFailed: (error) => fail(error, 'the router cannot go on and ends, to start anew from the log'),
  })
  const directory = new NamespaceDirectory(home.registry.view, config.namespace, config.profile === 'production')
  const further = new NamespaceInstances<NamespaceRouter>({
    async start(namespace, failed) {
      const { name, partitions } = namespace
      const life = lifeName(namespace)
      const opened = await openNamespaceRouter({
        ...common,
        config: { ...config, namespace: name },
        plan: planFor(plan, life, partitions),
        life,
        logger: logger.child({ namespace: name }),
        metricsRegistry: metrics.begin(name),
        onFailed: failed,
      })
      try {
        await opened.router.start()
      } catch (error) {
        await opened.stop().catch(() => {})
        throw error
      }
      return opened
    },
    stop: (opened) => opened.stop(),
    logger,
    onStuck: (error) => fail(error, 'the router cannot go on and ends, to start anew from the log'),
  })
  const takeNote = (): void => {
    directory.refresh()
    further.set(directory.others)
    metrics.keep(directory.names)
  }

  /** Of requests that come from outside, in which no path names the namespace. */
  const handlerAt = (host: string | undefined): NamespaceRouter | undefined => {
    const namespace = directory.hosts.get((host ?? '').replace(/:\d+$/, '').toLowerCase()) ?? config.namespace
    return namespace === config.namespace ? home : further.get(namespace)
  }
  const server = createServer((request, response) => {
    if (isPullPath((request.url ?? '').split('?', 1)[0] ?? '')) {
      const asked = handlerAt(String(request.headers['x-forwarded-host'] ?? request.headers.host ?? ''))
      if (asked?.handle(request, response)) return
      response
        .writeHead(503, { 'content-type': 'application/json' })
        .end(JSON.stringify({ status: 503, detail: 'this router does not serve the namespace now' }))
      return
    }
    const asked = namespaceOf(request.url ?? '')
    if (asked) {
      const other = further.get(asked.namespace)
      request.url = asked.rest
      if (other?.handle(request, response)) return
      const body = { status: 503, detail: `this router does not serve the namespace ${asked.namespace} now` }
      response.writeHead(other ? 404 : 503, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    } else if (home.handle(request, response)) return
    else if (request.url === '/status') {
      const status = home.router.status() as { kafka: { reachable: boolean } }
      const body = { ok: status.kafka.reachable, ...status, ...othersStatus(further) }
      response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
    } else if (request.url === '/metrics') {
      void metrics.metrics().then((text) => response.setHeader('content-type', metrics.contentType).end(text))
    } else response.writeHead(404).end()
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(values.INTERNAL_PORT, values.LOGGERHEAD_INTERNAL_BIND, resolve)
  })

  process.once('SIGTERM', () => {
    logger.info('stopping')
    server.close()
    // Whatever was acknowledged is in the log; the group gives the shards to others once it has missed this member.
    setTimeout(() => {
      logger.warn({ ms: stopMs }, 'not everything came to its end in time; the process ends all the same')
      process.exit(0)
    }, stopMs).unref()
    Promise.all([home.stop(), further.close()])
      .then(() => tracing?.close())
      .then(() => Promise.all([log.close(), clusters.close()]))
      .then(
        () => process.exit(0),
        (error) => fail(error, 'could not stop orderly'),
      )
  })
  takeNote()
  home.registry.onChange(takeNote)
  await home.router.start()
  const ports = { internal: (server.address() as AddressInfo).port }
  logger.info({ ports }, 'routing')
  process.send?.({ ready: true, ports })
}

/** `/namespaces/<name>/…` is about another namespace than the home one. */
function namespaceOf(target: string): { readonly namespace: string; readonly rest: string } | null {
  const [, namespace, rest] = /^\/namespaces\/([A-Za-z0-9-]+)(\/.*)$/.exec(target) ?? []
  return namespace === undefined || rest === undefined ? null : { namespace, rest }
}

/** The namespaces besides the home one, as /status shows them. */
function othersStatus(others: NamespaceInstances<NamespaceRouter>): { readonly namespaces?: object } {
  const all = others.all().map(({ namespace, instance, trouble }) => {
    const status = instance?.router.status()
    return [namespace.name, status ? { ok: true, ...status } : { ok: false, reason: trouble }] as const
  })
  return all.length === 0 ? {} : { namespaces: Object.fromEntries(all) }
}

run().catch((error) => fail(error, 'the router could not start'))
