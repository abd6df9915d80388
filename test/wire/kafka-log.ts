import { decodeRecord } from '../../schemas/codec.ts'
import type { AnyRecord, RecordName, Records } from '../../schemas/records.ts'
import { readAll } from './kafka-records.ts'

export interface Read<N extends RecordName> {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: Records[N]
}

/** Everything that stands in a topic now, read by an ordinary Kafka client; per partition in the order of the log. */
export async function readTopic(
  brokers: string,
  topic: string,
): Promise<{ readonly partition: number; readonly offset: number; readonly key: string | null; readonly record: AnyRecord | null }[]> {
  const records = await readAll(brokers, topic)
  return records.map(({ partition, offset, key, value }) => ({ partition, offset, key, record: value === null ? null : decodeRecord(value) }))
}

/** The records of one schema in a topic. */
export async function readRecords<N extends RecordName>(brokers: string, topic: string, name: N): Promise<Read<N>[]> {
  const all = await readTopic(brokers, topic)
  // The name tells the value's type: records.ts.
  return all.flatMap(({ record, ...at }) => (record?.name === name ? [{ ...at, value: record.value as Records[N] }] : []))
}
