/**
 * The key sets that issuers publish (RFC 7517), by URL, or by the URL of their metadata (OpenID Connect Discovery). Kept for a
 * while, fetched anew when a token names a key that is not there, but not more often than every so often, whoever asks.
 */
import { shownUrl } from '../access/shown-url.ts'
import { readKeySet, type VerificationKey } from '../access/verification-key.ts'
import type { JwtAuthentication } from '../model/client-authentication.ts'
import { type OutgoingRequests, RequestFailed } from '../outgoing/outgoing-request.ts'

export interface KeySetOptions {
  readonly requests: Pick<OutgoingRequests, 'send'>
  readonly now: () => number
  readonly timeoutMs: number
  readonly bytesMax: number
  /** Age at which a set is fetched again. */
  readonly freshMs: number
  /** Age at which a set is no longer used before it has been fetched again. */
  readonly ageMaxMs: number
  /** Least time between two fetches of one set. */
  readonly betweenMs: number
  onFetched(error: Error | null): void
  /** A set was too old to be used. */
  onTooOld(): void
  /** A set is without a key that it had: connections have to be judged again. */
  onWithdrawn(): void
}

/** Where an issuer's keys come from. */
export interface KeySource {
  readonly url: string
  /** Set when the URL is that of the issuer's metadata: what they have to say of themselves. */
  readonly issuer?: string
}

interface Kept {
  keys: readonly VerificationKey[] | null
  fetchedAt: number
  triedAt: number
  fetching: Promise<void> | null
  problem: Error | null
}

const nameOf = ({ url, issuer = '' }: KeySource): string => `${issuer} ${url}`

/** Where the issuer's keys are published; undefined when the settings hold them all. */
export function keySourceOf({ jwksUrl, openIdConfigurationUrl, tokenIssuer }: JwtAuthentication): KeySource | undefined {
  if (jwksUrl !== undefined) return { url: jwksUrl }
  return openIdConfigurationUrl === undefined ? undefined : { url: openIdConfigurationUrl, issuer: tokenIssuer }
}

/** Sets kept at one time: a namespace has two issuers. */
const keptMax = 16

export class KeySets {
  readonly #options: KeySetOptions
  readonly #kept = new Map<string, Kept>()
  readonly #published = new Map<string, ReadonlySet<string>>()

  constructor(options: KeySetOptions) {
    this.#options = options
  }

  /** The keys of the source, and among them one with this id if there is one. Rejects when none were fetched within `ageMaxMs`. */
  async keys(source: KeySource, kid: string | undefined): Promise<readonly VerificationKey[]> {
    const kept = this.#of(source)
    const { now, freshMs, ageMaxMs, betweenMs, onTooOld } = this.#options
    const isMissing = kept.keys === null || (kid !== undefined && !kept.keys.some((key) => key.kid === kid))
    const isTooOld = (): boolean => now() - kept.fetchedAt >= ageMaxMs
    const isOld = isTooOld() || now() - kept.fetchedAt >= freshMs
    if ((isMissing || isOld) && now() - kept.triedAt >= betweenMs) this.#fetch(source, kept)
    if (kept.keys !== null && isTooOld()) onTooOld()
    // What is there serves on while it is refreshed, but not for ever: a key that its issuer withdrew must not open the door.
    if ((isMissing || isTooOld()) && kept.fetching) await kept.fetching
    if (kept.keys === null || isTooOld()) throw kept.problem ?? new Error(`${shownUrl(source.url)} has not been fetched`)
    return kept.keys
  }

  /** Thumbprints of the keys as they were fetched last, by URL. */
  get published(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#published
  }

  /** Fetches again those of `sources` that are in use and no longer fresh, and forgets all others. */
  look(sources: readonly KeySource[]): void {
    const { now, freshMs, betweenMs } = this.#options
    const wanted = new Map(sources.map((source) => [nameOf(source), source]))
    for (const [name, kept] of this.#kept) {
      const source = wanted.get(name)
      if (!source) this.#kept.delete(name)
      else if (kept.keys !== null && now() - kept.fetchedAt >= freshMs && now() - kept.triedAt >= betweenMs) this.#fetch(source, kept)
    }
    const urls = new Set(sources.map(({ url }) => url))
    for (const url of this.#published.keys()) if (!urls.has(url)) this.#published.delete(url)
  }

  #publish({ url }: KeySource, keys: readonly VerificationKey[]): void {
    const before = this.#published.get(url)
    const thumbprints = new Set(keys.map(({ thumbprint }) => thumbprint))
    this.#published.set(url, thumbprints)
    if ([...(before ?? [])].some((thumbprint) => !thumbprints.has(thumbprint))) this.#options.onWithdrawn()
  }

  #of(source: KeySource): Kept {
    const name = nameOf(source)
    const known = this.#kept.get(name)
    if (known) return known
    const [oldest] = this.#kept.keys()
    if (this.#kept.size >= keptMax && oldest !== undefined) this.#kept.delete(oldest)
    const kept = { keys: null, fetchedAt: Number.NEGATIVE_INFINITY, triedAt: Number.NEGATIVE_INFINITY, fetching: null, problem: null }
    this.#kept.set(name, kept)
    return kept
  }

  #fetch(source: KeySource, kept: Kept): void {
    const { now, onFetched } = this.#options
    kept.triedAt = now()
    kept.fetching ??= this.#read(source)
      .then(
        (keys) => {
          kept.keys = keys
          kept.fetchedAt = now()
          kept.problem = null
          if (this.#kept.get(nameOf(source)) === kept) this.#publish(source, keys)
          onFetched(null)
        },
        (error: Error) => {
          kept.problem = error
          onFetched(error)
        },
      )
      .finally(() => {
        kept.fetching = null
      })
  }

  async #read({ url, issuer }: KeySource): Promise<readonly VerificationKey[]> {
    const keysUrl = issuer === undefined ? url : await this.#discover(url, issuer)
    const keys = readKeySet(await this.#json(keysUrl))
    if (!keys) throw new RequestFailed('content', `${shownUrl(keysUrl)} holds no key set`)
    return keys
  }

  async #discover(url: string, issuer: string): Promise<string> {
    const { issuer: named, jwks_uri: keysUrl } = Object(await this.#json(url)) as Readonly<Record<string, unknown>>
    // OpenID Connect Discovery 4.3: metadata that speaks of another issuer must not be used.
    if (named !== issuer) throw new RequestFailed('content', `${shownUrl(url)} is the metadata of another issuer`)
    if (typeof keysUrl !== 'string') throw new RequestFailed('content', `${shownUrl(url)} names no jwks_uri`)
    return keysUrl
  }

  async #json(url: string): Promise<unknown> {
    const { requests, timeoutMs, bytesMax } = this.#options
    const { status, body } = await requests.send({ url, method: 'GET', headers: { accept: 'application/json' }, timeoutMs, bytesMax })
    if (status !== 200) throw new RequestFailed(String(status), `${shownUrl(url)} answered with HTTP ${status}`)
    try {
      return JSON.parse(body.toString('utf8'))
    } catch (cause) {
      throw new RequestFailed('content', `${shownUrl(url)} answered with something that is no JSON`, cause)
    }
  }
}
