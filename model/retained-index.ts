/**
 * What is retained, found by topic filter. A tree by topic level: a filter visits the levels that it names, so that a
 * million topics cost nothing to whom they do not concern. A match is walked in steps, because it may be all of them.
 */

interface Node<T> {
  /** Larger than that of every node that stood beside it before: the order of a walk. */
  readonly serial: number
  children: Map<string, Node<T>> | null
  value: T | undefined
}

interface Frame<T> {
  readonly node: Node<T>
  /** Level of the filter that its children are held against. */
  readonly depth: number
  readonly children: Iterator<[string, Node<T>]> | null
  /** Serial of the child last gone into. */
  last: number
}

export class RetainedIndex<T> {
  #serial = 0
  readonly #root: Node<T> = { serial: 0, children: null, value: undefined }
  #size = 0

  get size(): number {
    return this.#size
  }

  get(topic: string): T | undefined {
    let node: Node<T> | undefined = this.#root
    for (const level of topic.split('/')) {
      node = node.children?.get(level)
      if (!node) return undefined
    }
    return node.value
  }

  set(topic: string, value: T): void {
    let node = this.#root
    for (const level of topic.split('/')) {
      node.children ??= new Map()
      let child = node.children.get(level)
      if (!child) {
        child = { serial: ++this.#serial, children: null, value: undefined }
        node.children.set(level, child)
      }
      node = child
    }
    if (node.value === undefined) this.#size++
    node.value = value
  }

  delete(topic: string): void {
    this.#delete(this.#root, topic.split('/'), 0)
  }

  /** Every value, topics that begin with $ too. Nothing may be put or deleted meanwhile. */
  *all(): Generator<T> {
    const nodes: Node<T>[] = [this.#root]
    for (let node = nodes.pop(); node; node = nodes.pop()) {
      if (node.value !== undefined) yield node.value
      if (node.children) for (const child of node.children.values()) nodes.push(child)
    }
  }

  /** Begins to walk over what the filter (valid, not a shared one) matches. What is put or deleted meanwhile is met or not. */
  walk(filter: string): RetainedWalk<T> {
    return new RetainedWalk(this.#root, filter.split('/'))
  }

  #delete(node: Node<T>, levels: readonly string[], depth: number): void {
    if (depth === levels.length) {
      if (node.value !== undefined) this.#size--
      node.value = undefined
      return
    }
    const level = levels[depth] as string
    const child = node.children?.get(level)
    if (!child) return
    this.#delete(child, levels, depth + 1)
    if (child.value !== undefined || child.children) return
    node.children?.delete(level)
    if (node.children?.size === 0) node.children = null
  }
}

export class RetainedWalk<T> {
  readonly #levels: readonly string[]
  readonly #stack: Frame<T>[] = []
  #waiting: T | undefined

  constructor(root: Node<T>, levels: readonly string[]) {
    this.#levels = levels
    this.#enter(root, 0)
  }

  get isDone(): boolean {
    return this.#stack.length === 0 && this.#waiting === undefined
  }

  /** The next match within so many steps; undefined when there is none (look at `isDone`). Counts the steps down. */
  next(budget: { steps: number }): T | undefined {
    while (this.#waiting === undefined && this.#stack.length > 0 && budget.steps > 0) {
      budget.steps--
      const frame = this.#stack.at(-1) as Frame<T>
      const child = this.#childOf(frame)
      if (!child) {
        this.#stack.pop()
        continue
      }
      frame.last = child.serial
      this.#enter(child, this.#levels[frame.depth] === '#' ? frame.depth : frame.depth + 1)
    }
    const found = this.#waiting
    this.#waiting = undefined
    return found
  }

  /** Whether the walk has gone by the topic, which the filter matches. */
  isPast(topic: string): boolean {
    const names = topic.split('/')
    for (let i = 0; ; i++) {
      const frame = this.#stack[i]
      // Left already, with all below it.
      if (!frame) return true
      const name = names[i]
      // The node the walk stands on or came through: met before what is below it.
      if (name === undefined) return true
      const serial = frame.node.children?.get(name)?.serial
      // Nothing is there that could still be met.
      if (serial === undefined) return true
      const through = this.#stack[i + 1]
      if (serial !== through?.node.serial) return serial <= frame.last
    }
  }

  #enter(node: Node<T>, depth: number): void {
    const level = this.#levels[depth]
    // `#` also matches the level above it [MQTT-4.7.1-2].
    if (level === undefined || level === '#') this.#waiting = node.value
    const isWide = level === '#' || level === '+'
    this.#stack.push({ node, depth, children: isWide ? (node.children?.entries() ?? null) : null, last: -1 })
  }

  #childOf(frame: Frame<T>): Node<T> | undefined {
    const level = this.#levels[frame.depth]
    if (level === undefined) return undefined
    if (level !== '#' && level !== '+') return frame.last >= 0 ? undefined : frame.node.children?.get(level)
    for (let next = frame.children?.next(); next && !next.done; next = frame.children?.next()) {
      // Wildcards in the first level do not match topics that begin with $ [MQTT-4.7.2-1].
      if (this.#stack.length > 1 || !next.value[0].startsWith('$')) return next.value[1]
    }
    return undefined
  }
}
