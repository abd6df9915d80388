/**
 * Which events of a topic none of its event subscriptions wants (Event Grid's UnmatchedEventCount). Each subscription reads the topic
 * at its own pace, maybe in a router of its own, but every router knows the filters of all: one subscription, the same in everybody's
 * eyes, looks at the others' for what its own do not let through. So each event counts once, when that one reads it.
 */
import { type CompiledFilters, compileFilters, type FilteredEvent } from '../../events/filter.ts'
import { splitSubscriptionName } from '../../model/event-subscriptions.ts'
import type { RegistryView } from '../../model/registry-view.ts'
import { policyOf } from './delivery-policy.ts'

export interface UnmatchedEventsOptions {
  readonly view: Pick<RegistryView, 'eventSubscriptions' | 'eventsPosition'>
  readonly now: () => number
}

/** A subscription as this looks at it. */
interface Candidate {
  readonly name: string
  readonly wants: CompiledFilters
  readonly isPaused: boolean
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

export class UnmatchedEvents {
  readonly #options: UnmatchedEventsOptions
  #byTopic: ReadonlyMap<string, readonly Candidate[]> = new Map()
  #position = -1

  constructor(options: UnmatchedEventsOptions) {
    this.#options = options
  }

  /** For an event that this subscription does not want: whether nobody does, and it is this one that says so. */
  isUnmatched(topic: string, name: string, event: FilteredEvent): boolean {
    const at = this.#options.now()
    const live = (candidate: Candidate): boolean => candidate.expiresAt > at
    const candidates = this.#of(topic)
    // What is paused stops reading when its room is full.
    if (candidates.find((candidate) => live(candidate) && !candidate.isPaused)?.name !== name) return false
    return !candidates.some((candidate) => live(candidate) && candidate.wants(event))
  }

  /** In the order of their names. */
  #of(topic: string): readonly Candidate[] {
    const { eventSubscriptions, eventsPosition } = this.#options.view
    if (eventsPosition !== this.#position) {
      this.#position = eventsPosition
      const all = [...eventSubscriptions.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
      const named = all.map(({ name, properties }) => ({ ...splitSubscriptionName(name), properties }))
      this.#byTopic = new Map(
        [...Map.groupBy(named, ({ topic }) => topic)].map(([topic, some]) => [
          topic,
          some.map(({ subscription, properties }) => ({
            name: subscription,
            wants: compileFilters(properties.filtersConfiguration),
            isPaused: properties.deliveryState === 'Paused',
            expiresAt: policyOf(properties).expiresAt,
          })),
        ]),
      )
    }
    return this.#byTopic.get(topic) ?? []
  }
}
