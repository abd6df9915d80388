import { randomBytes } from 'node:crypto'
import kafkajs from 'kafkajs'
import { decodeRecord } from '../../schemas/codec.ts'
import type { AnyRecord, RecordName, Records } from '../../schemas/records.ts'

export interface Read<N extends RecordName> {
  readonly partition: number
  readonly offset: number
  readonly key: Buffer | null
  readonly value: Records[N]
}

/** Everything that stands in a topic now, read by an ordinary Kafka client; per partition in the order of the log. */
export async function readTopic(
  brokers: string,
  topic: string,
): Promise<{ readonly partition: number; readonly offset: number; readonly key: Buffer | null; readonly record: AnyRecord | null }[]> {
  const kafka = new kafkajs.Kafka({ clientId: 'analyst', brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const ends = new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high, low }) => [partition, { high: Number(high), low: Number(low) }]))
  await admin.disconnect()
  const open = new Set([...ends].filter(([, { high, low }]) => high > low).map(([partition]) => partition))
  const records: { partition: number; offset: number; key: Buffer | null; record: AnyRecord | null }[] = []
  if (open.size === 0) return records

  const consumer = kafka.consumer({ groupId: `analyst-${randomBytes(6).toString('hex')}` })
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${topic} could not be read to its end within 60 s; partitions ${[...open]} are left`)), 60_000)
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      // Also for batches that end in control records: the position counts, not the records.
      consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
        if (Number(payload.lastOffset) + 1 >= (ends.get(payload.partition)?.high ?? 0)) open.delete(payload.partition)
        if (open.size > 0) return
        clearTimeout(timer)
        resolve()
      })
      consumer
        .run({
          eachBatch: async ({ batch }) => {
            for (const { offset, key, value } of batch.messages) {
              records.push({ partition: batch.partition, offset: Number(offset), key, record: value === null ? null : decodeRecord(value) })
            }
          },
        })
        .catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
  return records
}

/** The records of one schema in a topic. */
export async function readRecords<N extends RecordName>(brokers: string, topic: string, name: N): Promise<Read<N>[]> {
  const all = await readTopic(brokers, topic)
  // The name tells the value's type: records.ts.
  return all.flatMap(({ record, ...at }) => (record?.name === name ? [{ ...at, value: record.value as Records[N] }] : []))
}
