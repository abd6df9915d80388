/** Clients moved off a gateway that stops: whose turn is when. Pure; gateway.ts says good-bye to them. */

/** So few clients are no crowd for the other gateways: they go sooner than the period allows. Milliseconds for each. */
const paceMs = 10
/** The rest of the period is for answers that the log still owes, and for sockets that take them slowly. */
const turnsEndAt = 0.8

export class Drain<Client> {
  readonly #clients: readonly Client[]
  readonly #startedAt: number
  readonly #turnsMs: number
  #gone = 0
  /** Milliseconds since the epoch: whoever is left then goes at once. */
  readonly endsAt: number

  /** `random`: 0 to below 1. In random order, so that clients that came together do not return together. */
  constructor(clients: readonly Client[], periodMs: number, nowMs: number, random: () => number) {
    this.#clients = shuffled(clients, random)
    this.#startedAt = nowMs
    this.#turnsMs = Math.min(periodMs * turnsEndAt, clients.length * paceMs)
    this.endsAt = nowMs + periodMs
  }

  /** Those whose turn has come since this was last asked. */
  due(nowMs: number): readonly Client[] {
    const elapsed = Math.max(0, nowMs - this.#startedAt)
    const count = this.#clients.length
    const turns = elapsed >= this.#turnsMs ? count : Math.floor((elapsed / this.#turnsMs) * count)
    const due = this.#clients.slice(this.#gone, turns)
    this.#gone = Math.max(this.#gone, turns)
    return due
  }
}

function shuffled<T>(list: readonly T[], random: () => number): readonly T[] {
  const all = [...list]
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const other = all[i] as T
    all[i] = all[j] as T
    all[j] = other
  }
  return all
}
