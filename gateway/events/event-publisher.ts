/** Appends the events of a request to their topic; resolved once all of them are in the log. */
import type { CloudEvent } from '../../events/cloud-event.ts'
import { eventRecord } from '../../events/kafka-binding.ts'
import { partitionKeyOf } from '../../events/publish-request.ts'
import type { Appender } from '../../log/log.ts'
import { partitionOf } from '../../log/partitioner.ts'
import { namespaceTopicName, type TopicNames } from '../../log/topics.ts'
import type { RegistryView } from '../../model/registry-view.ts'

export interface EventPublisherOptions {
  readonly appender: Appender
  readonly topics: TopicNames
  readonly view: RegistryView
  readonly now: () => number
}

export class EventPublisher {
  readonly #options: EventPublisherOptions
  /** Events without a key go through the partitions in turn. */
  #next = 0

  constructor(options: EventPublisherOptions) {
    this.#options = options
  }

  /** Bytes that are on their way into the log. */
  get pendingBytes(): number {
    return this.#options.appender.pendingBytes
  }

  /** Whether there is such a topic now. */
  hasTopic(topic: string): boolean {
    return this.#options.view.topics.has(topic)
  }

  /** Rejects with AppendError; then some of the events may be in the log all the same. */
  async publish(topic: string, events: readonly CloudEvent[]): Promise<void> {
    const { appender, topics, view, now } = this.#options
    const name = namespaceTopicName({ names: topics }, topic)
    const partitions = view.topics.get(topic)?.properties.partitions ?? 1
    const timestamp = now()
    await Promise.all(
      events.map((event) => {
        const key = partitionKeyOf(event)
        const partition = key === undefined ? this.#next++ % partitions : partitionOf(key, partitions)
        return appender.write({ topic: name, partition, key: key === undefined ? null : Buffer.from(key), timestamp, ...eventRecord(event) })
      }),
    )
  }
}
