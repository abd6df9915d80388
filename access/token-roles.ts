/** What a verified token of the OIDC issuer makes of its bearer: pure, by the settings. */
import { type ApiKeyRole, apiKeyRoles } from '../model/registry-resources.ts'
import { listed, SettingError } from '../settings/setting.ts'
import type { OidcValues } from './oidc-settings.ts'
import { TokenRefused } from './token-refused.ts'

export interface OidcSettings {
  readonly issuer: string
  readonly audiences: readonly string[]
  /** Claim names from the outside in. */
  readonly roleClaim: readonly string[]
  /** Values of the role claim that give each role. */
  readonly roles: Readonly<Record<ApiKeyRole, readonly string[]>>
  /** Plain HTTP to loopback is allowed. */
  readonly isDevelopment: boolean
  readonly timeoutMs: number
  readonly keysMaxAgeMs: number
}

/** Whom a token names, and what that may do: in every namespace. */
export interface TokenBearer {
  /** As it stands in records: `oidc/<subject>`. */
  readonly by: string
  readonly role: ApiKeyRole
}

export type Claims = Readonly<Record<string, unknown>>

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/** Whether tokens' keys may be fetched from there: HTTPS, or in development plain HTTP on this machine. */
export function isTrustedUrl(text: string, isDevelopment: boolean): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username, password } = new URL(text)
  if (username !== '' || password !== '') return false
  return protocol === 'https:' || (isDevelopment && protocol === 'http:' && loopback.test(hostname))
}

function readRoles(text: string): OidcSettings['roles'] {
  const roles: Record<ApiKeyRole, string[]> = { reader: [], operator: [], owner: [] }
  for (const entry of listed(text)) {
    const at = entry.indexOf('=')
    const role = apiKeyRoles.find((known) => known === entry.slice(0, at))
    const value = entry.slice(at + 1).trim()
    if (at === -1 || role === undefined || value === '')
      throw new SettingError('OIDC_ROLES', `“${entry}” is not one of ${apiKeyRoles.join(', ')}, followed by = and a value of the claim OIDC_ROLE_CLAIM`)
    roles[role].push(value)
  }
  return roles
}

/** The settings of OIDC; undefined without an issuer. Throws SettingError. */
export function readOidcSettings(config: OidcValues): OidcSettings | undefined {
  const { OIDC_ISSUER: issuer, OIDC_AUDIENCE: audience, OIDC_ROLE_CLAIM: roleClaim, LOGGERHEAD_PROFILE: profile } = config
  if (issuer === '') return undefined
  const isDevelopment = profile === 'development'
  if (!isTrustedUrl(issuer, isDevelopment) || /[?#]/.test(issuer)) {
    throw new SettingError(
      'OIDC_ISSUER',
      `“${issuer}” is not an https address such as https://login.example/realm${isDevelopment ? ', or http on loopback' : ''}`,
    )
  }
  const audiences = listed(audience)
  // A token that was made for somebody else must not open this door.
  if (audiences.length === 0) throw new SettingError('OIDC_AUDIENCE', 'is needed with OIDC_ISSUER: the audience that tokens for this API have')
  const claim = roleClaim.startsWith('http') ? [roleClaim] : roleClaim.split('.')
  if (claim.some((name) => name === '')) throw new SettingError('OIDC_ROLE_CLAIM', `“${roleClaim}” is not the name of a claim, or names with dots between`)
  return {
    issuer,
    audiences,
    roleClaim: claim,
    roles: readRoles(config.OIDC_ROLES),
    isDevelopment,
    timeoutMs: config.OIDC_TIMEOUT,
    keysMaxAgeMs: config.OIDC_KEYS_MAX_AGE,
  }
}

function valuesAt(claims: Claims, path: readonly string[]): readonly string[] {
  let value: unknown = claims
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return []
    value = (value as Claims)[name]
  }
  // Scopes and the like come as words in one text.
  if (typeof value === 'string') return value.split(' ')
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []
}

const subjectMax = 200

/** As it stands in records: text that is safe in a header and in a line of a log. */
function nameOf(subject: string): string {
  const name = [...subject.toWellFormed().slice(0, subjectMax)].map((each) => (/[\x21-\x7e]/.test(each) && each !== '%' ? each : encodeURIComponent(each)))
  return `oidc/${name.join('')}`
}

/** The bearer of a verified token: the highest of its roles. Throws TokenRefused (403) when it has none, 401 without a subject. */
export function bearerOf(claims: Claims, { roleClaim, roles }: OidcSettings): TokenBearer {
  const { sub } = claims
  if (typeof sub !== 'string' || sub === '') throw new TokenRefused(401, 'the token has no subject (claim sub)')
  const values = valuesAt(claims, roleClaim)
  const role = apiKeyRoles.toReversed().find((known) => roles[known].some((value) => values.includes(value)))
  if (role !== undefined) return { by: nameOf(sub), role }
  throw new TokenRefused(403, `the token gives no role: its claim ${roleClaim.join('.')} has none of the values in OIDC_ROLES`)
}
