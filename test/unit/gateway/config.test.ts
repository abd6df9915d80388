import { describe, expect, test } from '@jest/globals'
import { gatewaySettings, readGatewayConfig, withinHistory, withNamespace } from '../../../gateway/config.ts'
import { advertised } from '../../../gateway/process.ts'
import { rateSettings } from '../../../gateway/rates.ts'

const tls = { TLS_CERT: 'cert.pem', TLS_KEY: 'key.pem' }

describe('listeners', () => {
  test('the plain ones are on loopback in the development profile', () => {
    expect(readGatewayConfig(tls).listeners).toEqual({
      mqtt: { host: '127.0.0.1', port: 1883 },
      ws: { host: '127.0.0.1', port: 8083 },
      mqtts: { host: '::', port: 8883 },
      wss: { host: '::', port: 8084 },
      internal: null,
    })
  })

  test('the plain ones are off in production unless asked for', () => {
    const production = { ...tls, LOGGERHEAD_PROFILE: 'production' }
    expect(readGatewayConfig(production).listeners).toMatchObject({ mqtt: null, ws: null, mqtts: { port: 8883 } })
    expect(readGatewayConfig({ ...production, MQTT_PORT: '1883', LOGGERHEAD_BIND: '10.0.0.1' }).listeners).toMatchObject({
      mqtt: { host: '10.0.0.1', port: 1883 },
      ws: null,
    })
  })

  test('each can be off', () => {
    const off = { MQTT_PORT: 'off', MQTTS_PORT: 'OFF', WS_PORT: 'off', WSS_PORT: 'off' }
    expect(Object.values(readGatewayConfig(off).listeners)).toEqual([null, null, null, null, null])
  })

  test('namespaces may have plain ones of their own', () => {
    const { namespaceListeners } = readGatewayConfig({ ...tls, NAMESPACE_LISTENERS: 'factory=mqtt:2883, plant-1=ws:0' })
    expect(namespaceListeners).toEqual([
      { namespace: 'factory', kind: 'mqtt', endpoint: { host: '127.0.0.1', port: 2883 } },
      { namespace: 'plant-1', kind: 'ws', endpoint: { host: '127.0.0.1', port: 0 } },
    ])
  })

  test('the internal one is on loopback wherever the others are', () => {
    expect(readGatewayConfig({ ...tls, LOGGERHEAD_BIND: '0.0.0.0', INTERNAL_MQTT_PORT: '0' }).listeners.internal).toEqual({ host: '127.0.0.1', port: 0 })
  })
})

test.each([
  [{ ...tls, MQTT_PORT: '70000' }, 'MQTT_PORT: “70000” is neither a port from 0 to 65535 nor off'],
  [{ ...tls, WS_PORT: 'yes' }, 'WS_PORT'],
  [{ ...tls, NAMESPACE_LISTENERS: 'factory=tls:2883' }, 'NAMESPACE_LISTENERS: “factory=tls:2883” is not of the form namespace=mqtt:port or namespace=ws:port'],
  [{ ...tls, NAMESPACE_LISTENERS: 'a_b=mqtt:2883' }, 'NAMESPACE_LISTENERS'],
  [{ ...tls, NAMESPACE_LISTENERS: 'factory=mqtt:70000' }, 'NAMESPACE_LISTENERS'],
  [{}, 'TLS_CERT: is needed by the TLS listeners'],
  [{ TLS_CERT: 'x' }, 'TLS_KEY'],
  [{ ...tls, GATEWAY_ID: 'a b' }, 'GATEWAY_ID: “a b”'],
  [{ ...tls, LOGGERHEAD_PROFILE: 'prod' }, 'LOGGERHEAD_PROFILE: “prod” is not one of development, production'],
  [{ ...tls, CONNECT_TIMEOUT: '10s' }, 'CONNECT_TIMEOUT: “10s” is not a whole number from 100 to 120000 (ms)'],
  [{ ...tls, KAFKA_AWAY_CLOSE: '5000' }, 'KAFKA_AWAY_CLOSE: is below KAFKA_AWAY_REFUSE'],
  [{ ...tls, DRAIN_PERIOD: '23000' }, 'DRAIN_PERIOD: 23000 and SHUTDOWN_TIMEOUT 5000 are together above 27000 ms'],
  [{ ...tls, DRAIN_PERIOD: '30000' }, 'DRAIN_PERIOD: “30000” is not a whole number from 0 to 26900 (ms)'],
  [{ ...tls, REGISTRY_LOST: '1000' }, 'REGISTRY_LOST: is below REGISTRY_STALE'],
  [{ ...tls, FIRST_PACKET_SIZE_MAX: '600000' }, 'FIRST_PACKET_SIZE_MAX: 600000 is above MAXIMUM_PACKET_SIZE 524288'],
])('%o stops the start by name', (environment, message) => {
  expect(() => readGatewayConfig(environment as Record<string, string>)).toThrow(message)
})

test('SESSION_EXPIRY_MAX follows a shorter HISTORY_WINDOW unless it was set', () => {
  expect(withinHistory(readGatewayConfig(tls), 3_600_000, {}).SESSION_EXPIRY_MAX).toBe(3600)
  expect(withinHistory(readGatewayConfig(tls), 8 * 86_400_000, {}).SESSION_EXPIRY_MAX).toBe(604_800)
})

describe('a namespace', () => {
  const namespace = (rest: object = {}) => ({ alternativeAuthenticationNameSources: [], ...rest })

  test.each([
    ['M5-02, M3-02: eventgrid keeps sessions for one hour', { limits: { preset: 'eventgrid' } }, 3600],
    ['M5-02: up to eight', { limits: { preset: 'eventgrid' }, maximumSessionExpiryInHours: 8 }, 28_800],
    ['M5-02: and no longer', { limits: { preset: 'eventgrid' }, maximumSessionExpiryInHours: 9 }, 28_800],
    ['unless its limit is changed', { limits: { preset: 'eventgrid', sessionExpirySeconds: 36_000 }, maximumSessionExpiryInHours: 9 }, 32_400],
    ['open keeps them as long as the deployment', { limits: { preset: 'open' } }, 604_800],
    ['or as it says', { maximumSessionExpiryInHours: 2 }, 7200],
    ['never longer', { maximumSessionExpiryInHours: 8760 }, 604_800],
  ] as const)('%s', (_what, rest, seconds) => {
    expect(withNamespace(readGatewayConfig(tls), namespace(rest)).SESSION_EXPIRY_MAX).toBe(seconds)
  })

  test('narrows the settings and brings its strict rules', () => {
    const config = readGatewayConfig({ ...tls, TOPIC_LEVELS_MAX: '10' })
    const narrowed = withNamespace(config, namespace({ limits: { preset: 'eventgrid', topicLength: 300 } }))
    expect(narrowed).toMatchObject({ TOPIC_LEVELS_MAX: 10, TOPIC_LENGTH_MAX: 300, INFLIGHT_MAX: 100, GATEWAY_ID: 'gateway', listeners: config.listeners })
    expect([config.rules.publishDeniedDisconnects, narrowed.rules.publishDeniedDisconnects]).toEqual([false, true])
    expect(withNamespace(config, undefined)).toBe(config)
  })
})

test('every limit says what happens at it and how it is counted', () => {
  for (const [name, setting] of Object.entries(gatewaySettings)) {
    if (!('outcome' in setting)) continue
    expect(setting.metric).toMatch(
      name in rateSettings ? /^loggerhead_mqtt_throttling_enforcements_total\{throttle_type="\w+"\}$/ : `loggerhead_limit_reached_total{limit="${name}"}`,
    )
    expect(setting.outcome.length).toBeGreaterThan(10)
  }
})

test.each([
  ['', '127.0.0.1', '127.0.0.1:5000'],
  ['', '::1', '[::1]:5000'],
  ['gateway-1', '0.0.0.0', 'gateway-1:5000'],
  ['gateway-1:6000', '0.0.0.0', 'gateway-1:6000'],
])('GRPC_ADVERTISE “%s” on %s is told as %s', (told, bind, address) => {
  expect(advertised(readGatewayConfig({ ...tls, GRPC_ADVERTISE: told, GRPC_BIND: bind }), 5000)).toBe(address)
})
