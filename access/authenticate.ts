/**
 * Who a connection is (spec 1.8): X.509 signed by a registered CA with a name that matches, X.509 by thumbprint, and,
 * only while the group `$anonymous` exists, anybody without a certificate who claims no registered name.
 *
 * The TLS listener lets every certificate pass (its handshake has proved possession of the key, no more):
 * this is the only judge. Refusals all look alike on the wire; `why` is for the log.
 * Tokens, passwords and webhooks become further kinds in `judge`.
 */
import { timingSafeEqual, type X509Certificate } from 'node:crypto'
import { type AlternativeAuthenticationNameSource, anonymousGroup, type Resource, type ValidationScheme } from '../model/registry-resources.ts'
import type { CertificateAuthority, RegistryView } from '../model/registry-view.ts'
import { type CertificateNames, canonicalIp, distinguishedName, isDistinguishedName, namesOf } from './certificate-names.ts'
import { anonymousName, internalClientIdPrefix, internalName, internalPrincipal, type Principal } from './principal.ts'

/** What a connection has to show for itself. */
export interface Credentials {
  /** As connected under; empty when one is yet to be assigned. */
  readonly clientId: string
  readonly username?: string | undefined
  readonly password?: Buffer | undefined
  readonly authenticationMethod?: string | undefined
  readonly authenticationData?: Buffer | undefined
  /** The leaf that the TLS handshake proved possession of. */
  readonly certificate?: X509Certificate | undefined
}

export interface AuthenticationContext {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** What Loggerhead's own canary shows as its password; nobody is internal without. */
  readonly internalKey?: string | Buffer | undefined
}

/** MQTT 5 CONNACK reason codes; to 3.1.1 both are return code 5. */
export type RefusalCode = 0x87 | 0x8c

export type Authentication =
  | {
      readonly ok: true
      readonly principal: Principal
      /** Milliseconds since the epoch: judge anew then. */
      readonly expiresAt?: number
    }
  | { readonly ok: false; readonly reasonCode: RefusalCode; readonly why: string }

const notAuthorized = (why: string): Authentication => ({ ok: false, reasonCode: 0x87, why })
const badMethod = (why: string): Authentication => ({ ok: false, reasonCode: 0x8c, why })

/** Longest authentication name, characters (CL-02). */
export const authenticationNameMax = 128

/** Judges a connection. Pure: the same view, credentials and time give the same answer. */
export function authenticate(view: RegistryView, credentials: Credentials, context: AuthenticationContext): Authentication {
  const { username, clientId } = credentials
  if (username === internalName) return judgeInternal(credentials, context)
  if (clientId.startsWith(internalClientIdPrefix)) return notAuthorized(`client ids below ${internalClientIdPrefix} are reserved`)
  if (credentials.authenticationMethod !== undefined) return badMethod(`the authentication method “${credentials.authenticationMethod}” is not known here`)
  if (credentials.certificate) return judgeCertificate(view, credentials, credentials.certificate, context.now)
  return judgeWithoutCertificate(view, username === undefined || username === '' ? anonymousName : username)
}

function judgeInternal({ clientId, password }: Credentials, { internalKey }: AuthenticationContext): Authentication {
  if (internalKey === undefined || internalKey.length === 0 || !password || !isSame(password, Buffer.from(internalKey as string))) {
    return notAuthorized(`the user name ${internalName} is reserved`)
  }
  if (!clientId.startsWith(internalClientIdPrefix)) return notAuthorized(`${internalName} takes client ids below ${internalClientIdPrefix} only`)
  return { ok: true, principal: internalPrincipal }
}

function isSame(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function judgeWithoutCertificate(view: RegistryView, name: string): Authentication {
  if (view.clientNamed(name)) return notAuthorized(`the client “${name}” is registered and must show its certificate`)
  if (!view.clientGroups.has(anonymousGroup)) return notAuthorized(`no certificate was shown, and the client group ${anonymousGroup} does not exist`)
  if (name.startsWith('$')) return notAuthorized('authentication names that start with “$” are reserved')
  if (name.length > authenticationNameMax) return notAuthorized(`the user name has more than ${authenticationNameMax} characters`)
  return { ok: true, principal: { clientName: name, authenticationName: name, attributes: {}, kind: 'anonymous' } }
}

function judgeCertificate(view: RegistryView, credentials: Credentials, leaf: X509Certificate, now: number): Authentication {
  const names = namesOf(leaf)
  const found = findClient(view, credentials.username, names)
  if (typeof found === 'string') return notAuthorized(found)
  const { authenticationName, state, attributes, clientCertificateAuthentication } = found.properties
  if (state !== 'Enabled') return notAuthorized(`the client “${authenticationName}” is disabled`)
  const outside = whyOutsideValidity(leaf, now)
  if (outside) return notAuthorized(`the client certificate ${outside}`)
  const principal: Principal = { clientName: found.name, authenticationName, attributes, kind: 'registered' }
  const { validationScheme, allowedThumbprints = [] } = clientCertificateAuthentication
  if (validationScheme === 'ThumbprintMatch') {
    if (!hasThumbprint(leaf, allowedThumbprints)) return notAuthorized(`the certificate's thumbprint is not one that “${authenticationName}” may show`)
    return { ok: true, principal, expiresAt: leaf.validToDate.getTime() }
  }
  if (!nameMatches[validationScheme](names, authenticationName)) {
    return notAuthorized(`the certificate does not say “${authenticationName}” where ${validationScheme} looks`)
  }
  const issuer = findIssuer(view, leaf, now)
  if (typeof issuer === 'string') return notAuthorized(issuer)
  if (leaf.keyUsage && !leaf.keyUsage.some((use) => use === clientAuth || use === anyUse)) {
    return notAuthorized('the certificate has an extended key usage without clientAuth')
  }
  return { ok: true, principal, expiresAt: Math.min(leaf.validToDate.getTime(), issuer.certificate.validToDate.getTime()) }
}

const clientAuth = '1.3.6.1.5.5.7.3.2'
const anyUse = '2.5.29.37.0'

/** XA-04: the user name, else the certificate fields the namespace names, in order; an empty field falls to the next. */
function findClient(view: RegistryView, username: string | undefined, names: CertificateNames): Resource<'clients'> | string {
  if (username !== undefined && username !== '') return view.clientNamed(username) ?? `no client is registered as “${username}”`
  const sources = view.namespace?.properties.alternativeAuthenticationNameSources ?? []
  for (const source of sources) {
    const candidates = alternativeNames[source](names).filter((name) => name !== '')
    if (candidates.length === 0) continue
    const client = candidates.map((name) => view.clientNamed(name)).find((found) => found !== undefined)
    return client ?? `no client is registered under a name that ${source} gives`
  }
  if (sources.length === 0) return 'no user name was given, and the namespace names no alternativeAuthenticationNameSources'
  return 'no user name was given, and the certificate has none of the fields in alternativeAuthenticationNameSources'
}

const alternativeNames: { readonly [S in AlternativeAuthenticationNameSource]: (names: CertificateNames) => readonly string[] } = {
  ClientCertificateSubject: (names) => [...names.commonNames, distinguishedName(names), names.subject.join(',')],
  ClientCertificateDns: (names) => names.dns,
  ClientCertificateUri: (names) => names.uri,
  ClientCertificateIp: (names) => names.ip,
  ClientCertificateEmail: (names) => names.email,
}

const isAmong = (values: readonly string[], name: string): boolean => values.some((value) => value.toLowerCase() === name.toLowerCase())

/** Several entries of one kind: any of them (the CA vouches for them all). */
const nameMatches: { readonly [S in Exclude<ValidationScheme, 'ThumbprintMatch'>]: (names: CertificateNames, name: string) => boolean } = {
  SubjectMatchesAuthenticationName: (names, name) => isAmong(names.commonNames, name) || isDistinguishedName(names, name),
  DnsMatchesAuthenticationName: (names, name) => isAmong(names.dns, name),
  UriMatchesAuthenticationName: (names, name) => isAmong(names.uri, name),
  IpMatchesAuthenticationName: (names, name) => isAmong(names.ip, canonicalIp(name) ?? name),
  EmailMatchesAuthenticationName: (names, name) => isAmong(names.email, name),
}

/** A thumbprint as compared: hexadecimal digits without separators, lower case. */
export const foldThumbprint = (thumbprint: string): string => thumbprint.replaceAll(/[:\s-]/g, '').toLowerCase()

/** SHA-1 or SHA-256, told apart by their length. */
function hasThumbprint(leaf: X509Certificate, allowed: readonly string[]): boolean {
  const own = [foldThumbprint(leaf.fingerprint), foldThumbprint(leaf.fingerprint256)]
  return allowed.some((thumbprint) => own.includes(foldThumbprint(thumbprint)))
}

function whyOutsideValidity(certificate: X509Certificate, now: number): string | undefined {
  if (now < certificate.validFromDate.getTime()) return `is not valid before ${certificate.validFromDate.toISOString()}`
  if (now >= certificate.validToDate.getTime()) return `expired at ${certificate.validToDate.toISOString()}`
  return undefined
}

/** Signatures that can be forged by a collision. */
const weakSignature = /md[245]|sha-?1(?!\d)/i

/** The registered CA that signed the leaf itself (XA-01), or why there is none. */
function findIssuer(view: RegistryView, leaf: X509Certificate, now: number): CertificateAuthority | string {
  const authorities = view.authoritiesOf(leaf.issuer)
  if (authorities.length === 0) return `no CA certificate is registered for the issuer “${leaf.issuer.replaceAll('\n', ', ')}”`
  if (weakSignature.test(leaf.signatureAlgorithm ?? '')) return `the certificate's signature, ${leaf.signatureAlgorithm}, can be forged`
  let why = 'no registered CA certificate of that name made the signature'
  for (const authority of authorities) {
    const { certificate } = authority
    if (!certificate.ca || !isSignedBy(leaf, certificate)) continue
    const outside = whyOutsideValidity(certificate, now)
    if (!outside) return authority
    why = `the CA certificate “${authority.name}” ${outside}`
  }
  return why
}

/** Verifying costs 0.1 ms; a change in the registry judges every connection again. */
const verified = new WeakMap<X509Certificate, WeakMap<X509Certificate, boolean>>()

function isSignedBy(leaf: X509Certificate, issuer: X509Certificate): boolean {
  const issuers = verified.get(leaf) ?? new WeakMap<X509Certificate, boolean>()
  verified.set(leaf, issuers)
  const known = issuers.get(issuer)
  if (known !== undefined) return known
  const answer = checkSignature(leaf, issuer)
  issuers.set(issuer, answer)
  return answer
}

function checkSignature(leaf: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey)
  } catch {
    return false // a key or an algorithm that OpenSSL does not take
  }
}

export type Validity =
  /** Go on, as this principal: its attributes may have changed, so judge publishes and subscriptions by the new one. */
  | { readonly ok: true; readonly principal: Principal; readonly expiresAt?: number }
  /** End the connection: DISCONNECT with the reason code, Event Grid's disconnectionReason in the life cycle event. */
  | { readonly ok: false; readonly reasonCode: 0x87; readonly disconnectionReason: 'ClientAuthenticationError'; readonly why: string }

const ended = (why: string): Validity => ({ ok: false, reasonCode: 0x87, disconnectionReason: 'ClientAuthenticationError', why })

/**
 * Judges a connection that was let in against a newer view or a later time: client deleted or disabled, CA or thumbprint
 * removed, certificate expired, `$anonymous` deleted, the name registered meanwhile.
 */
export function stillValid(
  view: RegistryView,
  connection: { readonly credentials: Credentials; readonly principal: Principal },
  context: AuthenticationContext,
): Validity {
  const { principal: before } = connection
  if (before.kind === 'internal') return { ok: true, principal: before }
  const now = authenticate(view, connection.credentials, context)
  if (!now.ok) return ended(now.why)
  const { principal } = now
  if (principal.kind !== before.kind || principal.authenticationName !== before.authenticationName || principal.clientName !== before.clientName) {
    return ended(`the credentials are now those of “${principal.authenticationName}” and no longer of “${before.authenticationName}”`)
  }
  const isUnchanged = before.attributes === principal.attributes || before.kind === 'anonymous'
  return isUnchanged ? { ...now, principal: before } : now
}
