/** What a namespace may say of how clients are let in, beyond what its schema says (spec 1.8). */
import { keyOfCertificate } from '../access/verification-key.ts'
import type { Violation } from './problem.ts'

type Json = Readonly<Record<string, unknown>>

const object = (value: unknown): Json | undefined => (typeof value === 'object' && value !== null ? (value as Json) : undefined)
const objects = (value: unknown): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : [])
const root = 'properties.topicSpacesConfiguration.clientAuthentication'

export interface CheckedClientAuthentication {
  /** As it is stored. */
  readonly clientAuthentication: Json
  readonly violations: readonly Violation[]
  readonly warnings: readonly string[]
}

/** `endpointUrlBefore` is the webhook's as it is stored now: answers show it without its query, which may hold a key. */
export function checkClientAuthentication(asked: Json, endpointUrlBefore: string | undefined): CheckedClientAuthentication {
  const violations: Violation[] = []
  const warnings: string[] = []
  const clientAuthentication: Record<string, unknown> = { ...asked }
  for (const kind of ['customJwtAuthentication', 'oauth2JwtAuthentication'] as const) {
    const issuer = object(asked[kind])
    if (!issuer) continue
    checkIssuer(`${root}.${kind}`, issuer, violations, warnings)
    if (kind === 'customJwtAuthentication' && !(Array.isArray(issuer.audiences) && issuer.audiences.length > 0))
      warnings.push(
        `${root}.${kind}.audiences: without any, tokens must be for a host name of the namespace or, when it has none, for one of the gateways’ setting TOKEN_AUDIENCES`,
      )
  }
  const webhook = object(asked.webhookAuthentication)
  if (webhook) {
    const endpointUrl = (webhook.endpointUrl as string | undefined) ?? keptUrl(webhook.endpointBaseUrl, endpointUrlBefore)
    const field = `${root}.webhookAuthentication.endpointUrl`
    if (endpointUrl === undefined) violations.push({ field, rule: 'is required' })
    else checkUrl(field, endpointUrl, violations, warnings)
    clientAuthentication.webhookAuthentication = { endpointUrl }
  }
  return { clientAuthentication, violations, warnings }
}

function keptUrl(baseUrl: unknown, before: string | undefined): string | undefined {
  return before !== undefined && baseUrl === baseOf(before) ? before : undefined
}

/** A URL without its query. */
export function baseOf(url: string): string {
  const { origin, pathname } = new URL(url)
  return `${origin}${pathname}`
}

function checkIssuer(field: string, issuer: Json, violations: Violation[], warnings: string[]): void {
  const { jwksUrl, openIdConfigurationUrl } = issuer
  const certificates = objects(issuer.encodedIssuerCertificates)
  if (typeof jwksUrl === 'string') checkUrl(`${field}.jwksUrl`, jwksUrl, violations, warnings)
  if (typeof openIdConfigurationUrl === 'string') checkUrl(`${field}.openIdConfigurationUrl`, openIdConfigurationUrl, violations, warnings)
  if (jwksUrl !== undefined && openIdConfigurationUrl !== undefined)
    violations.push({ field: `${field}.jwksUrl`, rule: 'and openIdConfigurationUrl exclude each other' })
  if (certificates.length === 0 && jwksUrl === undefined && openIdConfigurationUrl === undefined) {
    violations.push({ field, rule: 'needs keys: encodedIssuerCertificates, jwksUrl or openIdConfigurationUrl' })
  }
  const kids = new Set<unknown>()
  for (const [index, { kid, encodedCertificate }] of certificates.entries()) {
    const at = `${field}.encodedIssuerCertificates[${index}]`
    if (kids.has(kid)) violations.push({ field: `${at}.kid`, value: kid, rule: 'must be unique' })
    kids.add(kid)
    const key = keyOfCertificate(kid as string, encodedCertificate as string)
    if ('problem' in key) violations.push({ field: `${at}.encodedCertificate`, rule: key.problem })
  }
}

/** Says what is wrong with a URL that gateways are to ask. */
export function checkUrl(field: string, text: string, violations: Violation[], warnings: string[]): void {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isLocal = url !== undefined && /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname)
  if (!url || (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLocal))) violations.push({ field, rule: 'a URL that begins with https://' })
  else if (url.username !== '' || url.password !== '') violations.push({ field, rule: 'must hold no user name or password' })
  else if (url.protocol === 'http:') warnings.push(`${field}: plain HTTP is spoken in the development profile only`)
}
