/** Series of metrics by event subscription: those of subscriptions that are no more are shown no more. */
import type { Counter, Histogram } from 'prom-client'

type BySubscription = Counter<string> | Histogram<string>

export class SubscriptionSeries {
  readonly #metrics: readonly BySubscription[]
  #known: ReadonlySet<string> = new Set()

  /** `metrics` have the labels `topic` and `event_subscription`. */
  constructor(metrics: readonly BySubscription[]) {
    this.#metrics = metrics
  }

  /** To be called when event subscriptions have changed, with the full names of those that there are. */
  async keep(names: Iterable<string>): Promise<void> {
    const known = this.#known
    const there = new Set(names)
    this.#known = there
    if ([...known].every((name) => there.has(name))) return
    for (const metric of this.#metrics) {
      const { values } = await metric.get()
      for (const { labels } of values) {
        const { le: _, ...own } = labels as Readonly<Record<string, string>>
        if (!there.has(`${own.topic}/${own.event_subscription}`)) metric.remove(own)
      }
    }
  }
}
