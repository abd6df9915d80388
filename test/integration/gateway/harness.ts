/** A gateway on an in-memory log with real sockets, a registry of its own and a fake router. */
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { readGatewayConfig, withinHistory } from '../../../gateway/config.ts'
import { type GatewayProcess, startGateway } from '../../../gateway/process.ts'
import type { Follower, FollowOptions, Log } from '../../../log/log.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { ensureTopics, planFor, planTopics, type TopicPlan, topicSettings, topicSpecs } from '../../../log/topics.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import { readSettings } from '../../../settings/setting.ts'
import { FakeRouter } from './fake-router.ts'

export type Environment = Readonly<Record<string, string>>

/** The development profile's rules: anybody may do anything. */
export const openRegistry: Readonly<Record<string, object | null>> = {
  'clientGroups/$anonymous': {},
  'topicSpaces/everything': { topicTemplates: ['#'] },
  'permissionBindings/pub': { clientGroupName: '$anonymous', topicSpaceName: 'everything', permission: 'Publisher' },
  'permissionBindings/sub': { clientGroupName: '$anonymous', topicSpaceName: 'everything', permission: 'Subscriber' },
}

/** A log whose followers of one topic can be made to hear nothing, as when that partition alone cannot be read. */
class HeldLog extends MemoryLog {
  #held: Promise<void> | null = null
  #release = (): void => {}
  heldTopic = ''

  hold(isHeld: boolean): void {
    this.#release()
    this.#held = isHeld ? new Promise((resolve) => (this.#release = resolve)) : null
  }

  override async follow(options: FollowOptions): Promise<Follower> {
    const follower = await super.follow(options)
    if (options.topic !== this.heldTopic) return follower
    const held = (): Promise<void> | null => this.#held
    return {
      seek: (partition, offset) => follower.seek(partition, offset),
      remove: (partition) => follower.remove(partition),
      close: () => follower.close(),
      together: () => follower.together(),
      async *stretches() {
        for await (const stretch of follower.stretches()) {
          await held()
          yield stretch
        }
      },
    }
  }
}

export interface NamespaceHarness {
  readonly plan: TopicPlan
  readonly router: FakeRouter
  put(resources: Readonly<Record<string, object | null>>): Promise<void>
}

export interface Harness {
  readonly log: MemoryLog
  /** The gateway hears nothing of the registry until it is let go. */
  holdRegistry(isHeld: boolean): void
  readonly plan: TopicPlan
  readonly process: GatewayProcess
  readonly port: number
  readonly router: FakeRouter
  /** Adds a namespace, its registry filled, and answers once the gateway serves it; with a router of its own unless `router` is false. */
  addNamespace(name: string, hostNames: readonly string[], registry: Readonly<Record<string, object | null>>, router?: boolean): Promise<NamespaceHarness>
  /** Another link to the same gateway, as after a failover. */
  newRouter(options?: { readonly term?: number }): Promise<FakeRouter>
  put(resources: Readonly<Record<string, object | null>>): Promise<void>
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
  /** How often the limit took effect. */
  reached(limit: string): Promise<number>
  stop(): Promise<void>
}

export async function putResources(log: Log, topic: string, resources: Readonly<Record<string, object | null>>): Promise<void> {
  const appender = await log.appender()
  for (const [key, properties] of Object.entries(resources)) {
    const [kind, name] = key.split('/') as [string, string]
    const value =
      properties && encodeRecord('RegistryEntry', { kind, name, properties: JSON.stringify(properties), etag: '1', createdAt: 0, updatedAt: 0, by: 'test' })
    await appender.write({ topic, partition: 0, key: Buffer.from(key), value, timestamp: Date.now() })
  }
  await appender.close()
}

const off = { MQTT_PORT: '0', MQTTS_PORT: 'off', WS_PORT: 'off', WSS_PORT: 'off', DRAIN_PERIOD: '0' }

export async function startHarness(
  environment: Environment = {},
  options: {
    readonly registry?: Readonly<Record<string, object | null>>
    readonly router?: boolean
    /** A minute when not given: a machine that is busy with other tests is no paused process. */
    readonly pauseMsMax?: number
  } = {},
): Promise<Harness> {
  const log = new HeldLog()
  const all = { ...off, KAFKA_PARTITIONS: '2', ...environment }
  const plan = planTopics(readSettings(topicSettings, all), 'default', 'development')
  const config = withinHistory(readGatewayConfig(all), plan.historyWindowMs, all)
  log.heldTopic = plan.names.registry
  await ensureTopics(log, topicSpecs(plan), 'development')
  await putResources(log, plan.names.registry, options.registry ?? openRegistry)
  const metrics = new Registry()
  const running = await startGateway({
    config,
    plan,
    log,
    logger: pino({ level: process.env.LOG_LEVEL || 'silent' }),
    metricsRegistry: metrics,
    version: 'test',
    pauseMsMax: options.pauseMsMax ?? 60_000,
    onFailed: (error) => {
      throw error
    },
  })
  const routers: FakeRouter[] = []
  const newRouter = async ({ term }: { readonly term?: number } = {}): Promise<FakeRouter> => {
    const router = await FakeRouter.start({
      log,
      topics: plan.names,
      partitions: plan.partitions,
      address: `127.0.0.1:${running.ports.grpc}`,
      incarnation: running.gateway.incarnation,
      ...(term !== undefined && { term }),
    })
    routers.push(router)
    return router
  }
  const addNamespace: Harness['addNamespace'] = async (name, hostNames, registry, withRouter = true) => {
    const own = planFor(plan, name, 1)
    await ensureTopics(log, topicSpecs(own), 'development')
    await putResources(log, own.names.registry, registry)
    await putResources(log, plan.names.registry, { [`namespaces/${name}`]: { state: 'Active', life: 1, partitions: 1, hostNames } })
    const deadline = Date.now() + 60_000
    while (!running.gatewayOf(name)) {
      if (Date.now() > deadline) throw new Error(`the gateway does not serve ${name}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const router = await FakeRouter.start({
      log,
      topics: own.names,
      partitions: withRouter ? 1 : 0,
      address: `127.0.0.1:${running.ports.grpc}`,
      incarnation: running.gatewayOf(name)?.incarnation ?? -1,
      namespace: name,
    })
    routers.push(router)
    return { plan: own, router, put: (resources) => putResources(log, own.names.registry, resources) }
  }
  const first = options.router === false ? null : await newRouter()
  const metric = async (name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> => {
    // As JSON they carry the label of their namespace.
    const all = await Promise.all(running.metrics.all().map((registry) => registry.getMetricsAsJSON()))
    const found = all.flat().filter((each) => each.name === name)
    if (found.length === 0) throw new Error(`there is no metric ${name}`)
    return found
      .flatMap(({ values }) => values)
      .filter((value) => Object.entries(labels).every(([label, wanted]) => value.labels[label] === wanted))
      .reduce((sum, { value }) => sum + value, 0)
  }
  return {
    log,
    holdRegistry: (isHeld) => log.hold(isHeld),
    plan,
    process: running,
    port: running.ports.mqtt ?? 0,
    get router(): FakeRouter {
      if (!first) throw new Error('started without a router')
      return first
    },
    addNamespace,
    newRouter,
    put: (resources) => putResources(log, plan.names.registry, resources),
    metric,
    reached: (limit) => metric('loggerhead_limit_reached_total', { limit }),
    stop: async () => {
      await Promise.all(routers.map((router) => router.close()))
      log.hold(false)
      await running.stop()
      await log.close()
    },
  }
}
