/**
 * Messages of shared subscriptions for a session that ends with its connection: journaled, so that another member can get
 * what this one does not acknowledge, but with packet ids counted here like those of everything else it is sent. Such a
 * session never sees a number again on another connection.
 */
export class Lent {
  /** Numbers by packet id; in flight. */
  readonly #inflight = new Map<number, number>()
  /** Taken and not done, whether in flight or behind the window. */
  readonly #open = new Set<number>()
  #sent = -1

  /** One above the highest number taken; -1 when none was. */
  get sent(): number {
    return this.#sent
  }

  /** Numbers taken and not done. */
  get unacknowledged(): number[] {
    return [...this.#open].sort((a, b) => a - b)
  }

  /** Takes a number in: `known` when it is on its way already, `done` when it was done here. */
  take(number: number): 'new' | 'known' | 'done' {
    if (number < this.#sent) return this.#open.has(number) ? 'known' : 'done'
    this.#sent = number + 1
    this.#open.add(number)
    return 'new'
  }

  /** The number goes out under the packet id. */
  sending(number: number, packetId: number): void {
    this.#inflight.set(packetId, number)
  }

  /** The number whose packet id is done; null when it is none of these. */
  done(packetId: number): number | null {
    // What is not lent is the most.
    if (this.#inflight.size === 0) return null
    const number = this.#inflight.get(packetId)
    if (number === undefined) return null
    this.#inflight.delete(packetId)
    this.#open.delete(number)
    return number
  }

  /** Done without the client: expired or too large. */
  drop(number: number): void {
    this.#open.delete(number)
  }
}
