/** Brings a gateway up on a log, and down again. */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { keyChecker } from '../access/api-keys.ts'
import type { Log } from '../log/log.ts'
import type { SchemaIds } from '../log/schema-registry/schema-ids.ts'
import { planFor, type TopicPlan } from '../log/topics.ts'
import { NamespaceDirectory } from '../model/namespace-directory.ts'
import { NamespaceInstances } from '../model/namespace-instances.ts'
import { NamespaceMetrics } from '../model/namespace-metrics.ts'
import { lifeName } from '../model/namespaces.ts'
import { type DeliveryTls, serveDelivery } from '../proto/delivery.ts'
import { parseRouterUrls } from '../proto/routers.ts'
import { SettingError } from '../settings/setting.ts'
import { createProcessMetrics } from '../telemetry/process-metrics.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import type { GatewayConfig } from './config.ts'
import type { Gateway } from './gateway.ts'
import { MqttHttp } from './http/mqtt-http.ts'
import { createInternalHttp } from './internal-http.ts'
import { Listeners, listen } from './listeners.ts'
import { type NamespaceGateway, openNamespaceGateway } from './namespace-gateway.ts'
import { Reception } from './reception.ts'

export interface GatewayProcessOptions {
  readonly config: GatewayConfig
  readonly plan: TopicPlan
  readonly log: Log
  /** Null without a schema registry. */
  readonly schemaIds?: SchemaIds | null
  readonly logger: Logger
  readonly metricsRegistry?: Registry
  readonly version: string
  readonly clock?: { now(): number }
  /** Null where nothing is traced. */
  readonly tracing?: Tracing | null
  /** As a gateway takes it. */
  readonly pauseMsMax?: number
  /** The registry can no longer be followed, or the like: the process has to end. */
  onFailed(error: unknown): void
}

export interface GatewayProcess {
  /** Of the home namespace. */
  readonly gateway: Gateway
  /** Of any namespace that is served now. */
  gatewayOf(namespace: string): Gateway | undefined
  /** Open sockets of all namespaces, handshakes included. */
  connections(): number
  readonly metrics: NamespaceMetrics
  readonly ports: Readonly<Record<string, number>>
  /** Orderly, within DRAIN_PERIOD and SHUTDOWN_TIMEOUT. The log is the caller's to close. */
  stop(): Promise<void>
  /** A stop that is under way does not wait for the clients any longer. */
  hurry(): void
}

/** At the start the other namespaces are waited for this long, ms: one that cannot start holds up nobody else's clients. */
const namespacesStartMs = 10_000

/** What a record takes besides the packet: names, ids, Kafka's own framing. Bytes. */
const recordRoom = 1024

/** Throws SettingError when Kafka would refuse a message that MQTT allows. */
async function checkPacketSize(log: Log, topic: string, config: GatewayConfig): Promise<void> {
  const settings = await log.topicSettings(topic)
  const most = Number(settings['max.message.bytes'])
  // The topic stands in the value and again as the key, and may have come as an alias. A character has four bytes at most.
  const needed = config.MAXIMUM_PACKET_SIZE + 2 * config.TOPIC_LENGTH_MAX + 4 * config.CLIENT_ID_LENGTH_MAX + recordRoom
  if (Number.isFinite(most) && needed > most) {
    throw new SettingError(
      'MAXIMUM_PACKET_SIZE',
      `${config.MAXIMUM_PACKET_SIZE} needs records of ${needed} bytes, but max.message.bytes of ${topic} is ${most}`,
    )
  }
}

/** Throws SettingError when the file cannot be read. */
export function readKey(file: string, variable: 'INTERNAL_KEY_FILE' | 'API_KEY_FILE' = 'INTERNAL_KEY_FILE'): Buffer | null {
  if (file === '') return null
  try {
    return Buffer.from(readFileSync(file, 'utf8').trim())
  } catch (error) {
    throw new SettingError(variable, `cannot read the file “${file}”: ${(error as Error).message}`)
  }
}

function deliveryTls(config: GatewayConfig): DeliveryTls | null {
  const { GRPC_TLS_CA: ca, GRPC_TLS_CERT: cert, GRPC_TLS_KEY: key } = config
  if (ca === '' && cert === '' && key === '') return null
  for (const name of ['GRPC_TLS_CA', 'GRPC_TLS_CERT', 'GRPC_TLS_KEY'] as const)
    if (config[name] === '') throw new SettingError(name, 'is missing: CA, certificate and key belong together')
  return { ca, cert, key }
}

/** The address routers are told: GRPC_ADVERTISE, its port filled in when it names none. */
export function advertised(config: GatewayConfig, port: number): string {
  const told = config.GRPC_ADVERTISE
  if (told === '') return `${config.GRPC_BIND.includes(':') ? `[${config.GRPC_BIND}]` : config.GRPC_BIND}:${port}`
  return /:\d+$/.test(told) ? told : `${told}:${port}`
}

export async function startGateway(options: GatewayProcessOptions): Promise<GatewayProcess> {
  const { config, plan, log, logger } = options
  const metrics = new NamespaceMetrics(options.metricsRegistry)
  const internalKey = readKey(config.INTERNAL_KEY_FILE)
  const tls = deliveryTls(config)
  const clock = options.clock ?? Date
  const routers = parseRouterUrls(config.ROUTER_URLS)
  if (!routers) throw new SettingError('ROUTER_URLS', `“${config.ROUTER_URLS}” is not a list of addresses such as router=http://127.0.0.1:7002`)
  const ownersKey = readKey(config.API_KEY_FILE, 'API_KEY_FILE')
  const isOwnersKey = ownersKey === null ? () => false : keyChecker(ownersKey.toString())
  const common = {
    config,
    log,
    schemaIds: options.schemaIds ?? null,
    internalKey,
    routers,
    isOwnersKey,
    version: options.version,
    clock,
    tracing: options.tracing ?? null,
    ...(options.pauseMsMax !== undefined && { pauseMsMax: options.pauseMsMax }),
  }
  const homeName = config.LOGGERHEAD_NAMESPACE
  const home = await openNamespaceGateway({
    ...common,
    namespace: homeName,
    hostNames: () => directory.hostNamesOf(homeName),
    plan,
    logger,
    metricsRegistry: metrics.begin(homeName),
    onFailed: options.onFailed,
  })
  const { gateway } = home
  const directory: NamespaceDirectory = new NamespaceDirectory(home.registry.view, homeName, config.LOGGERHEAD_PROFILE === 'production')
  let address = ''
  const others = new NamespaceInstances<NamespaceGateway>({
    async start(namespace, fail) {
      const { name, partitions } = namespace
      const opened = await openNamespaceGateway({
        ...common,
        namespace: name,
        hostNames: () => directory.hostNamesOf(name),
        plan: planFor(plan, lifeName(namespace), partitions),
        logger: logger.child({ namespace: name }),
        metricsRegistry: metrics.begin(name),
        onFailed: fail,
      })
      try {
        await opened.gateway.begin(address)
      } catch (error) {
        await opened.stop(address, false)
        throw error
      }
      return opened
    },
    async stop(opened, isGone) {
      await opened.stop(address, isGone)
    },
    logger,
    onStuck: options.onFailed,
  })
  const gatewayOf = (name: string): Gateway | undefined => (name === homeName ? gateway : others.get(name)?.gateway)
  const reception = new Reception({ config, directory, gatewayOf, clock, logger, metrics: metrics.process })
  const listeners = new Listeners(reception)
  const takeNote = (): void => {
    const hasChanged = directory.refresh()
    others.set(directory.others)
    if (hasChanged) for (const { instance } of others.all()) instance?.gateway.hostNamesChanged()
    listeners.keep(directory.names)
    metrics.keep(directory.names)
  }
  const grpcAddress = `${config.GRPC_BIND.includes(':') ? `[${config.GRPC_BIND}]` : config.GRPC_BIND}:${config.GRPC_PORT}`
  const onLink = (stream: Duplex, peer: string, life: string | undefined): void => {
    const linked = life === undefined || life === homeName ? gateway : others.ofLife(life)?.gateway
    if (linked) linked.links.onLink(stream, peer)
    else stream.on('error', () => {}).end() // not served yet, or no more: the router asks again while it is
  }
  const delivery = await serveDelivery({ address: grpcAddress, ...(tls && { tls }), onLink }).catch((cause: Error) => {
    throw new SettingError('GRPC_PORT', `${grpcAddress} cannot be opened: ${cause.message}`)
  })
  address = advertised(config, delivery.port)
  const mqttHttp = new MqttHttp({
    choose: (arrival) => reception.choose(arrival),
    httpOf: (name) => (name === homeName ? home : others.get(name))?.http,
  })
  const http = createInternalHttp(() => ({ ...gateway.status, ...othersStatus(others) }), metrics, mqttHttp, config.HTTP_BODY_TIMEOUT)
  const closeDoors = (): void => {
    listeners.close()
    reception.close()
    http.close()
    http.closeAllConnections()
    delivery.close()
  }
  try {
    await checkPacketSize(log, plan.names.messages, config)
    await gateway.begin(address)
    takeNote()
    home.registry.onChange(takeNote)
    await others.settled(namespacesStartMs)
    await listeners.open()
    await listen(http, 'INTERNAL_PORT', { host: config.LOGGERHEAD_INTERNAL_BIND, port: config.INTERNAL_PORT })
  } catch (error) {
    closeDoors()
    await Promise.all([others.close(), home.registry.close()])
    throw error
  }
  const internal = (http.address() as AddressInfo).port
  let stopped: Promise<void> | null = null
  const gateways = (): Gateway[] => [gateway, ...others.all().flatMap(({ instance }) => instance?.gateway ?? [])]
  const stop = async (): Promise<void> => {
    listeners.close()
    await Promise.all(gateways().map((each) => each.drain()))
    await Promise.all([home.stop(address, false), others.close()])
    closeDoors()
  }
  return {
    gateway,
    gatewayOf,
    connections: () => reception.admission.connections,
    metrics,
    ports: { ...listeners.ports, internal, grpc: delivery.port },
    stop: () => {
      stopped ??= stop()
      return stopped
    },
    hurry: () => {
      for (const each of gateways()) each.hurry()
    },
  }
}

/** The namespaces besides the home one, as /status shows them. */
function othersStatus(others: NamespaceInstances<NamespaceGateway>): { readonly namespaces?: object } {
  const all = others.all().map(({ namespace, instance, trouble }) => [namespace.name, instance?.gateway.status ?? { ok: false, reason: trouble }] as const)
  return all.length === 0 ? {} : { namespaces: Object.fromEntries(all) }
}

/** The process's own figures beside the gateway's. */
export function processMetrics(logger: Logger): Registry {
  const registry = new Registry()
  createProcessMetrics(registry, 'gateway', logger)
  return registry
}
