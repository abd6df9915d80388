import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { createProcessMetrics } from '../telemetry/process-metrics.ts'
import { CanaryClient } from './canary-client.ts'
import { canaryTopics, type PartitionOf } from './canary-topics.ts'
import { followCertificate, readCertificate } from './certificate.ts'
import type { DoorConfig } from './config.ts'
import { createDoor } from './door.ts'
import { FiguresPublisher } from './figures-publisher.ts'
import { HealthCheck } from './health.ts'
import { createMetrics } from './metrics.ts'
import { ReverseProxy } from './proxy.ts'
import { askFigures, askStatus } from './status-client.ts'
import { timeLimit as machineTimeLimit, type TimeLimit } from './time-limit.ts'

/** Time for the services' own words when a canary has failed or is late, ms; at most a third of its deadline. */
const statusTimeoutMax = 1000
/** How long requests under way may take to end after a SIGTERM, ms. */
const drainMs = 5000

export interface DoorProcessOptions {
  readonly config: DoorConfig
  readonly logger: Logger
  readonly partitionOf: PartitionOf
  /** Of a canary's round, and of an answer of /status. The machine's clock when not given. */
  readonly timeLimit?: TimeLimit
}

/** The front door with everything around it. */
export interface DoorProcess {
  /** By name: http, https where there is one, internal. */
  readonly ports: Readonly<Record<string, number>>
  /** Takes no new connection, lets requests under way end, closes the canaries. */
  close(): Promise<void>
}

/** A listener's port cannot be had; the message names the setting. */
export class PortError extends Error {
  constructor(variable: string, port: number, bind: string | undefined, cause: Error & { code?: string }) {
    const where = `port ${port} of ${bind ?? 'every address'}`
    super(`${variable}: ${where} ${cause.code === 'EADDRINUSE' ? 'is in use by another program' : `cannot be bound (${cause.message})`}`, { cause })
    this.name = 'PortError'
  }
}

function listen(server: Server | TlsServer, variable: string, port: number, bind: string | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new PortError(variable, port, bind, error)))
    server.listen(bind === undefined ? { port } : { port, host: bind }, () => resolve((server.address() as AddressInfo).port))
  })
}

function stop(server: Server | TlsServer): Promise<void> {
  return new Promise((resolve) => {
    const late = setTimeout(() => server.closeAllConnections(), drainMs)
    server.close(() => {
      clearTimeout(late)
      resolve()
    })
    server.closeIdleConnections()
  })
}

/** Brings the front door up. Throws PortError, or what the file system says of the certificate. */
export async function startDoor({ config, logger, partitionOf, timeLimit = machineTimeLimit }: DoorProcessOptions): Promise<DoorProcess> {
  const { values } = config
  const registry = new Registry()
  createProcessMetrics(registry, 'door', logger)
  const metrics = createMetrics(registry)
  const now = (): number => performance.now()

  const proxy = new ReverseProxy({
    upstreams: { registry: config.registry, gateway: config.gateways, router: config.routers },
    metrics,
    bodyMax: values.DOOR_BODY_MAX,
    requestsPerHopMax: values.DOOR_REQUESTS_PER_HOP_MAX,
    connectTimeoutMs: values.DOOR_CONNECT_TIMEOUT,
    upstreamTimeoutMs: values.DOOR_UPSTREAM_TIMEOUT,
    now,
  })
  const key = (): Buffer => Buffer.from(readFileSync(values.INTERNAL_KEY_FILE, 'utf8').trim())
  const statusTimeoutMs = Math.min(statusTimeoutMax, Math.floor(values.HEALTH_DEADLINE / 3))
  const canaries = config.canaries.map(
    (address) =>
      new CanaryClient({
        address,
        topics: canaryTopics(address.gateway, values.KAFKA_PARTITIONS, partitionOf),
        key,
        now,
        timeLimit,
      }),
  )
  const health = new HealthCheck({
    durability: values.DURABILITY,
    probe: () => Promise.all(canaries.map((canary) => canary.probe(values.HEALTH_DEADLINE))),
    statuses: () =>
      Promise.all([
        ...config.registry.map((upstream) => askStatus('registry', upstream, timeLimit, statusTimeoutMs)),
        ...config.gateways.map((upstream) => askStatus('gateway', upstream, timeLimit, statusTimeoutMs)),
        ...config.routers.map((upstream) => askStatus('router', upstream, timeLimit, statusTimeoutMs)),
      ]),
    lateMs: values.HEALTH_DEADLINE - statusTimeoutMs,
    freshMs: values.HEALTH_FRESH,
    now,
    metrics,
  })
  const figures =
    values.SYS_TOPICS_INTERVAL === 0
      ? null
      : new FiguresPublisher({
          addresses: config.canaries,
          key,
          ask: async () =>
            (await Promise.all(config.gateways.map((upstream) => askFigures(upstream, timeLimit, statusTimeoutMs)))).filter((told) => told !== null),
          intervalMs: values.SYS_TOPICS_INTERVAL * 1000,
          now,
          logger,
        })
  const options = {
    production: config.production,
    proxy,
    health,
    metrics,
    registry,
    logger,
    limits: {
      headersMax: values.DOOR_HEADERS_MAX,
      headersTimeoutMs: values.DOOR_HEADERS_TIMEOUT,
      requestTimeoutMs: values.DOOR_REQUEST_TIMEOUT,
      socketTimeoutMs: values.DOOR_SOCKET_TIMEOUT,
      connectionsMax: values.DOOR_CONNECTIONS_MAX,
    },
  }

  const servers: (Server | TlsServer)[] = []
  const ports: Record<string, number> = {}
  let unfollow = (): void => {}
  const close = async (): Promise<void> => {
    unfollow()
    figures?.close()
    for (const canary of canaries) canary.close()
    await Promise.all(servers.filter((server) => server.listening).map(stop))
    proxy.close()
  }
  try {
    const plain = createDoor(options)
    servers.push(plain)
    ports.http = await listen(plain, 'HTTP_PORT', values.HTTP_PORT, config.bind)
    if (values.HTTPS_PORT !== 0) {
      const files = { cert: values.TLS_CERT, key: values.TLS_KEY }
      const tls = createDoor(options, readCertificate(files)) as TlsServer
      servers.push(tls)
      ports.https = await listen(tls, 'HTTPS_PORT', values.HTTPS_PORT, config.bind)
      unfollow = followCertificate(tls, files, logger)
    }
    const internal = createServer((request, response) => {
      if (request.url === '/metrics') {
        response.setHeader('content-type', registry.contentType)
        registry.metrics().then((text) => response.end(text))
        return
      }
      response.setHeader('content-type', 'application/json')
      response.statusCode = request.url === '/status' ? 200 : 404
      response.end(JSON.stringify(request.url === '/status' ? { ok: true, service: 'door', ports } : { ok: false }))
    })
    servers.push(internal)
    ports.internal = await listen(internal, 'INTERNAL_PORT', values.INTERNAL_PORT, values.LOGGERHEAD_INTERNAL_BIND)
  } catch (error) {
    await close()
    throw error
  }
  return { ports, close }
}
