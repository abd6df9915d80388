/** An OIDC issuer for tests: its keys, the tokens it signs, and what it answers to whoever fetches. */
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'

interface SigningKey {
  readonly kid: string
  readonly privateKey: CryptoKey
  readonly jwk: JWK
}

export class OidcIssuer {
  readonly issuer: string
  readonly #keys: SigningKey[] = []
  /** Paths that were fetched, in order. */
  readonly fetched: string[] = []
  /** What it answers instead of what it should. */
  fault: { readonly discovery?: object; readonly status?: number; readonly hangs?: boolean; readonly body?: string } = {}

  static async start(issuer: string): Promise<OidcIssuer> {
    const made = new OidcIssuer(issuer)
    await made.rotate()
    return made
  }

  private constructor(issuer: string) {
    this.issuer = issuer
  }

  /** A new key signs from now on; the earlier ones are not told any more. */
  async rotate(): Promise<void> {
    const kid = `key-${this.#keys.length + 1}`
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
    this.#keys.push({ kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' } })
  }

  get newest(): SigningKey {
    return this.#keys.at(-1)!
  }

  /** A token of the newest key, good for a minute; `seconds` counts from now. */
  sign(claims: object, { seconds = 60, key = this.newest }: { readonly seconds?: number; readonly key?: SigningKey } = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000)
    return new SignJWT({ iss: this.issuer, sub: 'ada', aud: 'loggerhead', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: key.kid })
      .setIssuedAt(now - 60)
      .setExpirationTime(now + seconds)
      .sign(key.privateKey)
  }

  /** What stands at a path; undefined for nothing. */
  answer(path: string): { readonly status: number; readonly body: string } | undefined {
    this.fetched.push(path)
    const { discovery, status = 200, body } = this.fault
    if (body !== undefined) return { status, body }
    if (path.endsWith('/.well-known/openid-configuration'))
      return { status, body: JSON.stringify({ issuer: this.issuer, jwks_uri: `${this.issuer}/keys`, ...discovery }) }
    if (path.endsWith('/keys')) return { status, body: JSON.stringify({ keys: [this.newest.jwk] }) }
    return undefined
  }

  /** In the place of the network. */
  readonly fetch: typeof fetch = async (input, init) => {
    const { pathname } = new URL(String(input))
    if (this.fault.hangs) {
      this.fetched.push(pathname)
      return new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(init.signal?.reason)))
    }
    const answered = this.answer(pathname)
    return new Response(answered?.body ?? '', { status: answered?.status ?? 404 })
  }
}
