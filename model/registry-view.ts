/**
 * The fold of the topic `registry`: what the resources are at a position. Every process that decides holds one.
 * A record holds a whole resource, so applying one is a map's set or delete and nothing else ever looks at the past.
 */
import { X509Certificate } from 'node:crypto'
import type { RegistryEntry } from '../schemas/registry-records.ts'
import { type NamespaceEntry, readNamespaceEntry } from './namespaces.ts'
import { type Resource, type ResourceKind, readProperties, resourceKinds } from './registry-resources.ts'

/** One record of the topic, decoded: no entry is a tombstone. */
export interface RegistryRecord {
  readonly offset: number
  /** `kind/name`. */
  readonly key: string
  readonly entry: RegistryEntry | null
  /** It is no tombstone, but this version cannot read it. */
  readonly isUnreadable?: boolean
}

/** A registered CA certificate, parsed once. */
export interface CertificateAuthority {
  readonly name: string
  readonly certificate: X509Certificate
}

/** Key of the marker that says how many partitions the namespace has (partition-change.ts). */
export const partitionsKey = 'marker/partitions'

/** Splits a record's key at its first slash: a kind never holds one, and of names only an event subscription's. */
export function splitKey(key: string): { readonly kind: string; readonly name: string } {
  const slash = key.indexOf('/')
  return { kind: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** How authentication names are compared: ignoring case (CL-02). */
export const foldName = (name: string): string => name.toLowerCase()

type Kinds = { readonly [K in ResourceKind]: Map<string, Resource<K>> }

/** The kind as one text for all resources: there may be a million. */
const kindOf = (kind: string): ResourceKind | undefined => resourceKinds.find((known) => known === kind)

/** What access/decide.ts makes its rules of. */
const rulesAreOf: ReadonlySet<ResourceKind> = new Set(['clientGroups', 'topicSpaces', 'permissionBindings', 'namespace'])

/** The registry as of `position`. Mutable: keep no resource map across a change, or compare `position`. */
export class RegistryView {
  /** Offset after the last record applied: everything below is in. */
  #position = 0
  #rulesPosition = 0
  #eventsPosition = 0
  #routesPosition = 0
  #unreadable = 0
  #by = ''
  readonly #kinds: Kinds = {
    clients: new Map(),
    clientGroups: new Map(),
    topicSpaces: new Map(),
    permissionBindings: new Map(),
    caCertificates: new Map(),
    apiKeys: new Map(),
    topics: new Map(),
    eventSubscriptions: new Map(),
    routes: new Map(),
    namespace: new Map(),
  }
  readonly #clientsByName = new Map<string, Resource<'clients'>>()
  readonly #authoritiesBySubject = new Map<string, readonly CertificateAuthority[]>()
  readonly #authorities = new Map<string, CertificateAuthority>()
  /** Clients that have a password. */
  readonly #withPassword = new Set<Resource<'clients'>>()
  /** Properties by name. */
  readonly #markers = new Map<string, string>()
  readonly #namespaces = new Map<string, NamespaceEntry>()
  /** Offsets of the records that are no resource, by key: markers, fences, namespaces, and what this version cannot read. */
  readonly #others = new Map<string, number>()
  #namespacesPosition = 0

  /** Offset after the last record applied. */
  get position(): number {
    return this.#position
  }

  /** Position of the last change of groups, spaces, bindings or the namespace's settings: compiled rules stay good while it stands. */
  get rulesPosition(): number {
    return this.#rulesPosition
  }

  /** Position of the last change of what routes are made of. */
  get routesPosition(): number {
    return this.#routesPosition
  }

  /** Position of the last change of topics or event subscriptions. */
  get eventsPosition(): number {
    return this.#eventsPosition
  }

  /** Records that were no resource and so grant nothing. */
  get unreadable(): number {
    return this.#unreadable
  }

  get clients(): ReadonlyMap<string, Resource<'clients'>> {
    return this.#kinds.clients
  }
  get clientGroups(): ReadonlyMap<string, Resource<'clientGroups'>> {
    return this.#kinds.clientGroups
  }
  get topicSpaces(): ReadonlyMap<string, Resource<'topicSpaces'>> {
    return this.#kinds.topicSpaces
  }
  get permissionBindings(): ReadonlyMap<string, Resource<'permissionBindings'>> {
    return this.#kinds.permissionBindings
  }
  get caCertificates(): ReadonlyMap<string, Resource<'caCertificates'>> {
    return this.#kinds.caCertificates
  }
  get apiKeys(): ReadonlyMap<string, Resource<'apiKeys'>> {
    return this.#kinds.apiKeys
  }
  get topics(): ReadonlyMap<string, Resource<'topics'>> {
    return this.#kinds.topics
  }
  /** By `{topic}/{subscription}`. */
  get eventSubscriptions(): ReadonlyMap<string, Resource<'eventSubscriptions'>> {
    return this.#kinds.eventSubscriptions
  }
  get routes(): ReadonlyMap<string, Resource<'routes'>> {
    return this.#kinds.routes
  }
  /** The namespace's own settings, when they were ever written. */
  get namespace(): Resource<'namespace'> | undefined {
    return this.#kinds.namespace.values().next().value
  }

  /** In the home namespace's registry: the namespaces of the deployment, those that are no more too. */
  get namespaces(): ReadonlyMap<string, NamespaceEntry> {
    return this.#namespaces
  }

  /** Position of the last change of `namespaces`. */
  get namespacesPosition(): number {
    return this.#namespacesPosition
  }

  /** All resources of a kind, by name. */
  of<K extends ResourceKind>(kind: K): ReadonlyMap<string, Resource<K>> {
    return this.#kinds[kind]
  }

  /** The client with this authentication name, ignoring case. */
  clientNamed(authenticationName: string): Resource<'clients'> | undefined {
    return this.#clientsByName.get(foldName(authenticationName))
  }

  /** Some client's password hash, for checks that only have to take their time; undefined when no client has one. */
  get anyPasswordHash(): string | undefined {
    return this.#withPassword.values().next().value?.properties.passwordHash
  }

  /** Registered CA certificates with this subject, as node:crypto writes it. */
  authoritiesOf(subject: string): readonly CertificateAuthority[] {
    return this.#authoritiesBySubject.get(subject) ?? []
  }

  /** A registered CA certificate by its name, parsed. */
  authority(name: string): CertificateAuthority | undefined {
    return this.#authorities.get(name)
  }

  /** True when a record of the kind `marker` with this name stands: what was done once and must not be done again. */
  hasMarker(name: string): boolean {
    return this.#markers.has(name)
  }

  /** What such a record says, as JSON; undefined when there is none. */
  markerProperties(name: string): string | undefined {
    return this.#markers.get(name)
  }

  /** Applies a record; one below the position was seen already and is ignored. */
  apply(record: RegistryRecord): void {
    if (record.offset < this.#position) return
    this.#position = record.offset + 1
    const isResource = this.#fold(record)
    if (!isResource && (record.entry || record.isUnreadable)) this.#others.set(record.key, record.offset)
    else this.#others.delete(record.key)
  }

  /** Offsets of the records that this is the fold of: of each key the newest, in no order. */
  *standing(): Generator<number> {
    for (const kind of resourceKinds) for (const { offset } of this.#kinds[kind].values()) yield offset
    yield* this.#others.values()
  }

  /** How many those are. */
  get standingCount(): number {
    return resourceKinds.reduce((sum, kind) => sum + this.#kinds[kind].size, this.#others.size)
  }

  /** Moves over a gap that compaction left. */
  skipTo(position: number): void {
    if (position > this.#position) this.#position = position
  }

  /** Whether the record stands as a resource now. */
  #fold(record: RegistryRecord): boolean {
    const { kind, name } = splitKey(record.key)
    if (kind === 'marker') {
      if (record.entry) this.#markers.set(name, record.entry.properties)
      else this.#markers.delete(name)
      return false
    }
    if (kind === 'namespaces') {
      const entry = record.entry && readNamespaceEntry(name, record.entry.properties, record.entry.updatedAt)
      if (entry) this.#namespaces.set(name, entry)
      else this.#namespaces.delete(name)
      this.#namespacesPosition = this.#position
      return false
    }
    const known = kindOf(kind)
    if (known === undefined) return false // a fence, or a kind of a later version
    // The entry's name where it is the same: that of the key is a view into a longer text, which would be kept for it.
    const isResource = this.#put(known, record.entry?.name === name ? record.entry.name : name, record)
    if (rulesAreOf.has(known)) this.#rulesPosition = this.#position
    if (known === 'topics' || known === 'eventSubscriptions') this.#eventsPosition = this.#position
    if (known === 'routes' || known === 'namespace') this.#routesPosition = this.#position
    return isResource
  }

  #put<K extends ResourceKind>(kind: K, name: string, record: RegistryRecord): boolean {
    const map: Map<string, Resource<K>> = this.#kinds[kind]
    const before = map.get(name)
    if (before) this.#unindex(before)
    map.delete(name)
    if (!record.entry) return false
    const properties = readProperties(kind, name, record.entry.properties)
    if (properties === undefined) {
      this.#unreadable++
      return false
    }
    const { etag, createdAt, updatedAt, by } = record.entry
    const resource: Resource<K> = { kind, name, properties, etag, createdAt, updatedAt, by: this.#shared(by), offset: record.offset }
    map.set(name, resource)
    this.#index(resource)
    return true
  }

  /** One text for all that the same writer wrote last. */
  #shared(by: string): string {
    if (by !== this.#by) this.#by = by
    return this.#by
  }

  #index(resource: Resource): void {
    if (isOf(resource, 'clients')) {
      this.#clientsByName.set(foldName(resource.properties.authenticationName), resource)
      if (resource.properties.passwordHash !== undefined) this.#withPassword.add(resource)
    }
    if (!isOf(resource, 'caCertificates')) return
    let certificate: X509Certificate
    try {
      certificate = new X509Certificate(resource.properties.encodedCertificate)
    } catch {
      this.#unreadable++
      return
    }
    const authority = { name: resource.name, certificate }
    this.#authorities.set(resource.name, authority)
    this.#authoritiesBySubject.set(certificate.subject, [...this.authoritiesOf(certificate.subject), authority])
  }

  #unindex(resource: Resource): void {
    if (isOf(resource, 'clients')) {
      const key = foldName(resource.properties.authenticationName)
      this.#withPassword.delete(resource)
      if (this.#clientsByName.get(key)?.name === resource.name) this.#clientsByName.delete(key)
    }
    if (!isOf(resource, 'caCertificates')) return
    const authority = this.#authorities.get(resource.name)
    if (!authority) return
    this.#authorities.delete(resource.name)
    const { subject } = authority.certificate
    const others = this.authoritiesOf(subject).filter((other) => other !== authority)
    if (others.length > 0) this.#authoritiesBySubject.set(subject, others)
    else this.#authoritiesBySubject.delete(subject)
  }
}

function isOf<K extends ResourceKind>(resource: Resource, kind: K): resource is Resource<K> {
  return resource.kind === kind
}
