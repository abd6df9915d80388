import { resolve } from 'node:path'
import { kafkaConnection, kafkaSettings } from '../log/kafka/connection-settings.ts'
import { historyWindowMs, topicSettings } from '../log/topics.ts'
import { readSettings, SettingError, type Settings, type Values } from '../settings/setting.ts'

const memory = (service: string, mebibytes: number) =>
  ({
    kind: 'number',
    default: mebibytes,
    min: 128,
    max: 1_048_576,
    unit: 'MiB',
    about: `memory that a ${service} which npm start runs may take; its heap gets three quarters, the rest is for buffers and threads`,
    outcome: 'a process whose heap is full ends, says so, and is started again by the supervisor; nothing acknowledged is lost',
    metric: 'process_resident_memory_bytes',
  }) as const

/** What `npm start` can be told. The services' own settings (their config.ts) are taken from the same environment. */
export const settings = {
  LOGGERHEAD_PROFILE: {
    kind: 'text',
    default: 'development',
    oneOf: ['development', 'production'],
    about:
      'development: clients without credentials come in, plain listeners on loopback; production: denied by default, plain listeners off unless their port is set',
  },
  LOGGERHEAD_DATA: { kind: 'text', default: '.data', about: "folder of everything a stack keeps: Kafka's log, keys, certificates, logs, processes.json" },
  LOGGERHEAD_BIND: {
    kind: 'text',
    default: '',
    about: 'address of the listeners; empty: loopback for the plain ones in the development profile, every address for the others',
  },
  LOGGERHEAD_PREFIX: { kind: 'text', default: 'loggerhead', about: 'first part of every topic name: several deployments may share a Kafka' },
  LOGGERHEAD_NAMESPACE: { kind: 'text', default: 'default', about: 'second part of every topic name' },
  MQTT_PORT: { kind: 'text', default: '1883', about: 'MQTT over TCP: a port, or off; off in production unless set. Further gateways: 10 above each other' },
  MQTTS_PORT: { kind: 'text', default: '8883', about: 'MQTT over TLS: a port, or off' },
  WS_PORT: { kind: 'text', default: '8083', about: 'MQTT over WebSocket: a port, or off; off in production unless set' },
  WSS_PORT: { kind: 'text', default: '8084', about: 'MQTT over secure WebSocket: a port, or off' },
  NAMESPACE_LISTENERS: {
    kind: 'text',
    default: '',
    about: 'Plain listeners of single namespaces, separated by commas, each as namespace=mqtt:port or namespace=ws:port. Further gateways: 10 above each other',
  },
  HTTP_PORT: { kind: 'number', default: 8080, min: 1, max: 65_535, about: 'the HTTP front door: API, /healthz, /metrics' },
  KAFKA_PORT: { kind: 'number', default: 9092, min: 1, max: 65_535, about: 'where the Kafka that npm start runs listens, on loopback' },
  ...kafkaSettings,
  KAFKA_BROKERS: {
    kind: 'text',
    default: '',
    about: 'Brokers of an existing Kafka to begin with, host:port, separated by commas; empty: npm start runs its own',
  },
  KAFKA_PARTITIONS: topicSettings.KAFKA_PARTITIONS,
  KAFKA_REPLICATION: topicSettings.KAFKA_REPLICATION,
  HISTORY_WINDOW: topicSettings.HISTORY_WINDOW,
  KAFKA_FLUSH_EVERY_APPEND: { kind: 'flag', default: false, about: 'the Kafka that npm start runs flushes to disk before each acknowledgement' },
  TLS_CERT: { kind: 'text', default: '', about: "file with the server's certificate chain, PEM; read again when it changes. Development makes its own" },
  TLS_KEY: { kind: 'text', default: '', about: "file with the server's private key, PEM; read again when it changes" },
  GATEWAYS: { kind: 'number', default: 1, min: 1, max: 16, about: 'gateways that npm start runs' },
  ROUTERS: { kind: 'number', default: 1, min: 1, max: 16, about: 'routers that npm start runs' },
  GATEWAY_MEMORY: memory('gateway', 512),
  ROUTER_MEMORY: memory('router', 1_024),
  REGISTRY_MEMORY: memory('registry', 1_024),
  DOOR_MEMORY: memory('front door', 256),
} as const satisfies Settings

export type Listener = 'mqtt' | 'mqtts' | 'ws' | 'wss'

export interface StackConfig {
  readonly values: Values<typeof settings>
  readonly production: boolean
  /** Absolute. */
  readonly dataFolder: string
  /** Copies of every topic. */
  readonly replication: number
  /** The public ports of each gateway, the first first; what is off is missing. */
  readonly listeners: readonly Readonly<Partial<Record<Listener, number>>>[]
  /** NAMESPACE_LISTENERS as each gateway gets it. */
  readonly namespaceListeners: readonly string[]
}

const listenerVariables = { mqtt: 'MQTT_PORT', mqtts: 'MQTTS_PORT', ws: 'WS_PORT', wss: 'WSS_PORT' } as const

/** The variable that sets a listener's port. */
export function variableOf(listener: Listener): string {
  return listenerVariables[listener]
}

function parsePort(variable: string, text: string): number | undefined {
  if (text.toLowerCase() === 'off') return undefined
  const port = Number(text)
  if (text.trim() === '' || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw new SettingError(variable, `“${text}” is neither a port from 1 to 65535 nor off`)
  return port
}

function readListeners(values: Values<typeof settings>, environment: Environment, production: boolean): StackConfig['listeners'] {
  return Array.from({ length: values.GATEWAYS }, (_, k) => {
    const ports: Partial<Record<Listener, number>> = {}
    for (const [listener, variable] of Object.entries(listenerVariables) as [Listener, (typeof listenerVariables)[Listener]][]) {
      const isPlain = listener === 'mqtt' || listener === 'ws'
      if (isPlain && production && !environment[variable]) continue
      const first = parsePort(variable, values[variable])
      if (first === undefined) continue
      if (first + 10 * k > 65_535) throw new SettingError(variable, `${first} leaves no port for gateway ${k + 1}, which takes ${first + 10 * k}`)
      ports[listener] = first + 10 * k
    }
    return ports
  })
}

const namespacePort = /(?<==(?:mqtt|ws):)\d{1,5}(?=\s*(?:,|$))/g

/** What is no listener is left as it is: the gateway's own settings name it. */
function readNamespaceListeners(values: Values<typeof settings>): readonly string[] {
  return Array.from({ length: values.GATEWAYS }, (_, k) =>
    values.NAMESPACE_LISTENERS.replace(namespacePort, (digits) => {
      const port = Number(digits) + 10 * k
      if (port > 65_535) throw new SettingError('NAMESPACE_LISTENERS', `${digits} leaves no port for gateway ${k + 1}, which takes ${port}`)
      return String(port)
    }),
  )
}

function checkDistinct(config: StackConfig): void {
  const taken = new Map<number, string>()
  const take = (variable: string, port: number) => {
    const other = taken.get(port)
    if (other !== undefined) throw new SettingError(variable, `${port} is also the port of ${other}`)
    taken.set(port, variable)
  }
  for (const [variable, port] of publicPorts(config)) take(variable, port)
}

type Environment = Readonly<Record<string, string | undefined>>

/** Every port that is set from outside, with the variable that sets it. */
export function publicPorts(config: StackConfig): readonly (readonly [variable: string, port: number])[] {
  const { values } = config
  return [
    ...config.listeners.flatMap((ports) => Object.entries(ports).map(([listener, port]) => [variableOf(listener as Listener), port] as const)),
    ...config.namespaceListeners.flatMap((text) => [...text.matchAll(namespacePort)].map(([digits]) => ['NAMESPACE_LISTENERS', Number(digits)] as const)),
    ['HTTP_PORT', values.HTTP_PORT],
    ...(values.KAFKA_BROKERS ? [] : [['KAFKA_PORT', values.KAFKA_PORT] as const]),
  ]
}

/** Reads the settings of the stack. Throws SettingError, which names the variable and what is allowed. */
export function readConfig(environment: Environment): StackConfig {
  const values = readSettings(settings, environment)
  const production = values.LOGGERHEAD_PROFILE === 'production'
  const replication = values.KAFKA_REPLICATION || (production ? 3 : 1)
  for (const name of ['LOGGERHEAD_PREFIX', 'LOGGERHEAD_NAMESPACE'] as const) {
    if (!/^[A-Za-z0-9_-]{1,50}$/.test(values[name])) throw new SettingError(name, `“${values[name]}” is not 1 to 50 letters, digits, _ or -`)
  }
  historyWindowMs(values.HISTORY_WINDOW)
  if (values.KAFKA_BROKERS) kafkaConnection(values)
  if (!values.KAFKA_BROKERS && (values.KAFKA_TLS || values.KAFKA_SASL_MECHANISM)) {
    throw new SettingError(
      'KAFKA_BROKERS',
      'is not set: the Kafka that npm start runs listens in plain text on loopback, so KAFKA_TLS and KAFKA_SASL_MECHANISM need the brokers they are for',
    )
  }
  if (Boolean(values.TLS_CERT) !== Boolean(values.TLS_KEY)) throw new SettingError('TLS_CERT', 'goes with TLS_KEY: set both or neither')
  if (production && replication < 3) throw new SettingError('KAFKA_REPLICATION', `${replication} is below 3, the least that production allows`)
  if (production && !values.KAFKA_BROKERS) {
    throw new SettingError(
      'KAFKA_BROKERS',
      'is not set: production keeps at least 3 copies of everything, so it needs a Kafka cluster: its brokers as host:port, separated by commas',
    )
  }
  if (!values.KAFKA_BROKERS && replication > 1)
    throw new SettingError('KAFKA_REPLICATION', `${replication} copies need as many brokers: npm start runs one, so 1 unless KAFKA_BROKERS is set`)
  const config = {
    values,
    production,
    dataFolder: resolve(values.LOGGERHEAD_DATA),
    replication,
    listeners: readListeners(values, environment, production),
    namespaceListeners: readNamespaceListeners(values),
  }
  if (production && !values.TLS_CERT && config.listeners.some((ports) => ports.mqtts !== undefined || ports.wss !== undefined)) {
    throw new SettingError('TLS_CERT', 'is not set: in production the TLS listeners need TLS_CERT and TLS_KEY (or MQTTS_PORT=off and WSS_PORT=off)')
  }
  checkDistinct(config)
  return config
}

/** What an acknowledgement is worth, in words: printed at the start, said by /healthz. */
export function durabilityOf(config: StackConfig): string {
  const { values, replication } = config
  if (replication > 1) return `replicated: ${replication} copies, acknowledged by at least ${replication >= 3 ? 2 : 1}`
  return values.KAFKA_FLUSH_EVERY_APPEND && !values.KAFKA_BROKERS ? 'single copy, flushed to disk before each acknowledgement' : 'single copy in the page cache'
}
