/**
 * Slows down guessing: the refusal of a CONNECT is put off, the longer the more often the address and the name failed of
 * late. Whoever shows the right credentials is let in without delay, so nobody is locked out by the failures of another.
 * One guess at a time: what comes from an address under a name while the refusal of another such is put off is not judged.
 */
import { LRUCache } from 'lru-cache'

export interface FailedConnectLimits {
  /** ms; 0 puts nothing off. */
  readonly FAILED_CONNECT_DELAY_MAX: number
  /** Addresses, and as many names. */
  readonly FAILED_CONNECTS_REMEMBERED_MAX: number
}

interface Failures {
  /** Halved every half-life. */
  readonly count: number
  readonly at: number
}

const halfLifeMs = 60_000
const firstDelayMs = 250
/** A mistyped password costs nothing, nor do a few broken devices behind one address. */
const freePerName = 3
const freePerAddress = 30

export class FailedConnects {
  readonly #limits: FailedConnectLimits
  readonly #byAddress: LRUCache<string, Failures>
  readonly #byName: LRUCache<string, Failures>
  /** Address and name of refusals that are put off. Bounded by the connections. */
  readonly #putOff = new Set<string>()

  /** `onForgotten` is called when the failures of one had to make room. */
  constructor(limits: FailedConnectLimits, onForgotten: () => void) {
    this.#limits = limits
    const memory = (): LRUCache<string, Failures> =>
      new LRUCache({ max: limits.FAILED_CONNECTS_REMEMBERED_MAX, dispose: (_failures, _key, why) => why === 'evict' && onForgotten() })
    this.#byAddress = memory()
    this.#byName = memory()
  }

  /** A refusal for the address and the name is put off at the moment. */
  isPutOff(address: string, name: string): boolean {
    return this.#putOff.has(keyOf(address, name))
  }

  /** Counts a failure; answers for how long its refusal is put off, ms. An empty name is nobody's. */
  failed(address: string, name: string, nowMs: number): number {
    const most = this.#limits.FAILED_CONNECT_DELAY_MAX
    if (most === 0) return 0
    const excess = Math.max((count(this.#byAddress, address, nowMs) - freePerAddress) / 10, name === '' ? 0 : count(this.#byName, name, nowMs) - freePerName)
    // Beyond 2^20 the longest delay is reached whatever it is.
    return excess <= 0 ? 0 : Math.min(most, Math.ceil(firstDelayMs * 2 ** Math.min(excess, 20)))
  }

  putOff(address: string, name: string): void {
    this.#putOff.add(keyOf(address, name))
  }

  /** The refusal has gone out, or its connection is over. */
  settled(address: string, name: string): void {
    this.#putOff.delete(keyOf(address, name))
  }
}

const keyOf = (address: string, name: string): string => `${address} ${name}`

function count(failures: LRUCache<string, Failures>, key: string, nowMs: number): number {
  const before = failures.get(key)
  const left = before ? before.count * 2 ** (-Math.max(0, nowMs - before.at) / halfLifeMs) : 0
  failures.set(key, { count: left + 1, at: nowMs })
  return left + 1
}
