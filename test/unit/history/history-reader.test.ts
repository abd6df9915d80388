import { expect, test } from '@jest/globals'
import { HistoryReader } from '../../../history/history-reader.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { loggedMessage } from '../../support/logged-message.ts'

const topic = 'messages'

async function start() {
  const log = new MemoryLog()
  await log.createTopics([{ name: topic, partitions: 2, replication: 1, settings: {} }])
  const appender = await log.appender()
  const publish = (partition: number, count: number): Promise<unknown> =>
    Promise.all(
      Array.from({ length: count }, () =>
        appender.write({
          topic,
          partition,
          key: Buffer.from('t'),
          timestamp: 1,
          value: Buffer.from(encodeMessage(loggedMessage({ receivedAt: 1, payload: Buffer.alloc(10) }))),
        }),
      ),
    )
  const places = [0, 1].map((source) => ({ source, next: 0, end: null, time: 0 }))
  const reader = new HistoryReader({ log, topic, query: { filter: 't', client: null }, places })
  return { log, reader, publish }
}

test('a reader without an end is there once each partition was read to where it ended then, though all of them grow', async () => {
  const { reader, publish } = await start()
  await publish(0, 5)
  await publish(1, 5)
  expect(reader.isThere).toBe(false)
  expect(await reader.read(100_000, 100)).toHaveLength(5)
  await publish(0, 3)
  // Asked to aim at what it aims at already.
  reader.aimAtEnd()
  expect(await reader.read(100_000, 100)).toHaveLength(5)
  expect(reader.isThere).toBe(true)
  expect(reader.places.map(({ next }) => next)).toEqual([5, 5])
})

test('it goes on to where it is aimed, and no further', async () => {
  const { reader, publish } = await start()
  await publish(0, 5)
  await publish(1, 5)
  while (!reader.isThere) await reader.read(100_000, 100)
  await publish(0, 10)
  reader.aim(
    new Map([
      [0, 8],
      [1, 5],
    ]),
  )
  expect(reader.isThere).toBe(false)
  while (!reader.isThere) await reader.read(300, 100)
  expect(reader.places[0]?.next).toBeGreaterThanOrEqual(8)
  reader.aimAtEnd()
  expect(reader.isThere).toBe(false)
  while (!reader.isThere) await reader.read(100_000, 100)
  expect(reader.places.map(({ next }) => next)).toEqual([15, 5])
})

test('what was fetched and not wanted yet is not fetched again', async () => {
  const { log, reader, publish } = await start()
  await publish(0, 50)
  await publish(1, 50)
  let fetches = 0
  const read = log.read.bind(log)
  log.read = (...given) => {
    fetches++
    return read(...given)
  }
  const offsets: string[] = []
  while (!reader.isThere) for (const { source, record } of await reader.read(100_000, 7)) offsets.push(`${source}:${record.offset}`)
  expect(offsets).toEqual([0, 1].flatMap((source) => Array.from({ length: 50 }, (_, offset) => `${source}:${offset}`)))
  expect(fetches).toBe(2)
  const { bytesRead } = reader
  const other = await start()
  await other.publish(0, 50)
  await other.publish(1, 50)
  while (!other.reader.isThere) await other.reader.read(100_000, 100)
  expect(bytesRead).toBe(other.reader.bytesRead)
})
