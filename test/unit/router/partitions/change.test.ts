import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { type Append, type Appender, type AppenderOptions, FencedError, type Log } from '../../../../log/log.ts'
import { MemoryLog, MemoryStore } from '../../../../log/memory-log.ts'
import { partitionOf } from '../../../../log/partitioner.ts'
import { topicNames } from '../../../../log/topics.ts'
import type { NamespaceEntry } from '../../../../model/namespaces.ts'
import { followServed, formerPartitions, partitionChangeOf, whyNotServed } from '../../../../model/partition-change.ts'
import { RegistryFollower } from '../../../../model/registry-follower.ts'
import { newReplay } from '../../../../model/replay.ts'
import { Session } from '../../../../model/session.ts'
import { ChangeRefused, changePartitions } from '../../../../router/partitions/change.ts'
import { stateAfter } from '../../../../router/partitions/moving-sessions.ts'
import { findNamespace, writePartitions } from '../../../../router/partitions/namespace-entry.ts'
import { type Ends, readShards, type ShardAtRest } from '../../../../router/partitions/shards-at-rest.ts'
import { encodeRecord } from '../../../../schemas/codec.ts'
import type { SimConnection, SimGateway } from '../../../simulation/sim-gateway.ts'
import { freezeTime, type RouterProcess, World } from '../../../simulation/world.ts'

const topics = topicNames('loggerhead', 'default')
const [before, after] = [2, 5]

let world: World | undefined

beforeEach(() => freezeTime())
afterEach(() => {
  world?.end()
  world = undefined
  jest.useRealTimers()
})

async function begin(partitions: number, store?: MemoryStore): Promise<{ readonly gateway: SimGateway; readonly router: RouterProcess }> {
  world = await new World({ partitions, ...(store && { store }) }).start()
  await world.register('permissionBindings', 'all-pub', { clientGroupName: '$anonymous', topicSpaceName: 'all', permission: 'Publisher' })
  const gateway = await world.startGateway(`gw-${partitions}`)
  return { gateway, router: await world.startRouter('r1') }
}

/** Everybody goes in good order, as the command asks for. */
async function end(gateway: SimGateway, router: RouterProcess): Promise<MemoryStore> {
  const there = world as World
  await there.pass(3_000)
  gateway.crash()
  await router.stop()
  router.log.kill()
  expect(router.failures).toEqual([])
  there.end()
  return there.store
}

async function connected(gateway: SimGateway, clientId: string, options: Parameters<SimGateway['connect']>[1] = {}): Promise<SimConnection> {
  const connection = gateway.connect(clientId, { expiry: 10_000, receiveMaximum: 100, ...options })
  await (world as World).until(() => connection.phase !== 'attaching', `${clientId} is answered`)
  expect(connection.phase).toBe('open')
  return connection
}

/** Its connection is lost, so that its will counts. */
async function dies(gateway: SimGateway, { clientId, shard, epoch }: SimConnection): Promise<void> {
  const lost = { reason: 'ConnectionLost', reasonCode: 0, sessionExpiryInterval: null, keepWill: true, by: 'gateway' }
  await gateway.append('sessions', shard, 'Detached', clientId, { clientId, epoch: epoch as number, at: Date.now(), ...lost })
}

const change = (log: Log, to = after, more: Partial<Parameters<typeof changePartitions>[0]> = {}): Promise<void> =>
  changePartitions({ log, topics, to, now: Date.now, answers: async () => false, say: () => {}, ...more })

const clients = Array.from({ length: 12 }, (_, index) => `client-${index}`)
const retainedTopics = Array.from({ length: 12 }, (_, index) => `kept/${index}`)
/** A message that publisher `twice` sends again, for it never saw the answer. */
const again = { packetId: 7, topic: 'from/twice', text: 'twice' }

/** Sessions that are owed messages at QoS 1 and 2, retained ones too, some of them begun; a will that waits; a QoS 2 publish in hand. */
async function given(): Promise<MemoryStore> {
  const { gateway, router } = await begin(before)
  const there = world as World
  for (const topic of retainedTopics) await gateway.publish(topic, `old ${topic}`, { retain: true })
  const open = await Promise.all(clients.map((clientId) => connected(gateway, clientId)))
  await Promise.all(open.map((connection) => connection.subscribe('from/#', 'exactly/#')))
  const twice = await connected(gateway, 'twice')
  await twice.publishExactlyOnce(again.packetId, again.topic, again.text)
  await there.until(() => open.every(({ received }) => received.length >= 1), 'the first arrives')
  // Some go on owing it to nobody, others never answered.
  for (const connection of open.slice(0, 6)) for (const delivery of connection.received) connection.acknowledge(delivery)
  await there.pass(1_000)
  const will = {
    topic: 'from/will',
    payload: Buffer.from('will'),
    qos: 1,
    retain: false,
    delaySeconds: 120,
    messageExpiryInterval: null,
    payloadFormatIndicator: null,
    contentType: null,
    responseTopic: null,
    correlationData: null,
    userProperties: [],
  }
  for (const name of ['will-a', 'will-b', 'will-c']) await dies(gateway, await connected(gateway, name, { will }))
  for (const connection of open) connection.close('ClientInitiatedDisconnect')
  twice.close('ConnectionLost')
  await there.pass(1_000)
  for (let n = 0; n < 20; n++) await gateway.publish(`from/${n % 4}`, `${n}`, { qos: 1 + (n % 2) })
  const late = await connected(gateway, 'late')
  await late.subscribe('kept/#')
  late.close('ClientInitiatedDisconnect')
  return end(gateway, router)
}

/** What every session finds, by those who serve it with the new number. */
async function expectWhole(store: MemoryStore): Promise<void> {
  const { gateway, router } = await begin(after, store)
  const there = world as World
  const twice = await connected(gateway, 'twice')
  expect(twice.sessionPresent).toBe(true)
  await twice.publishExactlyOnce(again.packetId, again.topic, again.text)
  await gateway.publish('kept/3', 'new kept/3', { retain: true })
  const open = await Promise.all(clients.map((clientId) => connected(gateway, clientId)))
  const published = Array.from({ length: 20 }, (_, n) => String(n))
  await gateway.publish('from/0', 'live', { qos: 1 })
  await there.until(() => open.every(({ received }) => received.some(({ text }) => text === 'live')), 'what is live arrives')
  await there.pass(2_000)
  for (const [index, { sessionPresent, received }] of open.entries()) {
    expect(sessionPresent).toBe(true)
    const texts = received.map(({ text }) => text)
    // Once each, what was acknowledged not at all, and what was sent before with DUP.
    expect([...texts].sort()).toEqual([...(index < 6 ? [] : ['twice']), ...published, 'live'].sort())
    if (index >= 6) expect(received.find(({ text }) => text === 'twice')?.dup).toBe(true)
    for (const topic of ['from/0', 'from/1', 'from/2', 'from/3']) {
      const ofTopic = received.filter((delivery) => delivery.topic === topic).map(({ text }) => text)
      expect(ofTopic).toEqual([...published.filter((n) => Number(n) % 4 === Number(topic.at(-1))), ...(topic === 'from/0' ? ['live'] : [])])
    }
  }
  const late = await connected(gateway, 'late')
  await there.until(() => late.received.length >= retainedTopics.length, 'what is retained and owed arrives')
  const retained = (connection: SimConnection): string[] =>
    connection.received
      .filter((each) => each.retain)
      .map(({ text }) => text)
      .sort()
  expect(retained(late).filter((text) => text.startsWith('old'))).toEqual(retainedTopics.map((topic) => `old ${topic}`).sort())
  const fresh = await connected(gateway, 'fresh')
  await fresh.subscribe('kept/#')
  await there.until(() => fresh.received.length >= retainedTopics.length, 'what is retained arrives')
  expect(retained(fresh)).toEqual(retainedTopics.map((topic) => (topic === 'kept/3' ? 'new kept/3' : `old ${topic}`)).sort())
  // The wills' delay is over at last, and each is published once.
  await there.pass(130_000, 500)
  await there.until(() => open.every(({ received }) => received.filter(({ text }) => text === 'will').length >= 3), 'wills are published')
  await there.pass(5_000)
  for (const { received } of open) expect(received.filter(({ text }) => text === 'will')).toHaveLength(3)
  await end(gateway, router)
}

async function entryOf(log: Log, name: string): Promise<NamespaceEntry | undefined> {
  const follower = await RegistryFollower.start({ log, topic: topics.registry, clock: { now: Date.now } })
  await follower.close()
  return follower.view.namespaces.get(name)
}

/** A copy that goes its own way. */
function copyOf(store: MemoryStore): MemoryStore {
  const copy = new MemoryStore()
  for (const [name, { spec, partitions }] of store.topics)
    copy.topics.set(name, { spec, partitions: partitions.map((each) => ({ ...each, records: [...each.records], epochs: new Map(each.epochs) })) })
  for (const [id, epoch] of store.epochs) copy.epochs.set(id, epoch)
  return copy
}

class Killed extends Error {}

/** A log of a process that is killed at one of its appends: `appends` are stored, and nothing after. */
function dyingLog(store: MemoryStore, appends: number): { readonly log: Log; readonly appended: () => number } {
  let count = 0
  const log = new MemoryLog(store)
  const appender = log.appender.bind(log)
  log.appender = async (options?: AppenderOptions): Promise<Appender> => {
    const inner = await appender(options)
    const write = inner.write.bind(inner)
    inner.write = (record: Append) => (count++ < appends ? write(record) : Promise.reject(new Killed('killed')))
    return inner
  }
  return { log, appended: () => count }
}

describe('changing the number of shards', () => {
  test('takes sessions, queues, QoS 2 publishes in hand, wills and retained messages along: all of it arrives once, in order', async () => {
    const store = await given()
    await change(new MemoryLog(store))
    store.compact(topics.snapshots)
    store.compact(topics.retained)
    store.compact(topics.deliveries)
    await expectWhole(store)
  }, 60_000)

  test('killed at any of its appends and taken up again comes to the same end, and nobody serves the namespace in between', async () => {
    const base = await given()
    const { log, appended } = dyingLog(copyOf(base), Number.POSITIVE_INFINITY)
    await change(log)
    const total = appended()
    expect(total).toBeGreaterThan(50)
    for (let appends = 0; appends < total; appends += appends < 10 || total - appends < 40 ? 1 : 7) {
      const store = copyOf(base)
      await expect(change(dyingLog(store, appends).log)).rejects.toThrow(Killed)
      const log = new MemoryLog(store)
      const follower = await RegistryFollower.start({ log, topic: topics.registry, clock: { now: Date.now } })
      const begun = partitionChangeOf(follower.view)
      await follower.close()
      if (appends > 0) {
        expect(whyNotServed(begun, before)).toContain('loggerhead partitions 5')
        expect(whyNotServed(begun, after)).toContain('loggerhead partitions 5')
        await expect(change(log, 6)).rejects.toThrow('loggerhead partitions 5')
      }
      for (const topic of [topics.snapshots, topics.retained, topics.deliveries]) store.compact(topic)
      await change(log)
      if (appends % 20 === 0 || total - appends < 3) {
        await expectWhole(store)
        freezeTime()
      }
    }
  }, 240_000)

  test('is refused while something is left to do, or somebody serves, and then nothing is changed', async () => {
    const { gateway, router } = await begin(before)
    const log = new MemoryLog((world as World).store)
    await expect(change(log)).rejects.toThrow('1 router is up')
    const store = await end(gateway, router)
    await expect(change(log, after, { answers: async (address) => address === 'gw-2' })).rejects.toThrow('the gateway gw-2 answers at gw-2')
    const appender = await log.appender()
    const value = encodeRecord('TermAnnounced', { shard: 0, term: 0 })
    await appender.write({ topic: topics.messages, partition: 1, key: Buffer.from('t'), value, timestamp: Date.now() })
    const refused = change(log)
    await expect(refused).rejects.toThrow(ChangeRefused)
    await expect(refused).rejects.toThrow('1 messages of shard 1 are not matched')
    await expect(change(log, 1)).rejects.toThrow('takes none away')
    await expect(change(log, 2000)).rejects.toThrow('from 1 to 1024')
    expect(await log.partitions(topics.messages)).toBe(before)
    await begin(before, store)
  }, 60_000)

  test('killed before it knew that nobody had come, it begins anew: what was published meanwhile is not passed over', async () => {
    const store = await given()
    await expect(change(dyingLog(store, 1).log)).rejects.toThrow(Killed)
    const log = new MemoryLog(store)
    const appender = await log.appender()
    const value = encodeRecord('TermAnnounced', { shard: 0, term: 0 })
    await appender.write({ topic: topics.messages, partition: 1, key: Buffer.from('t'), value, timestamp: Date.now() })
    await expect(change(log)).rejects.toThrow('1 messages of shard 1 are not matched')
    // Routers may come and match them.
    await begin(before, store)
  }, 60_000)

  test('whoever serves the namespace hears of the change and ends; afterwards only who counts as many shards may begin', async () => {
    const store = await given()
    const log = new MemoryLog(store)
    const serve = async (partitions: number, failures: unknown[] = []): Promise<RegistryFollower> =>
      followServed({ log, topic: topics.registry, clock: { now: Date.now }, onFailed: (error) => failures.push(error) }, partitions)
    const failures: unknown[] = []
    const running = await serve(before, failures)
    await change(log)
    // It may read all that the change has written at once, or step by step.
    for (const end = Date.now() + 60_000; failures.length === 0 && Date.now() < end; ) await new Promise((resolve) => setImmediate(resolve))
    await running.close()
    expect(failures).toEqual([expect.objectContaining({ name: 'PartitionsChanged' })])
    await expect(serve(before)).rejects.toThrow('KAFKA_PARTITIONS (of another namespace: its partitions) must say 5')
    await (await serve(after)).close()
  })

  test('a further namespace is found by its name, and its entry in the home namespace’s registry has the new number', async () => {
    world = await new World({ partitions: before }).start()
    const { store } = world
    const log = new MemoryLog(store)
    const record = { state: 'Active', life: 3, partitions: 4, hostNames: ['mqtt.factory.example'] }
    await world.register('namespaces', 'factory', record)
    expect((await findNamespace(log, 'loggerhead', 'default', 'factory')).messages).toBe('loggerhead.factory.3.messages')
    await writePartitions(log, 'loggerhead', 'default', 'factory', 7, Date.now())
    expect(await entryOf(log, 'factory')).toMatchObject({ ...record, partitions: 7 })
    expect(await findNamespace(log, 'loggerhead', 'default', 'default')).toEqual(topics)
    await expect(findNamespace(log, 'loggerhead', 'default', 'other')).rejects.toThrow('there is no namespace “other”')
    await expect(findNamespace(log, 'another', 'default', 'default')).rejects.toThrow('there is no topic another.default.registry')
  })

  test('a damaged record among the sessions is passed over, and one among what is owed is named', async () => {
    const store = await given()
    const log = new MemoryLog(store)
    const appender = await log.appender()
    const damaged = { partition: 1, key: Buffer.from('damaged'), value: Buffer.from('no record'), timestamp: Date.now() }
    const ends = async (): Promise<Ends> => {
      const of = async (topic: string): Promise<number[]> => [...(await log.endOffsets(topic)).values()]
      return { sessions: await of(topics.sessions), inbox: await of(topics.inbox) }
    }
    const named = (shards: readonly ShardAtRest[]): unknown => shards.map(({ sessions }) => [...sessions.sessions.values()].map(({ clientId }) => clientId))
    const whole = named(await readShards(log, topics, before, await ends()))
    await appender.write({ ...damaged, topic: topics.sessions })
    expect(named(await readShards(log, topics, before, await ends()))).toEqual(whole)
    const at = await appender.write({ ...damaged, topic: topics.inbox })
    await expect(readShards(log, topics, before, await ends())).rejects.toThrow(`${topics.inbox}[1] has a record at ${at} that cannot be read`)
  })

  test('what is said of a namespace while its shards are moved stays, and the registry that may say more says nothing behind the new number', async () => {
    world = await new World({ partitions: before }).start()
    const log = new MemoryLog(world.store)
    await world.register('namespaces', 'factory', { state: 'Active', life: 1, partitions: 4, hostNames: [] })
    await findNamespace(log, 'loggerhead', 'default', 'factory')
    await world.register('namespaces', 'factory', { state: 'Active', life: 1, partitions: 4, hostNames: ['mqtt.factory.example'] })
    const registry = await log.appender({ transactionalId: `${topics.registry}.writer` })
    await writePartitions(log, 'loggerhead', 'default', 'factory', 7, Date.now())
    expect(await entryOf(log, 'factory')).toMatchObject({ partitions: 7, hostNames: ['mqtt.factory.example'] })
    const late = { topic: topics.registry, partition: 0, key: Buffer.from('namespaces/factory'), value: null, timestamp: Date.now() }
    await expect(registry.write(late)).rejects.toThrow(FencedError)
    await writePartitions(log, 'loggerhead', 'default', 'default', 7, Date.now())
    expect(await entryOf(log, 'default')).toBeUndefined()
  })

  test('a second time goes on from the first', async () => {
    const store = await given()
    const log = new MemoryLog(store)
    await change(log, 3)
    await change(log, 3)
    await change(log, after)
    const follower = await RegistryFollower.start({ log, topic: topics.registry, clock: { now: Date.now } })
    expect(formerPartitions(partitionChangeOf(follower.view))).toEqual([before, 3])
    await follower.close()
    await expectWhole(store)
  }, 60_000)

  test('a replay of one topic brings what was published before and after the change, wherever it stands', async () => {
    const store = await given()
    const log = new MemoryLog(store)
    await change(log, 3)
    await change(log)
    const { gateway, router } = await begin(after, store)
    await (world as World).register('permissionBindings', 'all-replay', { clientGroupName: '$anonymous', topicSpaceName: 'all', permission: 'Replayer' })
    const replay = { from: new Date(Date.now() - 3_600_000).toISOString(), to: null, client: null, speed: null, access: 'now' }
    for (const part of [0, 1, 2, 3]) {
      const topic = `from/${part}`
      await gateway.publish(topic, 'after', { qos: 1 })
      const asker = await connected(gateway, `asks for ${topic}`)
      await asker.subscribe({ filter: topic, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, subscriptionIdentifier: null, replay })
      const expected = [part, part + 4, part + 8, part + 12, part + 16].map(String)
      const texts = (): string[] => asker.received.filter((each) => each.topic === topic).map(({ text }) => text)
      await (world as World).until(() => texts().length >= 6, `all of ${topic} is replayed`)
      expect(texts().sort()).toEqual([...expected, 'after'].sort())
    }
    await end(gateway, router)
  }, 60_000)

  test('a replay that is under way reads the new partitions too, and one that has an end does not', () => {
    const states = ['going on', 'ends'].map((clientId, index) => {
      const session = new Session({
        clientId,
        shard: 0,
        authenticationName: clientId,
        id: 1,
        sequence: 1,
        expiryInterval: 60,
        attached: null,
        will: null,
        attributes: {},
        vouchedBy: '',
        ownerKind: '',
      })
      const positions = [{ source: 1, next: 4, end: index === 0 ? null : 9 }]
      session.queue.replays = new Map([[7, { ...newReplay(7), positions }]])
      return stateAfter({ session, from: 0, to: 0, names: [] }, [], new Map(), [10, 20, 0])
    })
    expect(states.map(({ replays }) => replays[0]?.positions)).toEqual([
      [
        { source: 1, next: 4, end: null },
        { source: 0, next: 10, end: null },
        { source: 2, next: 0, end: null },
      ],
      [{ source: 1, next: 4, end: 9 }],
    ])
  })

  test('event subscriptions are where their shard is: positions and locks of each, and nothing stays behind', async () => {
    const store = await given()
    const log = new MemoryLog(store)
    const appender = await log.appender()
    const names = Array.from({ length: 10 }, (_, index) => `doors/subscription-${index}`)
    const cursor = (id: string) => encodeRecord('SubscriptionCursor', { id, position: 4, at: 1 })
    for (const name of names)
      await appender.write({ topic: topics.deliveries, partition: partitionOf(name, before), key: Buffer.from(`${name}/0`), value: cursor(name), timestamp: 1 })
    await change(log)
    store.compact(topics.deliveries)
    for (let shard = 0; shard < after; shard++) {
      const keys = (store.partition(topics.deliveries, shard)?.records ?? []).flatMap(({ key, value }) => (value ? [String(key)] : []))
      expect(keys.filter((key) => key !== 'fence').sort()).toEqual(
        names
          .filter((name) => partitionOf(name, after) === shard)
          .map((name) => `${name}/0`)
          .sort(),
      )
    }
  }, 60_000)
})
