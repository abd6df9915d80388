import { expect, test } from '@jest/globals'
import { BeforeHistory } from '../../../history/before-history.ts'
import { present } from '../../../history/moment.ts'
import { NotAlone, rebuild } from '../../../history/rebuild.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { planTopics, topicNames, topicSettings, topicSpecs } from '../../../log/topics.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import { readSettings } from '../../../settings/setting.ts'

const plan = planTopics(readSettings(topicSettings, { KAFKA_PARTITIONS: '1' }), 'default', 'development')
const topics = topicNames('copy', 'default')

/** A shard in which nothing has happened. */
async function writeCheckpoint(log: MemoryLog): Promise<void> {
  const stands = { shard: 0, term: 0, generation: 1, chunks: 0, at: 1 }
  const snapshot = encodeRecord('SnapshotClosed', {
    ...stands,
    sessionsOffset: 0,
    inboxOffset: 0,
    position: 0,
    lifecyclePosition: 0,
    highWaters: [0],
    terms: [0],
    retainedOffsets: [0],
    retainedHighWaters: [0],
    choicesFrom: null,
  })
  const value = encodeRecord('CheckpointClosed', { ...stands, from: 0, inboxFrom: 0, snapshot, registryPosition: 0, registryDigest: '' })
  await (await log.appender()).write({ topic: plan.names.checkpoints, partition: 0, key: null, value, timestamp: 1 })
}

test('a moment of which the log does not hold all is refused before anything of the copy is there', async () => {
  const [log, target] = [new MemoryLog(), new MemoryLog()]
  await log.createTopics(topicSpecs(plan))
  const options = { from: { log, topics: plan.names }, to: { log: target, prefix: 'copy', topics }, shards: 1, now: 10 }
  await expect(rebuild({ ...options, moment: await present(log, plan.names, 10) })).rejects.toThrow(BeforeHistory)
  expect(await target.topicExists(topics.messages)).toBe(false)
  await writeCheckpoint(log)
  await rebuild({ ...options, moment: await present(log, plan.names, 10) })
  expect(await target.topicExists(topics.messages)).toBe(true)
})

test('a copy in whose topics somebody else writes meanwhile is none', async () => {
  const target = new MemoryLog()
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
  await writeCheckpoint(log)
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
