/** The kinds of resources as the command line names them, and in the order in which they can be written. */
import type { ResourceKind } from '../model/registry-resources.ts'
import type { Json } from './api-client.ts'
import type { Column } from './output.ts'

export interface Kind {
  readonly command: string
  readonly kind: ResourceKind
  readonly about: string
  readonly columns: readonly Column<Json>[]
}

const property =
  (name: string) =>
  (row: Json): unknown =>
    (row.properties as Json | undefined)?.[name]
const name: Column<Json> = { title: 'NAME', of: (row) => row.name }
const description: Column<Json> = { title: 'DESCRIPTION', of: property('description') }

/** Of the list of namespaces. */
export const namespaceColumns: readonly Column<Json>[] = [
  name,
  { title: 'PARTITIONS', of: property('partitions') },
  {
    title: 'HOST NAMES',
    of: (row) => {
      const { customDomains = [] } = ((row.properties as Json | undefined)?.topicSpacesConfiguration ?? {}) as { readonly customDomains?: readonly Json[] }
      return customDomains.map(({ fullyQualifiedDomainName }) => fullyQualifiedDomainName).join(' ')
    },
  },
]

/** What a resource refers to stands before it. */
export const kinds: readonly Kind[] = [
  { command: 'namespace', kind: 'namespace', about: 'settings of the namespace', columns: [] },
  { command: 'cas', kind: 'caCertificates', about: 'CA certificates', columns: [name, { title: 'EXPIRES', of: property('expiryTimeInUtc') }, description] },
  { command: 'groups', kind: 'clientGroups', about: 'client groups', columns: [name, { title: 'QUERY', of: property('query') }, description] },
  { command: 'spaces', kind: 'topicSpaces', about: 'topic spaces', columns: [name, { title: 'TEMPLATES', of: property('topicTemplates') }, description] },
  {
    command: 'clients',
    kind: 'clients',
    about: 'clients',
    columns: [
      name,
      { title: 'AUTHENTICATION NAME', of: property('authenticationName') },
      { title: 'STATE', of: property('state') },
      { title: 'ATTRIBUTES', of: property('attributes') },
    ],
  },
  {
    command: 'bindings',
    kind: 'permissionBindings',
    about: 'permission bindings',
    columns: [
      name,
      { title: 'GROUP', of: property('clientGroupName') },
      { title: 'SPACE', of: property('topicSpaceName') },
      { title: 'PERMISSION', of: property('permission') },
    ],
  },
  {
    command: 'keys',
    kind: 'apiKeys',
    about: 'API keys',
    columns: [name, { title: 'ROLE', of: property('role') }, { title: 'EXPIRES', of: property('expirationTimeInUtc') }, description],
  },
  {
    command: 'topics',
    kind: 'topics',
    about: 'namespace topics',
    columns: [name, { title: 'RETENTION DAYS', of: property('eventRetentionInDays') }, { title: 'PARTITIONS', of: property('partitions') }, description],
  },
  {
    command: 'event-subscriptions',
    kind: 'eventSubscriptions',
    about: 'event subscriptions of a topic; their names are <topic>/<subscription>',
    columns: [
      name,
      { title: 'DELIVERY', of: (row) => ((row.properties as Json | undefined)?.deliveryConfiguration as Json | undefined)?.deliveryMode },
      { title: 'EXPIRES', of: property('expirationTimeUtc') },
      description,
    ],
  },
  {
    command: 'routes',
    kind: 'routes',
    about: 'routes of messages to topics',
    columns: [
      name,
      { title: 'FILTERS', of: property('topicFilters') },
      { title: 'TARGET', of: (row) => Object.values(((row.properties as Json | undefined)?.target ?? {}) as Json).join(' ') },
      { title: 'STATE', of: (row) => (row.status as Json | undefined)?.state },
      { title: 'LAG', of: (row) => (row.status as Json | undefined)?.lag },
      description,
    ],
  },
]

/** By either name. */
export function kindNamed(text: string): Kind | undefined {
  return kinds.find(({ command, kind }) => command === text || kind === text)
}
