import * as mqtt from '../test/wire/bytes.ts'
import { LoadConnection } from './load-connection.ts'
import type { LoadOptions } from './load-options.ts'

/** Subscriptions of one connection, and in one SUBSCRIBE: within the defaults of all brokers compared. */
const perConnection = 1_000
const perPacket = 50

/** Holds subscriptions that match nothing, but stand where a match of `name/…` has to look. */
export class Filler extends LoadConnection {
  readonly #filters: readonly string[]
  #next = 0

  private constructor(options: LoadOptions, id: string, filters: readonly string[]) {
    super(options, id, () => {})
    this.#filters = filters
  }

  static all(options: LoadOptions, name: string): readonly Filler[] {
    const filters = Array.from({ length: options.filters }, (_, i) => filterOf(name, i, i % 100 < options.wildcards * 100))
    const fillers: Filler[] = []
    for (let at = 0; at < filters.length; at += perConnection)
      fillers.push(new Filler(options, `${name.replaceAll('/', '-')}-fill-${at}`, filters.slice(at, at + perConnection)))
    return fillers
  }

  protected override get isPersistent(): boolean {
    return false
  }

  protected override onConnected(): void {
    this.#subscribe()
  }

  protected override onSubscribed(): void {
    if (this.#next >= this.#filters.length) this.isReady()
    else this.#subscribe()
  }

  #subscribe(): void {
    const filters = this.#filters.slice(this.#next, this.#next + perPacket)
    this.#next += filters.length
    this.socket.write(
      mqtt.subscribe(
        this.options.version,
        (this.#next % 65_535) + 1,
        filters.map((filter) => [filter, 0] as const),
      ),
    )
  }
}

/** Beside the topics that are published on; those with wildcards on the same branches. */
function filterOf(name: string, i: number, hasWildcard: boolean): string {
  if (!hasWildcard) return `${name}/x${i}`
  return [`bench/+/x${i}`, `+/${name.slice('bench/'.length)}/x${i}`, `${name}/x${i}/#`][i % 3] as string
}
