/** The registry as it would be with changes that nobody has made: what a registry holds, and above it what is proposed. The registry below is not touched. */
import type { RegistryEntry } from '../schemas/registry-records.ts'
import type { Resource, ResourceKind } from './registry-resources.ts'
import { RegistryView } from './registry-view.ts'

/** What decides who may do what, without the clients: there are few of them, and they are copied. */
const copied = ['namespace', 'clientGroups', 'topicSpaces', 'permissionBindings'] as const satisfies readonly ResourceKind[]

/** One resource as it would be; without properties it would be gone. */
export interface ProposedResource {
  readonly kind: ResourceKind
  readonly name: string
  /** As the log would hold them. */
  readonly properties: object | null
}

export class ProposedRegistry extends RegistryView {
  readonly #base: RegistryView
  /** Clients that are proposed, or would be gone, by name. */
  readonly #changed = new Set<string>()

  constructor(base: RegistryView) {
    super()
    this.#base = base
    for (const kind of copied) for (const { name, properties } of base.of<ResourceKind>(kind).values()) this.propose({ kind, name, properties })
  }

  /** The last proposal for a resource is the one that counts. */
  propose({ kind, name, properties }: ProposedResource): void {
    const about = { etag: '', createdAt: 0, updatedAt: 0, by: '' }
    const entry: RegistryEntry | null = properties && { kind, name, properties: JSON.stringify(properties), ...about }
    if (kind === 'clients') this.#changed.add(name)
    this.apply({ offset: this.position, key: `${kind}/${name}`, entry })
  }

  override get clients(): ReadonlyMap<string, Resource<'clients'>> {
    return this.of('clients')
  }

  override of<K extends ResourceKind>(kind: K): ReadonlyMap<string, Resource<K>> {
    return kind === 'clients' ? new Layered(super.of(kind), this.#base.of(kind), this.#changed) : super.of(kind)
  }

  override clientNamed(authenticationName: string): Resource<'clients'> | undefined {
    const own = super.clientNamed(authenticationName)
    if (own) return own
    const below = this.#base.clientNamed(authenticationName)
    return below && !this.#changed.has(below.name) ? below : undefined
  }
}

/** Clients above clients: no more than `get`, `has` and `size` is asked of them; there may be a million, and they are not copied. */
class Layered<V> extends Map<string, V> {
  readonly #own: ReadonlyMap<string, V>
  readonly #below: ReadonlyMap<string, V>
  readonly #changed: ReadonlySet<string>

  constructor(own: ReadonlyMap<string, V>, below: ReadonlyMap<string, V>, changed: ReadonlySet<string>) {
    super()
    this.#own = own
    this.#below = below
    this.#changed = changed
  }

  override get(name: string): V | undefined {
    return this.#changed.has(name) ? this.#own.get(name) : this.#below.get(name)
  }

  override has(name: string): boolean {
    return this.get(name) !== undefined
  }

  override get size(): number {
    let size = this.#own.size + this.#below.size
    for (const name of this.#changed) if (this.#below.has(name)) size--
    return size
  }
}
