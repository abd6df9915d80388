/**
 * The addresses of hosts, as the system has them (hosts files and all). A name server that is silent keeps a thread for up to half a
 * minute, and of those there are few, which Kafka's names and files need too: few lookups go on at a time, one for each host.
 */
import { type LookupAddress, lookup } from 'node:dns'

export interface HostNamesOptions {
  /** Rejects when the host has no address. */
  readonly ask?: (host: string) => Promise<readonly LookupAddress[]>
  readonly now?: () => number
  /** Calls back after so many ms; returns how to stop that. */
  readonly after?: (ms: number, work: () => void) => () => void
}

/** Lookups that are not slow. */
const quickMax = 2
/** All of them, of Node's four threads, unless UV_THREADPOOL_SIZE says otherwise: one more than quick ones, for what is found to be slow keeps its thread. */
const underWayMax = 3
/** For hosts together whose last lookup was slow: others are not to wait for them. */
const slowUnderWayMax = 1
/** From here on one is slow, ms. */
const slowMs = 1_000
/** A host that has no address is not asked for so long, ms. */
const failureMs = 5_000
/** Hosts that are remembered as slow or without an address. */
const troubledMax = 1_000

interface Troubled {
  readonly isSlow: boolean
  readonly failure: { readonly error: unknown; readonly until: number } | undefined
}

interface Waiting {
  readonly host: string
  begin(isKnownSlow: boolean): void
}

function afterTimeout(ms: number, work: () => void): () => void {
  const timer = setTimeout(work, ms)
  timer.unref()
  return () => clearTimeout(timer)
}

function askSystem(host: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => lookup(host, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses))))
}

export class HostNames {
  readonly #ask: NonNullable<HostNamesOptions['ask']>
  readonly #now: () => number
  readonly #after: NonNullable<HostNamesOptions['after']>
  /** Under way or waiting, by host. */
  readonly #asked = new Map<string, Promise<readonly LookupAddress[]>>()
  readonly #waiting: Waiting[] = []
  readonly #troubled = new Map<string, Troubled>()
  #underWay = 0
  #slowUnderWay = 0

  constructor({ ask = askSystem, now = () => performance.now(), after = afterTimeout }: HostNamesOptions = {}) {
    this.#ask = ask
    this.#now = now
    this.#after = after
  }

  /** Rejects with the system's error when the host has none. Whoever cannot wait has a time-out of his own. */
  addressesOf(host: string): Promise<readonly LookupAddress[]> {
    const known = this.#asked.get(host)
    if (known) return known
    const { failure } = this.#troubled.get(host) ?? {}
    if (failure && this.#now() < failure.until) return Promise.reject(failure.error)
    const turn = new Promise<boolean>((begin) => this.#waiting.push({ host, begin }))
    const asked = turn.then((isKnownSlow) => this.#look(host, isKnownSlow))
    this.#asked.set(host, asked)
    this.#next()
    return asked
  }

  async #look(host: string, isKnownSlow: boolean): Promise<readonly LookupAddress[]> {
    const since = this.#now()
    let isSlow = isKnownSlow
    // Whoever is new is not known to be slow, and is from then on: others have their turn.
    const stop = isSlow
      ? () => {}
      : this.#after(slowMs, () => {
          isSlow = true
          this.#slowUnderWay++
          this.#next()
        })
    let failure: Troubled['failure']
    try {
      return await this.#ask(host)
    } catch (error) {
      failure = { error, until: this.#now() + failureMs }
      throw error
    } finally {
      stop()
      this.#remember(host, { isSlow: this.#now() - since >= slowMs, failure })
      this.#asked.delete(host)
      this.#underWay--
      if (isSlow) this.#slowUnderWay--
      this.#next()
    }
  }

  #remember(host: string, trouble: Troubled): void {
    this.#troubled.delete(host)
    if (!trouble.isSlow && !trouble.failure) return
    this.#troubled.set(host, trouble)
    const [oldest] = this.#troubled.keys()
    if (this.#troubled.size > troubledMax && oldest !== undefined) this.#troubled.delete(oldest)
  }

  #isSlow(host: string): boolean {
    return this.#troubled.get(host)?.isSlow ?? false
  }

  #next(): void {
    while (this.#underWay < underWayMax && this.#underWay - this.#slowUnderWay < quickMax) {
      const index = this.#waiting.findIndex(({ host }) => this.#slowUnderWay < slowUnderWayMax || !this.#isSlow(host))
      const [next] = index < 0 ? [] : this.#waiting.splice(index, 1)
      if (!next) return
      const isKnownSlow = this.#isSlow(next.host)
      this.#underWay++
      if (isKnownSlow) this.#slowUnderWay++
      next.begin(isKnownSlow)
    }
  }
}

/** The threads are the process's, whoever of its namespaces and subscriptions asks: so is this. */
export const hostNames = new HostNames()
