/** `loggerhead token check`: what a client's token says, and which rule it fails against the namespace's settings; the same check as the gateway's. */
import { decodeJwt, decodeProtectedHeader, type JWTPayload, type ProtectedHeaderParameters } from 'jose'
import { audiencesOf } from '../access/authenticate.ts'
import type { TokenVoucher } from '../access/evidence.ts'
import { checkToken, type TokenRule, type TokenVerdict, tokenRules } from '../access/token.ts'
import { keysOfIssuer, readKeySet, type VerificationKey } from '../access/verification-key.ts'
import type { ClientAuthentication, JwtAuthentication } from '../model/client-authentication.ts'
import { Failure } from './failure.ts'

export interface TokenReport {
  readonly ok: boolean
  /** Authentication method of MQTT 5 to show it by. */
  readonly method: string
  readonly header: ProtectedHeaderParameters
  readonly claims: JWTPayload
  readonly expected: { readonly tokenIssuer: string; readonly audiences: readonly string[]; readonly keys: readonly string[] }
  readonly rules: readonly { readonly rule: TokenRule; readonly result: 'ok' | 'failed' | 'not reached' }[]
  readonly why?: string
  readonly authenticationName?: string
  readonly attributes?: object
}

const methods: Readonly<Record<TokenVoucher, string>> = { customJwt: 'CUSTOM-JWT', oauth2Jwt: 'OAUTH2-JWT' }

interface Believed {
  readonly voucher: TokenVoucher
  readonly issuer: JwtAuthentication
}

/** Whose token it would be: that of the issuer it names, else of the one there is. Throws Failure. */
function findIssuer({ customJwtAuthentication, oauth2JwtAuthentication }: ClientAuthentication, named: string | undefined): Believed {
  const believed: Believed[] = [
    ...(customJwtAuthentication ? [{ voucher: 'customJwt', issuer: customJwtAuthentication } as const] : []),
    ...(oauth2JwtAuthentication ? [{ voucher: 'oauth2Jwt', issuer: oauth2JwtAuthentication } as const] : []),
  ]
  const found = believed.find(({ issuer }) => issuer.tokenIssuer === named) ?? believed[0]
  if (found) return found
  throw new Failure('the namespace takes no tokens: it has neither customJwtAuthentication nor oauth2JwtAuthentication (loggerhead namespace get)')
}

export interface TokenCheckOptions {
  readonly authentication: ClientAuthentication
  /** TOKEN_AUDIENCES of the gateways. */
  readonly tokenAudiences: readonly string[]
  readonly leewayMs: number
  readonly now: number
  /** The document at an address. Rejects with Failure. */
  readonly fetchJson: (url: string) => Promise<unknown>
}

const attributesBytesMax = 4096

async function keysAt(
  { jwksUrl, openIdConfigurationUrl, tokenIssuer }: JwtAuthentication,
  fetchJson: TokenCheckOptions['fetchJson'],
): Promise<readonly VerificationKey[]> {
  let address = jwksUrl
  if (address === undefined && openIdConfigurationUrl !== undefined) {
    const { issuer, jwks_uri } = (await fetchJson(openIdConfigurationUrl)) as { readonly issuer?: unknown; readonly jwks_uri?: unknown }
    if (issuer !== tokenIssuer) throw new Failure(`${openIdConfigurationUrl} is the document of another issuer, “${String(issuer)}”`)
    if (typeof jwks_uri !== 'string') throw new Failure(`${openIdConfigurationUrl} names no jwks_uri`)
    address = jwks_uri
  }
  if (address === undefined) return []
  const keys = readKeySet(await fetchJson(address))
  if (!keys) throw new Failure(`${address} is no key set (RFC 7517)`)
  return keys
}

/** Checks a token. Throws Failure when it is none, or the issuer's keys cannot be had. */
export async function examineToken(token: string, options: TokenCheckOptions): Promise<TokenReport> {
  let header: ProtectedHeaderParameters
  let claims: JWTPayload
  try {
    header = decodeProtectedHeader(token)
    claims = decodeJwt(token)
  } catch {
    throw new Failure('this is no JSON web token: three parts of base64url with dots between, the first two JSON objects')
  }
  const { authentication, tokenAudiences, leewayMs, now, fetchJson } = options
  const { voucher, issuer } = findIssuer(authentication, claims.iss)
  const audiences = audiencesOf(issuer, voucher, tokenAudiences)
  const keys = [...keysOfIssuer(issuer), ...(await keysAt(issuer, fetchJson))]
  const verdict = await checkToken(token, { tokenIssuer: issuer.tokenIssuer, audiences, keys, leewayMs, attributesBytesMax }, now)
  return {
    ok: verdict.ok,
    method: methods[voucher],
    header,
    claims,
    expected: { tokenIssuer: issuer.tokenIssuer, audiences, keys: keys.map(({ kid }) => kid ?? 'without a key id') },
    rules: resultsOf(verdict),
    ...(verdict.ok
      ? { authenticationName: verdict.claims.authenticationName, attributes: { ...verdict.claims.attributes } }
      : { why: `${verdict.rule}: ${verdict.why}` }),
  }
}

function resultsOf(verdict: TokenVerdict): TokenReport['rules'] {
  const failed = verdict.ok ? tokenRules.length : tokenRules.indexOf(verdict.rule)
  return tokenRules.map((rule, index) => ({ rule, result: index < failed ? 'ok' : index === failed ? 'failed' : 'not reached' }))
}

const signs = { ok: '✓', failed: '✗', 'not reached': '·' } as const
const timeClaims = new Set(['exp', 'nbf', 'iat'])

/** A report as text. */
export function tokenText({ ok, method, header, claims, expected, rules, why, authenticationName, attributes }: TokenReport): string {
  const claim = ([name, value]: readonly [string, unknown]): string => {
    const at = timeClaims.has(name) && typeof value === 'number' && Math.abs(value) < 8.64e12 ? ` (${new Date(value * 1000).toISOString()})` : ''
    return `    ${name}: ${JSON.stringify(value)}${at}`
  }
  return [
    ok ? `accepted by ${method}, as ${authenticationName}` : `refused: ${why}`,
    `  ${rules.map(({ rule, result }) => `${signs[result]} ${rule}`).join('  ')}`,
    ...(ok ? [`  attributes: ${JSON.stringify(attributes)}`] : []),
    '  the token’s header and claims:',
    ...Object.entries(header).map(claim),
    ...Object.entries(claims).map(claim),
    '  the namespace expects:',
    `    issuer ${expected.tokenIssuer}`,
    `    one of the audiences ${expected.audiences.join(', ') || 'none (set audiences of the issuer, or TOKEN_AUDIENCES)'}`,
    `    a signature by one of the keys ${expected.keys.join(', ') || 'none'}`,
  ].join('\n')
}
