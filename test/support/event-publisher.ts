/** Puts CloudEvents into the Kafka topic of a namespace topic, as any Kafka client may. */
import { KafkaLog } from '../../log/kafka/kafka-log.ts'
import type { Appender } from '../../log/log.ts'
import { partitionOf } from '../../log/partitioner.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const text = (name: string, value: string) => ({ name, value: Buffer.from(value) })

export interface PublishedEvent {
  readonly id: string
  /** Of the record: events of one key keep their order. */
  readonly key: string
  readonly data: unknown
}

export class EventPublisher {
  readonly #log: KafkaLog
  readonly #topic: string
  #appender: Promise<Appender> | undefined

  constructor(brokers: string, topic: string) {
    this.#log = new KafkaLog({ brokers: brokers.split(','), clientId: 'event-publisher', logger: silent })
    this.#topic = topic
  }

  /** Resolves once all of them are in the log, in their order. */
  async publish(events: readonly PublishedEvent[]): Promise<void> {
    const partitions = await this.#log.partitions(this.#topic)
    this.#appender ??= this.#log.appender()
    const appender = await this.#appender
    await Promise.all(
      events.map(({ id, key, data }) =>
        appender.write({
          topic: this.#topic,
          partition: partitionOf(key, partitions),
          key: Buffer.from(key),
          value: Buffer.from(JSON.stringify(data)),
          timestamp: Date.now(),
          headers: [
            text('ce_specversion', '1.0'),
            text('ce_id', id),
            text('ce_source', '/test'),
            text('ce_type', 'test.event'),
            text('ce_subject', key),
            text('content-type', 'application/json'),
          ],
        }),
      ),
    )
  }

  async close(): Promise<void> {
    await (await this.#appender)?.close()
    await this.#log.close()
  }
}
