/**
 * Who a request over HTTP is from: the bearer of a token of the namespace's issuers, as in a CONNECT with an authentication
 * method; an API key with the role operator; the owner, where the gateway has that key; and, without any word about it,
 * whoever MQTT lets in without credentials.
 */
import { hash } from 'node:crypto'
import { decodeJwt } from 'jose'
import { LRUCache } from 'lru-cache'
import { apiKeyPrefix, judgeApiKey } from '../../access/api-keys.ts'
import { type Authentication, type Credentials, tokenMethods } from '../../access/authenticate.ts'
import { anonymousName, internalClientIdPrefix, operatorPrincipal, type Principal } from '../../access/principal.ts'
import { looksLikeToken } from '../../access/token.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { Authenticating } from '../authenticating.ts'
import type { HttpHost } from './http-host.ts'
import { HttpProblem } from './http-problem.ts'

/** Who asks, for as long as the request lasts. */
export interface Bearer {
  readonly principal: Principal
  /** As it stands in the records of messages; HP-03: the token's object id. */
  readonly clientId: string
}

/** The client id in messages of operators. Client ids below it are reserved. */
const operatorClientId = `${internalClientIdPrefix}api`
/** Longer ones are not looked into, characters. */
const tokenLengthMax = 16_384
/** The claim with the object id, in tokens of Entra. */
const objectIdClaim = 'oid'

const unknown = (detail: string): HttpProblem => new HttpProblem(401, detail)
/** Why is for auditors: whoever guesses learns nothing. */
const refusedToken = (why: string): HttpProblem => new HttpProblem(401, 'the token is refused', { cause: why })

/** Somebody who was let in, and with what. */
interface Known {
  readonly credentials: Credentials
  readonly principal: Principal
}

export class Identities {
  readonly #host: HttpHost
  readonly #isOwnersKey: (given: string) => boolean
  /** By digest: tokens whose signature was verified, and whose they were. They are judged anew for each request. */
  readonly #verified: LRUCache<string, Known>
  /** Who shows nothing, when that was somebody last. */
  #anonymous: Known | null = null

  constructor(host: HttpHost, isOwnersKey: (given: string) => boolean) {
    this.#host = host
    this.#isOwnersKey = isOwnersKey
    this.#verified = new LRUCache({
      max: host.config.HTTP_TOKENS_REMEMBERED_MAX,
      dispose: (_known, _digest, why) => why === 'evict' && host.metrics.reached('HTTP_TOKENS_REMEMBERED_MAX'),
    })
  }

  /** Rejects with HttpProblem: 401 for nobody, 403 for a role that is not enough, 503 when it cannot be found out. */
  async find(authorization: string | undefined): Promise<Bearer> {
    if (authorization === undefined) return this.#withoutCredentials()
    const given = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
    if (given === undefined) throw unknown('the header Authorization must be “Bearer”, a space, and a token or an API key')
    if (this.#isOwnersKey(given)) return operator('api-key')
    if (given.startsWith(apiKeyPrefix)) return this.#withApiKey(given)
    if (given.length <= tokenLengthMax && looksLikeToken(Buffer.from(given))) return this.#withToken(given)
    throw unknown('the bearer is neither a token of the namespace’s issuers nor an API key of the namespace')
  }

  #withoutCredentials(): Bearer {
    const credentials = { clientId: anonymousName }
    const again = this.#anonymous && this.#host.credentials.revalidate(credentials, this.#anonymous.principal)
    const judged = again?.ok ? again : this.#host.credentials.authenticate(credentials, false)
    this.#anonymous = judged.ok ? { credentials, principal: judged.principal } : null
    if (judged.ok) return { principal: judged.principal, clientId: anonymousName }
    throw unknown('the header “Authorization: Bearer <token>” is missing')
  }

  #withApiKey(given: string): Bearer {
    const judged = judgeApiKey(given, this.#host.view, this.#host.now(), 'operator')
    if ('detail' in judged) throw new HttpProblem(judged.status, judged.detail)
    return operator(`apiKeys/${judged.name}`)
  }

  async #withToken(token: string): Promise<Bearer> {
    const digest = hash('sha256', token)
    const known = this.#verified.get(digest)
    if (known) {
      const validity = this.#host.credentials.revalidate(known.credentials, known.principal)
      if (validity.ok) return this.#bearer(validity.principal)
      this.#verified.delete(digest)
      throw refusedToken(validity.why)
    }
    const { authentication, credentials } = await this.#authenticate({
      clientId: '',
      authenticationMethod: this.#methodOf(token),
      authenticationData: Buffer.from(token),
    })
    if (authentication.ok) {
      const { principal } = authentication
      this.#verified.set(digest, { credentials, principal })
      return this.#bearer(principal)
    }
    if (authentication.reasonCode !== ReasonCode.ServerUnavailable) throw refusedToken(authentication.why)
    throw new HttpProblem(503, 'whose token it is could not be found out', { retryAfter: 2, cause: authentication.why })
  }

  /** The namespace may have two issuers: the token says whose it is, and is not believed for it. */
  #methodOf(token: string): string {
    const properties = this.#host.view.namespace?.properties
    const issuers = [...tokenMethods].flatMap(([method, voucher]) => {
      const issuer = properties?.[`${voucher}Authentication`]
      return issuer ? [{ method, tokenIssuer: issuer.tokenIssuer }] : []
    })
    if (issuers.length === 0) throw unknown('the namespace has no issuer of tokens: neither oauth2JwtAuthentication nor customJwtAuthentication')
    const claimed = issuerIn(token)
    return (issuers.find(({ tokenIssuer }) => tokenIssuer === claimed) ?? (issuers[0] as (typeof issuers)[number])).method
  }

  #authenticate(credentials: Credentials): Promise<{ readonly authentication: Authentication; readonly credentials: Credentials }> {
    return new Promise((resolve) => {
      const owner = {
        onJudged: (authentication: Authentication, judged: Credentials) => resolve({ authentication, credentials: judged }),
        onAsked: () => {
          throw new TypeError('a token was shown')
        },
      }
      new Authenticating(this.#host.credentials, owner, false, credentials).begin()
    })
  }

  #bearer(principal: Principal): Bearer {
    const { [objectIdClaim]: oid } = principal.attributes
    const clientId = typeof oid === 'string' && oid !== '' ? oid : principal.authenticationName
    const { CLIENT_ID_LENGTH_MAX } = this.#host.config
    if (clientId.startsWith(internalClientIdPrefix) || [...clientId].length > CLIENT_ID_LENGTH_MAX || /\p{Cc}|\p{Surrogate}/u.test(clientId)) {
      throw new HttpProblem(
        401,
        `the token’s object id cannot be a client id: it is reserved, holds control characters or has more than ${CLIENT_ID_LENGTH_MAX} characters`,
      )
    }
    return { principal, clientId }
  }
}

const operator = (by: string): Bearer => ({ principal: operatorPrincipal(by), clientId: operatorClientId })

function issuerIn(token: string): unknown {
  try {
    return decodeJwt(token).iss
  } catch {
    return undefined // the judge says what is wrong with it
  }
}
