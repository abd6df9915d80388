/**
 * Dead letters in a Kafka topic: the event itself, with the documented properties as extension attributes, so that whatever
 * reads events reads these, an event subscription on them included. A header tells where the event came from.
 */
import type { Appender, Log } from '../../log/log.ts'
import type { DeadLetterSink } from '../push/dead-letter-writer.ts'
import type { EventPlace } from './ledger.ts'

export interface DeadLetterTopicOptions {
  readonly log: Pick<Log, 'partitions' | 'offsetsAt' | 'endOffsets' | 'read'>
  readonly appender: Appender
  readonly topic: string
  /** The subscription whose dead letters they are. */
  readonly of: { readonly topic: string; readonly subscription: string }
  readonly now: () => number
}

/** As events/dead-letter.ts makes it. */
interface DeadLetterDocument {
  readonly event: object
  readonly deadletterProperties: object
  readonly source?: EventPlace
}

const structured = { name: 'content-type', value: Buffer.from('application/cloudevents+json; charset=utf-8') }
const sourceHeader = 'loggerhead-source'

/** Goes through the partitions of the topic in turn. */
export function deadLetterTopic({ log, appender, topic, of, now }: DeadLetterTopicOptions): DeadLetterSink {
  let next = 0
  return {
    encode(document) {
      const { event, deadletterProperties, source } = document as DeadLetterDocument
      return { body: Buffer.from(JSON.stringify({ ...event, ...deadletterProperties })), source }
    },

    async write(letters) {
      const count = await log.partitions(topic)
      const written = letters.map(({ body, source }) => {
        const header = { name: sourceHeader, value: Buffer.from(JSON.stringify({ ...of, ...source })) }
        return appender.write({ topic, partition: next++ % count, key: null, value: body, timestamp: now(), headers: [structured, header] })
      })
      return (await Promise.allSettled(written)).map((one) => (one.status === 'rejected' ? (one.reason as Error) : undefined))
    },

    async *read(sinceMs) {
      const [starts, ends] = await Promise.all([log.offsetsAt(topic, sinceMs), log.endOffsets(topic)])
      for (const [partition, end] of ends) {
        let offset = starts.get(partition) ?? end
        while (offset < end) {
          const { records, nextOffset } = await log.read(topic, partition, offset)
          const sources = records.flatMap(({ headers, offset: at }) => (at < end ? (sourceIn(headers, of) ?? []) : []))
          if (sources.length > 0) yield { sources, done: async () => {} }
          if (nextOffset <= offset) break
          offset = nextOffset
        }
      }
    },
  }
}

function sourceIn(headers: readonly { readonly name: string; readonly value: Buffer | null }[], of: DeadLetterTopicOptions['of']): EventPlace | undefined {
  const text = headers.find(({ name }) => name === sourceHeader)?.value?.toString()
  try {
    const { topic, subscription, partition, offset } = JSON.parse(text ?? '') as Readonly<Record<string, unknown>>
    if (topic !== of.topic || subscription !== of.subscription || !Number.isSafeInteger(partition) || !Number.isSafeInteger(offset)) return undefined
    return { partition: partition as number, offset: offset as number }
  } catch {
    return undefined // somebody else's record
  }
}
