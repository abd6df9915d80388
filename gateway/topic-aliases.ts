/**
 * Topic aliases that the server sets for one client, within the client's Topic Alias Maximum. A topic gets one when it is
 * used again while it is remembered, and loses it to another that is when it is the one not used for longest: a client
 * of many topics that come once each costs no aliases and no bytes.
 */

/** How a topic goes out: its alias (0 for none), and whether the client knows it already. */
export interface AliasUse {
  readonly topicAlias: number
  readonly topicKnown: boolean
}

const noAlias: AliasUse = { topicAlias: 0, topicKnown: false }
/** Bytes of the property: below this a topic name is not longer. */
const aliasSize = 3

export class TopicAliases {
  readonly #max: number
  /** In the order of their last use. */
  readonly #aliases = new Map<string, number>()
  /** Topics used once, in the order of that. */
  readonly #seen = new Set<string>()

  /** `max` is at least 1. */
  constructor(max: number) {
    this.#max = max
  }

  /** The topic goes out now. */
  use(topic: string): AliasUse {
    const known = this.#aliases.get(topic)
    if (known !== undefined) {
      this.#aliases.delete(topic)
      this.#aliases.set(topic, known)
      return { topicAlias: known, topicKnown: true }
    }
    if (topic.length <= aliasSize) return noAlias
    if (!this.#seen.delete(topic)) {
      this.#seen.add(topic)
      if (this.#seen.size > this.#max) this.#seen.delete(this.#seen.values().next().value as string)
      return noAlias
    }
    const topicAlias = this.#take()
    this.#aliases.set(topic, topicAlias)
    return { topicAlias, topicKnown: false }
  }

  #take(): number {
    if (this.#aliases.size < this.#max) return this.#aliases.size + 1
    const [topic, alias] = this.#aliases.entries().next().value as [string, number]
    this.#aliases.delete(topic)
    return alias
  }
}
