/**
 * Slows down guessing: the refusal of a CONNECT is put off, the longer the more often the address and the name failed of
 * late. Whoever shows the right credentials is let in without delay, so nobody is locked out by the failures of another.
 * One guess at a time, then: what comes from an address under a name while another such is judged, or its refusal put off, is not judged.
 * Hanging up does not shorten the wait: a refusal is put off until a time, whether or not anybody still listens for it.
 * Names are compared as the registry compares them (CL-02).
 */
import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { foldName } from '../model/registry-view.ts'

export interface FailedConnectLimits {
  /** ms; 0 puts nothing off. */
  readonly FAILED_CONNECT_DELAY_MAX: number
  /** Addresses, as many names, and as many refusals that are put off. */
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
  /** Address and name of attempts that are judged while others have to wait. Bounded by the connections. */
  readonly #judged = new Set<string>()
  /** Until when the refusal for an address and a name is put off, ms since the epoch. */
  readonly #putOff: LRUCache<string, number>

  /** `onForgotten` is called when the failures of one had to make room. */
  constructor(limits: FailedConnectLimits, onForgotten: () => void) {
    this.#limits = limits
    const memory = <T extends object | number>(): LRUCache<string, T> =>
      new LRUCache({ max: limits.FAILED_CONNECTS_REMEMBERED_MAX, dispose: (_value, _key, why) => why === 'evict' && onForgotten() })
    this.#byAddress = memory()
    this.#byName = memory()
    this.#putOff = memory()
  }

  /**
   * Whether an attempt may be judged: not while another is for the address and the name, or its refusal is put off. `held`:
   * they failed too often of late, and this is the one that others have to wait for, until `settled`.
   */
  begin(address: string, name: string, nowMs: number): 'free' | 'held' | 'busy' {
    const nameKey = keyOfName(name)
    const key = keyOf(address, nameKey)
    if (this.#judged.has(key) || this.#isPutOff(key, nowMs)) return 'busy'
    if (this.#delayMs(left(this.#byAddress, address, nowMs) + 1, left(this.#byName, nameKey, nowMs) + 1, name) === 0) return 'free'
    this.#judged.add(key)
    return 'held'
  }

  /** Counts a failure; answers for how long its refusal is put off, ms, and others have to wait. An empty name is nobody's. */
  failed(address: string, name: string, nowMs: number): number {
    if (this.#limits.FAILED_CONNECT_DELAY_MAX === 0) return 0
    const nameKey = keyOfName(name)
    const delayMs = this.#delayMs(count(this.#byAddress, address, nowMs), name === '' ? 0 : count(this.#byName, nameKey, nowMs), name)
    if (delayMs > 0) this.#putOff.set(keyOf(address, nameKey), nowMs + delayMs)
    return delayMs
  }

  /** Of the one that is held: it was judged, or its connection is over before that. */
  settled(address: string, name: string): void {
    this.#judged.delete(keyOf(address, keyOfName(name)))
  }

  /** A clock that was set back puts nothing off for longer than the longest delay. */
  #isPutOff(key: string, nowMs: number): boolean {
    const leftMs = (this.#putOff.peek(key) ?? nowMs) - nowMs
    return leftMs > 0 && leftMs <= this.#limits.FAILED_CONNECT_DELAY_MAX
  }

  #delayMs(ofAddress: number, ofName: number, name: string): number {
    const excess = Math.max((ofAddress - freePerAddress) / 10, name === '' ? 0 : ofName - freePerName)
    // Beyond 2^20 the longest delay is reached whatever it is.
    return excess <= 0 ? 0 : Math.min(this.#limits.FAILED_CONNECT_DELAY_MAX, Math.ceil(firstDelayMs * 2 ** Math.min(excess, 20)))
  }
}

const nameLengthMax = 256

/** What nobody can be registered as may be as long as a CONNECT: it is not kept. */
function keyOfName(name: string): string {
  const folded = foldName(name)
  return folded.length <= nameLengthMax ? folded : hash('sha256', folded)
}

const keyOf = (address: string, nameKey: string): string => `${address} ${nameKey}`

function left(failures: LRUCache<string, Failures>, key: string, nowMs: number): number {
  const before = failures.peek(key)
  return before ? before.count * 2 ** (-Math.max(0, nowMs - before.at) / halfLifeMs) : 0
}

function count(failures: LRUCache<string, Failures>, key: string, nowMs: number): number {
  const now = left(failures, key, nowMs) + 1
  failures.set(key, { count: now, at: nowMs })
  return now
}
