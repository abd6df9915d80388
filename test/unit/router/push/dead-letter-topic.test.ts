import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { AppendError, type Appender } from '../../../../log/log.ts'
import { MemoryLog, MemoryStore } from '../../../../log/memory-log.ts'
import { deadLetterTopic } from '../../../../router/subscriptions/dead-letter-topic.ts'

let log: MemoryLog
let appender: Appender
let now = 0
beforeEach(async () => {
  now = 1_000
  log = new MemoryLog(new MemoryStore())
  await log.createTopics([{ name: 'dead', partitions: 2, replication: 1, settings: {} }])
  appender = await log.appender()
})
afterEach(() => log.close())

const sinkOf = (subscription: string) => deadLetterTopic({ log, appender, topic: 'dead', of: { topic: 'doors', subscription }, now: () => now })
const letter = (offset: number) => ({
  event: { specversion: '1.0', id: `e${offset}` },
  deadletterProperties: { deliveryattempts: 3 },
  source: { partition: 1, offset },
})
const write = (subscription: string, documents: readonly object[]) => {
  const sink = sinkOf(subscription)
  return sink.write(documents.map((document) => sink.encode(document)))
}

async function read(subscription: string, sinceMs = 0): Promise<readonly number[]> {
  const offsets: number[] = []
  for await (const { sources } of sinkOf(subscription).read(sinceMs)) offsets.push(...sources.map(({ offset }) => offset))
  return offsets.sort((a, b) => a - b)
}

test('PU-14: a dead letter in a Kafka topic is the event with the documented properties as attributes', async () => {
  await write('alarms', [letter(7)])
  const { records } = await log.read('dead', 0, 0)
  expect(JSON.parse(String(records[0]?.value))).toEqual({ specversion: '1.0', id: 'e7', deliveryattempts: 3 })
  expect(records[0]?.headers.map(({ name }) => name)).toEqual(['content-type', 'loggerhead-source'])
})

test('redrive: a subscription finds its own dead letters again, of any age or since a time, among those of others', async () => {
  await write('alarms', [letter(1), letter(2)])
  await write('others', [letter(3)])
  await appender.write({ topic: 'dead', partition: 0, key: null, value: Buffer.from('not ours'), timestamp: now })
  now = 2_000
  await write('alarms', [letter(4)])
  expect(await read('alarms')).toEqual([1, 2, 4])
  expect(await read('alarms', 2_000)).toEqual([4])
  expect(await read('others')).toEqual([3])
  expect(await read('nobody')).toEqual([])
})

test('one dead letter that the topic does not take keeps none of the others from being written, nor from being told so', async () => {
  await log.createTopics([{ name: 'narrow', partitions: 1, replication: 1, settings: {} }])
  const refused = new AppendError('too large', 'refused', { refusal: 'tooLarge' })
  const narrow: Pick<Appender, 'write'> = { write: (record) => ((record.value?.length ?? 0) > 1_000 ? Promise.reject(refused) : appender.write(record)) }
  const of = { topic: 'doors', subscription: 'alarms' }
  const sink = deadLetterTopic({ log, appender: narrow as Appender, topic: 'narrow', of, now: () => now })
  const large = { ...letter(2), event: { id: 'e2', data: 'x'.repeat(1_000) } }
  expect(await sink.write([letter(1), large, letter(3)].map((document) => sink.encode(document)))).toEqual([undefined, refused, undefined])
  expect((await log.read('narrow', 0, 0)).records).toHaveLength(2)
})
