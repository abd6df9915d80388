/** What of a shard's messages a group is not given when they are matched, because it is behind: pure bookkeeping over offsets, as the journal tells it. */
import type { BehindGroup } from '../schemas/inbox-records.ts'

interface Span {
  readonly from: number
  /** Null while the group is behind. */
  to: number | null
}

export class Withheld {
  readonly group: string
  /** Ascending, apart; only the last one may be open. */
  #spans: Span[]

  constructor(group: string, told: readonly BehindGroup[] = []) {
    this.group = group
    this.#spans = told.map(({ from, to }) => ({ from, to })).sort((a, b) => a.from - b.from)
  }

  /** Nothing is left to be told of. */
  get isEmpty(): boolean {
    return this.#spans.length === 0
  }

  /** Spans that are told of. */
  get count(): number {
    return this.#spans.length
  }

  /** The group is behind. */
  get isOpen(): boolean {
    return this.#spans.at(-1)?.to === null
  }

  /** Offset after the last span; Infinity while it is open, 0 without any. */
  get end(): number {
    const last = this.#spans.at(-1)
    return last ? (last.to ?? Number.POSITIVE_INFINITY) : 0
  }

  covers(offset: number): boolean {
    return this.#spans.some(({ from, to }) => from <= offset && (to === null || offset < to))
  }

  /** From this offset on; not before the end of what was withheld earlier. */
  open(from: number): void {
    if (from < this.end) throw new RangeError(`${this.group} cannot fall behind at ${from}, below ${this.end}`)
    this.#spans.push({ from, to: null })
  }

  close(to: number): void {
    const last = this.#spans.at(-1)
    if (!last || last.to !== null || to < last.from) throw new RangeError(`${this.group} cannot catch up at ${to}`)
    last.to = to
  }

  /** The first offset at or above this one that is withheld, and where that ends; undefined when nothing is. */
  next(offset: number): { readonly from: number; readonly to: number | null } | undefined {
    const span = this.#spans.find(({ to }) => to === null || to > offset)
    return span && { from: Math.max(span.from, offset), to: span.to }
  }

  /** Forgets what is seen through up to `done` and whose matching the shard's journaled progress has passed. */
  prune(done: number, progress: number): boolean {
    const before = this.#spans.length
    this.#spans = this.#spans.filter(({ to }) => to === null || to > done || to > progress)
    return this.#spans.length < before
  }

  /** As the journal has it. */
  told(done: number): BehindGroup[] {
    return this.#spans.map(({ from, to }) => ({ group: this.group, from, to, position: Math.max(from, Math.min(done, to ?? done)) }))
  }
}
