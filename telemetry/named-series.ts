/** Series of metrics by the name of something that operators make: those of what is no more are shown no more. */
import type { Counter, Histogram } from 'prom-client'

type Labels = Readonly<Record<string, string>>

export class NamedSeries {
  readonly #metrics: readonly (Counter<string> | Histogram<string>)[]
  readonly #nameOf: (labels: Labels) => string
  /** Null until it was told: series may be of what is gone by then. */
  #known: ReadonlySet<string> | null = null

  /** `nameOf` says of a series' labels whose it is. */
  constructor(metrics: readonly (Counter<string> | Histogram<string>)[], nameOf: (labels: Labels) => string) {
    this.#metrics = metrics
    this.#nameOf = nameOf
  }

  /** To be called when something was made or deleted, with the names of all that there are. */
  async keep(names: Iterable<string>): Promise<void> {
    const known = this.#known
    const there = new Set(names)
    this.#known = there
    if (known && [...known].every((name) => there.has(name))) return
    for (const metric of this.#metrics) {
      const { values } = await metric.get()
      // Whoever has read them as JSON has left the registry's default labels in them, which are none of the metric's own.
      const { labelNames } = metric as unknown as { readonly labelNames: readonly string[] }
      for (const { labels } of values) {
        const own = Object.fromEntries(Object.entries(labels as Labels).filter(([name]) => labelNames.includes(name)))
        // A series without a name is of nobody, and stays.
        if (this.#nameOf(own) !== '' && !there.has(this.#nameOf(own))) metric.remove(own)
      }
    }
  }
}
