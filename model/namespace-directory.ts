/** The namespaces and host names of a deployment as one process knows them: what the home registry says, kept until it says otherwise. */
import type { Namespace } from './namespaces.ts'
import type { RegistryView } from './registry-view.ts'

export class NamespaceDirectory {
  readonly home: string
  readonly #view: RegistryView
  readonly #isProduction: boolean
  #position = -1
  #others: readonly Namespace[] = []
  #names: ReadonlySet<string> = new Set()
  #hosts: ReadonlyMap<string, string> = new Map()
  #hostsOf: ReadonlyMap<string, readonly string[]> = new Map()
  #isStrict = false

  constructor(view: RegistryView, home: string, isProduction: boolean) {
    this.#view = view
    this.home = home
    this.#isProduction = isProduction
    this.refresh()
  }

  /** Besides the home one. */
  get others(): readonly Namespace[] {
    return this.#others
  }

  /** All of them. */
  get names(): ReadonlySet<string> {
    return this.#names
  }

  get hosts(): ReadonlyMap<string, string> {
    return this.#hosts
  }

  /** Those that lead to the namespace. */
  hostNamesOf(namespace: string): readonly string[] {
    return this.#hostsOf.get(namespace) ?? []
  }

  /**
   * In production nobody gets into the home namespace by asking for no host that is known, as soon as there has been another namespace: clients of
   * one that is no more must not end up there.
   */
  get isStrict(): boolean {
    return this.#isStrict
  }

  /** Looks at the registry again. True when it has changed. */
  refresh(): boolean {
    if (this.#view.namespacesPosition === this.#position) return false
    this.#position = this.#view.namespacesPosition
    this.#others = furtherNamespaces(this.#view, this.home)
    this.#names = new Set([this.home, ...this.#others.map(({ name }) => name)])
    this.#hosts = hostNames(this.#view)
    this.#hostsOf = Map.groupBy(this.#hosts.keys(), (host) => this.#hosts.get(host) ?? '')
    this.#isStrict = this.#isProduction && [...this.#view.namespaces.keys()].some((name) => name !== this.home)
    return true
  }
}

/** The namespaces besides the home one that are to be served. */
function furtherNamespaces(view: RegistryView, home: string): readonly Namespace[] {
  return [...view.namespaces.values()].filter(({ name, state }) => state === 'Active' && name !== home)
}

/** Which namespace each host name leads to. Names are unique when written; should two have one all the same, the first by name has it. */
function hostNames(view: RegistryView): ReadonlyMap<string, string> {
  const hosts = new Map<string, string>()
  const entries = [...view.namespaces.values()].filter(({ state }) => state === 'Active').sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const { name, hostNames } of entries) for (const host of hostNames) if (!hosts.has(host)) hosts.set(host, name)
  return hosts
}
