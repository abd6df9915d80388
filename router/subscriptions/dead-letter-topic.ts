/**
 * Dead letters in a Kafka topic: the event itself, with the documented properties as extension attributes, so that whatever
 * reads events reads these, an event subscription on them included.
 */
import type { Appender } from '../../log/log.ts'

export interface DeadLetterTopicOptions {
  readonly appender: Appender
  readonly topic: string
  /** Partitions of the topic; what belongs to one subscription goes through them in turn. */
  partitions(): Promise<number>
  readonly now: () => number
}

/** As events/dead-letter.ts makes it. */
interface DeadLetterDocument {
  readonly event: object
  readonly deadletterProperties: object
}

const structured = { name: 'content-type', value: Buffer.from('application/cloudevents+json; charset=utf-8') }

export class DeadLetterTopic {
  readonly #options: DeadLetterTopicOptions
  #next = 0

  constructor(options: DeadLetterTopicOptions) {
    this.#options = options
  }

  /** Resolves once all of them are in the log. */
  async write(documents: readonly object[]): Promise<void> {
    const { appender, topic, partitions, now } = this.#options
    const count = await partitions()
    await Promise.all(
      documents.map((document) => {
        const { event, deadletterProperties } = document as DeadLetterDocument
        const value = Buffer.from(JSON.stringify({ ...event, ...deadletterProperties }))
        return appender.write({ topic, partition: this.#next++ % count, key: null, value, timestamp: now(), headers: [structured] })
      }),
    )
  }
}
