import type { Upstream } from './config.ts'

/** How long a service that could not be reached is asked last, ms. */
const restMs = 1000

/** The services of one kind: which to ask first. Takes turns, and lets one that was just away rest. */
export class Upstreams {
  readonly #all: readonly Upstream[]
  readonly #now: () => number
  readonly #restsUntil = new Map<Upstream, number>()
  #turn = 0

  constructor(all: readonly Upstream[], now: () => number) {
    this.#all = all
    this.#now = now
  }

  /** Every service once, in the order to try them. */
  order(): Upstream[] {
    const start = this.#all.length === 0 ? 0 : this.#turn++ % this.#all.length
    const turned = [...this.#all.slice(start), ...this.#all.slice(0, start)]
    const now = this.#now()
    const rests = (upstream: Upstream): boolean => (this.#restsUntil.get(upstream) ?? 0) > now
    return [...turned.filter((upstream) => !rests(upstream)), ...turned.filter(rests)]
  }

  /** It could not be reached. */
  failed(upstream: Upstream): void {
    this.#restsUntil.set(upstream, this.#now() + restMs)
  }

  /** It was reached. */
  reached(upstream: Upstream): void {
    this.#restsUntil.delete(upstream)
  }
}
