import { expect, test } from '@jest/globals'
import { MemoryLog, MemoryStore } from '../../../log/memory-log.ts'
import { RegistryFollower } from '../../../model/registry-follower.ts'
import { encodeRecord } from '../../../schemas/codec.ts'

const topic = 'loggerhead.default.registry'

async function given() {
  const store = new MemoryStore()
  const log = new MemoryLog(store)
  await log.createTopics([{ name: topic, partitions: 1, replication: 1, settings: { 'cleanup.policy': 'compact' } }])
  const appender = await log.appender()
  const write = (key: string, value: Buffer | null) => appender.write({ topic, partition: 0, key: Buffer.from(key), value, timestamp: 1 })
  const put = (name: string) => {
    const properties = JSON.stringify({ clientCertificateAuthentication: {} })
    return write(`clients/${name}`, encodeRecord('RegistryEntry', { kind: 'clients', name, properties, etag: 'e', createdAt: 1, updatedAt: 1, by: 'test' }))
  }
  const clock = { time: 0, now: () => clock.time }
  return { store, log, write, put, clock }
}

test('a follower starts with all that is in the log, and goes on', async () => {
  const { log, put, write, clock } = await given()
  await put('a')
  await put('b')
  await write('clients/a', null)
  const follower = await RegistryFollower.start({ log, topic, clock })
  expect([...follower.view.clients.keys()]).toEqual(['b'])
  let changes = 0
  const stop = follower.onChange(() => changes++)
  await follower.reached(await put('c'))
  expect([...follower.view.clients.keys()]).toEqual(['b', 'c'])
  expect(changes).toBe(1)
  // What the registry notes for itself is no change to others: nobody judges his connections again for it.
  for (const key of ['marker/told', 'fence/writer']) await follower.reached(await write(key, null))
  expect(changes).toBe(1)
  stop()
  await follower.reached(await put('d'))
  expect(changes).toBe(1)
  await follower.close()
  await log.close()
})

test('an empty topic, and one whose head is compacted away, are followed to their ends', async () => {
  const { store, log, put, clock } = await given()
  const empty = await RegistryFollower.start({ log, topic, clock })
  expect(empty.view.position).toBe(0)
  await put('a')
  await put('a')
  store.compact(topic)
  const follower = await RegistryFollower.start({ log, topic, clock })
  expect(follower.view.position).toBe(2)
  await Promise.all([empty.close(), follower.close()])
  await log.close()
})

test('the view’s age counts from the last answer at the end of the log, an empty one too', async () => {
  const { store, log, clock } = await given()
  const follower = await RegistryFollower.start({ log, topic, clock })
  const until = async (condition: () => boolean) => {
    const deadline = Date.now() + 60_000
    while (!condition() && Date.now() < deadline) await new Promise(setImmediate)
    expect(condition()).toBe(true)
  }
  await until(() => follower.confirmedMs() === 0)
  clock.time = 1000
  await until(() => follower.confirmedMs() === 0) // idle polls confirm
  store.setAway(true)
  clock.time = 5000
  await new Promise(setImmediate)
  const age = follower.confirmedMs()
  expect(age).toBeGreaterThanOrEqual(4000)
  store.setAway(false)
  await until(() => follower.confirmedMs() === 0)
  await follower.close()
  await log.close()
})

test('a record that cannot be read counts as a deletion: it grants nothing', async () => {
  const { log, put, write, clock } = await given()
  await put('a')
  await put('b')
  await write('clients/a', Buffer.from('not Avro at all, by any means'))
  const follower = await RegistryFollower.start({ log, topic, clock })
  expect([...follower.view.clients.keys()]).toEqual(['b'])
  await follower.close()
  await log.close()
})

test('who waits for an offset hears of the end', async () => {
  const { log, clock } = await given()
  const failures: unknown[] = []
  const follower = await RegistryFollower.start({ log, topic, clock, onFailed: (error) => failures.push(error) })
  const waiting = follower.reached(99)
  await follower.close()
  await expect(waiting).rejects.toThrow('closed')
  await expect(follower.reached(99)).rejects.toThrow('closed')
  expect(failures).toEqual([])
  await log.close()
})
