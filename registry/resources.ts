/** Requests for resources as commands, and resources as answers. */
import { randomBytes, X509Certificate } from 'node:crypto'
import { type EventSubscriptionProperties, shownEventSubscription, splitSubscriptionName } from '../model/event-subscriptions.ts'
import { allGroup, type Resource, type ResourceKind, type ResourceProperties } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { type NamespaceRouting, namespaceRouteName, routesOf } from '../model/routes.ts'
import type { Author } from './callers.ts'
import { baseOf } from './client-authentication-rules.ts'
import type { Command } from './command.ts'
import { Problem } from './problem.ts'
import { checkDelete, checkPut, type Found, type RegistryLimits, subscriptionsOf } from './rules.ts'

/** If-Match and If-None-Match as they came. */
export interface Conditions {
  readonly ifMatch?: string | undefined
  readonly ifNoneMatch?: string | undefined
}

/** True when the header lists the tag or is `*` and there is one (RFC 9110, 13.1.1: strong comparison). */
export function matchesTag(header: string, etag: string | undefined, isWeakFine = false): boolean {
  if (etag === undefined) return false
  const listed = header.split(',').map((tag) => tag.trim())
  return listed.some((tag) => tag === '*' || tag === etag || (isWeakFine && tag === `W/${etag}`))
}

function checkConditions({ ifMatch, ifNoneMatch }: Conditions, existing: Resource | undefined): void {
  if (ifMatch !== undefined && !matchesTag(ifMatch, existing?.etag)) {
    throw new Problem(412, `If-Match asks for ${ifMatch}; the resource ${existing ? `has ${existing.etag}` : 'does not exist'}`)
  }
  if (ifNoneMatch !== undefined && matchesTag(ifNoneMatch, existing?.etag, true)) {
    throw new Problem(412, `If-None-Match asks for anything but ${ifNoneMatch}; the resource has ${existing?.etag}`)
  }
}

export interface PutRequest extends Conditions {
  readonly kind: ResourceKind
  readonly name: string
  readonly properties: Readonly<Record<string, unknown>>
  readonly limits: RegistryLimits
  readonly author: Author
  /** Collects what is accepted but worth saying. */
  readonly warnings: string[]
  readonly found?: Found | undefined
}

/** Writes a resource whole. */
export function putCommand(request: PutRequest): Command {
  const { kind, name, properties, limits, author, warnings, found } = request
  const { authenticationName } = properties
  return {
    kind,
    name,
    author,
    authenticationName: typeof authenticationName === 'string' ? authenticationName : undefined,
    decide(view, at) {
      const existing = view.of(kind).get(name)
      checkConditions(request, existing)
      const checked = checkPut(kind, { view, name, properties, limits, now: at, found })
      warnings.push(...checked.warnings)
      return { properties: JSON.stringify(checked.properties), etag: newTag(), createdAt: existing?.createdAt ?? at, updatedAt: at }
    },
  }
}

/** Pauses or resumes an event subscription, whatever else is written of it at the same time. */
export function stateCommand(name: string, state: 'Active' | 'Paused', author: Author): Command {
  return {
    kind: 'eventSubscriptions',
    name,
    author,
    decide(view, at) {
      const existing = view.eventSubscriptions.get(name)
      if (!existing) throw notFound('eventSubscriptions', name)
      const { deliveryState: _, ...properties } = existing.properties
      const changed = state === 'Paused' ? { ...properties, deliveryState: state } : properties
      return { properties: JSON.stringify(changed), etag: newTag(), createdAt: existing.createdAt, updatedAt: at }
    },
  }
}

const newTag = (): string => `"${randomBytes(9).toString('base64url')}"`

export interface DeleteRequest extends Conditions {
  readonly kind: ResourceKind
  readonly name: string
  readonly author: Author
  /** Only asks whether it may be. */
  readonly isDryRun?: boolean
}

/** Deletes a resource. */
export function deleteCommand(request: DeleteRequest): Command {
  const { kind, name, author, isDryRun = false } = request
  return {
    kind,
    name,
    author,
    decide(view) {
      const existing = view.of(kind).get(name)
      checkDelete(kind, name, view)
      if (!existing) throw notFound(kind, name)
      checkConditions(request, existing)
      if (kind === 'topics' && !isDryRun && subscriptionsOf(view, name).length > 0) {
        throw new Problem(409, 'the topic has got a new event subscription meanwhile; ask again')
      }
      return null
    },
  }
}

export function notFound(kind: ResourceKind, name: string): Problem {
  return new Problem(404, `there is no ${pathInNamespace(kind, name)}`)
}

/** Below the namespace's own path. */
function pathInNamespace(kind: ResourceKind, name: string): string {
  if (kind !== 'eventSubscriptions') return `${kind}/${encodeURIComponent(name).replace('%24', '$')}`
  const { topic, subscription } = splitSubscriptionName(name)
  return `topics/${topic}/eventSubscriptions/${subscription}`
}

const builtInAll: Resource<'clientGroups'> = {
  kind: 'clientGroups',
  name: allGroup,
  properties: { query: '', description: 'Built in: every registered client' },
  etag: '"built-in"',
  createdAt: 0,
  updatedAt: 0,
  by: 'registry',
  offset: -1,
}

/** The route that the namespace's settings make, as one of the others; to be read only. */
function namespaceRoute(view: RegistryView): Resource<'routes'> | undefined {
  const { namespace } = view
  const route = routesOf(view).get(namespaceRouteName)
  if (!namespace || !route) return undefined
  const { topicFilters, conditions, target, format, key, enrichments, sealed, onDeadEnd, from } = route
  const { etag, createdAt, updatedAt, by, offset } = namespace
  const properties = { topicFilters, conditions, target, format, key, enrichments, sealed, onDeadEnd, from, description: 'Of the namespace’s settings' }
  return { kind: 'routes', name: namespaceRouteName, properties, etag, createdAt, updatedAt, by, offset }
}

/** A resource by name, the built-in ones too. */
export function findResource(view: RegistryView, kind: ResourceKind, name: string): Resource | undefined {
  if (kind === 'routes' && name === namespaceRouteName) return namespaceRoute(view)
  return kind === 'clientGroups' && name === allGroup ? builtInAll : view.of(kind).get(name)
}

interface SortedNames {
  position: number
  names: readonly string[]
}
const sortedNames = new WeakMap<RegistryView, Map<ResourceKind, SortedNames>>()

/** The names of a kind in order, the built-in ones too. Sorted once for all pages that see the same registry. */
export function namesOfKind(view: RegistryView, kind: ResourceKind): readonly string[] {
  const kinds = sortedNames.get(view) ?? new Map<ResourceKind, SortedNames>()
  sortedNames.set(view, kinds)
  const known = kinds.get(kind)
  if (known?.position === view.position) return known.names
  const names = [...view.of(kind).keys()]
  if (kind === 'clientGroups') names.push(allGroup)
  if (kind === 'routes' && view.namespace?.properties.routing) names.push(namespaceRouteName)
  names.sort()
  kinds.set(kind, { position: view.position, names })
  return names
}

/** Up to `top` names behind `after`. */
export function pageOfNames(names: readonly string[], after: string, top: number): readonly string[] {
  let low = 0
  let high = names.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (names[middle]! > after) high = middle
    else low = middle + 1
  }
  return names.slice(low, low + top)
}

function readOnlyProperties(resource: Resource): object {
  if (resource.kind !== 'caCertificates') return {}
  const { encodedCertificate } = (resource as Resource<'caCertificates'>).properties
  const { validFromDate, validToDate } = new X509Certificate(encodedCertificate) // was parsed when it was written
  return { issueTimeInUtc: validFromDate.toISOString(), expiryTimeInUtc: validToDate.toISOString() }
}

/** That there is a password, and no more: the same can be sent back and keeps it. */
export function shownClient({ passwordHash, ...shown }: ResourceProperties['clients']): object {
  return passwordHash === undefined ? shown : { ...shown, passwordAuthentication: {} }
}

/** A query may hold a key, and readers may read this. */
export function shownWebhook(endpointUrl: string): object {
  const endpointBaseUrl = baseOf(endpointUrl)
  return endpointBaseUrl === endpointUrl ? { endpointUrl, endpointBaseUrl } : { endpointBaseUrl }
}

/** Where it began is the broker's own business. */
export function shownRoute({ from: _, ...shown }: ResourceProperties['routes']): object {
  return shown
}

function shownRouting(routing: NamespaceRouting | undefined): object {
  if (!routing) return {}
  const { from: _from, since: _since, ...shown } = routing
  return shown
}

/** Properties in the nesting the API has (NS-04), without what nobody may see. */
function apiProperties(resource: Resource): object {
  if (resource.kind === 'namespace') {
    const {
      alternativeAuthenticationNameSources,
      customJwtAuthentication,
      oauth2JwtAuthentication,
      webhookAuthentication,
      limits,
      publicNetworkAccess,
      inboundIpRules,
      routing,
      ...settings
    } = (resource as Resource<'namespace'>).properties
    const clientAuthentication = {
      alternativeAuthenticationNameSources,
      customJwtAuthentication,
      oauth2JwtAuthentication,
      webhookAuthentication: webhookAuthentication && shownWebhook(webhookAuthentication.endpointUrl),
    }
    return {
      topicSpacesConfiguration: { ...settings, ...shownRouting(routing), clientAuthentication },
      ...(limits ? { limits } : {}),
      ...(publicNetworkAccess ? { publicNetworkAccess } : {}),
      ...(inboundIpRules ? { inboundIpRules } : {}),
    }
  }
  if (resource.kind === 'routes') return shownRoute(resource.properties as ResourceProperties['routes'])
  if (resource.kind === 'clients') return shownClient((resource as Resource<'clients'>).properties)
  if (resource.kind === 'eventSubscriptions') return shownEventSubscription(resource.properties as EventSubscriptionProperties)
  if (resource.kind !== 'apiKeys') return resource.properties
  const { hash: _, expiresAt, ...shown } = (resource as Resource<'apiKeys'>).properties
  return { ...shown, ...(expiresAt === undefined ? {} : { expirationTimeInUtc: new Date(expiresAt).toISOString() }) }
}

/** A resource as the API answers it. */
export interface Representation {
  readonly properties: object
  readonly [field: string]: unknown
}

/** Makes the answer. */
export function representation(resource: Resource, namespace: string, warnings: readonly string[] = []): Representation {
  const { kind, name, etag, createdAt, updatedAt, by } = resource
  const base = `/namespaces/${namespace}`
  const type = kind === 'namespace' ? '' : kind === 'eventSubscriptions' ? '/topics/eventSubscriptions' : `/${kind}`
  return {
    id: kind === 'namespace' ? base : `${base}/${pathInNamespace(kind, name)}`,
    name: kind === 'eventSubscriptions' ? splitSubscriptionName(name).subscription : name,
    type: `${kind === 'apiKeys' ? 'Loggerhead' : 'Microsoft.EventGrid'}/namespaces${type}`,
    properties: { ...apiProperties(resource), ...readOnlyProperties(resource) },
    etag,
    createdAt: new Date(createdAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
    by,
    ...(warnings.length > 0 ? { warnings } : {}),
  }
}
