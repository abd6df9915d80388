/** Who waits for which positions of a partition. The lowest is at hand however many wait: a binary heap, each position once. */
export class WaitingPositions {
  readonly #callbacks = new Map<number, (() => void)[]>()
  readonly #heap: number[] = []

  /** Positions that are waited for. */
  get size(): number {
    return this.#heap.length
  }

  /** Infinity when nobody waits. */
  get lowest(): number {
    return this.#heap[0] ?? Number.POSITIVE_INFINITY
  }

  add(position: number, callback: () => void): void {
    const callbacks = this.#callbacks.get(position)
    if (callbacks) {
      callbacks.push(callback)
      return
    }
    this.#callbacks.set(position, [callback])
    this.#push(position)
  }

  /** Nobody waits for the positions of [from, to) any more: they are told, lowest first, and may ask again at once. `seen` is told of each position before anybody. */
  settle(from: number, to: number, seen: (position: number) => void = () => {}): void {
    const taken: (() => void)[] = []
    const earlier: number[] = []
    while (this.lowest < to) {
      const position = this.#pop()
      // Asked for while later ones were read.
      if (position < from) {
        earlier.push(position)
        continue
      }
      seen(position)
      for (const callback of this.#callbacks.get(position) ?? []) taken.push(callback)
      this.#callbacks.delete(position)
    }
    for (const position of earlier) this.#push(position)
    for (const callback of taken) callback()
  }

  #push(position: number): void {
    const heap = this.#heap
    let at = heap.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as number
      if (above <= position) break
      heap[at] = above
      at = parent
    }
    heap[at] = position
  }

  /** Takes the lowest off; there is one. */
  #pop(): number {
    const heap = this.#heap
    const lowest = heap[0] as number
    const last = heap.pop() as number
    if (heap.length === 0) return lowest
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && (heap[child + 1] as number) < (heap[child] as number)) child++
      if ((heap[child] as number) >= last) break
      heap[at] = heap[child] as number
      at = child
    }
    heap[at] = last
    return lowest
  }
}
