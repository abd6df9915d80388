/** The life cycle events of registry changes: Event Grid's for clients (LC-03, LC-04), and of every change who made it, before and after. */
import { type EventSubscriptionProperties, shownEventSubscription } from '../model/event-subscriptions.ts'
import type { NamespaceRecord } from '../model/namespaces.ts'
import { type Resource, type ResourceKind, type ResourceProperties, readProperties } from '../model/registry-resources.ts'
import type { LifecycleEvent, RegistryEntry } from '../schemas/records.ts'
import { shownRoute, shownWebhook } from './resources.ts'

/** One change, as written. */
export interface Change {
  readonly kind: ResourceKind
  readonly name: string
  readonly before: Resource | undefined
  /** Undefined when it was deleted. */
  readonly after: RegistryEntry | undefined
  readonly by: string
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

function changeEvent(change: Change, source: string): KeyedEvent {
  const { kind, name, before, after, by } = change
  const data = { kind, name, by, before: shown(kind, before?.properties), after: shown(kind, after && readProperties(kind, name, after.properties)) }
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
  readonly by: string
  readonly at: number
  readonly offset: number
}

/** The event of such a change; `home` is the namespace whose life cycle events tell of it. */
export function namespaceEvent({ name, before, after, by, at, offset }: NamespaceChange, home: string): KeyedEvent {
  const shown = ({ state, partitions, hostNames }: NamespaceRecord): object => ({ state, partitions, hostNames })
  const data = { kind: 'namespaces', name, by, before: before ? shown(before) : null, after: shown(after) }
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
