/**
 * Slows down guessing: the refusal of a CONNECT is put off, the longer the more often the address and the name failed of
 * late. Whoever shows the right credentials is let in without delay, so nobody is locked out by the failures of another.
 * One guess at a time, then: what comes from an address under a name while another such is judged, or its refusal put off, is not judged.
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
  /** Address and name of attempts that others have to wait for. Bounded by the connections. */
  readonly #held = new Set<string>()

  /** `onForgotten` is called when the failures of one had to make room. */
  constructor(limits: FailedConnectLimits, onForgotten: () => void) {
    this.#limits = limits
    const memory = (): LRUCache<string, Failures> =>
      new LRUCache({ max: limits.FAILED_CONNECTS_REMEMBERED_MAX, dispose: (_failures, _key, why) => why === 'evict' && onForgotten() })
    this.#byAddress = memory()
    this.#byName = memory()
  }

  /**
   * Whether an attempt may be judged: not while another is held for the address and the name. `held`: they failed too often
   * of late, and this is the one that others have to wait for, until `settled`.
   */
  begin(address: string, name: string, nowMs: number): 'free' | 'held' | 'busy' {
    if (this.#held.has(keyOf(address, name))) return 'busy'
    return this.#delayMs(left(this.#byAddress, address, nowMs) + 1, left(this.#byName, name, nowMs) + 1, name) > 0 && this.hold(address, name) ? 'held' : 'free'
  }

  /** Counts a failure; answers for how long its refusal is put off, ms. An empty name is nobody's. */
  failed(address: string, name: string, nowMs: number): number {
    if (this.#limits.FAILED_CONNECT_DELAY_MAX === 0) return 0
    return this.#delayMs(count(this.#byAddress, address, nowMs), name === '' ? 0 : count(this.#byName, name, nowMs), name)
  }

  /** False when another one is held already. */
  hold(address: string, name: string): boolean {
    const key = keyOf(address, name)
    if (this.#held.has(key)) return false
    this.#held.add(key)
    return true
  }

  /** Of the one that is held: it was let in, or its refusal has gone out, or its connection is over. */
  settled(address: string, name: string): void {
    this.#held.delete(keyOf(address, name))
  }

  #delayMs(ofAddress: number, ofName: number, name: string): number {
    const excess = Math.max((ofAddress - freePerAddress) / 10, name === '' ? 0 : ofName - freePerName)
    // Beyond 2^20 the longest delay is reached whatever it is.
    return excess <= 0 ? 0 : Math.min(this.#limits.FAILED_CONNECT_DELAY_MAX, Math.ceil(firstDelayMs * 2 ** Math.min(excess, 20)))
  }
}

const keyOf = (address: string, name: string): string => `${address} ${name}`

function left(failures: LRUCache<string, Failures>, key: string, nowMs: number): number {
  const before = failures.peek(key)
  return before ? before.count * 2 ** (-Math.max(0, nowMs - before.at) / halfLifeMs) : 0
}

function count(failures: LRUCache<string, Failures>, key: string, nowMs: number): number {
  const now = left(failures, key, nowMs) + 1
  failures.set(key, { count: now, at: nowMs })
  return now
}
