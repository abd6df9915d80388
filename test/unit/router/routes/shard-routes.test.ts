import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from '@jest/globals'
import { type Appender, type Log, type LogRecord, NotAuthorized } from '../../../../log/log.ts'
import { MemoryLog, MemoryStore } from '../../../../log/memory-log.ts'
import { partitionOf } from '../../../../log/partitioner.ts'
import { ClientKeyRing } from '../../../../model/client-key-ring.ts'
import { clientKeyKey, clientKeyRecord, type Loss } from '../../../../model/client-keys.ts'
import type { Route } from '../../../../model/routes.ts'
import { readRouterConfig } from '../../../../router/config.ts'
import type { RouteError } from '../../../../router/routes/destination.ts'
import { ShardRoutes } from '../../../../router/routes/shard-routes.ts'
import { Unsealing } from '../../../../router/routes/unsealing.ts'
import { readShelved } from '../../../../router/snapshots.ts'
import type { Message } from '../../../../schemas/message.ts'
import { encodeMessage } from '../../../../schemas/message-record.ts'
import { type SealingKey, seal, sealedWith } from '../../../../schemas/sealed-message.ts'
import { message as published } from '../../events/messages.ts'
import { route } from './routes.ts'

const messages = 'loggerhead.default.messages'
const snapshots = 'loggerhead.default.snapshots'
const keysTopic = 'loggerhead.default.keys'
const shard = 0

const message = (topic: string, payload: string, more: Partial<Message> = {}): Message =>
  published({
    messageId: Buffer.from(payload.padEnd(16, '\0').slice(0, 16)),
    receivedAt: 1_700_000_000_000,
    topic,
    authenticationName: 'device',
    payload: Buffer.from(payload),
    ...more,
  })

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 60_000; !(await isTrue()); ) {
    if (Date.now() > end) throw new Error('the condition did not come true in time')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** The log with some of its methods in other hands. */
function watched(log: MemoryLog, methods: Partial<Log>): Log {
  return new Proxy<Log>(log, {
    get(target, name) {
      const method = methods[name as keyof Log] ?? target[name as keyof Log]
      return typeof method === 'function' ? method.bind(target) : method
    },
  })
}

const deleted = { 'cleanup.policy': 'delete' }

async function world(target: { readonly partitions?: number; readonly settings?: Record<string, string>; readonly isMissing?: boolean } = {}) {
  const store = new MemoryStore()
  const log = new MemoryLog(store)
  closing.push(() => log.close())
  const topic = (name: string, partitions: number, settings: Record<string, string> = deleted) => ({ name, partitions, replication: 1, settings })
  await log.createTopics([topic(messages, 1), topic(snapshots, 1, { 'cleanup.policy': 'compact' }), topic(keysTopic, 1, { 'cleanup.policy': 'compact' })])
  const makeTarget = (name = 'target'): Promise<void> => log.createTopics([topic(name, target.partitions ?? 2, target.settings)])
  if (!target.isMissing) await makeTarget()
  const publisher = await log.appender()
  const publish = (record: Message): Promise<number> =>
    publisher.write({ topic: messages, partition: shard, key: Buffer.from(record.topic), value: encodeMessage(record), timestamp: record.receivedAt })
  /** What stands in the target, partition by partition. */
  const routed = async (name = 'target'): Promise<LogRecord[]> => {
    const records: LogRecord[] = []
    for (const [partition, end] of await log.endOffsets(name)) {
      for (let at = (await log.startOffsets(name)).get(partition) ?? 0; at < end; ) {
        const stretch = await log.read(name, partition, at)
        records.push(...stretch.records)
        at = stretch.nextOffset
      }
    }
    return records
  }
  const payloads = async (name?: string): Promise<string[]> => (await routed(name)).map(({ value }) => String(value))
  const failures: [string, RouteError, number][] = []
  const lost: [string, Loss][] = []
  const troubles: string[] = []
  let fences = 0
  /** Takes the shard, as an owner does. */
  const own = async (
    options: {
      readonly log?: Log
      readonly bytesMax?: number
      readonly clusters?: Record<string, Log>
      readonly repeats?: ReadonlyMap<string, number>
      readonly attributesOf?: (message: Message) => { readonly type: string }
    } = {},
  ): Promise<ShardRoutes> => {
    const own = options.log ?? log
    const fenced: Appender = await own.appender({ transactionalId: 'snapshots' })
    await fenced.write({ topic: snapshots, partition: shard, key: Buffer.from('fence'), value: null, timestamp: 0 })
    const { routes } = await readShelved(own, snapshots, shard)
    const ring = new ClientKeyRing({ log: own, topic: keysTopic, logger: { error() {} } })
    closing.push(() => ring.close())
    const owner = new ShardRoutes({
      shard,
      term: 1,
      namespace: 'default',
      log: own,
      topics: { messages, snapshots },
      fenced,
      progress: routes,
      limits: { bytesMax: options.bytesMax ?? 1_000_000, readBytes: 64_000, retryMs: [5, 10] },
      counters: { routed() {}, failed: (name, error, count) => failures.push([name, error, count]), lost: (name, loss) => lost.push([name, loss]) },
      topicOf: (to) => ('topic' in to ? `namespace.${to.topic}` : to.kafkaTopic),
      clusterNamed: (name) => options.clusters?.[name],
      isRepeat: (id, offset) => (options.repeats?.get(id.toString()) ?? offset) !== offset,
      attributesOf: options.attributesOf ?? (() => ({ type: 'door' })),
      unsealing: new Unsealing(ring),
      onFenced: () => fences++,
      onTrouble: (_, error) => troubles.push(error.message),
      now: Date.now,
    })
    closing.push(() => owner.close())
    return owner
  }
  const of = (...routes: readonly Route[]) => new Map(routes.map((each) => [each.name, each]))
  return { store, log, publish, routed, payloads, own, of, makeTarget, failures, lost, troubles, fences: () => fences }
}

test('RT-01 what stood in the log since the route was made is routed, and then what comes, in order per key', async () => {
  const { log, publish, payloads, own, of } = await world({ partitions: 1 })
  for (let i = 0; i < 5; i++) await publish(message('a', `m${i}`))
  const owner = await own()
  owner.refresh(of(route({ from: [2] })), 2)
  await until(async () => (await payloads()).length === 3)
  for (let i = 5; i < 8; i++) {
    const offset = await publish(message('a', `m${i}`))
    owner.offer(offset, await log.read(messages, shard, offset))
  }
  await until(async () => (await payloads()).length === 6)
  expect(await payloads()).toEqual(['m2', 'm3', 'm4', 'm5', 'm6', 'm7'])
  expect(owner.status()).toMatchObject([{ route: 'all', state: 'Running', position: 8, lag: 0, routed: 6 }])
})

test('a stretch that was fetched for everybody is taken from there, and what a route missed it reads itself', async () => {
  const { log, publish, payloads, own, of } = await world({ partitions: 1 })
  const owner = await own()
  owner.refresh(of(route()), 2)
  await until(() => owner.status()[0]?.state === 'Running')
  for (let i = 0; i < 4; i++) await publish(message('a', `m${i}`))
  const whole = await log.read(messages, shard, 0)
  const part = (from: number, to: number) => ({ ...whole, records: whole.records.slice(from, to), nextOffset: to })
  owner.offer(0, part(0, 1))
  owner.offer(1, part(1, 2))
  owner.offer(3, part(3, 4))
  owner.offer(0, part(0, 4))
  await until(async () => (await payloads()).length === 4)
  expect(await payloads()).toEqual(['m0', 'm1', 'm2', 'm3'])
})

test('each route has its own filters, conditions, key, form and pace, and says where its records come from', async () => {
  const { publish, routed, own, of, makeTarget } = await world({ partitions: 4 })
  await makeTarget('events')
  await publish(message('doors/1', '{"open":true}', { payloadFormatIndicator: 1 }))
  await publish(message('doors/2', '{"open":false}', { payloadFormatIndicator: 1 }))
  await publish(message('windows/1', 'x'))
  const owner = await own()
  owner.refresh(
    of(
      route({ name: 'raw', topicFilters: ['doors/+'], key: 'authenticationName' }),
      route({
        name: 'open',
        target: { kafkaTopic: 'events' },
        format: 'cloudEventsBinary',
        conditions: [{ operatorType: 'BoolEquals', key: 'data.open', value: true }],
        enrichments: { static: [{ key: 'site', value: 'north' }], dynamic: [{ key: 'kind', value: `\${client.attributes.type}` }] },
      }),
    ),
    2,
  )
  await until(async () => (await routed()).length === 2 && (await routed('events')).length === 1)
  expect((await routed()).map(({ key, partition }) => [String(key), partition])).toEqual([
    ['device', partitionOf(Buffer.from('device'), 4)],
    ['device', partitionOf(Buffer.from('device'), 4)],
  ])
  const [event] = await routed('events')
  expect(String(event?.key)).toBe('doors/1')
  expect(event?.headers.map(({ name, value }) => [name, String(value)])).toEqual([
    ['ce_specversion', '1.0'],
    ['ce_id', Buffer.from('{"open":true}\0\0\0').toString('hex')],
    ['ce_source', 'default'],
    ['ce_type', 'MQTT.EventPublished'],
    ['ce_time', '2023-11-14T22:13:20.000Z'],
    ['ce_subject', 'doors/1'],
    ['content-type', 'application/json'],
    ['ce_site', 'north'],
    ['ce_kind', 'door'],
    ['loggerhead_route', 'open@1'],
    ['loggerhead_source', 'loggerhead.default.messages/0/0'],
  ])
})

test('a copy of a message that counts already is not routed', async () => {
  const { publish, payloads, own, of } = await world({ partitions: 1 })
  await publish(message('a', 'once'))
  await publish(message('a', 'once'))
  await publish(message('a', 'more'))
  const owner = await own({ repeats: new Map([[Buffer.from('once'.padEnd(16, '\0')).toString(), 0]]) })
  owner.refresh(of(route()), 2)
  await until(() => owner.status()[0]?.position === 3)
  expect(await payloads()).toEqual(['once', 'more'])
})

test('RT-04 exactly once: a successor reads back what the route has written since its last progress, whatever was on its way', async () => {
  const { log, publish, payloads, own, of } = await world({ partitions: 3 })
  const total = 300
  for (let i = 0; i < total; i++) await publish(message(`t/${i % 7}`, `m${i}`))
  // Each owner dies with its progress untold: nothing is ticked, nothing closed.
  for (let death = 0; death < 6; death++) {
    const owner = await own({ bytesMax: 3_000 })
    owner.refresh(of(route()), 2)
    await until(async () => (await payloads()).length > death * 40)
  }
  const last = await own()
  last.refresh(of(route()), 2)
  await until(() => last.status()[0]?.position === total)
  const found = await payloads()
  expect(found.toSorted()).toEqual(Array.from({ length: total }, (_, i) => `m${i}`).toSorted())
  for (let key = 0; key < 7; key++) {
    const own = found.map((payload) => Number(payload.slice(1))).filter((i) => i % 7 === key)
    expect(own).toEqual(own.toSorted((a, b) => a - b))
  }
  expect((await log.endOffsets('target')).size).toBe(3)
})

test('RT-04 exactly once: a filter that is widened across a crash writes nothing twice, although the next owner dies while it reads back', async () => {
  const { log, publish, payloads, own, of } = await world({ partitions: 1 })
  await publish(message('b', 'm0'))
  await publish(message('a', 'm1'))
  const first = await own()
  first.refresh(of(route({ topicFilters: ['a'] })), 2)
  await until(async () => (await payloads()).length === 1)
  // The next one gets to m0, which is wanted now and comes to stand behind m1, and not to m1.
  let release = (): void => {}
  const never = new Promise<void>((resolve) => {
    release = resolve
  })
  const slow = watched(log, {
    read: async (...args: Parameters<Log['read']>) => {
      const [topic, , at] = args
      if (topic === messages && at > 0) await never
      const stretch = await log.read(...args)
      return topic === messages ? { ...stretch, records: stretch.records.slice(0, 1), nextOffset: at + 1 } : stretch
    },
  })
  const second = await own({ log: slow })
  closing.push(async () => release())
  second.refresh(of(route({ offset: 2 })), 3)
  await until(() => second.status()[0]?.position === 1)
  second.tick()
  await until(async () => (await readShelved(log, snapshots, shard)).routes.get('all')?.position === 1)
  const third = await own()
  third.refresh(of(route({ offset: 2 })), 3)
  await until(() => third.status()[0]?.position === 2)
  expect(await payloads()).toEqual(['m1', 'm0'])
})

test('exactly once: the owner before, still alive, can write nothing once another has taken over', async () => {
  const { log, publish, payloads, own, of, fences } = await world({ partitions: 1 })
  const older = await own()
  older.refresh(of(route()), 2)
  await until(() => older.status()[0]?.state === 'Running')
  const newer = await own()
  newer.refresh(of(route()), 2)
  await until(() => newer.status()[0]?.state === 'Running')
  const offset = await publish(message('a', 'm0'))
  for (const owner of [older, newer]) owner.offer(offset, await log.read(messages, shard, offset))
  await until(async () => (await payloads()).length === 1 && fences() > 0)
  expect(await payloads()).toEqual(['m0'])
})

test('a route goes on where its progress stands, and reads the target from there only', async () => {
  const { log, publish, payloads, own, of } = await world({ partitions: 1 })
  for (let i = 0; i < 10; i++) await publish(message('a', `m${i}`))
  const first = await own()
  first.refresh(of(route()), 2)
  await until(() => first.status()[0]?.position === 10)
  await first.close()
  expect((await readShelved(log, snapshots, shard)).routes.get('all')).toMatchObject({ position: 10, target: 'target', targetOffsets: [10], since: 1 })
  await publish(message('a', 'm10'))
  const reads: number[] = []
  const counting = watched(log, {
    read: (...args: Parameters<Log['read']>) => {
      if (args[0] === 'target') reads.push(args[2])
      return log.read(...args)
    },
  })
  const second = await own({ log: counting })
  second.refresh(of(route()), 2)
  await until(() => second.status()[0]?.position === 11)
  expect(reads).toEqual([])
  expect(await payloads()).toEqual(Array.from({ length: 11 }, (_, i) => `m${i}`))
})

test('RT-05 a target that is missing holds the route as long as the messages last, visibly, and nobody else', async () => {
  const { log, publish, payloads, own, of, makeTarget, failures } = await world({ partitions: 1, isMissing: true })
  await makeTarget('other')
  for (let i = 0; i < 3; i++) await publish(message('a', `m${i}`))
  const owner = await own()
  owner.refresh(of(route(), route({ name: 'other', target: { kafkaTopic: 'other' } })), 2)
  await until(async () => (await payloads('other')).length === 3)
  await until(() => owner.status()[0]?.state === 'Held')
  expect(owner.status()[0]).toMatchObject({ route: 'all', error: 'TopicNotFoundError', detail: 'the topic target does not exist', position: 0, lag: 3 })
  await publish(message('a', 'm3'))
  owner.offer(3, await log.read(messages, shard, 3))
  expect(owner.status()[0]).toMatchObject({ state: 'Held', lag: 4 })
  await makeTarget()
  await until(async () => (await payloads()).length === 4)
  await until(() => owner.status()[0]?.lag === 0)
  expect(owner.status()[0]).toMatchObject({ state: 'Running', routed: 4, failed: 0 })
  expect(owner.status()[0]?.error).toBeUndefined()
  expect(failures).toEqual([])
})

test('RT-05 with onDeadEnd drop, as in the preset eventgrid, what cannot be routed is dropped and counted', async () => {
  const { log, publish, payloads, own, of, makeTarget, failures } = await world({ partitions: 1, isMissing: true })
  for (let i = 0; i < 3; i++) await publish(message('a', `m${i}`))
  const owner = await own()
  owner.refresh(of(route({ onDeadEnd: 'drop' })), 2)
  await until(() => owner.status()[0]?.position === 3)
  expect(failures).toEqual([
    ['all', 'TopicNotFoundError', 1],
    ['all', 'TopicNotFoundError', 1],
    ['all', 'TopicNotFoundError', 1],
  ])
  owner.tick()
  await until(async () => (await readShelved(log, snapshots, shard)).routes.get('all')?.position === 3)
  await makeTarget()
  await until(() => owner.status()[0]?.state === 'Running')
  await publish(message('a', 'm3'))
  owner.offer(3, await log.read(messages, shard, 3))
  await until(async () => (await payloads()).length === 1)
  expect(await payloads()).toEqual(['m3'])
})

test('RT-05 a target that Kafka does not let the router know of holds the route with its own reason', async () => {
  const { log, publish, payloads, own, of } = await world({ partitions: 1 })
  await publish(message('a', 'm0'))
  let isDenied = true
  const topicExists = async (topic: string): Promise<boolean> => {
    if (isDenied) throw new NotAuthorized(`not for you: ${topic}`)
    return log.topicExists(topic)
  }
  const owner = await own({ log: watched(log, { topicExists }) })
  owner.refresh(of(route()), 2)
  await until(() => owner.status()[0]?.state === 'Held')
  expect(owner.status()[0]).toMatchObject({ error: 'AuthenticationError', detail: 'not for you: target' })
  isDenied = false
  await until(async () => (await payloads()).length === 1)
})

test('exactly once: partitions that the target got meanwhile are read back too', async () => {
  const { log, store, publish, payloads, own, of } = await world({ partitions: 1 })
  for (let i = 0; i < 4; i++) await publish(message(`t/${i}`, `m${i}`))
  const first = await own()
  first.refresh(of(route()), 2)
  await until(() => first.status()[0]?.position === 4)
  // As Kafka grows a topic.
  const grown = store.topics.get('target')
  if (!grown) throw new Error('there is no target')
  const partitions = [...grown.partitions, ...[1, 2].map(() => ({ records: [], startOffset: 0, endOffset: 0, epochs: new Map<string, number>() }))]
  store.topics.set('target', { ...grown, partitions })
  const second = await own()
  second.refresh(of(route()), 2)
  await until(() => second.status()[0]?.position === 4)
  for (let i = 4; i < 12; i++) second.offer(await publish(message(`t/${i}`, `m${i}`)), await log.read(messages, shard, i))
  await until(() => second.status()[0]?.position === 12)
  second.tick()
  await until(async () => (await readShelved(log, snapshots, shard)).routes.get('all')?.position === 12)
  expect((await payloads()).toSorted()).toEqual(Array.from({ length: 12 }, (_, i) => `m${i}`).toSorted())
})

test('RT-04 a target in another cluster gets everything at least once, with its source, and one that is away holds its route visibly, and nobody else', async () => {
  const { log, publish, payloads, own, of } = await world({ partitions: 1 })
  const store = new MemoryStore()
  const lake = new MemoryLog(store)
  closing.push(() => lake.close())
  await lake.createTopics([{ name: 'target', partitions: 3, replication: 1, settings: deleted }])
  // The last partition: what is known of the others must not matter.
  const key = ['a', 'b', 'c', 'd', 'e', 'f'].find((name) => partitionOf(Buffer.from(name), 3) === 2) as string
  const inLake = async (): Promise<string[]> => (await lake.read('target', 2, 0)).records.map(({ value }) => String(value))
  for (let i = 0; i < 3; i++) await publish(message(key, `m${i}`))
  const both = of(route(), route({ name: 'lake', target: { kafkaTopic: 'target', cluster: 'lake' } }))
  const first = await own({ clusters: { lake } })
  first.refresh(both, 2)
  await until(async () => (await inLake()).length === 3 && (await payloads()).length === 3)
  // It dies with its progress untold: a successor writes again what may have been on its way.
  const second = await own({ clusters: { lake } })
  second.refresh(both, 2)
  await until(async () => (await inLake()).length === 6)
  await until(() => second.status().every(({ position }) => position === 3))
  for (const owner of [first, second]) owner.tick()
  await until(async () => (await readShelved(log, snapshots, shard)).routes.get('lake')?.position === 3)
  expect(new Set(await inLake())).toEqual(new Set(['m0', 'm1', 'm2']))
  expect(await payloads()).toHaveLength(3)
  store.setAway(true)
  second.offer(await publish(message(key, 'm3')), await log.read(messages, shard, 3))
  await until(async () => (await payloads()).length === 4)
  expect(second.status()[1]).toMatchObject({ state: 'Held', error: 'ServiceError', detail: 'Kafka does not answer: the store is away', position: 3 })
  store.setAway(false)
  await until(async () => (await inLake()).includes('m3'))
  await until(() => second.status()[1]?.state === 'Running')
  expect(second.status()[1]?.error).toBeUndefined()
})

test('a cluster that the operator has not named holds the route and says so', async () => {
  const { own, of } = await world()
  const owner = await own()
  owner.refresh(of(route({ target: { kafkaTopic: 'target', cluster: 'lake' } })), 2)
  await until(() => owner.status()[0]?.error === 'UnsuitableTarget')
  expect(owner.status()[0]?.detail).toBe('there is no cluster “lake” in ROUTE_CLUSTERS_FILE')
})

test('a message that is too large for the target is counted and passed over alone', async () => {
  const { publish, payloads, own, of, failures, troubles } = await world({ partitions: 1, settings: { 'max.message.bytes': '2000' } })
  await publish(message('a', 'm0'))
  await publish(message('a', 'x'.repeat(3_000)))
  await publish(message('a', 'm2'))
  const owner = await own()
  owner.refresh(of(route()), 2)
  await until(() => owner.status()[0]?.position === 3)
  expect(await payloads()).toEqual(['m0', 'm2'])
  expect(failures).toEqual([['all', 'MessageTooLarge', 1]])
  expect(troubles).toHaveLength(1)
})

test('messages that retention removed before the route came to them are counted, never silent', async () => {
  const { store, publish, payloads, own, of, failures } = await world({ partitions: 1 })
  for (let i = 0; i < 5; i++) await publish(message('a', `m${i}`))
  store.truncate(messages, shard, 3)
  const owner = await own()
  owner.refresh(of(route()), 2)
  await until(() => owner.status()[0]?.position === 5)
  expect(failures).toEqual([['all', 'Gone', 3]])
  expect(await payloads()).toEqual(['m3', 'm4'])
})

test('RT-06 JSON that is nested too deep for anybody to write ends neither a route nor whoever matches messages', async () => {
  const { log, publish, routed, own, of, failures } = await world({ partitions: 1 })
  const owner = await own()
  owner.refresh(of(route({ format: 'cloudEventsStructured' })), 2)
  await until(() => owner.status()[0]?.state === 'Running')
  const deep = `{"specversion":"1.0","id":"1","source":"s","type":"t","data":${'['.repeat(5_000)}${']'.repeat(5_000)}}`
  const offset = await publish(message('a', deep, { contentType: 'application/cloudevents+json' }))
  owner.offer(offset, await log.read(messages, shard, offset))
  await until(() => owner.status()[0]?.position === 1)
  const [event] = await routed()
  expect(JSON.parse(String(event?.value))).toMatchObject({ type: 'MQTT.EventPublished', data_base64: Buffer.from(deep).toString('base64') })
  expect(failures).toEqual([])
})

test('a message of which no record can be made is counted as Rejected and passed over, whether it is offered or read', async () => {
  const { log, publish, payloads, own, of, failures, troubles } = await world({ partitions: 1 })
  const attributesOf = ({ topic }: Message): { readonly type: string } => {
    if (topic === 'bad') throw new RangeError('Maximum call stack size exceeded')
    return { type: 'door' }
  }
  const owner = await own({ attributesOf })
  await publish(message('bad', 'm0'))
  await publish(message('good', 'm1'))
  owner.refresh(of(route({ enrichments: { static: [], dynamic: [{ key: 'kind', value: `\${client.attributes.type}` }] } })), 2)
  await until(() => owner.status()[0]?.position === 2)
  for (const [topic, payload] of [
    ['bad', 'm2'],
    ['good', 'm3'],
  ] as const) {
    const offset = await publish(message(topic, payload))
    owner.offer(offset, await log.read(messages, shard, offset))
  }
  await until(() => owner.status()[0]?.position === 4)
  expect(await payloads()).toEqual(['m1', 'm3'])
  expect(failures).toEqual([
    ['all', 'Rejected', 1],
    ['all', 'Rejected', 1],
  ])
  expect(troubles).toEqual(['the message at 0 cannot be written as the route asks', 'the message at 2 cannot be written as the route asks'])
  expect(owner.status()).toMatchObject([{ state: 'Running', routed: 2, failed: 2 }])
})

test('a route that is changed goes on with what it has not done; one that is deleted ends, and its progress with it', async () => {
  const { log, publish, payloads, own, of, makeTarget } = await world({ partitions: 1 })
  await makeTarget('elsewhere')
  await publish(message('a', 'm0'))
  const owner = await own()
  owner.refresh(of(route()), 2)
  await until(() => owner.status()[0]?.position === 1)
  owner.refresh(of(route({ target: { kafkaTopic: 'elsewhere' }, offset: 2 })), 3)
  await publish(message('a', 'm1'))
  await until(async () => (await payloads('elsewhere')).length === 1)
  expect([await payloads(), await payloads('elsewhere')]).toEqual([['m0'], ['m1']])
  owner.tick()
  owner.refresh(of(), 4)
  await until(async () => (await readShelved(log, snapshots, shard)).routes.size === 0)
  expect(owner.status()).toEqual([])
})

test('a view of the registry that is behind does not end a route that was made later', async () => {
  const { log, publish, own, of } = await world({ partitions: 1 })
  await publish(message('a', 'm0'))
  const first = await own()
  first.refresh(of(route({ offset: 9 })), 10)
  await until(() => first.status()[0]?.position === 1)
  await first.close()
  const second = await own()
  second.refresh(of(), 9)
  await second.close()
  expect((await readShelved(log, snapshots, shard)).routes.size).toBe(1)
})

test('a route of the same name that is made anew begins anew, and is not taken for the one before', async () => {
  const { publish, payloads, own, of } = await world({ partitions: 1 })
  await publish(message('a', 'm0'))
  const owner = await own()
  owner.refresh(of(route()), 2)
  await until(() => owner.status()[0]?.position === 1)
  owner.refresh(of(route({ since: 2, offset: 2 })), 3)
  await until(async () => (await payloads()).length === 2)
  expect(await payloads()).toEqual(['m0', 'm0'])
})

test('a broken appender is replaced by one with a new epoch, for all routes, and nothing is written twice', async () => {
  const { log, publish, payloads, own, of, makeTarget } = await world({ partitions: 1 })
  await makeTarget('other')
  const appenders: Appender[] = []
  const watching = watched(log, {
    appender: async (options?: { transactionalId?: string }) => {
      const appender = await log.appender(options)
      if (options?.transactionalId?.includes('routes')) appenders.push(appender)
      return appender
    },
  })
  const owner = await own({ log: watching, bytesMax: 2_000 })
  owner.refresh(of(route(), route({ name: 'other', target: { kafkaTopic: 'other' } })), 2)
  const total = 60
  for (let i = 0; i < total; i++) {
    await publish(message('a', `m${i}`))
    owner.offer(i, await log.read(messages, shard, i))
    if (i % 20 === 19) await appenders.at(-1)?.close()
  }
  await until(() => owner.status().every(({ position }) => position === total))
  const all = Array.from({ length: total }, (_, i) => `m${i}`)
  expect([await payloads(), await payloads('other')]).toEqual([all, all])
  expect(appenders.length).toBeGreaterThan(1)
})

test('at ROUTE_BYTES_MAX a route reads on only when the target has taken some, and ROUTE_RETRY_MAX bounds its waits', async () => {
  const { config } = readRouterConfig({ ROUTE_BYTES_MAX: '65536', ROUTE_RETRY_MAX: '2000' })
  expect([config.routeBytesMax, config.routeRetryMsMax]).toEqual([65_536, 2_000])
  const { log, publish, payloads, own, of } = await world({ partitions: 1 })
  const total = 200
  for (let i = 0; i < total; i++) await publish(message('a', `m${i}`.padEnd(1_000, '.')))
  const waiting: (() => void)[] = []
  let isHeld = true
  const slow = watched(log, {
    appender: async (options?: { transactionalId?: string }) => {
      const inner = await log.appender(options)
      if (!options?.transactionalId?.includes('routes')) return inner
      const append: Appender['append'] = (record, done) =>
        inner.append(record, (error, offset) => (isHeld ? waiting.push(() => done(error, offset)) : done(error, offset)))
      return new Proxy(inner, {
        get: (target, name: keyof Appender) => {
          const method = name === 'append' ? append : target[name]
          return typeof method === 'function' ? method.bind(target) : method
        },
      })
    },
  })
  const owner = await own({ log: slow, bytesMax: config.routeBytesMax })
  owner.refresh(of(route()), 2)
  await until(() => waiting.length > 0)
  const before = waiting.length
  owner.offer(0, await log.read(messages, shard, 0))
  await new Promise((resolve) => setImmediate(resolve))
  expect(waiting.length * 1_000).toBeLessThan(2 * config.routeBytesMax + 4_000)
  expect([before < total, owner.status()[0]?.position]).toEqual([true, 0])
  isHeld = false
  for (const done of waiting.splice(0)) done()
  await until(() => owner.status()[0]?.position === total)
  expect(await payloads()).toHaveLength(total)
})

describe('what is sealed with a key that can be destroyed', () => {
  const newKey = (): SealingKey => ({ id: randomBytes(16), key: randomBytes(32) })
  const sealed = (topic: string, payload: string, key: SealingKey, patient = 'ada'): Message => {
    const personal = { payload: Buffer.from(payload), userProperties: [['patient', patient] as const], correlationData: null }
    return message(topic, payload, { payload: seal(personal, key, topic), payloadFormatIndicator: 1 })
  }
  async function sealedWorld() {
    const made = await world({ partitions: 1 })
    const appender = await made.log.appender()
    const write = (key: SealingKey, value: Buffer | null) =>
      appender.write({ topic: keysTopic, partition: 0, key: clientKeyKey('ada', key.id), value, timestamp: 0 })
    return {
      ...made,
      keep: (key: SealingKey) => write(key, clientKeyRecord('ada', key, 0)),
      erase: (key: SealingKey) => write(key, null),
    }
  }

  test('goes on as it stands in the log, or with sealed: open as it was published, for conditions too', async () => {
    const { publish, routed, own, of, keep, log } = await sealedWorld()
    await log.createTopics([{ name: 'kept', partitions: 1, replication: 1, settings: deleted }])
    const key = newKey()
    await keep(key)
    await publish(sealed('a', '{"t":36.9}', key))
    await publish(message('a', '{"t":20.5}', { payloadFormatIndicator: 1 }))
    const warm = { operatorType: 'NumberGreaterThan' as const, key: 'data.t', value: 30 }
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the syntax of enrichments
    const enrichments = { static: [], dynamic: [{ key: 'patient', value: '${mqtt.message.userProperties.patient}' }] }
    const owner = await own()
    owner.refresh(
      of(route({ sealed: 'open', format: 'cloudEventsBinary', conditions: [warm], enrichments }), route({ name: 'kept', target: { kafkaTopic: 'kept' } })),
      2,
    )
    await until(async () => (await routed()).length === 1 && (await routed('kept')).length === 2)
    const [open] = await routed()
    expect(String(open?.value)).toBe('{"t":36.9}')
    expect(open?.headers.find(({ name }) => name === 'ce_patient')?.value?.toString()).toBe('ada')
    expect(sealedWith((await routed('kept'))[0]?.value as Buffer)).toEqual(key.id)
  })

  test('and whose key was destroyed is left out and counted, and nothing waits for it', async () => {
    const { publish, payloads, own, of, keep, erase, log, lost, failures } = await sealedWorld()
    const [ada, bob] = [newKey(), newKey()]
    await keep(ada)
    await keep(bob)
    await publish(sealed('a', 'routed before', ada))
    const owner = await own()
    owner.refresh(of(route({ sealed: 'open' })), 2)
    await until(async () => (await payloads()).length === 1)
    await erase(ada)
    await publish(sealed('a', 'erased', ada))
    const at = await publish(sealed('a', 'still there', bob))
    owner.offer(at - 1, await log.read(messages, shard, at - 1))
    await until(async () => (await payloads()).length === 2)
    expect(await payloads()).toEqual(['routed before', 'still there'])
    await until(() => owner.status()[0]?.position === at + 1)
    expect([lost, failures, owner.status()]).toMatchObject([[['all', 'erased']], [], [{ routed: 2, failed: 0, unopened: 1, state: 'Running' }]])
  })

  test('and comes with a key that is new is waited for: the key stands in the log before it', async () => {
    const { publish, payloads, own, of, keep, log, lost } = await sealedWorld()
    const owner = await own()
    owner.refresh(of(route({ sealed: 'open' })), 2)
    for (let i = 0; i < 5; i++) {
      const key = newKey()
      await keep(key)
      const at = await publish(sealed('a', `m${i}`, key))
      owner.offer(at, await log.read(messages, shard, at))
    }
    await until(async () => (await payloads()).length === 5)
    expect([await payloads(), lost]).toEqual([['m0', 'm1', 'm2', 'm3', 'm4'], []])
  })

  test('is held while the keys cannot be read, also where dead ends are dropped', async () => {
    const { publish, payloads, own, of, keep, log, lost, failures, troubles } = await sealedWorld()
    const key = newKey()
    await keep(key)
    await publish(sealed('a', 'late', key))
    let isAllowed = false
    const closed = watched(log, { follow: (options) => (isAllowed ? log.follow(options) : Promise.reject(new NotAuthorized('not you'))) })
    const owner = await own({ log: closed })
    owner.refresh(of(route({ sealed: 'open', onDeadEnd: 'drop' })), 2)
    await until(() => owner.status()[0]?.state === 'Held')
    expect(owner.status()).toMatchObject([{ error: 'ServiceError', failed: 0 }])
    expect(troubles[0]).toMatch(/the keys of sealed messages cannot be read: .*not you/)
    isAllowed = true
    await until(async () => (await payloads()).length === 1)
    expect([await payloads(), lost, failures]).toEqual([['late'], [], []])
  })
})
