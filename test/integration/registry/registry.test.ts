import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { pino } from 'pino'
import { KafkaLog } from '../../../log/kafka/kafka-log.ts'
import { planTopics, topicSettings, topicSpecs } from '../../../log/topics.ts'
import { historyKeptText, historyMarker } from '../../../model/history-kept.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import { readSettings } from '../../../settings/setting.ts'
import { until } from '../../support/stack.ts'
import { key, RegistryDeployment, send } from './process.ts'

let deployment: RegistryDeployment
beforeEach(async () => {
  deployment = await RegistryDeployment.create()
})
afterEach(() => deployment.close())

const client = (more: object = {}) => ({ clientCertificateAuthentication: {}, ...more })

test('what was acknowledged is there after kill -9, and SIGTERM ends with 0', async () => {
  const first = await deployment.start()
  const put = await send(first.port, 'PUT', 'clients/truck-1', client({ attributes: { site: 'Oslo' } }))
  expect(put.status).toBe(201)
  expect((await send(first.port, 'DELETE', 'clients/sample_client')).status).toBe(204)
  first.child.kill('SIGKILL')
  expect(await first.ended).toBe('SIGKILL')
  const second = await deployment.start()
  expect(await send(second.port, 'GET', 'clients/truck-1')).toEqual({ status: 200, json: put.json })
  expect((await send(second.port, 'GET', 'clients/sample_client')).status).toBe(404) // the sample stays deleted
  second.child.kill('SIGTERM')
  expect(await second.ended).toBe(0)
})

test('a second registry fences the first on the real Kafka: the first writes no more and ends', async () => {
  const first = await deployment.start()
  const second = await deployment.start()
  expect((await send(second.port, 'PUT', 'clients/new', client())).status).toBe(201)
  const stale = await send(first.port, 'PUT', 'clients/old', client()).catch((error: unknown) => error)
  expect(stale).not.toMatchObject({ status: 201 })
  expect(await first.ended).toBe(1)
  expect(first.log()).toContain('the registry cannot go on')
  expect((await send(second.port, 'GET', 'clients/old')).status).toBe(404)
})

test('the registry ends when its supervisor does', async () => {
  const { child, ended } = await deployment.start()
  child.disconnect()
  expect(await ended).toBe(0)
})

test('/status and /metrics answer without the key, and say how current the view is', async () => {
  const { port } = await deployment.start()
  const status = (await (await fetch(`http://127.0.0.1:${port}/status`)).json()) as Record<string, unknown>
  expect(status).toMatchObject({ ok: true, kafka: { reachable: true }, resources: { clients: 1, permissionBindings: 5 } })
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  expect(metrics).toMatch(/^loggerhead_registry_position\{namespace="default"\} \d+$/m)
  expect(metrics).toContain('loggerhead_limit_reached_total{limit="CLIENTS_MAX"} 0')
  expect((await fetch(`http://127.0.0.1:${port}/namespaces/default/clients`)).status).toBe(401)
})

test.each([
  ['API_KEY_FILE', '/nowhere/api-key', 'cannot read the file'],
  ['LOGGERHEAD_NAMESPACE', 'a', 'is not 3 to 50'],
  ['CLIENTS_MAX', 'many', 'is not a whole number'],
])('a wrong %s stops the start and is named', async (variable, value, message) => {
  await expect(deployment.start({ [variable]: value })).rejects.toThrow(new RegExp(`ended with 1[^]*${variable}: [^]*${message}`))
})

test('a thousand clients are written by fifty who ask at once', async () => {
  const { port } = await deployment.start()
  const started = performance.now()
  const statuses = new Map<number, number>()
  let next = 0
  const work = async () => {
    for (let i = next++; i < 1000; i = next++) {
      const { status } = await send(port, 'PUT', `clients/client-${i}`, client({ attributes: { number: i } }))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: 50 }, work))
  const seconds = (performance.now() - started) / 1000
  process.stderr.write(`${Math.round(1000 / seconds)} clients written a second\n`)
  expect(statuses).toEqual(new Map([[201, 1000]]))
})

test('the production profile writes no samples and takes no key in the clear from elsewhere', async () => {
  // One broker cannot hold three copies: the profile is told apart at the API, topics made before.
  const development = await deployment.start()
  const forwarded = { authorization: `Bearer ${key}`, 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'http' }
  expect((await fetch(`http://127.0.0.1:${development.port}/namespaces/default/clients`, { headers: forwarded })).status).toBe(200)
  await expect(deployment.start({ LOGGERHEAD_PROFILE: 'production', KAFKA_REPLICATION: '1' })).rejects.toThrow('KAFKA_REPLICATION')
})

test('compaction takes nothing of the window: with the cleaner at work each of its moments is told, and an earlier one with the time from which on there is history', async () => {
  const minute = 60_000
  const environment = { HISTORY_WINDOW: '1h' }
  const { KAFKA_BROKERS: brokers = '', LOGGERHEAD_PREFIX } = deployment.environment
  const plan = planTopics(readSettings(topicSettings, { ...environment, LOGGERHEAD_PREFIX }), 'default', 'development')
  const topic = plan.names.registry
  const log = new KafkaLog({ brokers: brokers.split(','), clientId: 'test', logger: pino({ level: 'silent' }) })
  try {
    // As Loggerhead has it, but that each record begins a segment which the cleaner looks at as soon as there is another.
    const eager = { 'segment.ms': '100', 'min.cleanable.dirty.ratio': '0.001', 'delete.retention.ms': '0' }
    await log.createTopics(topicSpecs(plan).map((spec) => (spec.name === topic ? { ...spec, settings: { ...spec.settings, ...eager } } : spec)))
    const appender = await log.appender()
    const began = Date.now()
    const write = async (minutesAgo: number, key: string, properties: string | null): Promise<number> => {
      const timestamp = began - minutesAgo * minute
      const [kind = '', name = ''] = key.split('/')
      const entry = { kind, name, etag: `"${minutesAgo}"`, createdAt: timestamp, updatedAt: timestamp, by: 'test' }
      const value = properties === null ? null : encodeRecord('RegistryEntry', { ...entry, properties })
      return appender.write({ topic, partition: 0, key: Buffer.from(key), value, timestamp })
    }
    const version = (minutesAgo: number, name: string): Promise<number> =>
      write(minutesAgo, `clients/${name}`, JSON.stringify({ authenticationName: name, attributes: { at: minutesAgo }, ...client() }))
    await write(180, `marker/${historyMarker}`, historyKeptText({ since: began - 180 * minute, windowMs: 60 * minute }))
    // Older than the window: all but the newest of each key may go.
    const old = [await version(170, 'a'), await version(150, 'a'), await version(140, 'gone')]
    await write(135, 'clients/gone', null)
    await version(130, 'a')
    const kept = [await version(40, 'a'), await version(35, 'b'), await version(30, 'a'), await version(20, 'a'), await write(10, 'clients/b', null)]
    const { port } = await deployment.start(environment)
    expect((await send(port, 'PUT', 'clients/a', client({ attributes: { at: 0 } }))).status).toBe(200)
    const offsets = async (): Promise<ReadonlySet<number>> => {
      const found = new Set<number>()
      const end = (await log.endOffsets(topic)).get(0) ?? 0
      for (let next = 0; next < end; ) {
        const { records, nextOffset } = await log.read(topic, 0, next)
        for (const { offset } of records) found.add(offset)
        next = nextOffset
      }
      return found
    }
    await until('the cleaner has taken what it may', 150_000, async () => {
      // It leaves the newest segment alone: a record that says nothing begins another.
      await write(0, 'marker/begins-a-segment', null)
      const there = await offsets()
      return !old.some((offset) => there.has(offset)) && there
    }).then((there) => expect(kept.filter((offset) => !there.has(offset))).toEqual([]))

    const lines = async (path: string): Promise<readonly Readonly<Record<string, unknown>>[]> => {
      const answer = await fetch(`http://127.0.0.1:${port}/namespaces/default/${path}`, { headers: { authorization: `Bearer ${key}` } })
      expect(answer.status).toBe(200)
      return (await answer.text())
        .trim()
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    }
    const ago = (minutes: number): string => new Date(began - minutes * minute).toISOString()
    const clientsAt = async (minutes: number): Promise<object> => {
      const rows = (await lines(`at/${ago(minutes)}/clients`)) as readonly { readonly name?: string; readonly attributes?: { readonly at: number } }[]
      return Object.fromEntries(rows.flatMap(({ name, attributes }) => (name === 'a' || name === 'b' ? [[name, attributes?.at]] : [])))
    }
    expect(await Promise.all([45, 37, 32, 25, 15, 5].map(clientsAt))).toEqual([
      { a: 130 },
      { a: 40 },
      { a: 40, b: 35 },
      { a: 30, b: 35 },
      { a: 20, b: 35 },
      { a: 20 },
    ])
    const changes = await lines(`diff?kind=clients&from=${ago(32)}&to=${ago(5)}`)
    expect(changes.slice(0, -1).map(({ name, change }) => [name, change])).toEqual([
      ['a', 'changed'],
      ['b', 'removed'],
    ])
    const earlier = await send(port, 'GET', `at/${ago(145)}/clients`)
    const [, since = ''] = /^that moment is not kept: history begins at (.*)$/.exec(String(earlier.json?.detail)) ?? []
    expect(earlier.status).toBe(410)
    // An hour before it was asked.
    expect(Date.parse(since)).toBeGreaterThanOrEqual(began - 60 * minute)
    expect(Date.parse(since)).toBeLessThanOrEqual(Date.now() - 60 * minute)
  } finally {
    await log.close()
  }
}, 240_000)
