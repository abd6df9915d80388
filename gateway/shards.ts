/** Who speaks for which shard, and how far each has come. Pure bookkeeping; router-links.ts carries the frames. */

export interface Shard<Link> {
  /** Highest term announced by an owner; -1 before the first. */
  term: number
  link: Link | null
  /** Direct messages below this have been taken; -1 before the first. */
  receivedTo: number
  /** Number of the last page of retained messages of this term; 0 before the first. */
  retainedTo: number
  /** When its owner was last heard, ms since the epoch. */
  heardAt: number
}

export class Shards<Link> {
  readonly #shards: Shard<Link>[]

  constructor(count: number, nowMs: number) {
    this.#shards = Array.from({ length: count }, () => ({ term: -1, link: null, receivedTo: -1, retainedTo: 0, heardAt: nowMs }))
  }

  get count(): number {
    return this.#shards.length
  }

  /** Null for a shard that does not exist. */
  of(shard: number): Shard<Link> | null {
    return this.#shards[shard] ?? null
  }

  /** A router announces its term; false when a later owner is known. */
  own(number: number, term: number, link: Link, nowMs: number): boolean {
    const shard = this.#shards[number]
    if (!shard || term < shard.term) return false
    if (term > shard.term) shard.retainedTo = 0
    shard.term = term
    shard.link = link
    shard.heardAt = nowMs
    return true
  }

  disown(number: number, term: number, link: Link): void {
    const shard = this.#shards[number]
    if (shard && shard.link === link && term >= shard.term) shard.link = null
  }

  /** Whether a frame of this shard and term counts. */
  accepts(number: number, term: number, link: Link): boolean {
    const shard = this.#shards[number]
    return shard !== undefined && shard.term === term && shard.link === link
  }

  /** The link is gone: nobody speaks for its shards until a router announces itself again. */
  drop(link: Link): void {
    for (const shard of this.#shards) if (shard.link === link) shard.link = null
  }

  heard(link: Link, nowMs: number): void {
    for (const shard of this.#shards) if (shard.link === link) shard.heardAt = nowMs
  }

  /** Nobody could be heard until now: that was nobody's silence. */
  listenAnew(nowMs: number): void {
    for (const shard of this.#shards) shard.heardAt = nowMs
  }

  /** Shards whose owner has been silent for longer than `silenceMs`. */
  silent(nowMs: number, silenceMs: number): number[] {
    return this.#shards.flatMap((shard, number) => (nowMs - shard.heardAt > silenceMs ? [number] : []))
  }

  withoutLink(): number[] {
    return this.#shards.flatMap((shard, number) => (shard.link === null ? [number] : []))
  }

  ownedBy(link: Link): number[] {
    return this.#shards.flatMap((shard, number) => (shard.link === link ? [number] : []))
  }

  /** Takes a page of retained messages; false when it was taken before. */
  receiveRetained(number: number, sequence: number): boolean {
    const shard = this.#shards[number]
    if (!shard || sequence <= shard.retainedTo) return false
    shard.retainedTo = sequence
    return true
  }

  /** Takes a direct stretch: the first offset that is new; null when all of it was taken before. */
  receive(number: number, to: number): number | null {
    const shard = this.#shards[number]
    if (!shard || to <= shard.receivedTo) return null
    const from = shard.receivedTo
    shard.receivedTo = to
    return from
  }
}
