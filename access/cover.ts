/**
 * Which topics a set of topic filters matches, and whether it covers another filter entirely (TS-11).
 *
 * Covering is exact for the union. A level that the asked filter leaves open (`+`, or beyond `#`) can be a text that no
 * filter of the set names; only `+` and `#` match that one, and what matches it matches every text. So a filter is
 * covered when its topics of such fresh levels are matched: one topic per length, and lengths beyond the longest
 * filter of the set all fare alike.
 */

/** A level that no filter names. */
const fresh = Symbol('fresh')
type Level = string | typeof fresh

interface Node<T> {
  children: Map<string, Node<T>> | undefined
  plus: Node<T> | undefined
  /** What stands for filters that end here. */
  here: T | undefined
  /** What stands for filters that end here with `#`: matches this level, the parent, too [MQTT-4.7.1-2]. */
  hash: T | undefined
}

const newNode = <T>(): Node<T> => ({ children: undefined, plus: undefined, here: undefined, hash: undefined })

/** A set of topic filters, each with a value that says where it comes from. */
export class FilterSet<T> {
  readonly #root: Node<T> = newNode()
  #levelsMax = 0

  /** Adds a filter given as its levels; the first value of equal filters stays. */
  add(levels: readonly string[], value: T): void {
    let node = this.#root
    const open = levels.at(-1) === '#'
    const length = open ? levels.length - 1 : levels.length
    this.#levelsMax = Math.max(this.#levelsMax, length)
    for (let i = 0; i < length; i++) {
      const level = levels[i]!
      if (level === '+') {
        node.plus ??= newNode()
        node = node.plus
      } else {
        node.children ??= new Map()
        let next = node.children.get(level)
        if (!next) {
          next = newNode<T>()
          node.children.set(level, next)
        }
        node = next
      }
    }
    if (open) node.hash ??= value
    else node.here ??= value
  }

  /** The value of a filter that matches the topic. Topics that start with `$` are matched by filters that spell the first level only [MQTT-4.7.2-1]. */
  match(topic: string): T | undefined {
    if (topic.charCodeAt(0) !== 0x24) return matchTopic(this.#root, topic, 0)
    const slash = topic.indexOf('/')
    const child = this.#root.children?.get(slash === -1 ? topic : topic.slice(0, slash))
    if (!child) return undefined
    return slash === -1 ? (child.here ?? child.hash) : matchTopic(child, topic, slash + 1)
  }

  /** The value of a filter of the set, when every topic that the filter can match is matched by the set. */
  covers(filter: string): T | undefined {
    const levels: Level[] = filter.split('/').map((level) => (level === '+' ? fresh : level))
    if (levels.at(-1) !== '#') return this.#matchLevels(levels)
    levels.pop()
    let value: T | undefined
    if (levels.length === 0) levels.push(fresh) // no topic has no level
    do {
      value = this.#matchLevels(levels)
      if (value === undefined) return undefined
      levels.push(fresh)
    } while (levels.length <= this.#levelsMax + 1)
    return value
  }

  #matchLevels(levels: readonly Level[]): T | undefined {
    const first = levels[0]
    if (typeof first !== 'string' || !first.startsWith('$')) return matchLevels(this.#root, levels, 0)
    const child = this.#root.children?.get(first)
    return child && matchLevels(child, levels, 1)
  }
}

function matchTopic<T>(node: Node<T>, topic: string, from: number): T | undefined {
  if (node.hash !== undefined) return node.hash
  const slash = topic.indexOf('/', from)
  if (slash === -1) {
    const child = node.children?.get(from === 0 ? topic : topic.slice(from))
    const value = child && (child.here ?? child.hash)
    return value ?? (node.plus && (node.plus.here ?? node.plus.hash))
  }
  const child = node.children?.get(topic.slice(from, slash))
  const value = child && matchTopic(child, topic, slash + 1)
  return value ?? (node.plus && matchTopic(node.plus, topic, slash + 1))
}

function matchLevels<T>(node: Node<T>, levels: readonly Level[], index: number): T | undefined {
  if (node.hash !== undefined) return node.hash
  if (index === levels.length) return node.here
  const level = levels[index]!
  const child = level === fresh ? undefined : node.children?.get(level)
  const value = child && matchLevels(child, levels, index + 1)
  return value ?? (node.plus && matchLevels(node.plus, levels, index + 1))
}

/** The filter that a subscription really asks for: without `$share/group/`. Undefined when nothing is left. */
export function withoutShare(filter: string): string | undefined {
  if (!filter.startsWith('$share/')) return filter
  const slash = filter.indexOf('/', '$share/'.length)
  const rest = slash === -1 ? '' : filter.slice(slash + 1)
  return rest === '' ? undefined : rest
}
