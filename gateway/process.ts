/** Brings a gateway up on a log, and down again. */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { Log } from '../log/log.ts'
import { ensureTopics, type Profile, type TopicPlan, topicSpecs } from '../log/topics.ts'
import { RegistryFollower } from '../model/registry-follower.ts'
import { type DeliveryTls, serveDelivery } from '../proto/delivery.ts'
import { SettingError } from '../settings/setting.ts'
import type { GatewayConfig } from './config.ts'
import { Gateway } from './gateway.ts'
import { createInternalHttp } from './internal-http.ts'
import { Listeners, listen } from './listeners.ts'

export interface GatewayProcessOptions {
  readonly config: GatewayConfig
  readonly plan: TopicPlan
  readonly log: Log
  readonly logger: Logger
  readonly metricsRegistry?: Registry
  readonly version: string
  readonly clock?: { now(): number }
  /** The registry can no longer be followed, or the like: the process has to end. */
  onFailed(error: unknown): void
}

export interface GatewayProcess {
  readonly gateway: Gateway
  readonly ports: Readonly<Record<string, number>>
  /** Orderly, within DRAIN_PERIOD and SHUTDOWN_TIMEOUT. The log is the caller's to close. */
  stop(): Promise<void>
  /** A stop that is under way does not wait for the clients any longer. */
  hurry(): void
}

/** What a record takes besides the packet: names, ids, Kafka's own framing. Bytes. */
const recordRoom = 1024

/** Throws SettingError when Kafka would refuse a message that MQTT allows. */
export async function checkPacketSize(log: Log, topic: string, config: GatewayConfig): Promise<void> {
  const settings = await log.topicSettings(topic)
  const most = Number(settings['max.message.bytes'])
  // The topic stands in the value and again as the key, and may have come as an alias.
  const needed = config.MAXIMUM_PACKET_SIZE + 2 * config.TOPIC_LENGTH_MAX + config.CLIENT_ID_LENGTH_MAX + recordRoom
  if (Number.isFinite(most) && needed > most) {
    throw new SettingError(
      'MAXIMUM_PACKET_SIZE',
      `${config.MAXIMUM_PACKET_SIZE} needs records of ${needed} bytes, but max.message.bytes of ${topic} is ${most}`,
    )
  }
}

function readKey(file: string): Buffer | null {
  if (file === '') return null
  try {
    return Buffer.from(readFileSync(file, 'utf8').trim())
  } catch (error) {
    throw new SettingError('INTERNAL_KEY_FILE', `cannot read the file “${file}”: ${(error as Error).message}`)
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
  const metricsRegistry = options.metricsRegistry ?? new Registry()
  const internalKey = readKey(config.INTERNAL_KEY_FILE)
  const tls = deliveryTls(config)
  await ensureTopics(log, topicSpecs(plan), config.LOGGERHEAD_PROFILE as Profile)
  await checkPacketSize(log, plan.names.messages, config)
  const clock = options.clock ?? Date
  const registry = await RegistryFollower.start({ log, topic: plan.names.registry, clock, onFailed: options.onFailed })
  const gateway = new Gateway(
    { config, log, registry, topics: plan.names, partitions: plan.partitions, internalKey, version: options.version, clock, logger, metricsRegistry },
    await log.appender(),
  )
  const grpcAddress = `${config.GRPC_BIND.includes(':') ? `[${config.GRPC_BIND}]` : config.GRPC_BIND}:${config.GRPC_PORT}`
  const delivery = await serveDelivery({ address: grpcAddress, ...(tls && { tls }), onLink: (stream, peer) => gateway.links.onLink(stream, peer) }).catch(
    (cause: Error) => {
      throw new SettingError('GRPC_PORT', `${grpcAddress} cannot be opened: ${cause.message}`)
    },
  )
  const address = advertised(config, delivery.port)
  const listeners = new Listeners(gateway)
  const http = createInternalHttp(() => gateway.status, metricsRegistry)
  const closeDoors = (): void => {
    listeners.close()
    http.close()
    http.closeAllConnections()
    delivery.close()
  }
  try {
    await gateway.begin(address)
    await listeners.open()
    await listen(http, 'INTERNAL_PORT', { host: config.LOGGERHEAD_INTERNAL_BIND, port: config.INTERNAL_PORT })
  } catch (error) {
    closeDoors()
    await registry.close()
    throw error
  }
  const internal = (http.address() as AddressInfo).port
  let stopped: Promise<void> | null = null
  const stop = async (): Promise<void> => {
    listeners.close()
    await gateway.drain()
    await gateway.stop(address)
    closeDoors()
    await registry.close()
  }
  return {
    gateway,
    ports: { ...listeners.ports, internal, grpc: delivery.port },
    stop: () => {
      stopped ??= stop()
      return stopped
    },
    hurry: () => gateway.hurry(),
  }
}

/** The process's own figures beside the gateway's. */
export function processMetrics(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'loggerhead_' })
  return registry
}
