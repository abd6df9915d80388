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

/** Reads a topic from its beginning, as it grows, until it is enough. In the order of each partition. */
export async function collectRecords(
  brokers: string,
  topic: string,
  isEnough: (records: readonly FoundRecord[]) => boolean,
  deadlineMs = 60_000,
): Promise<readonly FoundRecord[]> {
  const kafka = new kafkajs.Kafka({ clientId: 'analyst', brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: `analytics-${randomBytes(6).toString('hex')}` })
  const records: FoundRecord[] = []
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${topic}: ${records.length} records within ${deadlineMs} ms were not enough`)), deadlineMs)
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      consumer
        .run({
          eachMessage: async ({ partition, message: { offset, key, value, headers } }) => {
            const text = Object.entries(headers ?? {}).map(([name, of]) => [name, String(Array.isArray(of) ? of.at(-1) : of)])
            records.push({ partition, offset: Number(offset), key: key?.toString() ?? null, value, headers: Object.fromEntries(text) })
            if (!isEnough(records)) return
            clearTimeout(timer)
            resolve()
          },
        })
        .catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
  return records
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
