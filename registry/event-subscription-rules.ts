/** What a namespace topic and an event subscription may be, beyond what their schemas say (spec 1.15 to 1.17): pure. */
import { parseSourceField, whyNoHeaderName, whyNoHeaderValue } from '../events/delivery-headers.ts'
import { filterViolations } from '../events/filter.ts'
import { parseDuration } from '../log/duration.ts'
import {
  type DeadLetterDestination,
  type DeliveryAttributeMapping,
  deliveryCountMax,
  type EventSubscriptionProperties,
  type NamespaceTopicProperties,
  type PushDelivery,
  retentionDaysMax,
  type SubscriptionStart,
  type WebhookConsent,
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
  /** Of a webhook that was asked for it. */
  readonly consent?: WebhookConsent | undefined
  readonly now: number
}

export function checkEventSubscription({ asked, before, topic, start, consent, now }: AskedSubscription): CheckedResource {
  const violations: Violation[] = []
  const warnings: string[] = []
  const { filtersConfiguration = {}, expirationTimeUtc, description } = asked
  violations.push(...filterViolations(filtersConfiguration, 'properties.filtersConfiguration'))
  if (expirationTimeUtc !== undefined) violations.push(...expirationViolations(expirationTimeUtc as string, now))
  const deliveryConfiguration = checkDelivery(asked.deliveryConfiguration as Json, { before, topic, violations, warnings })
  const properties = {
    deliveryConfiguration,
    eventDeliverySchema: 'CloudEventSchemaV1_0',
    filtersConfiguration,
    ...(expirationTimeUtc === undefined ? {} : { expirationTimeUtc }),
    ...(description === undefined ? {} : { description }),
    ...stateOf(asked, before, violations),
    start: before?.start ?? start,
    ...consentOf({ deliveryConfiguration }, before, consent),
  }
  return { properties, violations, warnings }
}

/** A webhook's word is about its URL: another one has not given it. */
function consentOf(after: Json, before: EventSubscriptionProperties | undefined, given: WebhookConsent | undefined): Json {
  const url = (properties: Json | EventSubscriptionProperties | undefined): string | undefined => webhookOf(properties)?.properties.endpointUrl
  const consent = given ?? (url(before) !== undefined && url(before) === url(after) ? before?.consent : undefined)
  return consent === undefined ? {} : { consent }
}

/** What is paused stays so until somebody resumes it. */
function stateOf({ deliveryState, deliveryConfiguration }: Json, before: EventSubscriptionProperties | undefined, violations: Violation[]): Json {
  const isPush = (deliveryConfiguration as Json).deliveryMode === 'Push'
  if (deliveryState === 'Paused' && !isPush) violations.push({ field: 'properties.deliveryState', rule: 'Paused goes with the deliveryMode Push' })
  const state = deliveryState ?? before?.deliveryState
  return isPush && state === 'Paused' ? { deliveryState: 'Paused' } : {}
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
  violations.push(...deadLetterViolations(deadLetterDestinationWithResourceIdentity, field))
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

const placeNames = { KafkaTopic: 'topicName', Folder: 'folderName', S3Bucket: 'bucketName' } as const

/** Each kind of place has a name of its own kind. */
function deadLetterViolations(destination: unknown, field: string): readonly Violation[] {
  if (destination === undefined) return []
  const { deadLetterDestination } = destination as {
    readonly deadLetterDestination: { readonly endpointType: keyof typeof placeNames; readonly properties: Json }
  }
  const { endpointType, properties } = deadLetterDestination
  const wanted = placeNames[endpointType]
  const others = Object.values(placeNames).filter((each) => each !== wanted && properties[each] !== undefined)
  const at = `${field}.deadLetterDestinationWithResourceIdentity.deadLetterDestination.properties`
  return [
    ...(properties[wanted] === undefined ? [{ field: `${at}.${wanted}`, rule: `is required with the endpointType ${endpointType}` }] : []),
    ...others.map((other) => ({ field: `${at}.${other}`, rule: `does not go with the endpointType ${endpointType}` })),
  ]
}

/** Secrets that are not sent again stay as they were: answers show neither them nor the query of the URL. */
function checkWebhook(asked: Json, field: string, { before, violations, warnings }: Around): Json {
  const { endpointUrl, endpointBaseUrl, deliveryAttributeMappings, ...others } = asked.properties as Json
  const known = before?.deliveryConfiguration.deliveryMode === 'Push' ? before.deliveryConfiguration.push.destination : undefined
  const kept = known && endpointBaseUrl === baseOf(known.properties.endpointUrl) ? known.properties.endpointUrl : undefined
  const url = (endpointUrl as string | undefined) ?? kept
  if (url === undefined) violations.push({ field: `${field}.properties.endpointUrl`, rule: 'is required' })
  else checkUrl(`${field}.properties.endpointUrl`, url, violations, warnings)
  // Whoever may change the URL must not have secrets sent to a host of his choice.
  const isSameUrl = known !== undefined && url !== undefined && URL.canParse(url) && baseOf(url) === baseOf(known.properties.endpointUrl)
  const mappings = (deliveryAttributeMappings as readonly Json[] | undefined)?.map((mapping, index) =>
    checkMapping(mapping, `${field}.properties.deliveryAttributeMappings[${index}]`, { known, isSameUrl }, violations),
  )
  if (mappings) violations.push(...repeatedNames(mappings, `${field}.properties.deliveryAttributeMappings`))
  return { endpointType: 'WebHook', properties: { endpointUrl: url, ...others, ...(mappings ? { deliveryAttributeMappings: mappings } : {}) } }
}

interface KnownWebhook {
  readonly known: WebhookDestination | undefined
  /** Origin and path are what they were. */
  readonly isSameUrl: boolean
}

function checkMapping(mapping: Json, field: string, { known, isSameUrl }: KnownWebhook, violations: Violation[]): DeliveryAttributeMapping {
  const { name, type, properties } = mapping as { readonly name: string; readonly type: 'Static' | 'Dynamic'; readonly properties: Json }
  const { value, isSecret, sourceField } = properties
  const wrongName = whyNoHeaderName(name)
  if (wrongName !== undefined) violations.push({ field: `${field}.name`, value: name, rule: wrongName })
  if (type === 'Dynamic') {
    if (typeof sourceField !== 'string') violations.push({ field: `${field}.properties.sourceField`, rule: 'is required with the type Dynamic' })
    else if (parseSourceField(sourceField) === null)
      violations.push({
        field: `${field}.properties.sourceField`,
        value: sourceField,
        rule: 'a path to one value of the event such as subject or data.device.id',
      })
    if (value !== undefined || isSecret !== undefined)
      violations.push({ field: `${field}.properties`, rule: 'value and isSecret go with the type Static only' })
    return { name, type, properties: { sourceField: String(sourceField) } }
  }
  if (sourceField !== undefined) violations.push({ field: `${field}.properties.sourceField`, rule: 'goes with the type Dynamic only' })
  const before = known?.properties.deliveryAttributeMappings?.find((each) => each.name.toLowerCase() === name.toLowerCase() && each.type === 'Static')
  const kept = isSecret && before?.type === 'Static' && before.properties.isSecret ? before.properties.value : undefined
  const text = (value as string | undefined) ?? (isSameUrl ? kept : undefined)
  const missing = kept === undefined ? 'is required with the type Static' : 'is required: the URL is another'
  // What was meant as a secret is not told.
  const wrongValue = text === undefined ? missing : whyNoHeaderValue(text)
  if (wrongValue !== undefined) violations.push({ field: `${field}.properties.value`, rule: wrongValue })
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

/** The webhook that a body or a subscription names. */
export function webhookOf(properties: Json | EventSubscriptionProperties | undefined): WebhookDestination | undefined {
  const { push } = (properties?.deliveryConfiguration ?? {}) as { readonly push?: PushDelivery }
  return push?.destination
}

/** The Kafka topic for dead letters that a body names. */
export function deadLetterTopicOf(properties: Json): string | undefined {
  const { queue, push } = (properties.deliveryConfiguration ?? {}) as { readonly queue?: Json; readonly push?: Json }
  const named = (queue ?? push)?.deadLetterDestinationWithResourceIdentity as DeadLetterDestination | undefined
  return named?.deadLetterDestination.endpointType === 'KafkaTopic' ? named.deadLetterDestination.properties.topicName : undefined
}
