/** Routes as the registry holds them: which messages go where, enriched with what, in which form. */
import type { EventFilter } from './event-subscriptions.ts'
import type { NamespaceLimits } from './namespace-limits.ts'

/** A CloudEvent in headers and value, a CloudEvent as JSON in the value, or the device's bytes with headers. */
export const routeFormats = ['cloudEventsBinary', 'cloudEventsStructured', 'raw'] as const
export type RouteFormat = (typeof routeFormats)[number]

/** What the record's key is: messages of one key stay in order, in one partition of the target. */
export const routeKeys = ['mqttTopic', 'authenticationName'] as const
export type RouteKey = (typeof routeKeys)[number]

/** What is sealed with a key that can be destroyed: handed on as it stands in the log, or as it was published. */
export const whenSealed = ['keep', 'open'] as const
export type WhenSealed = (typeof whenSealed)[number]

/** While the target is not there or does not let us in: wait as long as the messages last, or drop and count. */
export const whenDeadEnd = ['hold', 'drop'] as const
export type WhenDeadEnd = (typeof whenDeadEnd)[number]

/** A topic of the namespace by its name, or a Kafka topic by its own, perhaps of another cluster that the operator has named. */
export type RouteTarget = { readonly topic: string } | { readonly kafkaTopic: string; readonly cluster?: string }

interface Json {
  readonly [field: string]: unknown
}

export interface RouteEnrichments {
  readonly static: readonly { readonly key: string; readonly value: string; readonly valueType?: 'String' }[]
  readonly dynamic: readonly { readonly key: string; readonly value: string }[]
}

export interface RouteProperties {
  readonly topicFilters: readonly string[]
  /** All of them must hold of the event that a message becomes (NT-10 to NT-14). */
  readonly conditions: readonly EventFilter[]
  readonly target: RouteTarget
  readonly format: RouteFormat
  readonly key: RouteKey
  readonly enrichments: RouteEnrichments
  readonly sealed: WhenSealed
  /** As chosen; when it was not, the namespace's preset decides. */
  readonly onDeadEnd?: WhenDeadEnd
  /** By shard, where `messages` ended when the route was made: it takes what comes after. */
  readonly from: readonly number[]
  readonly description?: string
}

/** The route of the namespace's own settings, `topicSpacesConfiguration.routeTopicResourceId` (RT-01). */
export interface NamespaceRouting {
  readonly routeTopicResourceId: string
  readonly routingEnrichments?: RouteEnrichments
  /** Kept for those who read it back: nobody here needs an identity to write to a topic of the namespace (RT-02, RT-03). */
  readonly routingIdentityInfo?: { readonly type: string; readonly userAssignedIdentity?: string }
  readonly from: readonly number[]
  /** Milliseconds since the epoch when the setting was made: which route it is. */
  readonly since: number
}

/** Name of the route that the namespace's settings make. No resource can have it. */
export const namespaceRouteName = '$namespace'

/** One route as the engine runs it. */
export interface Route extends RouteProperties {
  readonly name: string
  /** Milliseconds since the epoch when it was made: a later route of the same name is another. */
  readonly since: number
  /** Position of the record that says so. */
  readonly offset: number
  readonly onDeadEnd: WhenDeadEnd
}

/** What of a registry view routes are made of. */
export interface RoutesView {
  readonly routes: ReadonlyMap<string, { readonly name: string; readonly properties: RouteProperties; readonly createdAt: number; readonly offset: number }>
  readonly namespace: { readonly properties: { readonly routing?: NamespaceRouting; readonly limits?: NamespaceLimits }; readonly offset: number } | undefined
}

/** All routes of a namespace by name, that of its settings among them. */
export function routesOf(view: RoutesView): ReadonlyMap<string, Route> {
  const limits = view.namespace?.properties.limits
  const deadEnd: WhenDeadEnd = limits?.preset === 'eventgrid' ? 'drop' : 'hold'
  const routes = new Map<string, Route>()
  for (const { name, properties, createdAt, offset } of view.routes.values())
    routes.set(name, { ...properties, name, since: createdAt, offset, onDeadEnd: properties.onDeadEnd ?? deadEnd })
  const routing = view.namespace?.properties.routing
  const topic = routing && namespaceTopicIn(routing.routeTopicResourceId)?.topic
  if (view.namespace && routing && topic !== undefined) {
    routes.set(namespaceRouteName, {
      name: namespaceRouteName,
      topicFilters: ['#'],
      conditions: [],
      target: { topic },
      format: 'cloudEventsBinary',
      key: 'mqttTopic',
      enrichments: routing.routingEnrichments ?? noEnrichments,
      sealed: 'keep',
      from: routing.from,
      since: routing.since,
      offset: view.namespace.offset,
      onDeadEnd: deadEnd,
    })
  }
  return routes
}

/** Whether the engine has to begin anew with it: another route, or one that does something else. */
export function isSameRoute(a: Route, b: Route): boolean {
  return a === b || JSON.stringify({ ...a, offset: 0 }) === JSON.stringify({ ...b, offset: 0 })
}

const noEnrichments: RouteEnrichments = { static: [], dynamic: [] }

const azureTopicId =
  /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/Microsoft\.EventGrid\/namespaces\/[A-Za-z0-9-]{3,50}\/topics\/([A-Za-z0-9-]{3,50})$/i
const ownTopicId = /^\/namespaces\/([A-Za-z0-9-]{3,50})\/topics\/([A-Za-z0-9-]{3,50})$/

/**
 * The topic in a namespace topic's resource id, and the namespace when the id is one of ours: Azure's says what the namespace is called
 * there, where a route goes to no other (RT-02). Undefined for the id of anything else.
 */
export function namespaceTopicIn(resourceId: string): { readonly namespace?: string; readonly topic: string } | undefined {
  const azure = azureTopicId.exec(resourceId)?.[1]
  if (azure !== undefined) return { topic: azure }
  const [, namespace, topic] = ownTopicId.exec(resourceId) ?? []
  return namespace === undefined || topic === undefined ? undefined : { namespace, topic }
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const text = (value: unknown): value is string => typeof value === 'string'
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const objects = (value: unknown): readonly Json[] => list(value).filter(isObject)
const positions = (value: unknown): readonly number[] => list(value).filter((each): each is number => Number.isSafeInteger(each))

function readTarget(value: unknown): RouteTarget | undefined {
  if (!isObject(value)) return undefined
  if (text(value.topic)) return { topic: value.topic }
  if (!text(value.kafkaTopic)) return undefined
  return { kafkaTopic: value.kafkaTopic, ...(text(value.cluster) ? { cluster: value.cluster } : {}) }
}

function readEnrichments(value: unknown): RouteEnrichments {
  const { static: fixed, dynamic } = isObject(value) ? value : {}
  const pairs = (each: unknown) => objects(each).flatMap(({ key, value }) => (text(key) && text(value) ? [{ key, value }] : []))
  return { static: pairs(fixed).map((pair) => ({ ...pair, valueType: 'String' as const })), dynamic: pairs(dynamic) }
}

/** Reads a route's stored properties; undefined for what is none: it routes nothing. */
export function readRoute(json: Json): RouteProperties | undefined {
  const target = readTarget(json.target)
  if (!target) return undefined
  const onDeadEnd = whenDeadEnd.find((known) => known === json.onDeadEnd)
  return {
    topicFilters: Array.isArray(json.topicFilters) ? json.topicFilters.filter(text) : ['#'],
    conditions: objects(json.conditions) as unknown as readonly EventFilter[], // were checked when they were written
    target,
    format: routeFormats.find((known) => known === json.format) ?? 'cloudEventsBinary',
    key: routeKeys.find((known) => known === json.key) ?? 'mqttTopic',
    enrichments: readEnrichments(json.enrichments),
    sealed: whenSealed.find((known) => known === json.sealed) ?? 'keep',
    ...(onDeadEnd ? { onDeadEnd } : {}),
    from: positions(json.from),
    ...(text(json.description) ? { description: json.description } : {}),
  }
}

/** Reads the routing part of the namespace's stored settings. */
export function readRouting(configuration: Json): { readonly routing?: NamespaceRouting } {
  const { routeTopicResourceId, routingEnrichments, routingIdentityInfo, routeFrom, routeSince } = configuration
  if (!text(routeTopicResourceId)) return {}
  const { type, userAssignedIdentity } = isObject(routingIdentityInfo) ? routingIdentityInfo : {}
  return {
    routing: {
      routeTopicResourceId,
      ...(routingEnrichments === undefined ? {} : { routingEnrichments: readEnrichments(routingEnrichments) }),
      ...(text(type) ? { routingIdentityInfo: { type, ...(text(userAssignedIdentity) ? { userAssignedIdentity } : {}) } } : {}),
      from: positions(routeFrom),
      since: Number.isSafeInteger(routeSince) ? (routeSince as number) : 0,
    },
  }
}
