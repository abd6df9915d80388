/**
 * Verifies bearer tokens of the OIDC issuer: discovery and keys over HTTPS, bounded in time and size, kept, and fetched again when a
 * token names a key that is not known yet (rotation). What an outsider sends makes no fetch until it claims to be the issuer's.
 */
import { createRemoteJWKSet, customFetch, decodeJwt, errors, type JWTPayload, jwtVerify, type RemoteJWKSet } from 'jose'
import { TokenRefused } from '../access/token-refused.ts'
import { bearerOf, isTrustedUrl, type OidcSettings, type TokenBearer } from '../access/token-roles.ts'

export interface TokenVerifierOptions {
  readonly settings: OidcSettings
  readonly fetch: typeof fetch
  readonly now: () => number
  /** A fetch from the issuer took longer than OIDC_TIMEOUT. */
  readonly onTimeout: () => void
}

/** Signatures with public keys only: a shared secret would let its every holder be the issuer. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']
/** Clocks of issuers differ by less, seconds. */
const leewaySeconds = 60
const tokenLengthMax = 8_192
/** Discovery documents and key sets have some kilobytes. */
const answerBytesMax = 262_144
/** After a failed fetch the issuer is left alone for so long. */
const failureCooldownMs = 5_000
/** An unknown key is looked for at the issuer at most so often. */
const rotationCooldownMs = 30_000

const refused = (why: string): TokenRefused => new TokenRefused(401, `the token is refused: ${why}`)
const away = (why: string, cause?: unknown): TokenRefused => new TokenRefused(503, `the token cannot be checked: ${why}`, { retryAfter: 5, cause })

/** Three parts of base64url: a key of ours has no dots. */
export const looksLikeToken = (bearer: string): boolean => /^[\w-]+\.[\w-]+\.[\w-]+$/.test(bearer)

function whyRefused(error: unknown): string {
  if (error instanceof errors.JWTExpired) return `exp: it expired at ${new Date(Number(error.payload.exp) * 1000).toISOString()}`
  if (error instanceof errors.JWTClaimValidationFailed) return `${error.claim}: ${error.message}`
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'the signature is not that of the key it names'
  if (error instanceof errors.JWKSNoMatchingKey) return 'kid: the issuer has no such key'
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'kid: it names no key, and the issuer has several'
  if (error instanceof errors.JOSEAlgNotAllowed) return `alg: allowed are ${algorithms.join(', ')}`
  return (error as Error).message
}

/** Text of an answer, up to a size. */
async function boundedText(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > answerBytesMax) throw new Error(`more than ${answerBytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

export class TokenVerifier {
  readonly #options: TokenVerifierOptions
  #keys: { readonly find: RemoteJWKSet; readonly discoveredAt: number } | undefined
  #discovering: Promise<RemoteJWKSet> | undefined
  #failure: { readonly at: number; readonly why: string } | undefined

  constructor(options: TokenVerifierOptions) {
    this.#options = options
  }

  /** The claims of a good token. Throws TokenRefused: 401 when it is not, naming the rule; 503 when the issuer does not answer. */
  async verify(token: string): Promise<JWTPayload> {
    const { settings, now } = this.#options
    if (token.length > tokenLengthMax) throw refused(`it has more than ${tokenLengthMax} characters`)
    this.#checkIssuer(token)
    const find = await this.#findKeys()
    try {
      const { payload } = await jwtVerify(token, find, {
        issuer: settings.issuer,
        audience: [...settings.audiences],
        algorithms,
        clockTolerance: leewaySeconds,
        requiredClaims: ['exp', 'sub'],
        currentDate: new Date(now()),
      })
      return payload
    } catch (error) {
      if (error instanceof TokenRefused) throw error
      if (error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid || !(error instanceof errors.JOSEError)) throw this.#failed(error)
      throw refused(whyRefused(error))
    }
  }

  /** Who shows a good token. Rejects with TokenRefused. */
  async bearerOf(token: string): Promise<TokenBearer> {
    return bearerOf(await this.verify(token), this.#options.settings)
  }

  /** Before anything is fetched for it. */
  #checkIssuer(token: string): void {
    const { issuer } = this.#options.settings
    let claims: JWTPayload
    try {
      claims = decodeJwt(token)
    } catch {
      throw refused('it is no JSON web token')
    }
    if (claims.iss !== issuer) throw refused(`iss: it is not of the issuer ${issuer}`)
  }

  async #findKeys(): Promise<RemoteJWKSet> {
    const { settings, now } = this.#options
    if (this.#keys && now() - this.#keys.discoveredAt < settings.keysMaxAgeMs) return this.#keys.find
    if (this.#failure && now() - this.#failure.at < failureCooldownMs) throw away(this.#failure.why)
    this.#discovering ??= this.#discover().finally(() => {
      this.#discovering = undefined
    })
    return this.#discovering
  }

  /** OpenID Connect Discovery 1.0, 4. */
  async #discover(): Promise<RemoteJWKSet> {
    const { settings, now } = this.#options
    const { issuer, isDevelopment, timeoutMs, keysMaxAgeMs } = settings
    try {
      const answer = await this.#fetch(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
      const document = JSON.parse(await answer.text()) as { readonly issuer?: unknown; readonly jwks_uri?: unknown }
      if (document.issuer !== issuer) throw new Error(`its discovery document is of another issuer`) // 4.3
      const { jwks_uri: address } = document
      if (typeof address !== 'string' || !isTrustedUrl(address, isDevelopment)) throw new Error('its discovery document has no jwks_uri with https')
      const find = createRemoteJWKSet(new URL(address), {
        timeoutDuration: timeoutMs,
        cooldownDuration: rotationCooldownMs,
        cacheMaxAge: keysMaxAgeMs,
        [customFetch]: (url) => this.#fetch(url),
      })
      await find.reload()
      this.#failure = undefined
      this.#keys = { find, discoveredAt: now() }
      return find
    } catch (error) {
      throw this.#failed(error)
    }
  }

  #failed(error: unknown): TokenRefused {
    if (error instanceof TokenRefused) return error
    const { message, cause } = error as Error & { readonly cause?: { readonly code?: unknown } }
    const why = `the issuer ${this.#options.settings.issuer} does not answer as it should (${typeof cause?.code === 'string' ? cause.code : message})`
    this.#failure = { at: this.#options.now(), why }
    return away(why, error)
  }

  /** A whole answer with status 200, or it throws. */
  async #fetch(url: string): Promise<Response> {
    const { settings, onTimeout } = this.#options
    try {
      const answer = await this.#options.fetch(url, {
        redirect: 'error',
        signal: AbortSignal.timeout(settings.timeoutMs),
        headers: { accept: 'application/json' },
      })
      if (answer.status !== 200) throw new Error(`${answer.status} from ${url}`)
      return new Response(await boundedText(answer), { status: 200, headers: { 'content-type': 'application/json' } })
    } catch (error) {
      if (error instanceof DOMException && error.name === 'TimeoutError') {
        onTimeout()
        throw new Error(`no answer within ${settings.timeoutMs} ms`, { cause: error })
      }
      throw error
    }
  }
}
