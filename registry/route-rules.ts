/** What a route may be, beyond what its schema says, and the namespace's own route (spec 1.14, RT-01 to RT-05): pure. */
import { type Enrichments, enrichmentViolations } from '../events/enrichment.ts'
import { eventFilterViolations } from '../events/filter.ts'
import { type NamespaceRouting, namespaceTopicIn, type RouteProperties } from '../model/routes.ts'
import { isShared, topicFilterProblem } from '../mqtt/topic.ts'
import type { CheckedResource } from './event-subscription-rules.ts'
import type { Violation } from './problem.ts'

type Json = Readonly<Record<string, unknown>>

export interface AskedRoute {
  /** Of the right shape: resource-schemas.ts has been applied. */
  readonly asked: Json
  /** Where it begins, by shard: where `messages` ends now, or where the same route began before. */
  readonly from: RouteProperties['from']
  /** Patterns of Kafka topics that routes may write to. */
  readonly allowed: string
  hasTopic(name: string): boolean
}

export function checkRoute({ asked, from, allowed, hasTopic }: AskedRoute): CheckedResource {
  const violations: Violation[] = []
  const warnings: string[] = []
  const { topicFilters = ['#'], conditions = [], target, format, key, enrichments = {}, sealed, onDeadEnd, description } = asked
  for (const [index, filter] of (topicFilters as readonly string[]).entries()) {
    const problem = isShared(filter) ? 'must not be a shared subscription: a route gets every message once as it is' : topicFilterProblem(filter)
    if (problem !== null) violations.push({ field: `properties.topicFilters[${index}]`, value: filter, rule: problem })
  }
  violations.push(...eventFilterViolations(conditions, 'properties.conditions'))
  violations.push(...enrichmentViolations(enrichments as Enrichments, 'properties.enrichments'))
  const { topic, kafkaTopic, cluster } = target as { readonly topic?: string; readonly kafkaTopic?: string; readonly cluster?: string }
  if ((topic === undefined) === (kafkaTopic === undefined))
    violations.push({ field: 'properties.target', rule: 'must name a topic of the namespace (topic) or a Kafka topic (kafkaTopic)' })
  if (topic !== undefined && !hasTopic(topic)) warnings.push(`properties.target.topic: there is no namespace topic “${topic}” yet`)
  if (cluster !== undefined && kafkaTopic === undefined)
    violations.push({ field: 'properties.target.cluster', value: cluster, rule: 'goes with kafkaTopic only' })
  if (kafkaTopic !== undefined) violations.push(...kafkaTopicViolations('properties.target.kafkaTopic', kafkaTopic, allowed))
  const properties = {
    topicFilters,
    conditions,
    target,
    format: format ?? 'cloudEventsBinary',
    key: key ?? 'mqttTopic',
    enrichments,
    sealed: sealed ?? 'keep',
    ...(onDeadEnd === undefined ? {} : { onDeadEnd }),
    ...(description === undefined ? {} : { description }),
    from,
  }
  return { properties, violations, warnings }
}

/** What stands against writing to a Kafka topic that is not the namespace's: `allowed` has the patterns of those that may be written to. */
export function kafkaTopicViolations(field: string, name: string, allowed: string): readonly Violation[] {
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(name) || name === '.' || name === '..')
    return [{ field, value: name, rule: '1 to 249 letters, digits, “.”, “_” and “-”' }]
  if (name.startsWith('__')) return [{ field, value: name, rule: 'must not be one of Kafka’s own topics' }]
  if (!isAllowed(name, allowed)) return [{ field, value: name, rule: `must match ROUTE_KAFKA_TOPICS: ${allowed || 'none is allowed'}` }]
  return []
}

/** Patterns separated by commas; `*` at the end of one stands for anything. */
export function isAllowed(name: string, patterns: string): boolean {
  return patterns.split(',').some((each) => {
    const pattern = each.trim()
    return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
  })
}

export interface AskedRouting {
  /** The namespace's `topicSpacesConfiguration`. */
  readonly configuration: Json
  readonly namespace: string
  readonly before: NamespaceRouting | undefined
  readonly now: number
  /** Where it begins when there was none before, by shard. Throws Problem when that is not known. */
  beginning(): readonly number[]
  hasTopic(name: string): boolean
}

/** The routing part of a namespace's settings as it is stored (NS-04, RT-01). */
export function checkRouting({ configuration, namespace, before, now, beginning, hasTopic }: AskedRouting): CheckedResource {
  const at = 'properties.topicSpacesConfiguration'
  const { routeTopicResourceId, routingEnrichments = {}, routingIdentityInfo } = configuration
  const warnings: string[] = []
  if (typeof routeTopicResourceId !== 'string') {
    for (const field of ['routingEnrichments', 'routingIdentityInfo'].filter((name) => configuration[name] !== undefined))
      warnings.push(`${at}.${field} does nothing without routeTopicResourceId and was left out`)
    return { properties: {}, violations: [], warnings }
  }
  const violations: Violation[] = [...enrichmentViolations(routingEnrichments as Enrichments, `${at}.routingEnrichments`)]
  const named = namespaceTopicIn(routeTopicResourceId)
  const field = `${at}.routeTopicResourceId`
  if (!named || (named.namespace !== undefined && named.namespace !== namespace)) {
    violations.push({
      field,
      value: routeTopicResourceId,
      rule: `must be the resource id of a topic of this namespace: /namespaces/${namespace}/topics/<name>, or Azure’s`,
    })
  } else if (!hasTopic(named.topic)) warnings.push(`${field}: there is no namespace topic “${named.topic}” yet`)
  const { type = 'None' } = (routingIdentityInfo ?? {}) as { readonly type?: string }
  if (type !== 'None') warnings.push(`${at}.routingIdentityInfo means something to Azure only: it is kept and does nothing`)
  const properties = {
    routeTopicResourceId,
    routingEnrichments,
    ...(routingIdentityInfo === undefined ? {} : { routingIdentityInfo }),
    routeFrom: before?.from ?? beginning(),
    routeSince: before?.since ?? now,
  }
  return { properties, violations, warnings }
}
