/** The records of a topic of the log, decoded, as they come. Reads Kafka itself and needs no service. */
import { pino } from 'pino'
import type { LogRecord } from '../log/log.ts'
import { openSchemaIds } from '../log/schema-registry/schema-ids.ts'
import { schemaRegistryConfig, schemaRegistrySettings } from '../log/schema-registry/settings.ts'
import { type TopicKind, type TopicNames, topicKinds } from '../log/topics.ts'
import { decodePublished } from '../schemas/codec.ts'
import type { RegistrySnapshotChunk } from '../schemas/registry-records.ts'
import { readSettings } from '../settings/setting.ts'
import { Failure } from './failure.ts'
import { openLog } from './kafka.ts'
import { namespaceTopics } from './namespace-topics.ts'
import { showNext } from './output.ts'
import { readable } from './payload.ts'
import type { Surroundings } from './surroundings.ts'

const secret = new Set(['hash'])

/** A value of a record as JSON shows it: bytes as text where they are some, JSON within text taken apart, hashes of keys left out. */
export function shownValue(value: unknown, field = ''): unknown {
  if (Buffer.isBuffer(value)) {
    const { payload, payloadBase64 } = readable(value)
    return payload ?? payloadBase64
  }
  if (Array.isArray(value)) return value.map((each) => shownValue(each))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).flatMap(([name, each]) => (secret.has(name) ? [] : [[name, shownValue(each, name)]])))
  }
  if (typeof value === 'string' && (field === 'data' || field === 'properties') && value.startsWith('{')) {
    try {
      return shownValue(JSON.parse(value))
    } catch {
      return value
    }
  }
  return value
}

/** What a client's messages are sealed with is shown to nobody; of a snapshot of the registry, which records it holds: they stand in `registry`. */
export function shownRecord(name: string, record: object): unknown {
  if (name === 'RegistrySnapshotChunk') return { ...record, records: (record as RegistrySnapshotChunk).records.map(({ offset, key }) => ({ offset, key })) }
  return shownValue(name === 'ClientKey' ? { ...record, key: null } : record)
}

function lineOf({ partition, offset, timestamp, key, value }: LogRecord): object {
  const stands = { partition, offset, time: new Date(timestamp).toISOString(), key: key?.toString('utf8') ?? null }
  if (value === null) return { ...stands, deleted: true }
  try {
    const { name, value: record } = decodePublished(value)
    return { ...stands, record: name, value: shownRecord(name, record) }
  } catch (error) {
    return { ...stands, unreadable: (error as Error).message }
  }
}

/** So that records in the wire format of a schema registry can be read; nothing is registered. */
async function learnSchemaIds(environment: Surroundings['environment'], topics: TopicNames): Promise<void> {
  const config = schemaRegistryConfig(readSettings(schemaRegistrySettings, environment))
  const reading = config && { ...config, writesIds: false, registers: false, startTimeoutMs: Math.min(config.startTimeoutMs, 10_000) }
  await openSchemaIds(reading, pino({ level: 'silent' }))
    ?.learn(topics)
    .catch((error: Error) => {
      throw new Failure(error.message)
    })
}

export interface TailOptions {
  readonly fromBeginning?: boolean
  readonly last: number
  readonly count?: number
  readonly end?: boolean
}

/** Prints the records of a kind of topic until the options say enough. */
export async function tail(around: Surroundings, kind: string, options: TailOptions): Promise<void> {
  if (!(topicKinds as readonly string[]).includes(kind)) throw new Failure(`“${kind}” is not one of ${topicKinds.join(', ')}`)
  const { environment, format, print } = around
  const log = openLog(environment)
  try {
    const topics = await namespaceTopics(log, around)
    const topic = topics[kind as TopicKind]
    await learnSchemaIds(environment, topics)
    const [start, end] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic)]).catch((error: Error) => {
      throw new Failure(`the topic ${topic} cannot be read: ${error.message}`)
    })
    const from = new Map(
      [...end].map(([partition, offset]) => [
        partition,
        options.fromBeginning ? (start.get(partition) ?? 0) : Math.max(start.get(partition) ?? 0, offset - options.last),
      ]),
    )
    const waiting = new Set([...end].filter(([partition, offset]) => (from.get(partition) ?? 0) < offset).map(([partition]) => partition))
    if (options.end && waiting.size === 0) return
    const follower = await log.follow({ topic, from })
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(0))
    let left = options.count ?? Number.POSITIVE_INFINITY
    for await (const stretch of follower.stretches()) {
      const to = end.get(stretch.partition) ?? 0
      for (const record of stretch.records) {
        if (options.end && record.offset >= to) break
        print(showNext(format, lineOf(record)))
        if (--left === 0) return
      }
      if (stretch.nextOffset >= to) waiting.delete(stretch.partition)
      if (options.end && waiting.size === 0) return
    }
  } finally {
    await log.close()
  }
}
