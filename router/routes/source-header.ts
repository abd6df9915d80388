/**
 * Where a routed record comes from, in two of its headers: the route, and the message's place in the log. Readers find the original by it,
 * and a route that begins again finds what it has written already.
 */
import type { RecordHeader } from '../../log/log.ts'

const routeHeader = 'loggerhead_route'
const sourceHeader = 'loggerhead_source'

/** The headers of one route's records from one shard. */
export class SourceHeaders {
  readonly #route: RecordHeader
  readonly #prefix: string

  /** `topic` is the Kafka topic of the namespace's messages; `since` tells routes of one name apart. */
  constructor(route: string, since: number, topic: string, shard: number) {
    this.#route = { name: routeHeader, value: Buffer.from(`${route}@${since}`) }
    this.#prefix = `${topic}/${shard}/`
  }

  of(offset: number): readonly RecordHeader[] {
    return [this.#route, { name: sourceHeader, value: Buffer.from(this.#prefix + offset) }]
  }

  /** The offset in `messages` when the record is of this route and shard. */
  offsetIn(headers: readonly RecordHeader[]): number | undefined {
    // They stand last, but others may have added to what they copied: the values say whose it is.
    if (!headers.some(({ name, value }) => name === routeHeader && value?.equals(this.#route.value as Buffer))) return undefined
    const source = headers.find(({ name }) => name === sourceHeader)?.value?.toString()
    if (!source?.startsWith(this.#prefix)) return undefined
    const offset = Number(source.slice(this.#prefix.length))
    return Number.isSafeInteger(offset) ? offset : undefined
  }
}
