import { expect, test } from '@jest/globals'
import { LogBeginning } from '../../../history/log-beginning.ts'
import { MemoryLog } from '../../../log/memory-log.ts'

const topic = 'messages'
const now = 10_000

/** Two partitions with a record a second, from 1 s on. */
async function given() {
  const log = new MemoryLog()
  await log.createTopics([{ name: topic, partitions: 2, replication: 1, settings: {} }])
  const appender = await log.appender()
  for (let n = 1; n <= 5; n++)
    for (const partition of [0, 1]) await appender.write({ topic, partition, key: Buffer.from('t'), value: Buffer.from('v'), timestamp: n * 1_000 })
  return { log, beginning: new LogBeginning(log, topic) }
}
const time = (at: number) => ({ kind: 'time', at }) as const
const positions = (...places: readonly (readonly [number, number])[]) => ({ kind: 'positions', offsets: new Map(places) }) as const

test('nothing is gone of a log that begins at its beginning, however old what is asked for', async () => {
  const { beginning } = await given()
  await beginning.look()
  expect([beginning.since(time(0), now), beginning.since(positions([0, 0]), now)]).toEqual([undefined, undefined])
})

test('what retention has removed is told by the first record of the partitions that are meant, the latest of them', async () => {
  const { log, beginning } = await given()
  log.store.truncate(topic, 0, 2)
  log.store.truncate(topic, 1, 3)
  await beginning.look()
  expect(beginning.since(time(0), now)).toBe(4_000)
  expect(beginning.since(time(0), now, [0])).toBe(3_000)
  expect(beginning.since(time(3_500), now, [0])).toBeUndefined()
  expect(beginning.since(positions([0, 1]), now)).toBe(3_000)
  expect(beginning.since(positions([0, 2], [1, 3]), now)).toBeUndefined()
})

test('a partition of which nothing is left says “now”, unless another knows better', async () => {
  const { log, beginning } = await given()
  log.store.truncate(topic, 0, 5)
  await beginning.look()
  expect(beginning.since(time(0), now)).toBe(now)
  log.store.truncate(topic, 1, 1)
  await beginning.look()
  expect(beginning.since(time(0), now)).toBe(2_000)
  expect(beginning.since(time(0), now, [0])).toBe(now)
  // What comes then is the beginning.
  await (await log.appender()).write({ topic, partition: 0, key: Buffer.from('t'), value: Buffer.from('v'), timestamp: 9_000 })
  await beginning.look()
  expect(beginning.since(time(0), now, [0])).toBe(9_000)
})

test('however many ask at once, one question is on its way, and first records are read when a beginning has moved only', async () => {
  const { log, beginning } = await given()
  log.store.truncate(topic, 0, 1)
  const asked = { starts: 0, reads: 0 }
  const [starts, read] = [log.startOffsets.bind(log), log.read.bind(log)]
  log.startOffsets = (...given) => {
    asked.starts++
    return starts(...given)
  }
  log.read = (...given) => {
    asked.reads++
    return read(...given)
  }
  await Promise.all(Array.from({ length: 100 }, () => beginning.look()))
  expect(asked).toEqual({ starts: 1, reads: 1 })
  await beginning.look()
  expect(asked).toEqual({ starts: 2, reads: 1 })
})
