import { expect, test } from '@jest/globals'
import { resolvePlaces } from '../../../history/places.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { partitionOf } from '../../../log/partitioner.ts'

const topic = 'messages'
const [before, after] = [2, 5]

/** Each partition has three messages; `positions` are a cursor. */
async function placesFrom(filter: string, positions: ReadonlyMap<number, number>): Promise<readonly string[]> {
  const log = new MemoryLog()
  await log.createTopics([{ name: topic, partitions: after, replication: 1, settings: {} }])
  const appender = await log.appender()
  for (let partition = 0; partition < after; partition++)
    for (let n = 0; n < 3; n++) await appender.write({ topic, partition, key: Buffer.from('t'), value: Buffer.from('v'), timestamp: 1 })
  const from = { kind: 'positions', offsets: positions } as const
  const to = { kind: 'time', at: Number.MAX_SAFE_INTEGER } as const
  const places = await resolvePlaces({ log, topic, filter, partitions: after, formerly: [before], from, to })
  return places.map(({ source, next }) => `${source}:${next}`)
}

const at = (...places: readonly (readonly [number, number])[]): ReadonlyMap<number, number> => new Map(places)

test('a cursor from before there were more partitions goes on in all of them, in new ones from their beginning', async () => {
  expect(await placesFrom('#', at([0, 2], [1, 3]))).toEqual(['0:2', '1:3', '2:0', '3:0', '4:0'])
})

test('positions that name some partitions are read there alone', async () => {
  expect(await placesFrom('#', at([0, 2]))).toEqual(['0:2'])
})

test('a cursor of one topic goes on where the topic is now too', async () => {
  const moved = Array.from({ length: 20 }, (_, n) => `t/${n}`).find((name) => partitionOf(name, before) !== partitionOf(name, after)) as string
  expect(await placesFrom(moved, at([partitionOf(moved, before), 1]))).toEqual([`${partitionOf(moved, before)}:1`, `${partitionOf(moved, after)}:0`])
})
