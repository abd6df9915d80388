import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { Ajv } from 'ajv'
import { gatewaySettings } from '../../../gateway/config.ts'
import { readSettings } from '../../../settings/setting.ts'
import { kafkaVersion } from '../../../stack/kafka/artifacts.ts'
import { asVariables } from '../../../stack/kafka/docker.ts'
import { serverProperties } from '../../../stack/kafka/properties.ts'
import { type ProcessName, processes, readTable } from '../../../stack/setting-tables.ts'
import { type ComposeService, composeText, interpolate, loadCompose, readVariables } from '../../support/compose.ts'

const project = join(import.meta.dirname, '../../..')
const cluster = readVariables('cluster.env')
const own = ({ services }: ReturnType<typeof loadCompose>) => Object.entries(services).filter(([, { image }]) => image === 'loggerhead')
const values = (service: ComposeService) => Object.entries(service.environment ?? {}).map(([name, value]) => [name, String(value)] as const)
const processOf = (service: ComposeService) => dirname(service.command?.[1] ?? '') as ProcessName

/** Ports that a service opens, as its variables say. */
function opened(service: ComposeService): readonly number[] {
  return values(service).flatMap(([name, value]) => {
    if (name === 'KAFKA_LISTENERS') return [...value.matchAll(/:(\d+)(?:,|$)/g)].map(([, port]) => Number(port))
    return /_PORT$/.test(name) && /^\d+$/.test(value) ? [Number(value)] : []
  })
}

test('variables are filled in as Compose does', () => {
  const text = ['a$', '{X:-b}c$', '{Y:+d}e$', '{Z}'].join('')
  expect(interpolate(text, { Y: '1' })).toBe('abcde')
  expect(interpolate(text, { X: 'x', Z: 'z' })).toBe('axcez')
})

describe.each([
  ['one node', {}],
  ['a cluster', cluster],
])('docker-compose.yml with %s', (_name, variables) => {
  const compose = loadCompose(variables)

  test('holds to the schema of the Compose Specification', () => {
    const { $schema: _unused, ...schema } = JSON.parse(readFileSync(join(project, 'test/support/compose-spec.json'), 'utf8'))
    const validate = new Ajv({ strict: false, validateFormats: false, allErrors: true }).compile(schema)
    validate(compose)
    expect(validate.errors ?? []).toEqual([])
  })

  test('a stopped service has the time that its gateway takes at most by default', () => {
    const { DRAIN_PERIOD, SHUTDOWN_TIMEOUT } = gatewaySettings
    for (const [, { stop_grace_period }] of own(compose)) {
      expect(Number.parseInt(String(stop_grace_period), 10) * 1_000).toBeGreaterThan(DRAIN_PERIOD.default + SHUTDOWN_TIMEOUT.default)
    }
  })

  test('depends on services that exist', () => {
    for (const { depends_on: needed = {} } of Object.values(compose.services)) {
      for (const name of Object.keys(needed)) expect(Object.keys(compose.services)).toContain(name)
    }
  })

  test('addresses only services that exist, at ports they open', () => {
    let addresses = 0
    for (const [name, service] of Object.entries(compose.services)) {
      for (const [variable, value] of values(service)) {
        for (const [, host = '', port] of value.matchAll(/(?<![\w.])([a-z][a-z0-9-]*):(\d+)/g)) {
          if (host === 'localhost') continue
          addresses++
          expect([name, variable, host, Object.keys(compose.services).includes(host)]).toEqual([name, variable, host, true])
          expect(opened(compose.services[host] as ComposeService)).toContain(Number(port))
        }
      }
    }
    expect(addresses).toBeGreaterThanOrEqual(20)
  })

  test('publishes ports that the service opens, on loopback, each once', () => {
    const taken: string[] = []
    for (const service of Object.values(compose.services)) {
      for (const published of service.ports ?? []) {
        const [address, outside = '', inside] = published.split(':')
        expect(address).toBe('127.0.0.1')
        expect(opened(service)).toContain(Number(inside))
        taken.push(outside)
      }
    }
    expect(new Set(taken).size).toBe(taken.length)
  })

  test('mounts volumes that are declared, and declares none in vain', () => {
    const mounted = Object.values(compose.services).flatMap(({ volumes = [] }) => volumes.map((mount) => mount.split(':')[0]))
    expect([...new Set(mounted)].sort()).toEqual(Object.keys(compose.volumes).sort())
  })

  test('sets only variables that the service knows, to values that it takes', async () => {
    for (const [, service] of own(compose)) {
      const table = await readTable(project, processOf(service))
      const environment = Object.fromEntries(values(service))
      expect(Object.keys(environment).filter((name) => !(name in table))).toEqual([])
      readSettings(table, environment)
    }
  })

  test('runs programs that are in the image', () => {
    const dockerfile = readFileSync(join(project, 'Dockerfile'), 'utf8')
    for (const [, service] of own(compose)) {
      expect(existsSync(join(project, service.command?.[1] ?? ''))).toBe(true)
      expect(dockerfile).toContain(`COPY ${processOf(service)} ./${processOf(service)}\n`)
    }
  })

  test('gives Kafka the version and the settings that npm start gives it', () => {
    const known = asVariables(serverProperties({ folder: '', host: '', port: 1, controllerPort: 1, flushEveryAppend: true }))
    const same = [
      'KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS',
      'KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS',
      'KAFKA_AUTO_CREATE_TOPICS_ENABLE',
      'KAFKA_LOG_MESSAGE_TIMESTAMP_TYPE',
    ]
    for (const service of Object.values(compose.services).filter(({ image }) => image.startsWith('apache/kafka'))) {
      expect(service.image).toBe(`apache/kafka:${kafkaVersion}`)
      const environment = Object.fromEntries(values(service))
      for (const name of same) expect(environment[name]).toBe(known[name])
      const extra = ['CLUSTER_ID', 'KAFKA_HEAP_OPTS', 'KAFKA_INTER_BROKER_LISTENER_NAME']
      expect(Object.keys(environment).filter((name) => !(name in known) && !extra.includes(name))).toEqual([])
    }
  })
})

test('the profile watching: Prometheus asks every service at its internal port, and all files of it are there', () => {
  const compose = loadCompose()
  const { services, configs } = compose
  for (const { file } of Object.values(configs ?? {})) expect([file, existsSync(join(project, file))]).toEqual([file, true])
  const mounted = Object.values(services).flatMap(({ configs: used = [] }) => used.map(({ source }) => source))
  expect(mounted.sort()).toEqual(Object.keys(configs ?? {}).sort())
  expect(Object.keys(services).filter((name) => services[name]?.profiles?.includes('watching'))).toEqual(['prometheus', 'grafana'])
  const asked = [...readFileSync(join(project, 'watching/prometheus.yml'), 'utf8').matchAll(/"([\w-]+:\d+)"/g)].map(([, target]) => target)
  const internal = own(compose).flatMap(([name, service]) => (service.environment?.INTERNAL_PORT ? [`${name}:${service.environment.INTERNAL_PORT}`] : []))
  expect(asked.sort()).toEqual(internal.sort())
})

test('two gateways, two routers, and three brokers in the profile cluster', () => {
  const compose = loadCompose(cluster)
  const named = (start: string) => Object.keys(compose.services).filter((name) => name.replace(/-\d+$/, '') === start)
  expect([named('gateway').length, named('router').length, named('kafka').length]).toEqual([2, 2, 3])
  expect(named('kafka').filter((name) => compose.services[name]?.profiles?.includes('cluster')).length).toBe(2)
  expect(compose.services.kafka?.environment?.KAFKA_CONTROLLER_QUORUM_VOTERS).toBe('1@kafka:9093,2@kafka-2:9093,3@kafka-3:9093')
})

test('every variable that the file reads is known', async () => {
  const read = new Set([...composeText.matchAll(/\$\{(\w+)/g)].map(([, name]) => name as string))
  const tables = await Promise.all(processes.map((process) => readTable(project, process)))
  const known = new Set([...Object.keys(cluster), ...tables.flatMap(Object.keys)])
  expect([...read].filter((name) => !known.has(name))).toEqual([])
  for (const name of Object.keys(cluster)) expect(name === 'COMPOSE_PROFILES' || read.has(name)).toBe(true)
})

test('every file that a variable names is made by the set-up container', () => {
  const data = mkdtempSync(join(tmpdir(), 'loggerhead-setup-'))
  const compose = loadCompose()
  const { status, stderr } = spawnSync(process.execPath, compose.services.setup?.command?.slice(1) ?? [], {
    cwd: project,
    env: { ...process.env, LOGGERHEAD_DATA: data },
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([0, ''])
  const files = own(compose).flatMap(([, service]) => values(service).filter(([, value]) => value.startsWith('/loggerhead/data/')))
  expect(files.length).toBeGreaterThan(10)
  for (const [name, value] of files) expect([name, existsSync(value.replace('/loggerhead/data', data))]).toEqual([name, true])
  rmSync(data, { recursive: true })
})
