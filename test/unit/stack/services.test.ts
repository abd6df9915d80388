import { expect, test } from '@jest/globals'
import { gatewaySettings } from '../../../gateway/config.ts'
import { readConfig } from '../../../stack/config.ts'
import { arrangePorts, explainServiceLog, internalPortCount, serviceSpecs } from '../../../stack/services.ts'

const config = readConfig({ GATEWAYS: '2', ROUTERS: '2' })
const free = Array.from({ length: internalPortCount(config) }, (_, index) => 20_000 + index)
const specsIn = (environment: Readonly<Record<string, string>>) =>
  serviceSpecs({
    config,
    project: '/project',
    brokers: '127.0.0.1:9092',
    ports: arrangePorts(config, free),
    files: { apiKey: '/data/api-key', internalKey: '/data/internal-key', tlsCert: '/data/server.pem', tlsKey: '/data/server.key' },
    environment: { PATH: '/bin', ...environment },
    node: '/node',
    nodeFlags: ['--flag'],
  })
const specs = specsIn({ CONNECTIONS_MAX: '7' })

test('each service is a process of its own name and ports', () => {
  const all = [specs.registry, ...specs.routers, ...specs.gateways, specs.door]
  expect(all.map(({ name }) => name)).toEqual(['registry', 'router', 'router-2', 'gateway', 'gateway-2', 'door'])
  expect(specs.gateways[1]?.args).toEqual(['--flag', '--max-old-space-size=384', '--max-semi-space-size=8', '/project/gateway/main.ts'])
  expect(specs.gateways[1]?.ports).toMatchObject({ mqtt: 1893, mqtts: 8893, ws: 8093, wss: 8094 })
  const internal = all.map(({ ports }) => ports.internal)
  expect(new Set(internal).size).toBe(all.length)
})

test('a gateway is given the time to move its clients off and to flush before it is killed', () => {
  const { DRAIN_PERIOD, SHUTDOWN_TIMEOUT } = gatewaySettings
  expect(specs.gateways[0]?.stopMs).toBeGreaterThan(DRAIN_PERIOD.default + SHUTDOWN_TIMEOUT.default)
  expect(specsIn({ DRAIN_PERIOD: '20000', SHUTDOWN_TIMEOUT: '7000' }).gateways[1]?.stopMs).toBeGreaterThan(29_000)
  expect(specsIn({ DRAIN_PERIOD: '0' }).gateways[0]?.stopMs).toBeGreaterThan(SHUTDOWN_TIMEOUT.default)
})

test('a listener that is off is told so, in production too, where a gateway does not know the owner’s key', () => {
  const production = readConfig({ LOGGERHEAD_PROFILE: 'production', KAFKA_BROKERS: 'a:1', TLS_CERT: 'c', TLS_KEY: 'k' })
  const { gateways } = serviceSpecs({
    config: production,
    project: '/project',
    brokers: 'a:1',
    ports: arrangePorts(production, free),
    files: { apiKey: '', internalKey: '', tlsCert: 'c', tlsKey: 'k' },
    environment: {},
    node: '/node',
    nodeFlags: [],
  })
  expect(gateways[0]?.environment).not.toHaveProperty('API_KEY_FILE')
  expect(gateways[0]?.environment).toMatchObject({ MQTT_PORT: 'off', WS_PORT: 'off', MQTTS_PORT: '8883', WSS_PORT: '8084', KAFKA_REPLICATION: '3' })
})

test('the services are told of each other, and what the user set reaches them', () => {
  expect(specs.door.environment).toMatchObject({ HTTP_PORT: '8080', CONNECTIONS_MAX: '7', DURABILITY: 'single copy in the page cache' })
  expect(specs.door.environment.CANARY_ADDRESSES).toBe(
    `gateway=127.0.0.1:${specs.gateways[0]?.environment.INTERNAL_MQTT_PORT},gateway-2=127.0.0.1:${specs.gateways[1]?.environment.INTERNAL_MQTT_PORT}`,
  )
  expect(specs.door.environment.REGISTRY_URL).toBe(`http://127.0.0.1:${specs.registry.environment.INTERNAL_PORT}`)
  expect(specs.door.environment.ROUTER_URLS).toBe(
    `router=http://127.0.0.1:${specs.routers[0]?.environment.INTERNAL_PORT},router-2=http://127.0.0.1:${specs.routers[1]?.environment.INTERNAL_PORT}`,
  )
  expect(specs.gateways[1]?.environment.ROUTER_URLS).toBe(specs.door.environment.ROUTER_URLS)
  expect(specs.gateways[0]?.environment.GRPC_ADVERTISE).toBe(`127.0.0.1:${specs.gateways[0]?.environment.GRPC_PORT}`)
})

test('what stopped a service is said in a sentence', () => {
  expect(explainServiceLog('SettingError: TLS_CERT: is no certificate\n    at x')).toBe('TLS_CERT: is no certificate')
  expect(explainServiceLog('{"level":30,"msg":"hello"}\n{"level":60,"msg":"HTTP_PORT: port 80 is in use"}\n')).toBe('HTTP_PORT: port 80 is in use')
  expect(explainServiceLog('{"level":60,"msg":"the log cannot be read","error":{"message":"no broker"}}')).toBe('the log cannot be read: no broker')
  expect(explainServiceLog('something else')).toBeUndefined()
})

test('three quarters of GATEWAY_MEMORY, ROUTER_MEMORY, REGISTRY_MEMORY and DOOR_MEMORY are heap, and a full one is named', () => {
  const environment = { GATEWAY_MEMORY: '200', ROUTER_MEMORY: '400', REGISTRY_MEMORY: '600', DOOR_MEMORY: '800' }
  const bounded = readConfig(environment)
  const { gateways, routers, registry, door } = serviceSpecs({
    config: bounded,
    project: '/project',
    brokers: 'a:1',
    ports: arrangePorts(bounded, free),
    files: { apiKey: '', internalKey: '', tlsCert: 'c', tlsKey: 'k' },
    environment: {},
    node: '/node',
    nodeFlags: [],
  })
  expect([gateways[0], routers[0], registry, door].map((spec) => spec?.args[0])).toEqual([150, 300, 450, 600].map((mib) => `--max-old-space-size=${mib}`))
  expect(routers[0]?.explain?.('FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory')).toBe(
    'its memory is full: ROUTER_MEMORY gives 400 MiB',
  )
  expect(() => readConfig({ ROUTER_MEMORY: '64' })).toThrow('ROUTER_MEMORY: “64” is not a whole number from 128 to 1048576 (MiB)')
})
