/** Who keeps the dead letters of an event subscription: a Kafka topic, a folder or a bucket, as the subscription names it. */
import type { Logger } from 'pino'
import { deadLetterWaits } from '../../events/dead-letter.ts'
import type { Appender, Log } from '../../log/log.ts'
import { deliveryPolicyOf, splitSubscriptionName } from '../../model/event-subscriptions.ts'
import type { Resource } from '../../model/registry-resources.ts'
import type { RouterConfig } from '../config.ts'
import { deadLetterTopic } from '../subscriptions/dead-letter-topic.ts'
import type { DeadLetterKeeper } from '../subscriptions/giving-up.ts'
import { BucketStore } from './bucket-store.ts'
import { deadLetterBucket } from './dead-letter-bucket.ts'
import { deadLetterFolder } from './dead-letter-folder.ts'
import { DeadLetterWriter } from './dead-letter-writer.ts'

export interface DeadLetterKeepersOptions {
  readonly config: RouterConfig
  readonly log: Log
  readonly logger: Logger
  readonly now: () => number
  /** There is one when shards are taken. */
  readonly appender: () => Appender
}

export class DeadLetterKeepers {
  readonly #options: DeadLetterKeepersOptions
  readonly #store: BucketStore | undefined

  constructor(options: DeadLetterKeepersOptions) {
    this.#options = options
    const { push, outgoing: policy, outgoingCa: ca } = options.config
    this.#store = push.deadLetterStore && new BucketStore({ ...push.deadLetterStore, policy, ca })
  }

  /** Undefined when the subscription names none. */
  keeperOf({ name, properties }: Resource<'eventSubscriptions'>): DeadLetterKeeper | undefined {
    const { config, log, now, logger, appender } = this.#options
    const named = deliveryPolicyOf(properties.deliveryConfiguration).deadLetterDestinationWithResourceIdentity?.deadLetterDestination
    if (!named) return undefined
    const { deadLetterFolder: root, deadLetterStore: store, deadLetterPeriodMs: periodMs } = config.push
    const of = splitSubscriptionName(name)
    const sink =
      named.endpointType === 'KafkaTopic'
        ? deadLetterTopic({ log, appender: appender(), topic: named.properties.topicName, of, now })
        : named.endpointType === 'Folder'
          ? deadLetterFolder({ root, name: named.properties.folderName, namespace: config.namespace, ...of, now })
          : deadLetterBucket({
              store: this.#store,
              allowed: store?.buckets ?? [],
              bucket: named.properties.bucketName,
              namespace: config.namespace,
              ...of,
              now,
            })
    return new DeadLetterWriter({
      sink,
      schedule: deadLetterWaits,
      periodMs,
      now,
      chance: Math.random,
      onFailed: (error, documents) => logger.warn({ err: error, ...of, documents }, 'dead letters could not be written; trying on'),
      onDropped: (error) => logger.error({ err: error, ...of }, 'a dead letter can never be written; it is dropped'),
    })
  }

  close(): void {
    this.#store?.close()
  }
}
