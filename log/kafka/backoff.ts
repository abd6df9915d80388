/** Waits between attempts: 50 ms doubling to 1 s, each up to a fifth shorter or longer so that many clients spread out. */
export class Backoff {
  #next = 50

  next(): number {
    const wait = this.#next * (0.8 + Math.random() * 0.4)
    this.#next = Math.min(this.#next * 2, 1000)
    return wait
  }

  reset(): void {
    this.#next = 50
  }
}
