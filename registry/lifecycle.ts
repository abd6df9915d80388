/** The life cycle events of registry changes: Event Grid's for clients (LC-03, LC-04), and of every change who made it, before and after. */
import { type EventSubscriptionProperties, shownEventSubscription } from '../model/event-subscriptions.ts'
import type { NamespaceRecord } from '../model/namespaces.ts'
import { type Resource, type ResourceKind, type ResourceProperties, readProperties } from '../model/registry-resources.ts'
import type { LifecycleEvent } from '../schemas/event-records.ts'
import type { RegistryEntry } from '../schemas/registry-records.ts'
import type { Author } from './callers.ts'
import { shownRoute, shownWebhook } from './resources.ts'

/** One change, as written. */
export interface Change {
  readonly kind: ResourceKind
  readonly name: string
  readonly before: Resource | undefined
  /** Undefined when it was deleted. */
  readonly after: RegistryEntry | undefined
  readonly author: Author
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Position in `registry`. */
  readonly offset: number
}

/** An event with the key it stands under. */
export interface KeyedEvent {
  readonly key: string
  readonly event: LifecycleEvent
}

const iso = (at: number): string => new Date(at).toISOString()

/** Ids are made of the position, so that an event written twice is the same event. */
const idOf = (change: Change, part: string): string => `registry-${change.offset}-${part}`

function clientEvent(change: Change, namespaceName: string, source: string): KeyedEvent | undefined {
  if (change.kind !== 'clients') return undefined
  const after = change.after && readProperties('clients', change.name, change.after.properties)
  const before = change.before as Resource<'clients'> | undefined
  const clientAuthenticationName = after?.authenticationName ?? before?.properties.authenticationName ?? change.name
  const named = { namespaceName, clientName: change.name, clientAuthenticationName }
  const event = (type: string, data: object): KeyedEvent => ({
    key: clientAuthenticationName,
    event: {
      id: idOf(change, 'client'),
      type: `Microsoft.EventGrid.${type}`,
      source,
      subject: `clients/${change.name}`,
      time: change.at,
      data: JSON.stringify(data),
    },
  })
  if (!change.after || !after) return event('MQTTClientDeleted', named)
  const { createdAt, updatedAt } = change.after
  return event('MQTTClientCreatedOrUpdated', {
    createdOn: iso(createdAt),
    updatedOn: iso(updatedAt),
    ...named,
    state: after.state,
    attributes: after.attributes,
  })
}

/** Hashes of keys and passwords, secret headers and a URL's query are of use to nobody who reads the log. */
function shown(kind: ResourceKind, properties: object | undefined): object | null {
  if (properties === undefined) return null
  if (kind === 'routes') return shownRoute(properties as ResourceProperties['routes'])
  if (kind === 'eventSubscriptions') return shownEventSubscription(properties as EventSubscriptionProperties)
  const { hash: _hash, passwordHash: _passwordHash, webhookAuthentication, ...others } = properties as Readonly<Record<string, unknown>>
  const { endpointUrl } = Object(webhookAuthentication) as { readonly endpointUrl?: string }
  return endpointUrl === undefined ? others : { ...others, webhookAuthentication: shownWebhook(endpointUrl) }
}

const textOf = (of: object | null | undefined, field: string): string | undefined => JSON.stringify((of as Readonly<Record<string, unknown>> | null)?.[field])

/** Fields in which two versions differ, and what is shown of them does not: a new password is a change, whatever it is. */
function concealed(before: object, after: object, shownBefore: object | null, shownAfter: object | null): readonly string[] {
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  return fields.filter((field) => textOf(before, field) !== textOf(after, field) && textOf(shownBefore, field) === textOf(shownAfter, field))
}

function changeEvent(change: Change, source: string): KeyedEvent {
  const { kind, name, author } = change
  const [from, to] = [change.before?.properties, change.after && readProperties(kind, name, change.after.properties)]
  const [before, after] = [shown(kind, from), shown(kind, to)]
  const hidden = from && to ? concealed(from, to, before, after) : []
  const data = { kind, name, ...author, before, after, ...(hidden.length > 0 ? { concealed: hidden } : {}) }
  return {
    key: `${kind}/${name}`,
    event: {
      id: idOf(change, 'change'),
      type: 'Loggerhead.RegistryResourceChanged',
      source,
      subject: `${kind}/${name}`,
      time: change.at,
      data: JSON.stringify(data),
    },
  }
}

/** A namespace of the deployment began, changed or ended, as written in the home namespace. */
export interface NamespaceChange {
  readonly name: string
  readonly before: NamespaceRecord | undefined
  readonly after: NamespaceRecord
  readonly author: Author
  readonly at: number
  readonly offset: number
}

/** The event of such a change; `home` is the namespace whose life cycle events tell of it. */
export function namespaceEvent({ name, before, after, author, at, offset }: NamespaceChange, home: string): KeyedEvent {
  const shown = ({ state, partitions, hostNames }: NamespaceRecord): object => ({ state, partitions, hostNames })
  const data = { kind: 'namespaces', name, ...author, before: before ? shown(before) : null, after: shown(after) }
  return {
    key: `namespaces/${name}`,
    event: {
      id: `registry-${offset}-change`,
      type: 'Loggerhead.RegistryResourceChanged',
      source: `/namespaces/${home}`,
      subject: `namespaces/${name}`,
      time: at,
      data: JSON.stringify(data),
    },
  }
}

/** The events of a change. `source` is the namespace's path in the API. */
export function lifecycleEvents(change: Change, namespaceName: string): readonly KeyedEvent[] {
  const source = `/namespaces/${namespaceName}`
  const client = clientEvent(change, namespaceName, source)
  return [...(client ? [client] : []), changeEvent(change, source)]
}
