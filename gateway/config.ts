import { oidcSettings } from '../access/oidc-settings.ts'
import { tokenSettings } from '../access/token-settings.ts'
import { parseRange } from '../model/ip-rules.ts'
import { type NamespaceRules, narrow, openRules, rulesInForce, sessionExpiryHours } from '../model/namespace-limits.ts'
import { namespaceName } from '../model/namespaces.ts'
import type { NamespaceProperties } from '../model/registry-resources.ts'
import { retainedSettings } from '../model/retained-settings.ts'
import { sessionsPerName } from '../model/session-quota.ts'
import type { OutgoingPolicy } from '../outgoing/outgoing-policy.ts'
import { outgoingSettings, readOutgoingPolicy } from '../outgoing/outgoing-settings.ts'
import { listed, readSettings, SettingError, type Settings, type Values } from '../settings/setting.ts'
import { rateSettings } from './rates.ts'
import { admissionSettings } from './settings/admission-settings.ts'
import { authenticationSettings } from './settings/authentication-settings.ts'
import { backboneSettings } from './settings/backbone-settings.ts'
import { httpSettings } from './settings/http-settings.ts'
import { listenerSettings } from './settings/listener-settings.ts'
import { packetSettings } from './settings/packet-settings.ts'
import { sessionSettings } from './settings/session-settings.ts'

/** All settings of a gateway. Limits carry their outcome and metric: docs/limits.md is generated from here. */
export const gatewaySettings = {
  ...listenerSettings,
  ...tokenSettings,
  ...oidcSettings,
  ...outgoingSettings,
  ...admissionSettings,
  ...rateSettings,
  ...authenticationSettings,
  ...packetSettings,
  ...retainedSettings,
  ...sessionSettings,
  ...httpSettings,
  ...backboneSettings,
} as const satisfies Settings

export type GatewaySettings = Values<typeof gatewaySettings>

/** Name of a setting that is a limit; rates count by another name (rates.ts). */
export type LimitName = Exclude<
  { [N in keyof typeof gatewaySettings]: (typeof gatewaySettings)[N] extends { readonly outcome: string } ? N : never }[keyof typeof gatewaySettings],
  keyof typeof rateSettings
>

/** The listeners that clients come in by. */
const listenerNames = ['mqtt', 'mqtts', 'ws', 'wss'] as const
export type ListenerName = (typeof listenerNames)[number]

/** From SIGTERM to the end of the process, at most, ms: what Kubernetes and docker-compose.yml wait for before they kill it. */
const stopMsMax = 30_000
/** Of that, for what comes after SHUTDOWN_TIMEOUT: connections to Kafka are closed, then the process exits whatever is open. */
export const exitMs = 2_000
/** And for the event loop of a busy machine. */
const spareMs = 1_000

/** Where a listener listens; `port` 0 is any free one. */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** What decisions about a client are bounded by: the settings as its namespace narrows them, and its strict rules. */
export interface Limits extends GatewaySettings {
  readonly rules: NamespaceRules
}

/** A plain listener that belongs to one namespace. */
export interface NamespaceListener {
  readonly namespace: string
  readonly kind: 'mqtt' | 'ws'
  readonly endpoint: Endpoint
}

export interface GatewayConfig extends Limits {
  readonly listeners: {
    readonly mqtt: Endpoint | null
    readonly mqtts: Endpoint | null
    readonly ws: Endpoint | null
    readonly wss: Endpoint | null
    readonly internal: Endpoint | null
  }
  readonly namespaceListeners: readonly NamespaceListener[]
  readonly origins: readonly string[]
  /** Listeners behind a proxy. */
  readonly proxied: ReadonlySet<ListenerName>
  /** Addresses and ranges of the proxies. */
  readonly proxies: readonly string[]
  readonly outgoing: OutgoingPolicy
  /** TOKEN_AUDIENCES, one by one. */
  readonly tokenAudiences: readonly string[]
}

function port(variable: keyof GatewaySettings, text: string): number | null {
  if (text.toLowerCase() === 'off') return null
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < 0 || value > 65_535) {
    throw new SettingError(variable, `“${text}” is neither a port from 0 to 65535 nor off`)
  }
  return value
}

function readNamespaceListeners(text: string, host: string): readonly NamespaceListener[] {
  return listed(text).map((entry) => {
    const [, namespace = '', kind, digits] = /^([^=]*)=(mqtt|ws):(\d{1,5})$/.exec(entry) ?? []
    const number = Number(digits)
    if (!namespaceName.pattern.test(namespace) || kind === undefined || number > 65_535)
      throw new SettingError('NAMESPACE_LISTENERS', `“${entry}” is not of the form namespace=mqtt:port or namespace=ws:port`)
    return { namespace, kind: kind as NamespaceListener['kind'], endpoint: { host, port: number } }
  })
}

/** Reads the gateway's settings. Throws SettingError naming the variable. */
export function readGatewayConfig(environment: Readonly<Record<string, string | undefined>>): GatewayConfig {
  const values = readSettings(gatewaySettings, environment)
  const production = values.LOGGERHEAD_PROFILE === 'production'
  const listener = (variable: 'MQTT_PORT' | 'MQTTS_PORT' | 'WS_PORT' | 'WSS_PORT', plain: boolean): Endpoint | null => {
    if (plain && production && !environment[variable]) return null
    const number = port(variable, values[variable])
    if (number === null) return null
    return { host: values.LOGGERHEAD_BIND || (plain && !production ? '127.0.0.1' : '::'), port: number }
  }
  const listeners = {
    mqtt: listener('MQTT_PORT', true),
    mqtts: listener('MQTTS_PORT', false),
    ws: listener('WS_PORT', true),
    wss: listener('WSS_PORT', false),
    internal: ((number) => (number === null ? null : { host: values.LOGGERHEAD_INTERNAL_BIND, port: number }))(
      port('INTERNAL_MQTT_PORT', values.INTERNAL_MQTT_PORT),
    ),
  }
  if (listeners.mqtts || listeners.wss) {
    if (!values.TLS_CERT) throw new SettingError('TLS_CERT', 'is needed by the TLS listeners; set it, or set MQTTS_PORT and WSS_PORT to off')
    if (!values.TLS_KEY) throw new SettingError('TLS_KEY', 'is needed with TLS_CERT')
  }
  if (values.GATEWAY_ID.length > 128 || !/^[\w.-]+$/.test(values.GATEWAY_ID)) {
    throw new SettingError('GATEWAY_ID', `“${values.GATEWAY_ID}” is not 1 to 128 letters, digits, dots, dashes or underscores`)
  }
  if (values.KAFKA_AWAY_CLOSE < values.KAFKA_AWAY_REFUSE) throw new SettingError('KAFKA_AWAY_CLOSE', 'is below KAFKA_AWAY_REFUSE')
  if (values.REGISTRY_LOST < values.REGISTRY_STALE) throw new SettingError('REGISTRY_LOST', 'is below REGISTRY_STALE')
  const stopMs = values.DRAIN_PERIOD + values.SHUTDOWN_TIMEOUT
  const stopMsAllowed = stopMsMax - exitMs - spareMs
  if (stopMs > stopMsAllowed)
    throw new SettingError('DRAIN_PERIOD', `${values.DRAIN_PERIOD} and SHUTDOWN_TIMEOUT ${values.SHUTDOWN_TIMEOUT} are together above ${stopMsAllowed} ms`)
  if (values.FIRST_PACKET_SIZE_MAX > values.MAXIMUM_PACKET_SIZE && environment.FIRST_PACKET_SIZE_MAX) {
    throw new SettingError('FIRST_PACKET_SIZE_MAX', `${values.FIRST_PACKET_SIZE_MAX} is above MAXIMUM_PACKET_SIZE ${values.MAXIMUM_PACKET_SIZE}`)
  }
  if (values.WEBHOOK_TOKEN_FILE !== '' && values.OUTGOING_HOSTS === '') {
    throw new SettingError('WEBHOOK_TOKEN_FILE', 'needs OUTGOING_HOSTS: the token goes to hosts that you name, not to any that a namespace’s settings name')
  }
  return {
    ...values,
    rules: openRules,
    listeners,
    namespaceListeners: readNamespaceListeners(values.NAMESPACE_LISTENERS, values.LOGGERHEAD_BIND || (production ? '::' : '127.0.0.1')),
    origins: listed(values.WS_ORIGINS.toLowerCase()),
    outgoing: readOutgoingPolicy(values, production ? 'production' : 'development'),
    tokenAudiences: listed(values.TOKEN_AUDIENCES),
    ...readProxies(values),
  }
}

function readProxies(values: GatewaySettings): Pick<GatewayConfig, 'proxied' | 'proxies'> {
  const proxied = new Set<ListenerName>()
  for (const text of listed(values.PROXY_PROTOCOL)) {
    const name = listenerNames.find((known) => known === text)
    if (name === undefined) throw new SettingError('PROXY_PROTOCOL', `“${text}” is not one of ${listenerNames.join(', ')}`)
    proxied.add(name)
  }
  const proxies = listed(values.PROXY_TRUSTED)
  for (const text of proxies)
    if (parseRange(text) === null) throw new SettingError('PROXY_TRUSTED', `“${text}” is neither an address nor a range such as 192.0.2.0/24 or 2001:db8::/32`)
  if (proxied.size > 0 && proxies.length === 0)
    throw new SettingError('PROXY_TRUSTED', 'is needed with PROXY_PROTOCOL: whoever sends a header names any address')
  return { proxied, proxies }
}

/** The settings as the namespace narrows them, and the strict rules it sets. */
export function withNamespace(config: GatewayConfig, namespace: NamespaceProperties | undefined): GatewayConfig {
  if (!namespace) return config
  const { limits, maximumSessionExpiryInHours = sessionExpiryHours[limits?.preset ?? 'open'] } = namespace
  const narrowed = narrow(config, limits)
  return {
    ...narrowed,
    SESSION_EXPIRY_MAX: Math.min(narrowed.SESSION_EXPIRY_MAX, maximumSessionExpiryInHours * 3600),
    SESSIONS_PER_NAME_MAX: sessionsPerName(namespace, narrowed.SESSIONS_PER_NAME_MAX),
    rules: rulesInForce(limits),
  }
}

/**
 * No session outlives the journals: SESSION_EXPIRY_MAX is lowered to HISTORY_WINDOW, or refused when it was set above it.
 * Throws SettingError.
 */
export function withinHistory(config: GatewayConfig, historyWindowMs: number, environment: Readonly<Record<string, string | undefined>>): GatewayConfig {
  const most = Math.floor(historyWindowMs / 1000)
  if (config.SESSION_EXPIRY_MAX <= most) return config
  if (environment.SESSION_EXPIRY_MAX) throw new SettingError('SESSION_EXPIRY_MAX', `${config.SESSION_EXPIRY_MAX} s is above HISTORY_WINDOW, ${most} s`)
  return { ...config, SESSION_EXPIRY_MAX: most }
}
