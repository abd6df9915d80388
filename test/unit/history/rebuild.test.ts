import { expect, test } from '@jest/globals'
import { present } from '../../../history/moment.ts'
import { NotAlone, rebuild } from '../../../history/rebuild.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { planTopics, topicNames, topicSettings, topicSpecs } from '../../../log/topics.ts'
import { readSettings } from '../../../settings/setting.ts'

test('a copy in whose topics somebody else writes meanwhile is none', async () => {
  const plan = planTopics(readSettings(topicSettings, { KAFKA_PARTITIONS: '1' }), 'default', 'development')
  const target = new MemoryLog()
  const topics = topicNames('copy', 'default')
  const other = await target.appender()
  class SlowLog extends MemoryLog {
    override async read(topic: string, partition: number, offset: number, maxBytes?: number): ReturnType<MemoryLog['read']> {
      // A broker that is started too early.
      if (topic === plan.names.messages) await other.write({ topic: topics.messages, partition: 0, key: null, value: Buffer.from('x'), timestamp: 2 })
      return super.read(topic, partition, offset, maxBytes)
    }
  }
  const log = new SlowLog()
  await log.createTopics(topicSpecs(plan))
  const appender = await log.appender()
  await appender.write({ topic: plan.names.messages, partition: 0, key: null, value: Buffer.from('m'), timestamp: 1 })
  const copied: string[] = []
  const copying = rebuild({
    from: { log, topics: plan.names },
    to: { log: target, prefix: 'copy', topics },
    shards: 1,
    moment: await present(log, plan.names, 10),
    now: 10,
    onCopied: (topic) => copied.push(topic),
  })
  await expect(copying).rejects.toThrow(NotAlone)
  expect(copied).toEqual([plan.names.registry, plan.names.sessions, plan.names.inbox])
})
