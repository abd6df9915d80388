/** How a namespace lets clients in besides certificates (spec 1.8): its `topicSpacesConfiguration.clientAuthentication`. */

import { type Permission, permissionNamed } from './permission.ts'

/** An issuer's certificate: its public key verifies tokens whose header names the key id, or none. */
export interface IssuerCertificate {
  readonly kid: string
  /** PEM. */
  readonly encodedCertificate: string
}

/** In place of Azure's roles: who has the value among a claim's may publish to, or subscribe to, topic spaces. */
export interface RoleAssignment {
  /** The claim, and so the attribute; by default `roles`. */
  readonly claim: string
  readonly value: string
  readonly permission: Permission
  /** None: every topic space. */
  readonly topicSpaceName?: string
}

/** Whose tokens are believed: `customJwtAuthentication` (OJ-01), and `oauth2JwtAuthentication` in the place of Entra (EN-01). */
export interface JwtAuthentication {
  /** The claim `iss`, letter by letter. */
  readonly tokenIssuer: string
  readonly encodedIssuerCertificates: readonly IssuerCertificate[]
  /** What the claim `aud` has to name one of; none: the gateway's setting TOKEN_AUDIENCES. */
  readonly audiences: readonly string[]
  /** Where the issuer publishes its keys, an https URL. */
  readonly jwksUrl?: string
  /** Where the issuer's metadata says so (OpenID Connect Discovery), an https URL. */
  readonly openIdConfigurationUrl?: string
  readonly roleAssignments: readonly RoleAssignment[]
}

export interface WebhookAuthentication {
  /** An https URL. */
  readonly endpointUrl: string
}

export interface ClientAuthentication {
  readonly customJwtAuthentication?: JwtAuthentication
  readonly oauth2JwtAuthentication?: JwtAuthentication
  readonly webhookAuthentication?: WebhookAuthentication
}

type Json = Readonly<Record<string, unknown>>

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
const object = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {})
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

function readCertificate(value: unknown): readonly IssuerCertificate[] {
  const { kid, encodedCertificate } = object(value)
  return isText(kid) && isText(encodedCertificate) ? [{ kid, encodedCertificate }] : []
}

function readRole(value: unknown): readonly RoleAssignment[] {
  const { claim = 'roles', value: named, permission: allowed, topicSpaceName } = object(value)
  const permission = permissionNamed(allowed)
  if (!isText(claim) || !isText(named) || !permission) return []
  return [{ claim, value: named, permission, ...(isText(topicSpaceName) ? { topicSpaceName } : {}) }]
}

function readJwt(value: unknown): JwtAuthentication | undefined {
  const { tokenIssuer, encodedIssuerCertificates, audiences, jwksUrl, openIdConfigurationUrl, roleAssignments } = object(value)
  if (!isText(tokenIssuer)) return undefined
  return {
    tokenIssuer,
    encodedIssuerCertificates: list(encodedIssuerCertificates).flatMap(readCertificate),
    audiences: list(audiences).filter(isText),
    ...(isText(jwksUrl) ? { jwksUrl } : {}),
    ...(isText(openIdConfigurationUrl) ? { openIdConfigurationUrl } : {}),
    roleAssignments: list(roleAssignments).flatMap(readRole),
  }
}

/** Reads stored settings; what is no setting grants nothing. */
export function readClientAuthentication(json: Json): ClientAuthentication {
  const customJwtAuthentication = readJwt(json.customJwtAuthentication)
  const oauth2JwtAuthentication = readJwt(json.oauth2JwtAuthentication)
  const { endpointUrl } = object(json.webhookAuthentication)
  return {
    ...(customJwtAuthentication ? { customJwtAuthentication } : {}),
    ...(oauth2JwtAuthentication ? { oauth2JwtAuthentication } : {}),
    ...(isText(endpointUrl) ? { webhookAuthentication: { endpointUrl } } : {}),
  }
}
