/** The topic $lifecycle: event subscriptions of what happens to clients. */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { LogRecord } from '../../../../log/log.ts'
import { partitionOf } from '../../../../log/partitioner.ts'
import { LifecycleReader } from '../../../../router/subscriptions/lifecycle-reader.ts'
import type { Subscription } from '../../../../router/subscriptions/subscription.ts'
import { encodeRecord } from '../../../../schemas/codec.ts'
import { SubscriptionWorld, until } from './world.ts'

let world: SubscriptionWorld
beforeEach(async () => {
  world = await SubscriptionWorld.open()
})
afterEach(() => world.close())

const queue = { deliveryConfiguration: { deliveryMode: 'Queue', queue: {} } }
const url = (name: string) => `topics/$lifecycle/eventSubscriptions/${name}`

async function subscribe(name: string, more: object = {}): Promise<Subscription> {
  const { status, text } = await world.api.send('PUT', url(name), { body: { ...queue, ...more } })
  expect([status, text]).toEqual([201, expect.any(String)])
  return world.subscriptions.find('$lifecycle', name) as Subscription
}

/** A record in `lifecycle`, at a time of the world. */
async function happened(type: string, subject: string, id: string): Promise<void> {
  const { log, topics } = world.api
  const appender = await log.appender()
  const value = encodeRecord('LifecycleEvent', { id, type, source: 'x', subject, time: world.time, data: JSON.stringify({ id }) })
  const key = Buffer.from('device')
  const partitions = await log.partitions(topics.lifecycle)
  await appender.write({ topic: topics.lifecycle, partition: partitionOf(key, partitions), key, value, timestamp: world.time })
  await appender.close()
}
const changed = (name: string, id: string) => happened('Microsoft.EventGrid.MQTTClientCreatedOrUpdated', `clients/${name}`, id)
const deleted = (name: string, id: string) => happened('Microsoft.EventGrid.MQTTClientDeleted', `clients/${name}`, id)
const connected = (id: string) => happened('Microsoft.EventGrid.MQTTClientSessionConnected', 'clients/device/sessions/device', id)

/** What is received, by the ids in the data, once there are as many. */
async function receive(subscription: Subscription, count: number): Promise<readonly string[]> {
  const all: string[] = []
  await until(
    async () => {
      for (const { event, lockToken } of await subscription.receive(10, 0, new AbortController().signal)) {
        if (event.data.kind === 'json') all.push((event.data.value() as { id: string }).id)
        await subscription.acknowledge([lockToken])
      }
      return all.length
    },
    (length) => length >= count,
  )
  return all
}

test('LC-01 a subscription of $lifecycle gets what happens to clients as CloudEvents, and nothing that is for auditors', async () => {
  const clients = await subscribe('clients')
  await happened('Loggerhead.ConnectRefused', 'clients/device/sessions/device', '0')
  await connected('1')
  const [received] = await until(
    () => clients.receive(10, 0, new AbortController().signal),
    (events) => events.length > 0,
  )
  expect(received?.event.attributes).toMatchObject({
    specversion: '1.0',
    type: 'Microsoft.EventGrid.MQTTClientSessionConnected',
    source: '/namespaces/default',
    subject: 'clients/device/sessions/device',
  })
  expect(world.counts.unreadable).toBeUndefined()
})

test('LC-07 quick changes of a client are received as one with the final state, once nothing can change it any more', async () => {
  const clients = await subscribe('clients')
  await connected('first')
  await changed('lamp', '1')
  world.time += 2_000
  await changed('lamp', '2')
  await connected('behind it')
  expect(await receive(clients, 1)).toEqual(['first'])
  world.time += 2_000
  await deleted('lamp', '3')
  expect(await receive(clients, 0)).toEqual([])
  world.time += 10_000
  await connected('last')
  expect(await receive(clients, 3)).toEqual(['behind it', '3', 'last'])
})

/** A partition of `lifecycle` as far as a reader needs it, `fetched` records at a time. */
function readerOf(records: readonly LogRecord[], now: () => number, fetched = records.length) {
  let reads = 0
  const inner = {
    ends: new Map([[0, records.length]]),
    onNews: () => () => {},
    read: async (partition: number, offset: number) => {
      reads++
      const found = records.slice(offset, offset + fetched)
      return { topic: '', partition, records: found, nextOffset: offset + found.length, endOffset: records.length }
    },
    readAgain: async () => undefined,
    startOffsets: async () => new Map(),
    close: async () => {},
  }
  return { reader: new LifecycleReader({ records: inner, source: 's', now }), reads: () => reads }
}
const recordAt = (offset: number, time: number, id: string): LogRecord => {
  const event = { id, type: 'Microsoft.EventGrid.MQTTClientCreatedOrUpdated', source: 'x', subject: 'clients/lamp', time, data: '{}' }
  return { partition: 0, offset, timestamp: time, key: null, value: encodeRecord('LifecycleEvent', event), headers: [] }
}

test('LC-07 without anything new, what waited is told of by itself, and nothing is read for it meanwhile', async () => {
  let now = 4_950
  const { reader, reads } = readerOf([recordAt(0, 0, '1')], () => now)
  const told = new Promise<void>((resolve) => reader.onNews(resolve))
  expect(await reader.read(0, 0)).toMatchObject({ records: [], nextOffset: 0 })
  expect(await reader.read(0, 0)).toMatchObject({ records: [], nextOffset: 0 })
  expect(reads()).toBe(1)
  await told
  now = 5_001
  expect(await reader.read(0, 0)).toMatchObject({ records: [{ offset: 0 }], nextOffset: 1 })
  await reader.close()
})

test('LC-07 who is behind reads on over the end of what was fetched, and is never stuck at it', async () => {
  const quick = readerOf([recordAt(0, 0, '1'), recordAt(1, 10_000, '2'), recordAt(2, 11_000, '3'), recordAt(3, 60_000, '4')], () => 100_000, 2)
  expect(await quick.reader.read(0, 0)).toMatchObject({ records: [{ offset: 0 }], nextOffset: 1 })
  expect(await quick.reader.read(0, 1)).toMatchObject({ records: [{ offset: 2 }], nextOffset: 3 })
  const crowded = readerOf([recordAt(0, 0, '1'), recordAt(1, 1_000, '2'), recordAt(2, 2_000, '3')], () => 100_000, 2)
  expect(await crowded.reader.read(0, 0)).toMatchObject({ records: [{ offset: 1 }], nextOffset: 2 })
})

test('filters and the next owner: what was acknowledged does not come again, and what waited still comes', async () => {
  const clients = await subscribe('clients', { filtersConfiguration: { includedEventTypes: ['Microsoft.EventGrid.MQTTClientDeleted'] } })
  await connected('1')
  await deleted('lamp', '2')
  world.time += 6_000
  await deleted('other', '3')
  expect(await receive(clients, 1)).toEqual(['2'])
  await world.begin()
  world.time += 6_000
  const again = await until(
    () => world.subscriptions.find('$lifecycle', 'clients'),
    (found) => found !== undefined,
  )
  expect(await receive(again as Subscription, 1)).toEqual(['3'])
})

test('the topic itself is nobody’s to make, change or delete, and names like it are none', async () => {
  expect((await world.api.send('PUT', 'topics/$lifecycle', { body: {} })).status).toBe(400)
  expect((await world.api.send('DELETE', 'topics/$lifecycle')).status).toBe(404)
  expect((await world.api.send('PUT', 'topics/$other/eventSubscriptions/clients', { body: queue })).status).toBe(404)
  await subscribe('clients')
  const { json } = await world.api.send('GET', 'topics/$lifecycle/eventSubscriptions')
  expect(json.value).toMatchObject([{ name: 'clients' }])
  expect((await world.api.send('DELETE', url('clients'))).status).toBe(204)
})
