/** Who may come in at all, before a byte is read. Counts only; the limits come from the settings. */
export interface AdmissionLimits {
  readonly CONNECTIONS_MAX: number
  readonly CONNECTIONS_PER_ADDRESS_MAX: number
}

export class Admission {
  readonly #limits: AdmissionLimits
  readonly #byAddress = new Map<string, number>()
  #connections = 0

  constructor(limits: AdmissionLimits) {
    this.#limits = limits
  }

  get connections(): number {
    return this.#connections
  }

  /** Counts a socket in; false when there are as many as may be. */
  enter(): boolean {
    if (this.#connections >= this.#limits.CONNECTIONS_MAX) return false
    this.#connections++
    return true
  }

  leave(): void {
    this.#connections--
  }

  /** Counts one that has entered under its client's address; false when that has as many as it may. */
  place(address: string): boolean {
    const placed = this.#byAddress.get(address) ?? 0
    if (placed >= this.#limits.CONNECTIONS_PER_ADDRESS_MAX) return false
    this.#byAddress.set(address, placed + 1)
    return true
  }

  unplace(address: string): void {
    const left = (this.#byAddress.get(address) ?? 1) - 1
    if (left > 0) this.#byAddress.set(address, left)
    else this.#byAddress.delete(address)
  }
}
