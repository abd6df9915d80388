/**
 * The namespaces of a deployment. The home namespace is named by LOGGERHEAD_NAMESPACE and always there; the others, and all
 * host names, stand in the home namespace's registry under the kind `namespaces`, so that every process that follows it knows them.
 */
/** `Creating`: its topics are being made. `Deleting`: its clients are over, its topics still there. `Deleted`: only the number of lives is remembered. */
const namespaceStates = ['Creating', 'Active', 'Deleting', 'Deleted'] as const
export type NamespaceState = (typeof namespaceStates)[number]

/** What a record says of a namespace. */
export interface NamespaceRecord {
  readonly state: NamespaceState
  /** How many namespaces of this name there have been, this one included. */
  readonly life: number
  /** Its shards: fixed when it is created. */
  readonly partitions: number
  /** Lower case, without a final dot. */
  readonly hostNames: readonly string[]
}

/** What the home registry holds of a namespace. */
export interface NamespaceEntry extends NamespaceRecord {
  readonly name: string
  /** Milliseconds since the epoch. */
  readonly updatedAt: number
}

/** One life of a namespace, as processes serve it. */
export interface Namespace {
  readonly name: string
  readonly life: number
  readonly partitions: number
}

/**
 * What a life is called where it must not be mistaken for an earlier one of the name: in topic names, groups and links. Whatever still
 * writes for the earlier life writes elsewhere.
 */
export function lifeName({ name, life }: Pick<Namespace, 'name' | 'life'>): string {
  return life === 1 ? name : `${name}.${life}`
}

/** NS-01. */
export const namespaceName = { pattern: /^[A-Za-z0-9-]{3,50}$/, rule: '3 to 50 letters, digits and “-”' } as const

const hostLabel = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/

/** A host name as TLS's server_name may carry it (RFC 6066, 3), folded; null when it is none. */
export function foldHostName(text: string): string | null {
  const folded = text.toLowerCase().replace(/\.$/, '')
  const labels = folded.split('.')
  if (folded.length > 253 || labels.some((label) => !hostLabel.test(label))) return null
  return /^\d+$/.test(labels.at(-1) ?? '') ? null : folded // an address is no host name
}

/** Reads a stored entry; undefined when it is none: then there is no such namespace. */
export function readNamespaceEntry(name: string, properties: string, updatedAt: number): NamespaceEntry | undefined {
  let json: unknown
  try {
    json = JSON.parse(properties)
  } catch {
    return undefined
  }
  if (typeof json !== 'object' || json === null || !namespaceName.pattern.test(name)) return undefined
  const { state: given, life, partitions, hostNames } = json as Readonly<Record<string, unknown>>
  const state = namespaceStates.find((known) => known === given)
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1
  if (state === undefined || !isCount(life) || !isCount(partitions)) return undefined
  const names = Array.isArray(hostNames) ? hostNames.filter((host): host is string => typeof host === 'string' && foldHostName(host) === host) : []
  return { name, state, life, partitions, hostNames: names, updatedAt }
}
