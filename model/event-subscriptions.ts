/** Namespace topics and their event subscriptions as the registry holds them (NT-01, NT-07 to NT-10, PU-01 to PU-11). */
import { lifecycleTopic } from '../log/topics.ts'

/** The operators of Event Grid's filters (NT-11); what each means is events/filter.ts. */
export const operatorTypes = [
  'NumberIn',
  'NumberNotIn',
  'NumberLessThan',
  'NumberGreaterThan',
  'NumberLessThanOrEquals',
  'NumberGreaterThanOrEquals',
  'NumberInRange',
  'NumberNotInRange',
  'BoolEquals',
  'StringContains',
  'StringNotContains',
  'StringBeginsWith',
  'StringNotBeginsWith',
  'StringEndsWith',
  'StringNotEndsWith',
  'StringIn',
  'StringNotIn',
  'IsNullOrUndefined',
  'IsNotNull',
] as const
export type OperatorType = (typeof operatorTypes)[number]

/** Both ends belong to it. */
export type NumberRange = readonly [from: number, to: number]

/** One filter as it is configured; `value` or `values` by its operator. */
export interface EventFilter {
  readonly operatorType: OperatorType
  /** `subject`, `type` or another context attribute, the name of an extension, `data`, or a path into it such as `data.door.open`. */
  readonly key: string
  readonly value?: number | boolean
  readonly values?: readonly (number | string | NumberRange)[]
}

/** All of it must hold: one of the types, and each filter. What is left out holds always. */
export interface FiltersConfiguration {
  readonly includedEventTypes?: readonly string[]
  readonly filters?: readonly EventFilter[]
  /** Whether the elements of an array count as the values of its key. Otherwise an array is like a missing key. */
  readonly enableAdvancedFilteringOnArrays?: boolean
}

export interface NamespaceTopicProperties {
  /** Days that events are kept, 1 to 7. */
  readonly eventRetentionInDays: number
  readonly inputSchema: 'CloudEventSchemaV1_0'
  readonly publisherType: 'Custom'
  /** Of the Kafka topic; fixed once it exists. */
  readonly partitions: number
  readonly description?: string
}

/** Where events go that could not be delivered; stands in the field of this name of Azure's bodies. */
export interface DeadLetterDestination {
  readonly deadLetterDestination:
    | { readonly endpointType: 'KafkaTopic'; readonly properties: { readonly topicName: string } }
    /** A folder below the routers' DEAD_LETTER_FOLDER. */
    | { readonly endpointType: 'Folder'; readonly properties: { readonly folderName: string } }
    /** A bucket of the store at the routers' DEAD_LETTER_S3_ENDPOINT. */
    | { readonly endpointType: 'S3Bucket'; readonly properties: { readonly bucketName: string } }
}

interface DeliveryPolicy {
  /** Deliveries of one event, 1 to 10, after which it is a dead letter. */
  readonly maxDeliveryCount: number
  /** ISO 8601, PT1M to the topic's retention: older events are dead letters. */
  readonly eventTimeToLive: string
  readonly deadLetterDestinationWithResourceIdentity?: DeadLetterDestination
}

export interface QueueDelivery extends DeliveryPolicy {
  /** Seconds for which a received event is its receiver's, 60 to 300. */
  readonly receiveLockDurationInSeconds: number
}

/** A header of a webhook's requests: the same for all, or out of the event. */
export type DeliveryAttributeMapping =
  | { readonly name: string; readonly type: 'Static'; readonly properties: { readonly value: string; readonly isSecret?: boolean } }
  | { readonly name: string; readonly type: 'Dynamic'; readonly properties: { readonly sourceField: string } }

export const minimumTlsVersions = ['1.2', '1.3'] as const

export interface WebhookDestination {
  readonly endpointType: 'WebHook'
  readonly properties: {
    /** Its query may hold a key: answers show it without. */
    readonly endpointUrl: string
    readonly maxEventsPerBatch?: number
    readonly preferredBatchSizeInKilobytes?: number
    readonly minimumTlsVersionAllowed?: (typeof minimumTlsVersions)[number]
    readonly deliveryAttributeMappings?: readonly DeliveryAttributeMapping[]
    /** Requests under way at a time; bounded by PUSH_REQUESTS_PER_SUBSCRIPTION. */
    readonly maxConcurrentRequests?: number
    readonly maxRequestsPerMinute?: number
    /** ByKey: an event waits until those before it of its key are settled. None without it. */
    readonly deliveryOrder?: (typeof deliveryOrders)[number]
  }
}

export const deliveryOrders = ['None', 'ByKey'] as const

/** What the webhook has said in its handshake (PU-02). */
export interface WebhookConsent {
  /** The DNS name that it has agreed to. */
  readonly origin: string
  /** Requests per minute that it allows; null for any number. */
  readonly perMinute: number | null
}

export const deliveryStates = ['Active', 'Paused'] as const

export interface PushDelivery extends DeliveryPolicy {
  readonly destination: WebhookDestination
}

export type DeliveryConfiguration =
  | { readonly deliveryMode: 'Queue'; readonly queue: QueueDelivery }
  | { readonly deliveryMode: 'Push'; readonly push: PushDelivery }

/** What only the services know of a subscription: where it began. A later one of its name has another id and none of its state. */
export interface SubscriptionStart {
  readonly id: string
  /** The first offset of each partition of the topic's Kafka topic; 0 of those it got later. */
  readonly offsets: readonly number[]
}

export interface EventSubscriptionProperties {
  readonly deliveryConfiguration: DeliveryConfiguration
  readonly eventDeliverySchema: 'CloudEventSchemaV1_0'
  readonly filtersConfiguration: FiltersConfiguration
  /** After it the subscription is over: it takes no more events, and nobody receives any. */
  readonly expirationTimeUtc?: string
  readonly description?: string
  /** Paused: nothing is pushed; events wait in the topic. */
  readonly deliveryState?: (typeof deliveryStates)[number]
  readonly start: SubscriptionStart
  /** Of a webhook's subscription; known to the services only. */
  readonly consent?: WebhookConsent
}

export const retentionDaysMax = 7
export const deliveryCountMax = 10

/** What both modes of delivery have in common. */
export function deliveryPolicyOf(configuration: DeliveryConfiguration): QueueDelivery | PushDelivery {
  return configuration.deliveryMode === 'Queue' ? configuration.queue : configuration.push
}

/** The record's name of a subscription: `{topic}/{subscription}`. */
export const subscriptionName = (topic: string, subscription: string): string => `${topic}/${subscription}`

/** Its two parts. */
export function splitSubscriptionName(name: string): { readonly topic: string; readonly subscription: string } {
  const slash = name.indexOf('/')
  return { topic: name.slice(0, slash), subscription: name.slice(slash + 1) }
}

const lifecycleProperties: NamespaceTopicProperties = {
  eventRetentionInDays: retentionDaysMax,
  inputSchema: 'CloudEventSchemaV1_0',
  publisherType: 'Custom',
  partitions: 0,
}

/** The topic that subscriptions may be of: one of the namespace's, or that of its life cycle events; undefined when there is none. */
export function subscribedTopic(
  { topics }: { readonly topics: { get(name: string): { readonly properties: NamespaceTopicProperties } | undefined } },
  name: string,
): NamespaceTopicProperties | undefined {
  return name === lifecycleTopic ? lifecycleProperties : topics.get(name)?.properties
}

type Json = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Reads a stored topic; undefined when it is none. */
export function readNamespaceTopic(json: Json): NamespaceTopicProperties | undefined {
  const { eventRetentionInDays, partitions, description } = json
  if (!Number.isInteger(eventRetentionInDays) || !Number.isInteger(partitions)) return undefined
  return {
    eventRetentionInDays: eventRetentionInDays as number,
    inputSchema: 'CloudEventSchemaV1_0',
    publisherType: 'Custom',
    partitions: partitions as number,
    ...(typeof description === 'string' ? { description } : {}),
  }
}

/** Reads a stored subscription; undefined when it is none: then it takes no events. It was checked whole when it was written. */
export function readEventSubscription(json: Json): EventSubscriptionProperties | undefined {
  const { deliveryConfiguration, filtersConfiguration, start } = json
  if (!isObject(deliveryConfiguration) || !isObject(start) || typeof start.id !== 'string' || !Array.isArray(start.offsets)) return undefined
  const isQueue = deliveryConfiguration.deliveryMode === 'Queue' && isObject(deliveryConfiguration.queue)
  const isPush = deliveryConfiguration.deliveryMode === 'Push' && isObject(deliveryConfiguration.push)
  if (!isQueue && !isPush) return undefined
  return { ...json, filtersConfiguration: isObject(filtersConfiguration) ? filtersConfiguration : {} } as unknown as EventSubscriptionProperties
}

/** Without what answers, logs and life cycle events must not show: where it began, secret headers, and the query of a webhook's URL. */
export function shownEventSubscription({ start: _start, consent: _consent, ...shown }: EventSubscriptionProperties): object {
  const { deliveryConfiguration } = shown
  if (deliveryConfiguration.deliveryMode === 'Queue') return shown
  const { destination, ...policy } = deliveryConfiguration.push
  const { endpointUrl, deliveryAttributeMappings, ...others } = destination.properties
  const mappings = deliveryAttributeMappings?.map((mapping) =>
    mapping.type === 'Static' && mapping.properties.isSecret ? { ...mapping, properties: { isSecret: true } } : mapping,
  )
  const { origin, pathname } = new URL(endpointUrl)
  const endpointBaseUrl = `${origin}${pathname}`
  const properties = {
    ...(endpointUrl === endpointBaseUrl ? { endpointUrl } : {}),
    endpointBaseUrl,
    ...others,
    ...(mappings ? { deliveryAttributeMappings: mappings } : {}),
  }
  return { ...shown, deliveryConfiguration: { deliveryMode: 'Push', push: { ...policy, destination: { endpointType: 'WebHook', properties } } } }
}
