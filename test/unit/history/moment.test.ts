import { expect, test } from '@jest/globals'
import { momentOf } from '../../../history/moment.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { planTopics, topicSettings, topicSpecs } from '../../../log/topics.ts'
import { readSettings } from '../../../settings/setting.ts'

test('positions that are in no partition, and those beyond an end, take nothing of messages that is not there', async () => {
  const plan = planTopics(readSettings(topicSettings, { KAFKA_PARTITIONS: '2' }), 'default', 'development')
  const log = new MemoryLog()
  await log.createTopics(topicSpecs(plan))
  const appender = await log.appender()
  for (const timestamp of [1, 2, 3]) {
    await appender.write({ topic: plan.names.messages, partition: 0, key: null, value: Buffer.from('m'), timestamp })
  }
  const messagesAt = async (...offsets: [number, number][]) => (await momentOf(log, plan.names, { kind: 'positions', offsets: new Map(offsets) })).messages
  expect(await messagesAt([0, 1])).toEqual(
    new Map([
      [0, 1],
      [1, 0],
    ]),
  )
  expect(await messagesAt([0, Number.MAX_SAFE_INTEGER], [1, 7], [1023, 1])).toEqual(
    new Map([
      [0, 3],
      [1, 0],
    ]),
  )
})
