/**
 * What a JSON web token proves (spec 1.8: EN-01 … EN-05, OJ-01 … OJ-08), rule by rule, so that a refusal can say which one
 * failed. Nothing in a token is believed before its signature is verified; what its header and claims say before that is
 * used to find the key and to word the refusal.
 */
import { compactVerify, decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose'
import type { Attributes, AttributeValue } from '../model/registry-resources.ts'
import { authenticationNameProblem } from './principal.ts'
import { type TokenAlgorithm, tokenAlgorithms, type VerificationKey } from './verification-key.ts'

/** In the order they are looked at. */
export const tokenRules = ['format', 'algorithm', 'issuer', 'audience', 'kid', 'signature', 'time', 'claims', 'attributes'] as const
export type TokenRule = (typeof tokenRules)[number]

/** What a token has to satisfy. */
export interface TokenExpectation {
  /** The claim `iss`, letter by letter. */
  readonly tokenIssuer: string
  /** One of them must be in `aud`; a slash at the end counts on neither side. */
  readonly audiences: readonly string[]
  readonly keys: readonly VerificationKey[]
  /** Milliseconds that `exp` and `nbf` may be missed by. */
  readonly leewayMs: number
  /** Most bytes of all attributes as JSON. */
  readonly attributesBytesMax: number
}

/** What a good token says. */
export interface TokenClaims {
  readonly issuer: string
  readonly audiences: readonly string[]
  /** The claim `sub`. */
  readonly authenticationName: string
  /** OJ-07: what else it claims, as far as it is a string, an int32 or a list of strings. */
  readonly attributes: Attributes
  /** Milliseconds since the epoch: `exp` and `nbf`. */
  readonly expiresAt: number
  readonly notBefore: number
  /** The thumbprint of the key that verified it. */
  readonly verifiedBy: string
}

export type TokenVerdict = { readonly ok: true; readonly claims: TokenClaims } | { readonly ok: false; readonly rule: TokenRule; readonly why: string }

const fails = (rule: TokenRule, why: string): TokenVerdict & { readonly ok: false } => ({ ok: false, rule, why })
const quoted = (texts: readonly string[]): string => texts.map((text) => `“${text.slice(0, 200)}”`).join(', ')
const withoutSlash = (text: string): string => (text.endsWith('/') ? text.slice(0, -1) : text)
const iso = (ms: number): string => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`)

/** Three parts of base64url, the first beginning like `{"`: what is worth being looked at as a token. */
export function looksLikeToken(bytes: Buffer): boolean {
  return /^eyJ[\w-]+\.[\w-]+\.[\w-]*$/.test(bytes.toString('latin1'))
}

/** Whether one of the audiences that a token names is expected (row 7 of the contradictions: with or without a slash at the end). */
export function isAudience(named: readonly string[], expected: readonly string[]): boolean {
  const wanted = expected.map(withoutSlash)
  return named.some((audience) => wanted.includes(withoutSlash(audience)))
}

/** Why a token is not good at this time; undefined when it is. */
export function whyOutsideTime(claims: Pick<TokenClaims, 'expiresAt' | 'notBefore'>, now: number, leewayMs: number): string | undefined {
  if (now >= claims.expiresAt + leewayMs) return `the token expired at ${iso(claims.expiresAt)}`
  if (now < claims.notBefore - leewayMs) return `the token is not valid before ${iso(claims.notBefore)}`
  return undefined
}

/** Never attributes (OJ-07). */
const registeredClaims: ReadonlySet<string> = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'])
const isInt32 = (value: unknown): value is number => Number.isInteger(value) && Math.abs(value as number) < 2 ** 31

/** What of a JSON object may be attributes: strings, 32-bit integers and lists of strings, under names that queries can say. */
export function attributesOf(values: Readonly<Record<string, unknown>>, except: ReadonlySet<string> = new Set()): Attributes {
  const attributes: Record<string, AttributeValue> = Object.create(null)
  for (const [name, value] of Object.entries(values)) {
    if (except.has(name) || !/^[A-Za-z0-9_]{1,256}$/.test(name) || name === '__proto__') continue
    if (typeof value === 'string' || isInt32(value)) attributes[name] = value
    else if (Array.isArray(value) && value.every((item) => typeof item === 'string')) attributes[name] = value as readonly string[]
  }
  return attributes
}

interface Header {
  readonly algorithm: TokenAlgorithm
  readonly kid: string | undefined
}

function readHeader(token: string): Header | (TokenVerdict & { readonly ok: false }) {
  let header: Readonly<Record<string, unknown>>
  try {
    header = decodeProtectedHeader(token)
  } catch {
    return fails('format', 'this is no JSON web token: three parts of base64url with dots between')
  }
  const { alg, typ, kid } = header
  const algorithm = tokenAlgorithms.find((known) => known === alg)
  if (!algorithm) return fails('algorithm', `the token is signed with ${quoted([String(alg)])}; allowed are ${tokenAlgorithms.join(' and ')}`)
  if (typ !== undefined && !/^(?:application\/)?(?:jwt|jws|at\+jwt)$/i.test(String(typ)))
    return fails('format', `the token's type is ${quoted([String(typ)])}, not JWT`)
  if (kid !== undefined && typeof kid !== 'string') return fails('kid', 'the key id in the token’s header is no text')
  return { algorithm, kid }
}

function readAudiences(aud: unknown): readonly string[] {
  if (typeof aud === 'string') return [aud]
  return Array.isArray(aud) ? aud.filter((each) => typeof each === 'string') : []
}

/** The keys that may have signed it; the whole list of known key ids is the operator's to see. */
function findKeys(
  { algorithm, kid }: Header,
  keys: readonly VerificationKey[],
  now: number,
): readonly VerificationKey[] | (TokenVerdict & { readonly ok: false }) {
  if (keys.length === 0) return fails('kid', 'no key of the issuer is known')
  const named = kid === undefined ? keys : keys.filter((key) => key.kid === kid)
  if (named.length === 0)
    return fails('kid', `no key of the issuer has the key id ${quoted([kid ?? ''])}; known are ${quoted(keys.flatMap((key) => key.kid ?? []))}`)
  const current = named.filter(({ validity }) => !validity || (now >= validity.from && now < validity.to))
  if (current.length === 0) return fails('kid', 'the certificate of the issuer’s key is not valid at this time')
  const fitting = current.filter((key) => key.algorithm === algorithm)
  return fitting.length > 0 ? fitting : fails('algorithm', `the issuer's key is not one for ${algorithm}`)
}

async function verifiedBy(token: string, keys: readonly VerificationKey[]): Promise<VerificationKey | undefined> {
  for (const key of keys) {
    try {
      await compactVerify(token, key.key, { algorithms: [key.algorithm] })
      return key
    } catch {} // not this one
  }
  return undefined
}

/** Keys that are tried for a token that names none. */
const triedMax = 4

/** Checks a token. Pure but for the time signatures take: the same token, expectation and time give the same verdict. */
export async function checkToken(token: string, expected: TokenExpectation, now: number): Promise<TokenVerdict> {
  const header = readHeader(token)
  if ('ok' in header) return header
  let payload: JWTPayload
  try {
    payload = decodeJwt(token)
  } catch {
    return fails('format', 'the token’s claims are no JSON object')
  }
  if (payload.iss !== expected.tokenIssuer)
    return fails('issuer', `the token's issuer is ${quoted([String(payload.iss)])}; expected is ${quoted([expected.tokenIssuer])}`)
  if (expected.audiences.length === 0) return fails('audience', 'no audience is set, neither in the issuer’s audiences nor by TOKEN_AUDIENCES')
  const audiences = readAudiences(payload.aud)
  if (!isAudience(audiences, expected.audiences))
    return fails('audience', `the token is for ${quoted(audiences.slice(0, 5)) || 'nobody'}; expected is one of ${quoted(expected.audiences)}`)
  const keys = findKeys(header, expected.keys, now)
  if ('ok' in keys) return keys
  const key = await verifiedBy(token, keys.slice(0, triedMax))
  if (!key) return fails('signature', 'the signature was made with another key, or over another text')
  return checkClaims(payload, expected, { issuer: payload.iss, audiences, verifiedBy: key.thumbprint }, now)
}

function checkClaims(
  { sub, exp, nbf, ...rest }: JWTPayload,
  { leewayMs, attributesBytesMax }: TokenExpectation,
  proven: Pick<TokenClaims, 'issuer' | 'audiences' | 'verifiedBy'>,
  now: number,
): TokenVerdict {
  if (typeof exp !== 'number' || !Number.isFinite(exp)) return fails('time', 'the token has no claim exp')
  // OJ-06 wants nbf; issuers that leave it out mean at once.
  if (nbf !== undefined && (typeof nbf !== 'number' || !Number.isFinite(nbf))) return fails('time', 'the claim nbf is no time')
  const times = { expiresAt: exp * 1000, notBefore: (nbf ?? 0) * 1000 }
  const outside = whyOutsideTime(times, now, leewayMs)
  if (outside) return fails('time', outside)
  const problem = typeof sub === 'string' ? authenticationNameProblem(sub) : 'is missing'
  if (problem) return fails('claims', `the claim sub, the authentication name, ${problem}`)
  const attributes = attributesOf(rest, registeredClaims)
  const bytes = Buffer.byteLength(JSON.stringify(attributes))
  if (bytes > attributesBytesMax) return fails('attributes', `the claims that become attributes have ${bytes} bytes; allowed are ${attributesBytesMax}`)
  return { ok: true, claims: { ...proven, ...times, authenticationName: sub as string, attributes } }
}
