/** Where somebody who reads the past goes on: a `from` of positions, one for each partition that was read. */
import { positionsText } from './replay-range.ts'

export class Cursor {
  readonly #next = new Map<number, number>()
  #text: string | undefined

  constructor(places: Iterable<{ readonly source: number; readonly next: number }>) {
    for (const { source, next } of places) this.#next.set(source, next)
  }

  /** Everything of the partition below this offset was read. */
  move(source: number, next: number): void {
    this.#next.set(source, next)
    this.#text = undefined
  }

  get text(): string {
    this.#text ??= positionsText(this.#next)
    return this.#text
  }
}
