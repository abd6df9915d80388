import { randomBytes } from 'node:crypto'
import kafkajs from 'kafkajs'

/** A record as an ordinary Kafka client sees it. */
export interface FoundRecord {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: Buffer | null
  /** As text; the last one where a name stands several times. */
  readonly headers: Readonly<Record<string, string>>
}

function found(partition: number, { offset, key, value, headers }: kafkajs.KafkaMessage): FoundRecord {
  const text = Object.entries(headers ?? {}).map(([name, of]) => [name, String(Array.isArray(of) ? of.at(-1) : of)])
  return { partition, offset: Number(offset), key: key?.toString() ?? null, value, headers: Object.fromEntries(text) }
}

/** Records in the order of arrival, each once: a consumer that had to begin anew, on a busy machine, is given them again. */
class Arrived {
  readonly all: FoundRecord[] = []
  readonly #next = new Map<number, number>()

  add(record: FoundRecord): void {
    if (record.offset < (this.#next.get(record.partition) ?? 0)) return
    this.#next.set(record.partition, record.offset + 1)
    this.all.push(record)
  }
}

/** An end that it does not take up again by itself. */
function onEnd(consumer: kafkajs.Consumer, ended: (error: Error) => void): void {
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) ended(payload.error)
  })
}

/** Reads a topic from its beginning, as it grows, until it is enough. In the order of each partition. */
export async function collectRecords(
  brokers: string,
  topic: string,
  isEnough: (records: readonly FoundRecord[]) => boolean,
  deadlineMs = 60_000,
): Promise<readonly FoundRecord[]> {
  const kafka = new kafkajs.Kafka({ clientId: 'analyst', brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: `analytics-${randomBytes(6).toString('hex')}` })
  const records = new Arrived()
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${topic}: ${records.all.length} records within ${deadlineMs} ms were not enough`)), deadlineMs)
      onEnd(consumer, reject)
      consumer
        .run({
          eachMessage: async ({ partition, message }) => {
            records.add(found(partition, message))
            if (!isEnough(records.all)) return
            clearTimeout(timer)
            resolve()
          },
        })
        .catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
  return records.all
}

/** All that stands in a topic now, to its very end; by default as `read_committed` shows it. In the order of each partition. */
export async function readAll(brokers: string, topic: string, { readUncommitted = false } = {}): Promise<readonly FoundRecord[]> {
  const kafka = new kafkajs.Kafka({ clientId: 'analyst', brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const ends = new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high, low }) => [partition, { high: Number(high), low: Number(low) }]))
  await admin.disconnect()
  const open = new Set([...ends].filter(([, { high, low }]) => high > low).map(([partition]) => partition))
  const records = new Arrived()
  if (open.size === 0) return records.all

  const consumer = kafka.consumer({ groupId: `analyst-${randomBytes(6).toString('hex')}`, readUncommitted })
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${topic} could not be read to its end within 60 s; partitions ${[...open]} are left`)), 60_000)
      onEnd(consumer, reject)
      // Also for batches that end in control records: the position counts, not the records.
      consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
        if (Number(payload.lastOffset) + 1 >= (ends.get(payload.partition)?.high ?? 0)) open.delete(payload.partition)
        if (open.size > 0) return
        clearTimeout(timer)
        resolve()
      })
      const eachBatch = async ({ batch }: kafkajs.EachBatchPayload) => {
        for (const message of batch.messages) records.add(found(batch.partition, message))
      }
      consumer.run({ eachBatch }).catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
  return records.all
}

/** Makes a Kafka topic that is none of the broker's. */
export async function makeKafkaTopic(brokers: string, topic: string, numPartitions: number): Promise<void> {
  const admin = new kafkajs.Kafka({ clientId: 'analyst', brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions, replicationFactor: 1 }] })
  } finally {
    await admin.disconnect()
  }
}
