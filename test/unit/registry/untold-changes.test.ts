/** A registry that dies between writing a change and telling of it in `lifecycle`, and the one that starts after it. */
import { afterEach, expect, test } from '@jest/globals'
import { AppendError, type Appender, type AppenderOptions } from '../../../log/log.ts'
import { MemoryLog, MemoryStore } from '../../../log/memory-log.ts'
import { planTopics, topicSpecs } from '../../../log/topics.ts'
import { readRegistryConfig } from '../../../registry/config.ts'
import { Registry } from '../../../registry/registry.ts'
import { decodeRecord, encodeRecord } from '../../../schemas/codec.ts'
import type { LifecycleEvent } from '../../../schemas/event-records.ts'
import { until } from '../../support/stack.ts'

const plan = planTopics(readRegistryConfig({ API_KEY_FILE: 'unused' }), 'default', 'development')
const topics = plan.names

type Write = (record: Parameters<Appender['write']>[0], write: Appender['write']) => Promise<number>

/** A process of its own, what it writes on one of its ways apart. */
class OneProcessLog extends MemoryLog {
  readonly #writes: { readonly registry?: Write; readonly lifecycle?: Write }

  constructor(store: MemoryStore, writes: { readonly registry?: Write; readonly lifecycle?: Write } = {}) {
    super(store)
    this.#writes = writes
  }

  override async appender(options?: AppenderOptions): Promise<Appender> {
    const appender = await super.appender(options)
    const write: Appender['write'] = appender.write.bind(appender)
    appender.write = (record) => {
      const other = record.topic === topics.lifecycle ? this.#writes.lifecycle : this.#writes.registry
      return other ? other(record, write) : write(record)
    }
    return appender
  }
}

const opened: Registry[] = []
const troubles: unknown[] = []
const failures: unknown[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((registry) => registry.close()))
  troubles.length = 0
  failures.length = 0
})

async function openStore(): Promise<MemoryStore> {
  const store = new MemoryStore()
  await new MemoryLog(store).createTopics(topicSpecs(plan))
  return store
}

async function open(log: MemoryLog): Promise<Registry> {
  const registry = await Registry.start({
    log,
    topics,
    namespace: 'default',
    clock: { now: Date.now },
    writeTimeoutMs: 60_000,
    requestsMax: 100,
    onLimit: () => {},
    onUntold: (error) => troubles.push(error),
    onFailed: (error) => failures.push(error),
  })
  opened.push(registry)
  return registry
}

const properties = (name: string): string =>
  JSON.stringify({
    authenticationName: name,
    state: 'Enabled',
    attributes: {},
    clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' },
  })
const author = { by: 'somebody', address: '192.0.2.7' }
const put = (registry: Registry, name: string) =>
  registry.change({ kind: 'clients', name, author, decide: (_, at) => ({ properties: properties(name), etag: 'e', createdAt: at, updatedAt: at }) })
const remove = (registry: Registry, name: string) => registry.change({ kind: 'clients', name, author, decide: () => null })

async function told(store: MemoryStore): Promise<readonly LifecycleEvent[]> {
  const log = new MemoryLog(store)
  const from = new Map(Array.from({ length: plan.partitions }, (_, partition) => [partition, 0]))
  const events = (await log.readMany(topics.lifecycle, from)).flatMap(({ records }) =>
    records.flatMap(({ value }) => {
      const record = decodeRecord(value!)
      return record.name === 'LifecycleEvent' ? [record.value] : []
    }),
  )
  return events.sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }))
}
const idsOf = (events: readonly LifecycleEvent[]): readonly string[] => events.map(({ type, subject }) => `${type.split('.').at(-1)} ${subject}`)
const inRegistry = (store: MemoryStore, key: string): boolean =>
  (store.partition(topics.registry, 0)?.records ?? []).some((record) => record.key?.toString() === key)

test('LC-03, LC-04 a change that was written when the registry died is told of by the next one, with who made it, before and after', async () => {
  const store = await openStore()
  const dying = await open(new OneProcessLog(store, { lifecycle: () => new Promise(() => {}) }))
  void put(dying, 'a').catch(() => {})
  await until('the client stands', 10_000, () => inRegistry(store, 'clients/a'))
  expect(await told(store)).toEqual([])

  await open(new OneProcessLog(store, { lifecycle: (record, write) => (record.key?.toString() === 'clients/a' ? write(record) : new Promise(() => {})) }))
  await until('one of its two events is told', 10_000, async () => (await told(store)).length === 1)

  const next = await open(new OneProcessLog(store))
  await put(next, 'b')
  const events = (await told(store)).filter(({ subject }) => subject === 'clients/a')
  expect(idsOf(events)).toEqual(['RegistryResourceChanged clients/a', 'RegistryResourceChanged clients/a', 'MQTTClientCreatedOrUpdated clients/a'])
  expect(events[0]).toEqual(events[1]) // told twice, it is one event, of one id
  expect(JSON.parse(events[0]!.data)).toMatchObject({ name: 'a', ...author, before: null, after: { authenticationName: 'a' } })
})

test('LC-04 a deletion that was written when the registry died is told of with its author and what was deleted', async () => {
  const store = await openStore()
  let isDying = false
  const dying = await open(new OneProcessLog(store, { lifecycle: (record, write) => (isDying ? new Promise(() => {}) : write(record)) }))
  await put(dying, 'a')
  isDying = true
  void remove(dying, 'a').catch(() => {})
  await until('the deletion stands', 10_000, () =>
    store.partition(topics.registry, 0)!.records.some(({ key, value }) => key?.toString() === 'clients/a' && value === null),
  )

  const next = await open(new OneProcessLog(store))
  await put(next, 'b')
  const deletion = (await told(store)).filter(({ data, subject }) => subject === 'clients/a' && JSON.parse(data).after === null)
  expect(deletion.map(({ data }) => JSON.parse(data))).toMatchObject([{ ...author, before: { authenticationName: 'a' }, after: null }])
  expect(idsOf(await told(store))).toContain('MQTTClientDeleted clients/a')
})

test('what was told before a stop in good order is not told again', async () => {
  const store = await openStore()
  await put(await open(new OneProcessLog(store)), 'a')
  await opened.splice(0)[0]!.close()
  await put(await open(new OneProcessLog(store)), 'b')
  const events = await told(store)
  expect(idsOf(events)).toEqual([
    'RegistryResourceChanged clients/a',
    'MQTTClientCreatedOrUpdated clients/a',
    'RegistryResourceChanged clients/b',
    'MQTTClientCreatedOrUpdated clients/b',
  ])
})

test('of a thousand changes in a row and more, a registry that starts again tells the last ones only', async () => {
  const store = await openStore()
  const killed = await open(new OneProcessLog(store))
  for (let at = 0; at < 1_300; at += 100) await Promise.all(Array.from({ length: 100 }, (_, i) => put(killed, `c${at + i}`)))
  const before = (await told(store)).length
  await put(await open(new OneProcessLog(store)), 'last')
  const again = (await told(store)).length - before - 2
  expect(again).toBeGreaterThan(0)
  expect(again).toBeLessThanOrEqual(2 * 1_000)
})

test('a write of which nobody knows whether it stands is told of when it does', async () => {
  const store = await openStore()
  const unknown: Write = async (record, write) => {
    const offset = await write(record)
    if (record.key?.toString() !== 'clients/a') return offset
    throw new AppendError('the answer was lost', 'unknown')
  }
  const registry = await open(new OneProcessLog(store, { registry: unknown }))
  await expect(put(registry, 'a')).rejects.toMatchObject({ status: 503 })
  await put(registry, 'b')
  expect(idsOf(await told(store))).toContain('MQTTClientCreatedOrUpdated clients/a')
})

test('events that Kafka does not take are tried again, and the change is answered after that', async () => {
  const store = await openStore()
  let refused = 0
  const registry = await open(
    new OneProcessLog(store, {
      lifecycle: (record, write) => (refused++ === 0 ? Promise.reject(new AppendError('not now', 'refused', { refusal: 'notAuthorized' })) : write(record)),
    }),
  )
  await put(registry, 'a')
  expect(idsOf(await told(store))).toContain('MQTTClientCreatedOrUpdated clients/a')
  expect(troubles).toHaveLength(1)
})

test('an event that is too large for its topic is given up, and holds up no other', async () => {
  const store = await openStore()
  const registry = await open(
    new OneProcessLog(store, {
      lifecycle: (record, write) =>
        record.key?.toString() === 'clients/a' ? Promise.reject(new AppendError('too large', 'refused', { refusal: 'tooLarge' })) : write(record),
    }),
  )
  await put(registry, 'a')
  await put(registry, 'b')
  expect(idsOf(await told(store))).toEqual([
    'MQTTClientCreatedOrUpdated clients/a',
    'RegistryResourceChanged clients/b',
    'MQTTClientCreatedOrUpdated clients/b',
  ])
  expect(troubles).toHaveLength(1)
})

test('a registry that has been replaced does not tell what its successor writes', async () => {
  const store = await openStore()
  const old = await open(new OneProcessLog(store))
  const next = await open(new OneProcessLog(store))
  await put(next, 'a')
  await old.follower.reached(next.view.position - 1)
  await put(next, 'b')
  expect(idsOf(await told(store)).filter((id) => id.endsWith('clients/a'))).toEqual([
    'RegistryResourceChanged clients/a',
    'MQTTClientCreatedOrUpdated clients/a',
  ])
})

test('what a log from before there was a marker holds is not told anew', async () => {
  const store = await openStore()
  const entry = { kind: 'clients', name: 'old', properties: properties('old'), etag: 'e', createdAt: 1, updatedAt: 1, by: 'somebody' }
  const appender = await new MemoryLog(store).appender()
  await appender.write({ topic: topics.registry, partition: 0, key: Buffer.from('clients/old'), value: encodeRecord('RegistryEntry', entry), timestamp: 1 })
  await put(await open(new OneProcessLog(store)), 'a')
  expect(idsOf(await told(store)).filter((id) => id.endsWith('/old'))).toEqual([])
})
