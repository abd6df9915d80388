import { join } from 'node:path'
import { durabilityOf, type Listener, type StackConfig, variableOf } from './config.ts'
import type { ProcessSpec } from './supervised-process.ts'

/** Ports that only the services among themselves use, chosen when the stack starts and kept across restarts. */
export interface InternalPorts {
  readonly registry: number
  readonly door: number
  readonly routers: readonly number[]
  readonly gateways: readonly { readonly status: number; readonly grpc: number; readonly mqtt: number }[]
}

export interface ServicesOptions {
  readonly config: StackConfig
  readonly project: string
  /** host:port, comma-separated. */
  readonly brokers: string
  readonly ports: InternalPorts
  readonly files: { readonly apiKey: string; readonly internalKey: string; readonly tlsCert: string; readonly tlsKey: string }
  readonly environment: Readonly<Record<string, string | undefined>>
  /** The Node that runs them, and its flags. */
  readonly node: string
  readonly nodeFlags: readonly string[]
}

/** How many internal ports a configuration needs. */
export function internalPortCount(config: StackConfig): number {
  return 2 + config.values.ROUTERS + 3 * config.values.GATEWAYS
}

export function arrangePorts(config: StackConfig, free: readonly number[]): InternalPorts {
  const rest = [...free]
  const next = () => {
    const port = rest.shift()
    if (port === undefined) throw new Error(`${internalPortCount(config)} ports are needed, ${free.length} were given`)
    return port
  }
  return {
    registry: next(),
    door: next(),
    routers: Array.from({ length: config.values.ROUTERS }, next),
    gateways: Array.from({ length: config.values.GATEWAYS }, () => ({ status: next(), grpc: next(), mqtt: next() })),
  }
}

/** `gateway`, `gateway-2`, … */
export function numbered(name: string, index: number): string {
  return index === 0 ? name : `${name}-${index + 1}`
}

const memoryVariables = { gateway: 'GATEWAY_MEMORY', router: 'ROUTER_MEMORY', registry: 'REGISTRY_MEMORY', door: 'DOOR_MEMORY' } as const

/**
 * Buffers, which have budgets of their own, and threads live beside the heap. Buffers of the network live for a moment, but only a collection
 * frees them, and V8 marks the whole heap when 64 MiB of them have come together: half the usual 16 MiB for what is new frees them before.
 */
function heapFlags(memoryMiB: number): readonly string[] {
  return [`--max-old-space-size=${Math.floor(memoryMiB * 0.75)}`, '--max-semi-space-size=8']
}

/** Time for a service to flush and leave, ms; a gateway moves its clients off before. */
const stopMs = 10_000

/** The settings' own defaults where they are not set: gateway/config.ts. */
function gatewayStopMs({ DRAIN_PERIOD, SHUTDOWN_TIMEOUT }: Readonly<Record<string, string | undefined>>): number {
  return Number(DRAIN_PERIOD || 10_000) + Number(SHUTDOWN_TIMEOUT || 5_000) + 5_000
}

/** What each service is started with, in starting order: the environment contract of the stack. */
export function serviceSpecs(options: ServicesOptions): {
  readonly registry: ProcessSpec
  readonly routers: readonly ProcessSpec[]
  readonly gateways: readonly ProcessSpec[]
  readonly door: ProcessSpec
} {
  const { config, project, brokers, ports, files, environment, node, nodeFlags } = options
  const { values } = config
  const local = (port: number) => `http://127.0.0.1:${port}`
  const common: Record<string, string | undefined> = {
    ...environment,
    LOGGERHEAD_PROFILE: values.LOGGERHEAD_PROFILE,
    LOGGERHEAD_DATA: config.dataFolder,
    LOGGERHEAD_PREFIX: values.LOGGERHEAD_PREFIX,
    LOGGERHEAD_NAMESPACE: values.LOGGERHEAD_NAMESPACE,
    LOGGERHEAD_INTERNAL_BIND: '127.0.0.1',
    KAFKA_BROKERS: brokers,
    KAFKA_PARTITIONS: String(values.KAFKA_PARTITIONS),
    KAFKA_REPLICATION: String(config.replication),
    HISTORY_WINDOW: values.HISTORY_WINDOW,
    INTERNAL_KEY_FILE: files.internalKey,
  }
  const service = (folder: keyof typeof memoryVariables, name: string, own: Record<string, string>, shown: Readonly<Record<string, number>>): ProcessSpec => ({
    name,
    command: node,
    args: [...nodeFlags, ...heapFlags(values[memoryVariables[folder]]), join(project, folder, 'main.ts')],
    environment: { ...common, ...own },
    ports: shown,
    ready: 'message',
    stopMs: folder === 'gateway' ? gatewayStopMs(environment) : stopMs,
    explain: (log) =>
      /heap out of memory|heap limit/.test(log)
        ? `its memory is full: ${memoryVariables[folder]} gives ${values[memoryVariables[folder]]} MiB`
        : explainServiceLog(log),
  })
  const routerUrls = ports.routers.map((port, index) => `${numbered('router', index)}=${local(port)}`).join(',')
  const gateways = ports.gateways.map((own, index) => {
    const name = numbered('gateway', index)
    const listeners = config.listeners[index] ?? {}
    const listenerSettings = (['mqtt', 'mqtts', 'ws', 'wss'] as const satisfies readonly Listener[]).map(
      (listener) => [variableOf(listener), String(listeners[listener] ?? 'off')] as const,
    )
    return service(
      'gateway',
      name,
      {
        GATEWAY_ID: name,
        INTERNAL_PORT: String(own.status),
        GRPC_PORT: String(own.grpc),
        GRPC_BIND: '127.0.0.1',
        GRPC_ADVERTISE: `127.0.0.1:${own.grpc}`,
        INTERNAL_MQTT_PORT: String(own.mqtt),
        ...Object.fromEntries(listenerSettings),
        NAMESPACE_LISTENERS: config.namespaceListeners[index] ?? '',
        TLS_CERT: files.tlsCert,
        TLS_KEY: files.tlsKey,
        ROUTER_URLS: routerUrls,
        // Who tries it out has one key for everything; in production a gateway, which the world talks to, does not know it.
        ...(values.LOGGERHEAD_PROFILE === 'development' && { API_KEY_FILE: files.apiKey }),
      },
      { ...listeners, internal: own.status, grpc: own.grpc },
    )
  })
  return {
    registry: service(
      'registry',
      'registry',
      { INTERNAL_PORT: String(ports.registry), API_KEY_FILE: files.apiKey, ROUTER_URLS: routerUrls },
      { internal: ports.registry },
    ),
    routers: ports.routers.map((port, index) => {
      const name = numbered('router', index)
      return service('router', name, { ROUTER_ID: name, INTERNAL_PORT: String(port), API_KEY_FILE: files.apiKey, ROUTER_URLS: routerUrls }, { internal: port })
    }),
    gateways,
    door: service(
      'door',
      'door',
      {
        HTTP_PORT: String(values.HTTP_PORT),
        INTERNAL_PORT: String(ports.door),
        REGISTRY_URL: local(ports.registry),
        GATEWAY_URLS: ports.gateways.map(({ status }, index) => `${numbered('gateway', index)}=${local(status)}`).join(','),
        ROUTER_URLS: routerUrls,
        CANARY_ADDRESSES: ports.gateways.map(({ mqtt }, index) => `${numbered('gateway', index)}=127.0.0.1:${mqtt}`).join(','),
        DURABILITY: durabilityOf(config),
        TLS_CERT: files.tlsCert,
        TLS_KEY: files.tlsKey,
      },
      { http: values.HTTP_PORT, internal: ports.door },
    ),
  }
}

/** The message of a service's last fatal line. */
function fatalMessage(log: string): string | undefined {
  for (const line of log.split('\n').reverse()) {
    if (!line.startsWith('{')) continue
    try {
      const { level, msg, error, err } = JSON.parse(line) as { level?: number; msg?: string; error?: { message?: string }; err?: { message?: string } }
      if (level === undefined || level < 60) continue
      const cause = (error ?? err)?.message
      return cause === undefined || cause === msg ? msg : `${msg}: ${cause}`
    } catch {
      // cut off, or no line of a logger
    }
  }
  return undefined
}

/** The sentence in what a service wrote that says why it could not start. */
export function explainServiceLog(log: string): string | undefined {
  return fatalMessage(log) ?? /SettingError[^A-Z]*([A-Z][A-Z0-9_]+: [^"\n\\]+)/.exec(log)?.[1]?.trim()
}
