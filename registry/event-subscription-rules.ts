/** What a namespace topic and an event subscription may be, beyond what their schemas say (spec 1.15 to 1.17): pure. */
import { filterViolations } from '../events/filter.ts'
import { parseDuration } from '../log/duration.ts'
import {
  type DeadLetterDestination,
  type DeliveryAttributeMapping,
  deliveryCountMax,
  type EventSubscriptionProperties,
  type NamespaceTopicProperties,
  retentionDaysMax,
  type SubscriptionStart,
  type WebhookDestination,
} from '../model/event-subscriptions.ts'
import { baseOf, checkUrl } from './client-authentication-rules.ts'
import type { Violation } from './problem.ts'

type Json = Readonly<Record<string, unknown>>

/** A resource as it would be stored, and what stands against it. */
export interface CheckedResource {
  readonly properties: Json
  readonly violations: readonly Violation[]
  readonly warnings: readonly string[]
}

const dayMs = 86_400_000
const leastTimeToLiveMs = 60_000

/** `partitions` is what the Kafka topic has, or would get. */
export function checkNamespaceTopic(asked: Json, before: NamespaceTopicProperties | undefined, partitions: number): CheckedResource {
  const violations: Violation[] = []
  const known = before?.partitions ?? partitions
  if (asked.partitions !== undefined && asked.partitions !== known) {
    violations.push({ field: 'properties.partitions', value: asked.partitions, rule: `is fixed once the Kafka topic exists, and is ${known}` })
  }
  const properties = {
    eventRetentionInDays: asked.eventRetentionInDays ?? before?.eventRetentionInDays ?? retentionDaysMax,
    inputSchema: 'CloudEventSchemaV1_0',
    publisherType: 'Custom',
    partitions: known,
    ...(asked.description === undefined ? {} : { description: asked.description }),
  }
  return { properties, violations, warnings: [] }
}

export interface AskedSubscription {
  /** Of the right shape: resource-schemas.ts has been applied. */
  readonly asked: Json
  readonly before: EventSubscriptionProperties | undefined
  readonly topic: NamespaceTopicProperties
  /** Where it begins when it is new. */
  readonly start: SubscriptionStart
  readonly now: number
}

export function checkEventSubscription({ asked, before, topic, start, now }: AskedSubscription): CheckedResource {
  const violations: Violation[] = []
  const warnings: string[] = []
  const { filtersConfiguration = {}, expirationTimeUtc, description } = asked
  violations.push(...filterViolations(filtersConfiguration, 'properties.filtersConfiguration'))
  if (expirationTimeUtc !== undefined) violations.push(...expirationViolations(expirationTimeUtc as string, now))
  const properties = {
    deliveryConfiguration: checkDelivery(asked.deliveryConfiguration as Json, { before, topic, violations, warnings }),
    eventDeliverySchema: 'CloudEventSchemaV1_0',
    filtersConfiguration,
    ...(expirationTimeUtc === undefined ? {} : { expirationTimeUtc }),
    ...(description === undefined ? {} : { description }),
    start: before?.start ?? start,
  }
  return { properties, violations, warnings }
}

function expirationViolations(time: string, now: number): readonly Violation[] {
  const field = 'properties.expirationTimeUtc'
  const at = Date.parse(time)
  if (Number.isNaN(at)) return [{ field, value: time, rule: 'a time such as 2030-01-31T00:00:00Z' }]
  return at <= now ? [{ field, value: time, rule: 'must be in the future' }] : []
}

interface Around {
  readonly before: EventSubscriptionProperties | undefined
  readonly topic: NamespaceTopicProperties
  readonly violations: Violation[]
  readonly warnings: string[]
}

const at = 'properties.deliveryConfiguration'

function checkDelivery({ deliveryMode, queue, push }: Json, around: Around): Json {
  const { violations } = around
  const [mode, other] = deliveryMode === 'Queue' ? (['queue', push] as const) : (['push', queue] as const)
  if (other !== undefined)
    violations.push({ field: `${at}.${mode === 'queue' ? 'push' : 'queue'}`, rule: `does not go with the deliveryMode ${String(deliveryMode)}` })
  if (mode === 'queue') {
    const asked = (queue ?? {}) as Json
    return { deliveryMode, queue: { receiveLockDurationInSeconds: asked.receiveLockDurationInSeconds ?? 60, ...checkPolicy(asked, `${at}.queue`, around) } }
  }
  const { destination, deliveryWithResourceIdentity } = (push ?? {}) as { readonly destination?: Json; readonly deliveryWithResourceIdentity?: Json }
  const chosen = destination ?? (deliveryWithResourceIdentity?.destination as Json | undefined)
  const field = destination || !deliveryWithResourceIdentity ? `${at}.push.destination` : `${at}.push.deliveryWithResourceIdentity.destination`
  if (!chosen) violations.push({ field, rule: 'is required' })
  if (destination && deliveryWithResourceIdentity)
    violations.push({ field: `${at}.push.deliveryWithResourceIdentity`, rule: 'and destination exclude each other' })
  const policy = checkPolicy((push ?? {}) as Json, `${at}.push`, around)
  return { deliveryMode, push: { ...policy, ...(chosen ? { destination: checkWebhook(chosen, field, around) } : {}) } }
}

function checkPolicy(
  { maxDeliveryCount, eventTimeToLive, deadLetterDestinationWithResourceIdentity }: Json,
  field: string,
  { topic, violations }: Around,
): Json {
  const retention = `P${topic.eventRetentionInDays}D`
  const ttl = (eventTimeToLive as string | undefined) ?? retention
  const ms = /^P/.test(ttl) ? parseDuration(ttl) : null
  if (ms === null || ms < leastTimeToLiveMs || ms > topic.eventRetentionInDays * dayMs) {
    violations.push({ field: `${field}.eventTimeToLive`, value: ttl, rule: `a length of time (ISO 8601) from PT1M to the topic’s retention, ${retention}` })
  }
  return {
    maxDeliveryCount: maxDeliveryCount ?? deliveryCountMax,
    eventTimeToLive: ttl,
    ...(deadLetterDestinationWithResourceIdentity === undefined ? {} : { deadLetterDestinationWithResourceIdentity }),
  }
}

/** Secrets that are not sent again stay as they were: answers show neither them nor the query of the URL. */
function checkWebhook(asked: Json, field: string, { before, violations, warnings }: Around): Json {
  const { endpointUrl, endpointBaseUrl, deliveryAttributeMappings, ...others } = asked.properties as Json
  const known = before?.deliveryConfiguration.deliveryMode === 'Push' ? before.deliveryConfiguration.push.destination : undefined
  const kept = known && endpointBaseUrl === baseOf(known.properties.endpointUrl) ? known.properties.endpointUrl : undefined
  const url = (endpointUrl as string | undefined) ?? kept
  if (url === undefined) violations.push({ field: `${field}.properties.endpointUrl`, rule: 'is required' })
  else checkUrl(`${field}.properties.endpointUrl`, url, violations, warnings)
  const mappings = (deliveryAttributeMappings as readonly Json[] | undefined)?.map((mapping, index) =>
    checkMapping(mapping, `${field}.properties.deliveryAttributeMappings[${index}]`, known, violations),
  )
  if (mappings) violations.push(...repeatedNames(mappings, `${field}.properties.deliveryAttributeMappings`))
  return { endpointType: 'WebHook', properties: { endpointUrl: url, ...others, ...(mappings ? { deliveryAttributeMappings: mappings } : {}) } }
}

/** Headers that are part of the delivery itself, or of HTTP's own framing. */
const reservedHeader = /^(?:ce-.*|content-.*|host|origin|connection|transfer-encoding|te|trailer|upgrade|keep-alive|expect|webhook-.*|aeg-.*)$/i
const headerBytesMax = 4096

function checkMapping(mapping: Json, field: string, known: WebhookDestination | undefined, violations: Violation[]): DeliveryAttributeMapping {
  const { name, type, properties } = mapping as { readonly name: string; readonly type: 'Static' | 'Dynamic'; readonly properties: Json }
  const { value, isSecret, sourceField } = properties
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/.test(name))
    violations.push({ field: `${field}.name`, value: name, rule: 'a header name of at most 128 characters' })
  else if (reservedHeader.test(name)) violations.push({ field: `${field}.name`, value: name, rule: 'is a header that deliveries have already' })
  if (type === 'Dynamic') {
    if (typeof sourceField !== 'string' || sourceField === '')
      violations.push({ field: `${field}.properties.sourceField`, rule: 'is required with the type Dynamic' })
    if (value !== undefined || isSecret !== undefined)
      violations.push({ field: `${field}.properties`, rule: 'value and isSecret go with the type Static only' })
    return { name, type, properties: { sourceField: String(sourceField) } }
  }
  if (sourceField !== undefined) violations.push({ field: `${field}.properties.sourceField`, rule: 'goes with the type Dynamic only' })
  const before = known?.properties.deliveryAttributeMappings?.find((each) => each.name.toLowerCase() === name.toLowerCase() && each.type === 'Static')
  const kept = isSecret && before?.type === 'Static' && before.properties.isSecret ? before.properties.value : undefined
  const text = (value as string | undefined) ?? kept
  // Printable characters, spaces and tabs, as HTTP allows them in a header (RFC 9110, 5.5); what was meant as a secret is not told.
  if (text === undefined) violations.push({ field: `${field}.properties.value`, rule: 'is required with the type Static' })
  else if (!/^[\t\x20-\x7e]*$/.test(text) || text.length > headerBytesMax)
    violations.push({ field: `${field}.properties.value`, rule: `at most ${headerBytesMax} printable ASCII characters` })
  return { name, type, properties: { value: text ?? '', ...(isSecret === undefined ? {} : { isSecret: isSecret as boolean }) } }
}

function repeatedNames(mappings: readonly DeliveryAttributeMapping[], field: string): readonly Violation[] {
  const names = new Set<string>()
  return mappings.flatMap(({ name }, index) => {
    const isRepeated = names.has(name.toLowerCase())
    names.add(name.toLowerCase())
    return isRepeated ? [{ field: `${field}[${index}].name`, value: name, rule: 'must be unique, ignoring case' }] : []
  })
}

/** The Kafka topic for dead letters that a body names. */
export function deadLetterTopicOf(properties: Json): string | undefined {
  const { queue, push } = (properties.deliveryConfiguration ?? {}) as { readonly queue?: Json; readonly push?: Json }
  const named = (queue ?? push)?.deadLetterDestinationWithResourceIdentity as DeadLetterDestination | undefined
  return named?.deadLetterDestination.properties.topicName
}
