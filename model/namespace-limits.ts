/**
 * Limits of one namespace: two presets, and single values over them. A namespace's limits narrow what the deployment's
 * settings allow and never widen it.
 */

export const limitPresets = ['open', 'eventgrid'] as const
export type LimitPreset = (typeof limitPresets)[number]

export interface NamespaceLimit {
  readonly about: string
  readonly unit: string
  /** The deployment's setting that bounds it from above, and is its value in the preset `open`. */
  readonly setting: string
  /** What Event Grid publishes for one throughput unit (spec 1.21). */
  readonly eventgrid: number
}

/** The limits a namespace may set, as the API spells them. docs/limits.md has a table made of this. */
export const namespaceLimits = {
  clients: { about: 'Clients', unit: 'clients', setting: 'CLIENTS_MAX', eventgrid: 10_000 },
  clientGroups: { about: 'Client groups', unit: 'groups', setting: 'CLIENT_GROUPS_MAX', eventgrid: 10 },
  topicSpaces: { about: 'Topic spaces', unit: 'spaces', setting: 'TOPIC_SPACES_MAX', eventgrid: 10 },
  topicTemplatesPerTopicSpace: { about: 'Topic templates of one topic space', unit: 'templates', setting: 'TOPIC_TEMPLATES_MAX', eventgrid: 10 },
  permissionBindings: { about: 'Permission bindings', unit: 'bindings', setting: 'PERMISSION_BINDINGS_MAX', eventgrid: 100 },
  caCertificates: { about: 'CA certificates', unit: 'certificates', setting: 'CA_CERTIFICATES_MAX', eventgrid: 10 },
  clientAttributesBytes: { about: 'All attributes of a client as JSON', unit: 'bytes', setting: 'CLIENT_ATTRIBUTES_MAX', eventgrid: 4095 },
} as const satisfies Readonly<Record<string, NamespaceLimit>>

export type NamespaceLimitName = keyof typeof namespaceLimits

/** A namespace's setting `limits`. */
export type NamespaceLimits = { readonly preset: LimitPreset } & { readonly [N in NamespaceLimitName]?: number }

/** The value in force, with the deployment's setting as the upper bound. */
export function limitInForce(name: NamespaceLimitName, limits: NamespaceLimits | undefined, setting: number): number {
  const chosen = limits?.[name] ?? (limits?.preset === 'eventgrid' ? namespaceLimits[name].eventgrid : setting)
  return Math.min(chosen, setting)
}
