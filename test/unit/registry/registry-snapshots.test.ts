/** Snapshots of the registry: whoever begins with one comes to the same state as who reads everything, or reads everything. */
import { afterEach, describe, expect, test } from '@jest/globals'
import { registryAt } from '../../../history/past-registry.ts'
import type { Appender, Stretch } from '../../../log/log.ts'
import { MemoryLog, MemoryStore } from '../../../log/memory-log.ts'
import { planTopics, topicSpecs } from '../../../log/topics.ts'
import { RegistryFollower } from '../../../model/registry-follower.ts'
import { resourceKinds } from '../../../model/registry-resources.ts'
import type { RegistrySnapshot } from '../../../model/registry-snapshot.ts'
import type { RegistryView } from '../../../model/registry-view.ts'
import { readRegistryConfig } from '../../../registry/config.ts'
import { Registry } from '../../../registry/registry.ts'
import { isSnapshotDue, SnapshotWriter, writeRegistrySnapshot } from '../../../registry/snapshot-writer.ts'
import { decodeRecord, encodeRecord } from '../../../schemas/codec.ts'
import fc from '../../support/fast-check.ts'
import { until } from '../../support/stack.ts'

const plan = planTopics(readRegistryConfig({ API_KEY_FILE: 'unused' }), 'default', 'development')
const topics = plan.names
const { registry: topic, 'registry-snapshots': snapshots } = topics
const clock = { now: () => 1 }

/** Counts what is read of the registry. */
class CountingLog extends MemoryLog {
  registryRecords = 0

  override async read(...args: Parameters<MemoryLog['read']>): Promise<Stretch> {
    const stretch = await super.read(...args)
    if (args[0] === topic) this.registryRecords += stretch.records.length
    return stretch
  }
}

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

/** A registry's topic, written as the registry does; a time for each record. */
class World {
  readonly store = new MemoryStore()
  readonly log = new CountingLog(this.store)
  readonly unusable: string[] = []
  #appender: Appender | undefined
  #time = 1_000

  static async begin(): Promise<World> {
    const world = new World()
    closers.push(() => world.log.close())
    await world.log.createTopics(topicSpecs(plan))
    world.#appender = await world.log.appender({ transactionalId: `${topic}.writer` })
    return world
  }

  get appender(): Appender {
    return this.#appender as Appender
  }

  write(key: string, value: Buffer | null): Promise<number> {
    return this.appender.write({ topic, partition: 0, key: Buffer.from(key), value, timestamp: this.#time++ })
  }

  put(key: string, properties: object | null): Promise<number> {
    const [kind = '', name = ''] = key.split('/')
    const entry = { kind, name, etag: 'e', createdAt: 1, updatedAt: 1, by: 'test' }
    return this.write(key, properties && encodeRecord('RegistryEntry', { ...entry, properties: JSON.stringify(properties) }))
  }

  async follow(isWithSnapshots = true): Promise<RegistryFollower> {
    const onUnusable = (error: unknown): unknown => this.unusable.push((error as Error).message)
    const follower = await RegistryFollower.start({ log: this.log, topic, clock, onUnusable, ...(isWithSnapshots && { snapshots }) })
    // Whoever has started may decide, whatever it began with.
    expect(follower.confirmedMs()).toBe(0)
    await follower.close()
    return follower
  }

  /** Of what stands now, or of an earlier view. */
  async snapshot(before?: RegistrySnapshot, view?: RegistryView): Promise<RegistrySnapshot> {
    return writeRegistrySnapshot({ log: this.log, topics, appender: this.appender, writer: 0, clock }, view ?? (await this.follow(false)).view, before)
  }
}

const whatIs = (view: RegistryView) => ({
  position: view.position,
  resources: resourceKinds.map((kind) => [...view.of(kind).values()]),
  names: [...view.clients.values()].map(({ properties }) => view.clientNamed(properties.authenticationName)?.name),
  markers: ['a', 'told'].map((name) => view.markerProperties(name)),
  namespaces: [...view.namespaces],
  standing: [...view.standing()].sort((a, b) => a - b),
})

const client = (authenticationName: string) => ({ authenticationName, clientCertificateAuthentication: {} })

test('a start reads the snapshot and what came after, and no change from before', async () => {
  const world = await World.begin()
  for (let i = 0; i < 500; i++) await world.put(`clients/${i % 5}`, client(`n${i % 5}`))
  const snapshot = await world.snapshot()
  expect(snapshot).toMatchObject({ position: 500, records: 5, chunks: 1 })
  await world.put('clients/1', null)
  await world.put('clients/new', client('new'))
  world.log.registryRecords = 0
  const follower = await world.follow()
  expect(follower.snapshot).toEqual(snapshot)
  // The record that the snapshot ends with, and two.
  expect(world.log.registryRecords).toBe(3)
  expect(whatIs(follower.view)).toEqual(whatIs((await world.follow(false)).view))
  expect([...follower.view.clients.keys()]).toEqual(['0', '2', '3', '4', 'new'])
  expect(world.unusable).toEqual([])
})

test('a large registry takes several chunks, each written when the one before stands', async () => {
  const world = await World.begin()
  const attributes = { text: 'x'.repeat(100_000) }
  for (let i = 0; i < 7; i++) await world.put(`clients/${i}`, { ...client(`n${i}`), attributes })
  expect(await world.snapshot()).toMatchObject({ records: 7, chunks: 4 })
  expect(whatIs((await world.follow()).view)).toEqual(whatIs((await world.follow(false)).view))
})

test('what this version cannot read, and kinds that it does not know, stay in the snapshot for one that can', async () => {
  const world = await World.begin()
  await world.put('clients/a', client('a'))
  await world.write('clients/a', Buffer.from('of a later version'))
  await world.put('inventions/b', {})
  await world.put('clients/c', [])
  const { position } = await world.snapshot()
  const { view, snapshot } = await world.follow()
  expect(snapshot?.position).toBe(position)
  expect([...view.standing()].sort()).toEqual([1, 2, 3])
  expect(view.clients.size).toBe(0)
})

test('a tombstone that compaction has taken since does not bring back what it deleted: everything is read', async () => {
  const world = await World.begin()
  for (const name of ['a', 'b']) await world.put(`clients/${name}`, client(name))
  await world.put('marker/a', {})
  await world.snapshot()
  await world.put('clients/a', null)
  await world.put('clients/c', client('c'))
  const stored = world.store.partition(topic, 0)!
  stored.records = stored.records.filter(({ offset }) => offset !== 3)
  const { view, snapshot } = await world.follow()
  expect(snapshot).toBeUndefined()
  expect(world.unusable).toEqual([`the snapshot of the registry at 3 cannot be used: ${topic} has been compacted at 3`])
  // Compaction that takes a tombstone has taken what was before it.
  stored.records = stored.records.filter(({ key }) => key?.toString() !== 'clients/a')
  expect([...(await world.follow()).view.clients.keys()]).toEqual(['b', 'c'])
  expect(view.position).toBe(5)
})

test('a topic that was made anew under the same name is not taken for what the snapshot was made of', async () => {
  const world = await World.begin()
  for (const name of ['a', 'b', 'c']) await world.put(`clients/${name}`, client(name))
  await world.snapshot()
  await world.log.deleteTopics([topic])
  await world.log.createTopics(topicSpecs(plan))
  await world.put('clients/x', client('x'))
  expect([...(await world.follow()).view.clients.keys()]).toEqual(['x'])
  for (const name of ['y', 'z', 'z']) await world.put(`clients/${name}`, client(name))
  expect([...(await world.follow()).view.clients.keys()]).toEqual(['x', 'y', 'z'])
  expect(world.unusable).toEqual([
    `the snapshot of the registry at 3 cannot be used: ${topic} ends at 1`,
    `the snapshot of the registry at 3 cannot be used: the record that it ends with is not in ${topic}`,
  ])
})

test('a snapshot that was not brought to its end is passed over for the one before, and two that came between each other are told apart', async () => {
  const world = await World.begin()
  for (const name of ['a', 'b']) await world.put(`clients/${name}`, client(name))
  const first = await world.snapshot()
  await world.put('clients/c', client('c'))
  const chunk = (writer: number, index: number): Promise<number> => {
    const value = encodeRecord('RegistrySnapshotChunk', { writer, position: 3, chunk: index, records: [] })
    return world.appender.write({ topic: snapshots, partition: 0, key: null, value, timestamp: 1 })
  }
  for (const index of [0, 1, 2]) await chunk(7, index)
  expect((await world.follow()).snapshot).toEqual(first)
  // The chunk of another stands between that of this one and its closing record.
  const appender = {
    async write(record: Parameters<Appender['write']>[0]) {
      const offset = await world.appender.write(record)
      if (decodeRecord(record.value!).name === 'RegistrySnapshotChunk') await chunk(8, 3)
      return offset
    },
  }
  const { view } = await world.follow(false)
  const second = await writeRegistrySnapshot({ log: world.log, topics, appender, writer: 0, clock }, view, first)
  const follower = await world.follow()
  expect(follower.snapshot).toEqual(second)
  expect(whatIs(follower.view)).toEqual(whatIs(view))
})

test.each([
  ['a chunk is gone', 0, null, /it has 0 chunks with 0 records instead of 1 with 2/],
  ['a chunk cannot be read', 0, Buffer.from('damaged'), /it has 0 chunks with 0 records instead of 1 with 2/],
  ['a chunk has another place', 0, encodeRecord('RegistrySnapshotChunk', { writer: 0, position: 2, chunk: 1, records: [] }), /chunk 1 stands where 0 should/],
  [
    'a record is not of its time',
    0,
    encodeRecord('RegistrySnapshotChunk', { writer: 0, position: 2, chunk: 0, records: [{ offset: 2, key: 'clients/z', value: Buffer.alloc(0) }] }),
    /a record of 2 follows one of -1/,
  ],
] as const)('a damaged snapshot counts for nothing: %s', async (_, offset, value, problem) => {
  const world = await World.begin()
  for (const name of ['a', 'b']) await world.put(`clients/${name}`, client(name))
  await world.snapshot()
  const stored = world.store.partition(snapshots, 0)!
  stored.records = stored.records.map((record) => (record.offset === offset ? { ...record, value } : record))
  const { view, snapshot } = await world.follow()
  expect(snapshot).toBeUndefined()
  expect([...view.clients.keys()]).toEqual(['a', 'b'])
  expect(world.unusable).toEqual([expect.stringMatching(problem)])
})

test('without the topic, without a snapshot, and without the right to look, everything is read', async () => {
  const world = await World.begin()
  await world.put('clients/a', client('a'))
  expect([...(await world.follow()).view.clients.keys()]).toEqual(['a'])
  expect(world.unusable).toEqual([])
  await world.log.deleteTopics([snapshots])
  expect([...(await world.follow()).view.clients.keys()]).toEqual(['a'])
  expect(world.unusable).toHaveLength(1)
})

test('whatever is changed, compacted, cut off and snapshotted in whatever order: a start with snapshots comes to what one without comes to', async () => {
  const key = fc.constantFrom('clients/a', 'clients/b', 'clientGroups/g', 'marker/a', 'marker/told', 'namespaces/lab', 'fence/writer', 'inventions/i')
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ put: key, isDeletion: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ snapshot: fc.boolean() }) },
    { weight: 1, arbitrary: fc.constantFrom('compact', 'compact without tombstones', 'cut' as const) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const world = await World.begin()
      let last: RegistrySnapshot | undefined
      for (const each of steps) {
        if (typeof each === 'object' && 'put' in each) {
          const { put, isDeletion } = each
          const properties = put.startsWith('clientGroups') ? { query: 'attributes.a = 1' } : client(put)
          await world.put(put, isDeletion ? null : properties)
        } else if (typeof each === 'object') {
          last = await world.snapshot(each.snapshot ? last : undefined).catch(() => undefined)
        } else if (each === 'cut') {
          world.store.truncate(snapshots, 0, world.store.partition(snapshots, 0)!.endOffset - 1)
          last = undefined
        } else {
          world.store.compact(topic)
          const stored = world.store.partition(topic, 0)!
          // The newest segment is left alone.
          if (each !== 'compact') stored.records = stored.records.filter(({ value, offset }) => value !== null || offset === stored.endOffset - 1)
        }
        expect(whatIs((await world.follow()).view)).toEqual(whatIs((await world.follow(false)).view))
      }
    }),
    { numRuns: 60 },
  )
})

test('one is due when as much has come as stands, and not for a few thousand records', () => {
  expect(isSnapshotDue(4_999, 3)).toBe(false)
  expect(isSnapshotDue(5_000, 3)).toBe(true)
  expect(isSnapshotDue(99_999, 100_000)).toBe(false)
  expect(isSnapshotDue(100_000, 100_000)).toBe(true)
})

test('one that fails is tried again when as much has come once more, from the topic alone', async () => {
  const world = await World.begin()
  let isRefused = true
  const appender = { write: (record: Parameters<Appender['write']>[0]) => (isRefused ? Promise.reject(new Error('no')) : world.appender.write(record)) }
  const writer = new SnapshotWriter({ log: world.log, topics, appender, writer: 0, last: undefined, clock })
  const fill = async (): Promise<RegistryView> => {
    await Promise.all(Array.from({ length: 5_000 }, (_, i) => world.put(`clients/${i % 3}`, client(`n${i % 3}`))))
    return (await world.follow(false)).view
  }
  const first = await fill()
  expect(writer.isDue(first)).toBe(true)
  await expect(writer.write(first)).rejects.toThrow('no')
  expect(writer.isDue(first)).toBe(false)
  isRefused = false
  const second = await fill()
  expect(writer.isDue(second)).toBe(true)
  const written = writer.write(second)
  expect(writer.isDue(second)).toBe(false)
  await written
  expect((await world.follow()).snapshot).toMatchObject({ position: 10_000, records: 3 })
})

test('the registry writes them itself, begins with them, and tells of each change once all the same', async () => {
  const world = await World.begin()
  const results: string[] = []
  const open = async (): Promise<Registry> => {
    const registry = await Registry.start({
      log: world.log,
      topics,
      namespace: 'default',
      clock: { now: Date.now },
      writeTimeoutMs: 60_000,
      requestsMax: 10_000,
      onLimit: () => {},
      onSnapshot: (result) => results.push(result),
      onFailed: () => {},
    })
    closers.push(() => registry.close())
    return registry
  }
  const change = (registry: Registry, name: string, version: number) =>
    registry.change({
      kind: 'clients',
      name,
      author: { by: 'test' },
      decide: (_, at) => ({ properties: JSON.stringify(client(name)), etag: `${version}`, createdAt: at, updatedAt: at }),
    })
  const first = await open()
  await Promise.all(Array.from({ length: 5_200 }, (_, i) => change(first, `c${i % 400}`, i)))
  await until('a snapshot', 60_000, () => results.includes('written'))
  await change(first, 'c0', 9_999)
  await first.close()
  // As one that died before it told of it.
  const value = encodeRecord('RegistryEntry', {
    kind: 'clients',
    name: 'c1',
    properties: JSON.stringify(client('c1')),
    etag: 'x',
    createdAt: 1,
    updatedAt: 2,
    by: 'test',
  })
  await (await world.log.appender()).write({ topic, partition: 0, key: Buffer.from('clients/c1'), value, timestamp: 2 })
  const second = await open()
  expect(second.follower.snapshot?.position).toBeGreaterThanOrEqual(5_000)
  expect(['c0', 'c1'].map((name) => second.view.clients.get(name)?.etag)).toEqual(['9999', 'x'])
  expect([second.view.clients.size, second.view.hasMarker('told')]).toEqual([400, true])
  await change(second, 'c0', 10_000)
  const told: string[] = []
  for (let partition = 0; partition < plan.partitions; partition++) {
    for (let offset = 0; ; ) {
      const { records, nextOffset } = await world.log.read(topics.lifecycle, partition, offset)
      for (const { value } of records) {
        const { name, value: event } = decodeRecord(value!)
        if (name === 'LifecycleEvent') told.push(event.id)
      }
      if (nextOffset === offset) break
      offset = nextOffset
    }
  }
  expect(results).toEqual(['written', 'read'])
  // One of the client, one of the resource.
  expect([told.length, new Set(told).size]).toEqual([2 * 5_203, 2 * 5_203])
})

describe('the registry of a moment', () => {
  const kept = { since: 0, windowMs: Number.POSITIVE_INFINITY }
  /** Right before the record at the position, which is of the millisecond 1000 + position. */
  const at = (world: World, position: number, of: Partial<typeof topics> = topics) =>
    registryAt(world.log, { ...of, registry: topic }, { at: 1_000 + position, registry: position }, { now: 1e9, kept })

  /** Three snapshots, at 100, 300 and 500 of 520 records. */
  async function past(): Promise<World> {
    const world = await World.begin()
    let before: RegistrySnapshot | undefined
    for (let i = 0; i < 520; i++) {
      if (i > 0 && i % 200 === 100) before = await world.snapshot(before)
      await world.put(`clients/${i % 7}`, i % 11 === 0 ? null : client(`n${i}`))
    }
    return world
  }

  test('is what every record below it makes, wherever snapshots stand', async () => {
    const world = await past()
    for (let position = 0; position <= 521; position += position % 100 > 97 || position % 100 < 2 ? 1 : 13) {
      expect(whatIs((await at(world, position)).view)).toEqual(whatIs((await at(world, position, {})).view))
    }
  })

  test('is read from the newest snapshot below it, and no further', async () => {
    const world = await past()
    const read = async (position: number): Promise<number> => {
      world.log.registryRecords = 0
      await at(world, position)
      return world.log.registryRecords
    }
    // The first of all, which says how old the topic is, the one that the snapshot ends with, and those behind it.
    expect(await read(520)).toBe(2 + 20)
    expect(await read(99)).toBeGreaterThanOrEqual(99)
  })

  test('is read from all records where the snapshot below it does not lead there', async () => {
    const world = await past()
    const records = world.store.topics.get(topic)?.partitions[0]?.records as { readonly offset: number }[]
    records.splice(
      records.findIndex(({ offset }) => offset === 330),
      1,
    )
    world.log.registryRecords = 0
    expect(whatIs((await at(world, 400)).view)).toEqual(whatIs((await at(world, 400, {})).view))
    expect(world.log.registryRecords).toBeGreaterThan(399)
  })
})
