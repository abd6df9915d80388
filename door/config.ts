import { listed, readSettings, SettingError, type Settings, type Values } from '../settings/setting.ts'

/** Everything the front door can be told. All but the addresses has a default that works. */
export const settings = {
  LOGGERHEAD_PROFILE: {
    kind: 'text',
    default: 'development',
    oneOf: ['development', 'production'],
    about: 'development lets anonymous clients in and binds loopback; production denies by default',
  },
  LOGGERHEAD_BIND: { kind: 'text', default: '', about: 'address the listeners bind; empty: loopback in the development profile, every address in production' },
  HTTP_PORT: { kind: 'number', default: 8080, min: 0, max: 65_535, about: 'the HTTP front door; 0 takes any free port' },
  HTTPS_PORT: { kind: 'number', default: 0, min: 0, max: 65_535, about: 'the same front door over TLS, with TLS_CERT and TLS_KEY; 0: none' },
  TLS_CERT: { kind: 'text', default: '', about: "file with the server's certificate chain, PEM; read again when it changes" },
  TLS_KEY: { kind: 'text', default: '', about: "file with the server's private key, PEM; read again when it changes" },
  LOGGERHEAD_INTERNAL_BIND: { kind: 'text', default: '127.0.0.1', about: 'address where the services answer each other, /status and /metrics' },
  INTERNAL_PORT: { kind: 'number', default: 0, min: 0, max: 65_535, about: "this service's own /status and /metrics; 0 takes any free port" },
  REGISTRY_URL: { kind: 'text', default: '', about: 'where the registry answers, e.g. http://127.0.0.1:7001' },
  GATEWAY_URLS: { kind: 'text', default: '', about: 'where the gateways answer HTTP, comma-separated, each as id=url or url' },
  ROUTER_URLS: { kind: 'text', default: '', about: 'where the routers answer HTTP, comma-separated, each as id=url or url' },
  CANARY_ADDRESSES: { kind: 'text', default: '', about: "the gateways' internal MQTT listeners, comma-separated, each as id=host:port" },
  INTERNAL_KEY_FILE: { kind: 'text', default: '', about: 'file with the key that the services use among themselves' },
  KAFKA_PARTITIONS: { kind: 'number', default: 4, min: 1, max: 1024, about: 'partitions of every partitioned topic of a namespace' },
  DURABILITY: { kind: 'text', default: '', about: 'the durability class that /healthz reports, in words' },
  DOOR_BODY_MAX: {
    kind: 'number',
    // Above what the services take, whose answers say more.
    default: 1_179_648,
    min: 1024,
    max: 67_108_864,
    unit: 'bytes',
    about: 'largest body of an HTTP request; a bulk import streams and has limits of its own',
    outcome: 'answered 413 and closed; what was forwarded so far is an aborted request',
    metric: 'loggerhead_door_refused_total{reason="body"}',
  },
  DOOR_HEADERS_MAX: {
    kind: 'number',
    default: 16_384,
    min: 1024,
    max: 262_144,
    unit: 'bytes',
    about: 'largest header section of an HTTP request, its first line included',
    outcome: 'answered 431 and closed',
    metric: 'loggerhead_door_refused_total{reason="headers"}',
  },
  DOOR_HEADERS_TIMEOUT: {
    kind: 'number',
    default: 10_000,
    min: 100,
    max: 600_000,
    unit: 'ms',
    about: 'longest time for the header section of an HTTP request to arrive',
    outcome: 'answered 408 and closed',
    metric: 'loggerhead_door_refused_total{reason="slow"}',
  },
  DOOR_REQUEST_TIMEOUT: {
    kind: 'number',
    default: 60_000,
    min: 100,
    max: 3_600_000,
    unit: 'ms',
    about: 'longest time for a whole HTTP request to arrive; a bulk import has REGISTRY_REQUEST_TIMEOUT',
    outcome: 'answered 408 and closed',
    metric: 'loggerhead_door_refused_total{reason="slow"}',
  },
  DOOR_SOCKET_TIMEOUT: {
    kind: 'number',
    default: 150_000,
    min: 100,
    max: 3_600_000,
    unit: 'ms',
    about: 'longest time an HTTP connection may move no byte in either direction, waiting for an answer included',
    outcome: 'the connection is closed',
    metric: 'loggerhead_door_refused_total{reason="idle"}',
  },
  DOOR_CONNECTIONS_MAX: {
    kind: 'number',
    default: 1024,
    min: 1,
    max: 1_000_000,
    unit: 'connections',
    about: 'HTTP connections at one time, per listener',
    outcome: 'a further one is closed at once',
    metric: 'loggerhead_door_refused_total{reason="connections"}',
  },
  DOOR_REQUESTS_PER_HOP_MAX: {
    kind: 'number',
    default: 256,
    min: 1,
    max: 1_000_000,
    unit: 'requests',
    about: 'requests under way at one time to the registry, to the gateways and to the routers, each counted for itself, so that a slow one holds up no other',
    outcome: 'answered 503 with Retry-After',
    metric: 'loggerhead_door_refused_total{reason="busy"}',
  },
  DOOR_CONNECT_TIMEOUT: {
    kind: 'number',
    default: 2000,
    min: 10,
    max: 60_000,
    unit: 'ms',
    about: 'longest time to reach the service behind the front door',
    outcome: 'the next one of its kind is tried; answered 503 when none is left',
    metric: 'loggerhead_door_upstream_failures_total{kind="connect"}',
  },
  DOOR_UPSTREAM_TIMEOUT: {
    kind: 'number',
    default: 130_000,
    min: 100,
    max: 3_600_000,
    unit: 'ms',
    about: 'longest silence of the service behind the front door; above the 120 s that a pull may wait',
    outcome: 'answered 504',
    metric: 'loggerhead_door_upstream_failures_total{kind="timeout"}',
  },
  HEALTH_DEADLINE: {
    kind: 'number',
    default: 3000,
    min: 100,
    max: 60_000,
    unit: 'ms',
    about: 'longest time for the canary of /healthz to come back through every gateway',
    outcome: '/healthz answers 503 with the hop that failed',
    metric: 'loggerhead_door_canary_rounds_total{result="failed"}',
  },
  SYS_TOPICS_INTERVAL: {
    kind: 'number',
    default: 0,
    min: 0,
    max: 86_400,
    unit: 's',
    about: "how often the broker's figures are published as retained topics below $SYS/broker; 0: never",
  },
  HEALTH_FRESH: { kind: 'number', default: 1000, min: 0, max: 60_000, unit: 'ms', about: 'how old a result /healthz may answer with' },
} as const satisfies Settings

/** A service behind the front door. */
export interface Upstream {
  /** As given, else made of its kind and number: gateway, gateway-2, … */
  readonly id: string
  readonly url: URL
}

/** A gateway's internal MQTT listener. */
export interface CanaryAddress {
  readonly gateway: string
  readonly host: string
  readonly port: number
}

export interface DoorConfig {
  readonly values: Values<typeof settings>
  readonly production: boolean
  /** Undefined binds every address. */
  readonly bind: string | undefined
  readonly registry: readonly Upstream[]
  readonly gateways: readonly Upstream[]
  readonly routers: readonly Upstream[]
  readonly canaries: readonly CanaryAddress[]
}

function parseUpstreams(variable: string, kind: string, text: string): Upstream[] {
  return listed(text).map((entry, index) => {
    const named = /^([A-Za-z0-9._-]+)=(.*)$/.exec(entry)
    const address = named?.[2] ?? entry
    const url = URL.canParse(address) ? new URL(address) : null
    if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '') {
      throw new SettingError(variable, `“${entry}” is not an address such as http://127.0.0.1:7001 or ${kind}=http://127.0.0.1:7001`)
    }
    return { id: named?.[1] ?? (index === 0 ? kind : `${kind}-${index + 1}`), url }
  })
}

function parseCanaries(variable: string, text: string): CanaryAddress[] {
  return listed(text).map((entry) => {
    const parts = /^([A-Za-z0-9._-]+)=(?:\[([0-9A-Fa-f:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(entry)
    const [, gateway, ipv6, name, digits] = parts ?? []
    const host = ipv6 ?? name
    const port = Number(digits)
    if (gateway === undefined || host === undefined || !(port >= 1 && port <= 65_535)) {
      throw new SettingError(variable, `“${entry}” is not of the form gateway=host:port`)
    }
    return { gateway, host, port }
  })
}

/** Reads the front door's settings. Throws SettingError, which names the variable and what is allowed. */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): DoorConfig {
  const values = readSettings(settings, environment)
  const production = values.LOGGERHEAD_PROFILE === 'production'
  if (values.HTTPS_PORT !== 0 && (values.TLS_CERT === '' || values.TLS_KEY === '')) {
    throw new SettingError('HTTPS_PORT', `${values.HTTPS_PORT} needs TLS_CERT and TLS_KEY, the files with the server's certificate and key`)
  }
  const canaries = parseCanaries('CANARY_ADDRESSES', values.CANARY_ADDRESSES)
  if (canaries.length > 0 && values.INTERNAL_KEY_FILE === '') {
    throw new SettingError('INTERNAL_KEY_FILE', 'is not set, and the canary needs the key in it to connect to the gateways in CANARY_ADDRESSES')
  }
  if (values.SYS_TOPICS_INTERVAL > 0 && canaries.length === 0) {
    throw new SettingError('SYS_TOPICS_INTERVAL', `${values.SYS_TOPICS_INTERVAL} needs CANARY_ADDRESSES, the gateways through which the figures are published`)
  }
  return {
    values,
    production,
    bind: values.LOGGERHEAD_BIND || (production ? undefined : '127.0.0.1'),
    registry: parseUpstreams('REGISTRY_URL', 'registry', values.REGISTRY_URL),
    gateways: parseUpstreams('GATEWAY_URLS', 'gateway', values.GATEWAY_URLS),
    routers: parseUpstreams('ROUTER_URLS', 'router', values.ROUTER_URLS),
    canaries,
  }
}
