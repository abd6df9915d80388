/** How many requests all subscriptions of a router may have under way, so that many webhooks at once do not take all sockets. */
import type { PushBudget as Budget } from './pusher.ts'

export class PushBudget implements Budget {
  readonly #requestsMax: number
  #requests = 0
  #waiting: (() => void)[] = []

  constructor(requestsMax: number) {
    this.#requestsMax = requestsMax
  }

  get requests(): number {
    return this.#requests
  }

  takeRequest(underWay: number): boolean {
    if (underWay > 0 && this.#requests >= this.#requestsMax) return false
    this.#requests++
    return true
  }

  requestEnded(): void {
    this.#requests--
    if (this.#waiting.length === 0 || this.#requests >= this.#requestsMax) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const callback of waiting) callback()
  }

  whenFree(callback: () => void): void {
    this.#waiting.push(callback)
  }
}
