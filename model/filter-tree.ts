/**
 * Things under topic filters, found by topic. Filters without wildcards are looked up directly; the others stand in a tree
 * by topic level.
 */

/** What stands under one filter, with what belongs to it there. */
type Entries<K, V> = Map<K, V>

interface Node<K, V> {
  children: Map<string, Node<K, V>> | null
  /** Filters that end here. */
  exact: Entries<K, V> | null
  /** Filters that end here with `#`, which also match the parent level [MQTT-4.7.1.2]. */
  rest: Entries<K, V> | null
}

const newNode = <K, V>(): Node<K, V> => ({ children: null, exact: null, rest: null })
const hasWildcard = (filter: string): boolean => filter.includes('+') || filter.includes('#')

export class FilterTree<K, V> {
  readonly #direct = new Map<string, Entries<K, V>>()
  readonly #root: Node<K, V> = newNode()
  #size = 0

  /** Pairs of filter and key. */
  get size(): number {
    return this.#size
  }

  /** Filters and nodes held: none without entries. */
  get nodes(): number {
    const below = (node: Node<K, V>): number => [...(node.children?.values() ?? [])].reduce((sum, child) => sum + 1 + below(child), 0)
    return this.#direct.size + below(this.#root) + (this.#root.rest || this.#root.exact ? 1 : 0)
  }

  /** Adds or replaces what stands under the filter for the key. */
  set(filter: string, key: K, value: V): void {
    let entries: Entries<K, V>
    if (!hasWildcard(filter)) {
      entries = this.#direct.get(filter) ?? new Map()
      this.#direct.set(filter, entries)
    } else {
      entries = this.#wildcardEntries(filter)
    }
    if (!entries.has(key)) this.#size++
    entries.set(key, value)
  }

  delete(filter: string, key: K): void {
    if (!hasWildcard(filter)) {
      const entries = this.#direct.get(filter)
      if (!entries?.delete(key)) return
      this.#size--
      if (entries.size === 0) this.#direct.delete(filter)
      return
    }
    if (this.#deleteBelow(this.#root, filter.split('/'), 0, key)) this.#size--
  }

  /** Calls back with all that stands under each filter that matches. */
  match(topic: string, found: (entries: ReadonlyMap<K, V>) => void): void {
    const direct = this.#direct.get(topic)
    if (direct) found(direct)
    const levels = topic.split('/')
    // Wildcards in the first level do not match topics that begin with $ [MQTT-4.7.2-1].
    if (topic.startsWith('$')) {
      const child = this.#root.children?.get(levels[0] as string)
      if (child) visit(child, levels, 1, found)
    } else {
      visit(this.#root, levels, 0, found)
    }
  }

  #wildcardEntries(filter: string): Entries<K, V> {
    let node = this.#root
    for (const level of filter.split('/')) {
      if (level === '#') {
        node.rest ??= new Map()
        return node.rest
      }
      node.children ??= new Map()
      let child = node.children.get(level)
      if (!child) {
        child = newNode()
        node.children.set(level, child)
      }
      node = child
    }
    node.exact ??= new Map()
    return node.exact
  }

  /** Deletes and prunes what is empty; true when there was something to delete. */
  #deleteBelow(node: Node<K, V>, levels: readonly string[], depth: number, key: K): boolean {
    const level = levels[depth]
    if (level === '#' || level === undefined) {
      const entries = level === '#' ? node.rest : node.exact
      if (!entries?.delete(key)) return false
      if (entries.size === 0) {
        if (level === '#') node.rest = null
        else node.exact = null
      }
      return true
    }
    const child = node.children?.get(level)
    if (!child || !this.#deleteBelow(child, levels, depth + 1, key)) return false
    if (!child.children && !child.exact && !child.rest) {
      node.children?.delete(level)
      if (node.children?.size === 0) node.children = null
    }
    return true
  }
}

function visit<K, V>(node: Node<K, V>, levels: readonly string[], depth: number, found: (entries: ReadonlyMap<K, V>) => void): void {
  if (node.rest) found(node.rest)
  if (depth === levels.length) {
    if (node.exact) found(node.exact)
    return
  }
  const children = node.children
  if (!children) return
  const named = children.get(levels[depth] as string)
  if (named) visit(named, levels, depth + 1, found)
  const any = children.get('+')
  if (any) visit(any, levels, depth + 1, found)
}
