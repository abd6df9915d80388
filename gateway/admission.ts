/** Who may come in at all, before a byte is read. Counts only; the limits come from the settings. */
export interface AdmissionLimits {
  readonly CONNECTIONS_MAX: number
  readonly CONNECTIONS_PER_ADDRESS_MAX: number
  readonly CONNECTS_PER_SECOND_MAX: number
}

export type Refusal = 'CONNECTIONS_MAX' | 'CONNECTIONS_PER_ADDRESS_MAX'

export class Admission {
  readonly #limits: AdmissionLimits
  readonly #byAddress = new Map<string, number>()
  #connections = 0
  /** CONNECTs that may still come: refilled by time, at most one second's worth. */
  #tokens: number
  #refilledAt = 0

  constructor(limits: AdmissionLimits) {
    this.#limits = limits
    this.#tokens = limits.CONNECTS_PER_SECOND_MAX
  }

  get connections(): number {
    return this.#connections
  }

  /** Counts a socket in, or names the limit that keeps it out. */
  enter(address: string): Refusal | null {
    if (this.#connections >= this.#limits.CONNECTIONS_MAX) return 'CONNECTIONS_MAX'
    const fromAddress = this.#byAddress.get(address) ?? 0
    if (fromAddress >= this.#limits.CONNECTIONS_PER_ADDRESS_MAX) return 'CONNECTIONS_PER_ADDRESS_MAX'
    this.#byAddress.set(address, fromAddress + 1)
    this.#connections++
    return null
  }

  leave(address: string): void {
    this.#connections--
    const left = (this.#byAddress.get(address) ?? 1) - 1
    if (left > 0) this.#byAddress.set(address, left)
    else this.#byAddress.delete(address)
  }

  /** True when one more CONNECT fits into this second. */
  connect(nowMs: number): boolean {
    const rate = this.#limits.CONNECTS_PER_SECOND_MAX
    this.#tokens = Math.min(rate, this.#tokens + (Math.max(0, nowMs - this.#refilledAt) * rate) / 1000)
    this.#refilledAt = nowMs
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
