/** Writes replayed messages to a Kafka topic, in the forms that routes write (docs/routing.md). */
import { cloudEventOf } from '../../events/cloud-event.ts'
import { eventRecord, type RecordContent, rawRecord, structuredRecord } from '../../events/kafka-binding.ts'
import { type HistoryLine, messageOfLine } from '../../history/history-line.ts'
import type { Appender, Log } from '../../log/log.ts'
import { partitionOf } from '../../log/partitioner.ts'
import { topicKinds } from '../../log/topics.ts'
import { Failure } from '../failure.ts'
import type { KafkaFormat } from './kafka-format.ts'
import type { ReplayOutput, Standing } from './output.ts'

/** Value and headers of a message; where it stood in the log is one of them, by which a reader tells what it had already. */
export function recordOf(line: HistoryLine, format: KafkaFormat, namespace: string): RecordContent {
  const message = messageOfLine(line)
  const { value, headers } =
    format === 'raw'
      ? rawRecord(message, {})
      : format === 'cloudEventsBinary'
        ? eventRecord(cloudEventOf(message, namespace))
        : structuredRecord(cloudEventOf(message, namespace))
  return { value, headers: [...headers, { name: 'loggerhead_position', value: Buffer.from(line.position) }] }
}

/** The broker's own topics are its memory: what somebody else writes there would be taken for it. */
export function isOwnTopic(topic: string, prefix: string): boolean {
  const [namespace, kind, ...more] = topic.startsWith(`${prefix}.`) ? topic.slice(prefix.length + 1).split('.') : []
  return namespace !== undefined && more.length === 0 && topicKinds.some((each) => each === kind)
}

export class KafkaTarget implements ReplayOutput {
  readonly #appender: Appender
  readonly #log: Log
  readonly #topic: string
  readonly #partitions: number
  readonly #record: (line: HistoryLine) => RecordContent

  private constructor(log: Log, appender: Appender, topic: string, partitions: number, record: (line: HistoryLine) => RecordContent) {
    this.#log = log
    this.#appender = appender
    this.#topic = topic
    this.#partitions = partitions
    this.#record = record
  }

  /** The topic must be there. Closes the log with itself. Throws Failure. */
  static async open(log: Log, topic: string, format: KafkaFormat, namespace: string): Promise<KafkaTarget> {
    try {
      const partitions = (await log.endOffsets(topic)).size
      return new KafkaTarget(log, await log.appender(), topic, partitions, (line) => recordOf(line, format, namespace))
    } catch (error) {
      await log.close()
      throw new Failure(`the Kafka topic ${topic} cannot be written to: ${(error as Error).message}`, { cause: error })
    }
  }

  async write(lines: readonly HistoryLine[]): Promise<void> {
    // As at a broker, an empty one in its place would be another message.
    const there = lines.filter(({ erased }) => !erased)
    try {
      await Promise.all(
        there.map((line) => {
          const key = Buffer.from(line.topic)
          return this.#appender.write({
            topic: this.#topic,
            partition: partitionOf(key, this.#partitions),
            key,
            ...this.#record(line),
            timestamp: Date.parse(line.receivedAt),
          })
        }),
      )
    } catch (error) {
      throw new Failure(`the Kafka topic ${this.#topic} does not take it: ${(error as Error).message}`, { cause: error })
    }
  }

  /** What `write` has resolved for stands. */
  async settle(): Promise<Standing> {
    return {}
  }

  async close(): Promise<void> {
    await this.#appender.close()
    await this.#log.close()
  }
}
