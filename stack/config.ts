import { resolve } from 'node:path'
import { readSettings, SettingError, type Settings, type Values } from '../settings/setting.ts'

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
  HTTP_PORT: { kind: 'number', default: 8080, min: 1, max: 65_535, about: 'the HTTP front door: API, /healthz, /metrics' },
  KAFKA_PORT: { kind: 'number', default: 9092, min: 1, max: 65_535, about: 'where the Kafka that npm start runs listens, on loopback' },
  KAFKA_BROKERS: { kind: 'text', default: '', about: 'host:port of the brokers of an existing Kafka, comma-separated; empty: npm start runs its own' },
  KAFKA_TLS: { kind: 'flag', default: false, about: 'TLS towards Kafka' },
  KAFKA_TLS_CA: { kind: 'text', default: '', about: "file with the CA of Kafka's certificates, PEM; empty: the CAs that Node knows" },
  KAFKA_TLS_CERT: { kind: 'text', default: '', about: 'file with the client certificate towards Kafka, PEM' },
  KAFKA_TLS_KEY: { kind: 'text', default: '', about: 'file with the key of KAFKA_TLS_CERT' },
  KAFKA_SASL_MECHANISM: {
    kind: 'text',
    default: '',
    oneOf: ['', 'plain', 'scram-sha-256', 'scram-sha-512'],
    about: 'how to log in to Kafka; empty: not at all',
  },
  KAFKA_SASL_USERNAME: { kind: 'text', default: '', about: 'user name towards Kafka' },
  KAFKA_SASL_PASSWORD_FILE: { kind: 'text', default: '', about: 'file with the password towards Kafka' },
  KAFKA_PARTITIONS: { kind: 'number', default: 4, min: 1, max: 1024, about: 'partitions of every partitioned topic of a namespace: its shards' },
  KAFKA_REPLICATION: { kind: 'number', default: 0, min: 0, max: 7, about: 'copies of every topic; 0: 3 in production (min.insync.replicas 2), else 1' },
  KAFKA_FLUSH_EVERY_APPEND: { kind: 'flag', default: false, about: 'the Kafka that npm start runs flushes to disk before each acknowledgement' },
  HISTORY_WINDOW: { kind: 'number', default: 604_800, min: 60, max: 315_360_000, unit: 's', about: 'how long the journals are kept' },
  TLS_CERT: { kind: 'text', default: '', about: "file with the server's certificate chain, PEM; read again when it changes. Development makes its own" },
  TLS_KEY: { kind: 'text', default: '', about: "file with the server's private key, PEM; read again when it changes" },
  GATEWAYS: { kind: 'number', default: 1, min: 1, max: 16, about: 'gateways that npm start runs' },
  ROUTERS: { kind: 'number', default: 1, min: 1, max: 16, about: 'routers that npm start runs' },
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
  for (const broker of values.KAFKA_BROKERS.split(',').filter(Boolean)) {
    if (!/^\s*(\[[0-9a-fA-F:]+\]|[^\s:,]+):\d{1,5}\s*$/.test(broker)) throw new SettingError('KAFKA_BROKERS', `“${broker}” is not host:port`)
  }
  if (values.KAFKA_SASL_MECHANISM && !(values.KAFKA_SASL_USERNAME && values.KAFKA_SASL_PASSWORD_FILE)) {
    throw new SettingError('KAFKA_SASL_MECHANISM', `“${values.KAFKA_SASL_MECHANISM}” needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD_FILE`)
  }
  if (Boolean(values.KAFKA_TLS_CERT) !== Boolean(values.KAFKA_TLS_KEY)) throw new SettingError('KAFKA_TLS_CERT', 'goes with KAFKA_TLS_KEY: set both or neither')
  if (!values.KAFKA_TLS && (values.KAFKA_TLS_CA || values.KAFKA_TLS_CERT))
    throw new SettingError('KAFKA_TLS', 'is off, and KAFKA_TLS_CA or KAFKA_TLS_CERT is set: allowed only with KAFKA_TLS=true')
  if (!values.KAFKA_BROKERS && (values.KAFKA_TLS || values.KAFKA_SASL_MECHANISM)) {
    throw new SettingError(
      'KAFKA_BROKERS',
      'is not set: the Kafka that npm start runs listens in plain text on loopback, so KAFKA_TLS and KAFKA_SASL_MECHANISM need the brokers they are for',
    )
  }
  if (Boolean(values.TLS_CERT) !== Boolean(values.TLS_KEY)) throw new SettingError('TLS_CERT', 'goes with TLS_KEY: set both or neither')
  if (production && values.KAFKA_BROKERS && replication < 3)
    throw new SettingError('KAFKA_REPLICATION', `${replication} is too few copies for production: at least 3`)
  if (production && !values.KAFKA_BROKERS && values.KAFKA_REPLICATION === 0) {
    throw new SettingError(
      'KAFKA_BROKERS',
      'is not set: production keeps 3 copies of everything, so it needs the brokers of a Kafka cluster (host:port, comma-separated). To try the production profile on one machine, set KAFKA_REPLICATION=1',
    )
  }
  if (!values.KAFKA_BROKERS && replication > 1)
    throw new SettingError('KAFKA_REPLICATION', `${replication} copies need as many brokers: npm start runs one, so 1 unless KAFKA_BROKERS is set`)
  const config = { values, production, dataFolder: resolve(values.LOGGERHEAD_DATA), replication, listeners: readListeners(values, environment, production) }
  if (production && !values.TLS_CERT && config.listeners.some((ports) => ports.mqtts !== undefined || ports.wss !== undefined)) {
    throw new SettingError('TLS_CERT', 'is not set: in production the TLS listeners need TLS_CERT and TLS_KEY (or MQTTS_PORT=off and WSS_PORT=off)')
  }
  checkDistinct(config)
  return config
}

/** What an acknowledgement is worth, in words: printed at the start, said by /healthz. */
export function durabilityOf(config: StackConfig): string {
  const { values, replication } = config
  if (replication > 1) return `replicated: ${replication} copies, acknowledged by at least ${Math.max(1, replication - 1)}`
  return values.KAFKA_FLUSH_EVERY_APPEND && !values.KAFKA_BROKERS ? 'single copy, flushed to disk before each acknowledgement' : 'single copy in the page cache'
}
