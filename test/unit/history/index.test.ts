/** The index of the past: what it passes over cannot match, and what it spares. */
import { describe, expect, test } from '@jest/globals'
import { BlockBuilder, mayHold } from '../../../history/block.ts'
import { HistoryReader } from '../../../history/history-reader.ts'
import { LogIndex } from '../../../history/log-index.ts'
import { MemoryLog, MemoryStore } from '../../../log/memory-log.ts'
import { matches } from '../../../mqtt/topic.ts'
import { IndexWriter } from '../../../router/index-writer.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import fc from '../../support/fast-check.ts'
import { loggedMessage } from '../../support/logged-message.ts'

const blockOf = (...messages: readonly (readonly [topic: string, client: string])[]) => {
  const builder = new BlockBuilder(messages.length)
  return messages.map(([topic, client], offset) => builder.add(offset, 100, topic, client)).at(-1) as NonNullable<ReturnType<BlockBuilder['add']>>
}

describe('a block', () => {
  test('never denies what it holds', () => {
    const level = fc.constantFrom('a', 'b', 'c', '', '$x', 'é')
    const topics = fc.array(
      fc.array(level, { minLength: 1, maxLength: 11 }).map((levels) => levels.join('/') || '/'),
      { minLength: 1, maxLength: 20 },
    )
    const filters = fc
      .array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 11 })
      .chain((levels) => fc.boolean().map((open) => (open ? [...levels, '#'] : levels).join('/') || '/'))
    fc.assert(
      fc.property(topics, filters, (all, filter) => {
        const block = blockOf(...all.map((topic) => [topic, 'c'] as const))
        return mayHold(block, { filter, client: null }) || !all.some((topic) => matches(filter, topic))
      }),
      { numRuns: 2_000 },
    )
  })

  test('is passed over for topics, first levels and publishers that it does not hold', () => {
    const block = blockOf(['plant/1/temperature', 'pump-1'], ['plant/2/pressure', 'pump-2'])
    const may = (filter: string, client: string | null = null) => mayHold(block, { filter, client })
    expect(['plant/1/temperature', 'plant/#', 'plant/2/+', 'plant/2/pressure/#', '#', '+/1/temperature'].map((filter) => may(filter))).not.toContain(false)
    expect(['plant/3/temperature', 'plant/3/#', 'other/#', 'plant/1', 'other/+/x'].map((filter) => may(filter))).not.toContain(true)
    expect([may('#', 'pump-1'), may('#', 'pump-3'), may('plant/#', 'pump-3')]).toEqual([true, false, false])
  })

  test('tells where it is, and what it takes', () => {
    const builder = new BlockBuilder(2)
    expect(builder.add(7, 100, 'a', 'c')).toBeUndefined()
    expect(builder.add(9, 100, 'a', 'c')).toMatchObject({ from: 7, to: 10 })
    expect(builder.add(10, 100, 'a', 'c')).toBeUndefined()
  })
})

/** A partition of messages on many topics, indexed or not, and all the bytes of it. */
async function filled(count: number, topicOf: (i: number) => string, indexRecords: number) {
  const store = new MemoryStore()
  const log = new MemoryLog(store)
  const spec = (name: string) => ({ name, partitions: 1, replication: 1, settings: {} })
  await log.createTopics([spec('messages'), spec('index')])
  const appender = await log.appender()
  const writer = new IndexWriter({
    shard: 0,
    recordsMax: indexRecords,
    append: (value) => void appender.write({ topic: 'index', partition: 0, key: null, value, timestamp: 0 }),
  })
  let bytes = 0
  for (let i = 0; i < count; i++) {
    const topic = topicOf(i)
    const value = Buffer.from(
      encodeMessage(
        loggedMessage({
          clientId: `device-${i % 10_000}`,
          receivedAt: i,
          topic,
          payload: Buffer.alloc(256),
        }),
      ),
    )
    appender.append({ topic: 'messages', partition: 0, key: Buffer.from(topic), value, timestamp: i }, () => {})
    writer.add(i, value.length + topic.length, topic, `device-${i % 10_000}`)
    bytes += value.length + topic.length
  }
  writer.flush()
  await appender.flush()
  return { store, log, bytes }
}

async function readAll(log: MemoryLog, filter: string, client: string | null, next = 0) {
  const index = new LogIndex(log, 'index')
  const end = (await log.endOffsets('messages')).get(0) as number
  const reader = new HistoryReader({ log, topic: 'messages', query: { filter, client }, places: [{ source: 0, next, end, time: 0 }], index })
  const offsets: number[] = []
  while (!reader.isThere) offsets.push(...(await reader.read(512 * 1024, 1_000)).map(({ record }) => record.offset))
  return { offsets, bytesRead: reader.bytesRead + index.bytesRead }
}

describe('a reader with an index', () => {
  test('reads a twentieth of the bytes at most where one message in 10,000 matches, by topic, first levels or publisher', async () => {
    const { log, bytes } = await filled(40_000, (i) => `fleet/${i % 10_000}/state`, 128)
    const expected = [4_321, 14_321, 24_321, 34_321]
    for (const [filter, client] of [
      ['fleet/4321/state', null],
      ['fleet/4321/#', null],
      ['#', 'device-4321'],
    ] as const) {
      const { offsets, bytesRead } = await readAll(log, filter, client)
      process.stderr.write(`${filter} ${client ?? ''}: ${bytesRead} of ${bytes} bytes, 1/${Math.round(bytes / bytesRead)}\n`)
      expect(offsets).toEqual(expected)
      expect(bytesRead).toBeLessThanOrEqual(bytes / 20)
    }
    expect((await readAll(log, 'fleet/4321/state', null, 14_322)).offsets).toEqual(expected.slice(2))
    expect((await readAll(log, 'nothing', null)).offsets).toEqual([])
  }, 60_000)

  test('finds all there is, wherever the index tells nothing', async () => {
    for (const indexRecords of [0, 1, 7, 256]) {
      const { log } = await filled(1_000, (i) => `t/${i % 10}`, indexRecords)
      for (const from of [0, 500, 999]) {
        const { offsets } = await readAll(log, 't/3', null, from)
        expect(offsets).toEqual(Array.from({ length: 100 }, (_, i) => i * 10 + 3).filter((offset) => offset >= from))
      }
    }
  })

  test('goes on without what retention removes of the index while it waits', async () => {
    const { store, log } = await filled(40_000, (i) => `fleet/${i % 10_000}/state`, 128)
    const index = new LogIndex(log, 'index')
    const query = { filter: 'fleet/4321/state', client: null }
    const reader = new HistoryReader({ log, topic: 'messages', query, places: [{ source: 0, next: 0, end: 40_000, time: 0 }], index })
    const offsets: number[] = []
    const read = async (): Promise<void> => void offsets.push(...(await reader.read(512 * 1024, 1_000)).map(({ record }) => record.offset))
    while (offsets.length === 0) await read()
    const end = (await log.endOffsets('index')).get(0) as number
    store.truncate('index', 0, end - 1)
    while (!reader.isThere) await read()
    expect(offsets).toEqual([4_321, 14_321, 24_321, 34_321])
  }, 60_000)
})
