/**
 * Turns at the TLS handshakes: a bounded number at a time, the rest wait. One address has a quarter of them at most, and
 * addresses that wait are served in turn, so that a crowd from one place does not keep the others out.
 */
export interface Turn {
  /** Done with it, waiting or not; more than once does no harm. */
  end(): void
}

interface Lane {
  underWay: number
  readonly waiting: Set<() => void>
}

export class HandshakeTurns {
  readonly #max: number
  readonly #maxPerAddress: number
  /** By address, the one that was served longest ago first. */
  readonly #lanes = new Map<string, Lane>()
  #underWay = 0

  constructor(max: number) {
    this.#max = max
    this.#maxPerAddress = Math.max(1, Math.floor(max / 4))
  }

  get underWay(): number {
    return this.#underWay
  }

  /** Calls `begin` when it is this one's turn, at once if it can be; `waits` tells that it is not. */
  take(address: string, begin: () => void): Turn & { readonly waits: boolean } {
    const lane = this.#lanes.get(address) ?? { underWay: 0, waiting: new Set() }
    this.#lanes.set(address, lane)
    let state: 'waits' | 'begun' | 'ended' = 'waits'
    const start = (): void => {
      state = 'begun'
      begin()
    }
    const end = (): void => {
      if (state === 'ended') return
      if (state === 'begun') {
        lane.underWay--
        this.#underWay--
      } else lane.waiting.delete(start)
      state = 'ended'
      if (lane.underWay === 0 && lane.waiting.size === 0) this.#lanes.delete(address)
      this.#next()
    }
    lane.waiting.add(start)
    this.#next()
    return { waits: state === 'waits', end }
  }

  #next(): void {
    // At most four addresses are passed over: those that have their quarter.
    for (const [address, lane] of this.#lanes) {
      if (this.#underWay >= this.#max) return
      const [start] = lane.waiting
      if (start === undefined || lane.underWay >= this.#maxPerAddress) continue
      lane.waiting.delete(start)
      lane.underWay++
      this.#underWay++
      this.#lanes.delete(address)
      this.#lanes.set(address, lane) // the loop comes to it again
      start()
    }
  }
}
