/**
 * All subscriptions of the namespace, found by topic. Filters without wildcards are looked up directly; the others stand
 * in a trie by topic level. Every router holds all of them.
 */
import type { Session, Subscription } from '../model/session.ts'

type Subscribers = Map<Session, Subscription>

interface Node {
  children: Map<string, Node> | null
  /** Filters that end here. */
  exact: Subscribers | null
  /** Filters that end here with `#`, which also match the parent level [MQTT-4.7.1.2]. */
  rest: Subscribers | null
}

/** A session and those of its subscriptions that match. */
export interface Match {
  readonly session: Session
  readonly subscriptions: Subscription[]
}

const newNode = (): Node => ({ children: null, exact: null, rest: null })
const hasWildcard = (filter: string): boolean => filter.includes('+') || filter.includes('#')

export class SubscriptionTrie {
  readonly #direct = new Map<string, Subscribers>()
  readonly #root: Node = newNode()
  #size = 0

  /** Subscriptions held. */
  get size(): number {
    return this.#size
  }

  /** Filters and trie nodes held: none without subscriptions. */
  get nodes(): number {
    const below = (node: Node): number => [...(node.children?.values() ?? [])].reduce((sum, child) => sum + 1 + below(child), 0)
    return this.#direct.size + below(this.#root) + (this.#root.rest || this.#root.exact ? 1 : 0)
  }

  /** Adds or replaces the session's subscription to this filter. */
  add(session: Session, subscription: Subscription): void {
    const { filter } = subscription
    let subscribers: Subscribers
    if (!hasWildcard(filter)) {
      subscribers = this.#direct.get(filter) ?? new Map()
      this.#direct.set(filter, subscribers)
    } else {
      subscribers = this.#wildcardSubscribers(filter)
    }
    if (!subscribers.has(session)) this.#size++
    subscribers.set(session, subscription)
  }

  remove(session: Session, filter: string): void {
    if (!hasWildcard(filter)) {
      const subscribers = this.#direct.get(filter)
      if (!subscribers?.delete(session)) return
      this.#size--
      if (subscribers.size === 0) this.#direct.delete(filter)
      return
    }
    if (this.#removeBelow(this.#root, filter.split('/'), 0, session)) this.#size--
  }

  /** Every session with a matching subscription, once. */
  match(topic: string): Match[] {
    const found = new Map<Session, Match>()
    const direct = this.#direct.get(topic)
    if (direct) collect(direct, found)
    const levels = topic.split('/')
    // Wildcards in the first level do not match topics that begin with $ [MQTT-4.7.2-1].
    if (topic.startsWith('$')) {
      const child = this.#root.children?.get(levels[0] as string)
      if (child) visit(child, levels, 1, found)
    } else {
      visit(this.#root, levels, 0, found)
    }
    return [...found.values()]
  }

  #wildcardSubscribers(filter: string): Subscribers {
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

  /** Removes and prunes what is empty; true when there was something to remove. */
  #removeBelow(node: Node, levels: readonly string[], depth: number, session: Session): boolean {
    const level = levels[depth]
    if (level === '#' || level === undefined) {
      const subscribers = level === '#' ? node.rest : node.exact
      if (!subscribers?.delete(session)) return false
      if (subscribers.size === 0) {
        if (level === '#') node.rest = null
        else node.exact = null
      }
      return true
    }
    const child = node.children?.get(level)
    if (!child || !this.#removeBelow(child, levels, depth + 1, session)) return false
    if (!child.children && !child.exact && !child.rest) {
      node.children?.delete(level)
      if (node.children?.size === 0) node.children = null
    }
    return true
  }
}

function visit(node: Node, levels: readonly string[], depth: number, found: Map<Session, Match>): void {
  if (node.rest) collect(node.rest, found)
  if (depth === levels.length) {
    if (node.exact) collect(node.exact, found)
    return
  }
  const children = node.children
  if (!children) return
  const named = children.get(levels[depth] as string)
  if (named) visit(named, levels, depth + 1, found)
  const any = children.get('+')
  if (any) visit(any, levels, depth + 1, found)
}

function collect(subscribers: Subscribers, found: Map<Session, Match>): void {
  for (const [session, subscription] of subscribers) {
    const match = found.get(session)
    if (match) match.subscriptions.push(subscription)
    else found.set(session, { session, subscriptions: [subscription] })
  }
}
