import { Counter, Gauge, type Registry } from 'prom-client'

/** The values of a metric at this moment, each with its labels. */
export type Samples = Iterable<readonly [labels: Readonly<Record<string, string>>, value: number]>

interface Counted {
  readonly registry: Registry
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
}

/** A counter that is kept elsewhere as plain numbers, which never fall; prom-client sees them when it is scraped. */
export function countedElsewhere({ registry, ...named }: Counted, read: () => Samples): void {
  new Counter({
    ...named,
    registers: [registry],
    collect() {
      this.reset()
      for (const [labels, value] of read()) this.inc(labels, value)
    },
  })
}

/** A level that is read when it is asked for. */
export function levelElsewhere({ registry, ...named }: Counted, read: () => Samples): void {
  new Gauge({
    ...named,
    registers: [registry],
    collect() {
      this.reset()
      for (const [labels, value] of read()) this.set(labels, value)
    },
  })
}
