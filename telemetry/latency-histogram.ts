import { Histogram, type Registry } from 'prom-client'

/** Upper bounds in ms: powers of two, so that finding a bucket is counting leading zeros. */
const boundsMs = Array.from({ length: 16 }, (_, i) => 2 ** i)
const slots = boundsMs.length + 1

/** prom-client wants it; there are none. */
const sharedLabels = {}

interface Sample {
  readonly value: number
  readonly labels: Readonly<Record<string, string | number>>
  readonly metricName: string
  readonly sharedLabels: Readonly<Record<string, never>>
}

/**
 * Latencies of whole milliseconds as plain numbers, for paths where a label lookup per observation would be felt: what is
 * observed is told apart by its place in a list of label sets. Prometheus sees an ordinary histogram in seconds, from 1 ms to 33 s.
 */
export class LatencyHistogram extends Histogram {
  readonly #name: string
  readonly #help: string
  readonly #labelSets: readonly Readonly<Record<string, string>>[]
  /** Per label set, observations by bucket; the last is above all bounds. */
  readonly #counts: Float64Array
  readonly #sumsMs: Float64Array

  constructor(options: {
    readonly name: string
    readonly help: string
    readonly labelSets: readonly Readonly<Record<string, string>>[]
    readonly registry: Registry
  }) {
    const { name, help, labelSets, registry } = options
    super({ name, help, labelNames: Object.keys(labelSets[0] ?? {}), buckets: boundsMs.map((ms) => ms / 1000), registers: [registry] })
    this.#name = name
    this.#help = help
    this.#labelSets = labelSets
    this.#counts = new Float64Array(labelSets.length * slots)
    this.#sumsMs = new Float64Array(labelSets.length)
  }

  /** Counts `ms` for the label set at `place`. A clock that was set back counts as no time. */
  observeMs(place: number, ms: number): void {
    const whole = ms > 0 ? ms : 0
    const slot = whole <= 1 ? 0 : Math.min(32 - Math.clz32(whole - 1), boundsMs.length)
    const at = place * slots + slot
    this.#counts[at] = (this.#counts[at] as number) + 1
    this.#sumsMs[place] = (this.#sumsMs[place] as number) + whole
  }

  /** What prom-client makes both its text and its JSON of; of label sets that were never observed it hears nothing. */
  async getForPromString() {
    const values: Sample[] = []
    for (const [place, labels] of this.#labelSets.entries()) {
      let count = 0
      const buckets = boundsMs.map((ms, slot): Sample => {
        count += this.#counts[place * slots + slot] as number
        return { metricName: `${this.#name}_bucket`, labels: { ...labels, le: ms / 1000 }, value: count, sharedLabels }
      })
      count += this.#counts[place * slots + boundsMs.length] as number
      if (count === 0) continue
      values.push(
        ...buckets,
        { metricName: `${this.#name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count, sharedLabels },
        { metricName: `${this.#name}_sum`, labels, value: (this.#sumsMs[place] as number) / 1000, sharedLabels },
        { metricName: `${this.#name}_count`, labels, value: count, sharedLabels },
      )
    }
    return { name: this.#name, help: this.#help, type: 'histogram', values, aggregator: 'sum' }
  }
}
