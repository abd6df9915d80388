/**
 * Who a connection is by its certificate (spec 1.8): signed by a registered CA, with the name of a client where the client's
 * validation scheme looks, or with a thumbprint that the client may show.
 */
import type { X509Certificate } from 'node:crypto'
import type { AlternativeAuthenticationNameSource, Resource, ValidationScheme } from '../model/registry-resources.ts'
import type { CertificateAuthority, RegistryView } from '../model/registry-view.ts'
import { type CertificateNames, canonicalIp, distinguishedName, isDistinguishedName } from './certificate-names.ts'
import { issuerConstraints } from './certificate-structure.ts'
import { type RevocationContext, whyRevoked } from './revocation.ts'

/** What a certificate is worth for a client, or why nothing. */
export type CertificateVerdict =
  | { readonly ok: true /** Milliseconds since the epoch. */; readonly expiresAt: number }
  | { readonly ok: false; readonly why: string }

export interface ShownCertificates {
  /** The one whose key the client has proved to hold. */
  readonly leaf: X509Certificate
  /** What else it sent: issuers, perhaps. */
  readonly chain: readonly X509Certificate[]
  readonly names: CertificateNames
}

const no = (why: string): CertificateVerdict => ({ ok: false, why })

/** Judges the certificate that an enabled client shows. */
export function judgeCertificate(view: RegistryView, client: Resource<'clients'>, shown: ShownCertificates, context: RevocationContext): CertificateVerdict {
  const { leaf, names } = shown
  const { now } = context
  const { authenticationName, clientCertificateAuthentication } = client.properties
  const outside = whyOutsideValidity(leaf, now)
  if (outside) return no(`the client certificate ${outside}`)
  const { validationScheme, allowedThumbprints = [] } = clientCertificateAuthentication
  if (validationScheme === 'ThumbprintMatch') {
    if (!hasThumbprint(leaf, allowedThumbprints)) return no(`the certificate's thumbprint is not one that “${authenticationName}” may show`)
    return { ok: true, expiresAt: leaf.validToDate.getTime() }
  }
  if (!nameMatches[validationScheme](names, authenticationName))
    return no(`the certificate does not say “${authenticationName}” where ${validationScheme} looks`)
  const path = climb(view, leaf, shown.chain.slice(0, sentMax), context)
  if (typeof path === 'string') return no(path)
  if (leaf.keyUsage && !isForClients(leaf)) return no('the certificate has an extended key usage without clientAuth')
  return { ok: true, expiresAt: Math.min(leaf.validToDate.getTime(), path.expiresAt) }
}

const clientAuth = '1.3.6.1.5.5.7.3.2'
const anyUse = '2.5.29.37.0'

/** The client that a certificate is shown for, or why there is none. XA-04: the user name, else the certificate fields the namespace names, in order; an empty field falls to the next. */
export function findClient(view: RegistryView, username: string | undefined, names: CertificateNames): Resource<'clients'> | string {
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

/** Certificates looked at beside the leaf. */
const sentMax = 5

/** Extended key usage, where there is one: node:crypto calls it keyUsage. */
const isForClients = ({ keyUsage }: X509Certificate): boolean => keyUsage?.some((use) => use === clientAuth || use === anyUse) ?? true

interface Path {
  /** Milliseconds since the epoch: the first issuer on the way that ends. */
  readonly expiresAt: number
}

/**
 * The way from a certificate to a registered CA, or why there is none: the CA itself signed it (XA-01), or an issuer that the
 * client sent, which a registered CA vouches for in turn. Where a registered CA signed, its word is the last: what the client
 * sends must not lead around a revocation, a stale list or a limit of that CA. `below`: issuers under this certificate.
 */
function climb(view: RegistryView, child: X509Certificate, sent: readonly X509Certificate[], context: RevocationContext, below = 0): Path | string {
  if (isWeak(child)) return `the certificate's signature, ${child.signatureAlgorithm}, can be forged`
  const named = view.authoritiesOf(child.issuer)
  // Also who signed is told by name and key alone: a sent certificate of that name and key is the registered CA.
  const signers = named.filter(({ certificate }) => hasSignatureOf(child, certificate))
  if (signers.length > 0) return judgeSigners(view, signers, child, context, below)
  let why =
    named.length === 0
      ? `no CA certificate is registered for the issuer “${shownName(child.issuer)}”`
      : 'no registered CA certificate of that name made the signature'
  for (const issuer of sent) {
    if (issuer === child || issuer.subject !== child.issuer || !mayHaveIssued(issuer, child) || !hasSignatureOf(child, issuer)) continue
    const problem = whyNoIssuer(issuer, context.now, below)
    const above =
      problem ??
      climb(
        view,
        issuer,
        sent.filter((other) => other !== issuer),
        context,
        below + 1,
      )
    if (typeof above !== 'string') return { expiresAt: Math.min(issuer.validToDate.getTime(), above.expiresAt) }
    why = problem === undefined ? above : `the intermediate “${shownName(issuer.subject)}” ${problem}`
  }
  return why
}

/** What the CA that signed says, by all the certificates that are registered for its name and key: a list of any revokes, and one that is fit is enough. */
function judgeSigners(
  view: RegistryView,
  signers: readonly CertificateAuthority[],
  child: X509Certificate,
  context: RevocationContext,
  below: number,
): Path | string {
  const revoked = whyRevoked(view, signers, child, context)
  if (revoked !== undefined) return revoked
  let why = ''
  for (const { name, certificate } of signers) {
    const problem = whyUnfit(certificate, child, context.now, below)
    if (problem === undefined) return { expiresAt: certificate.validToDate.getTime() }
    why = `the CA certificate “${name}” ${problem}`
  }
  return why
}

/** Why a registered CA that signed a certificate must not have done so, with so many issuers below it. */
function whyUnfit(authority: X509Certificate, child: X509Certificate, now: number, below: number): string | undefined {
  if (!mayHaveIssued(authority, child)) return 'does not sign such certificates, by its basic constraints, key usage or key identifier'
  if (below > issuerConstraints(authority).pathLength) return `allows no ${below} issuers below itself`
  return whyOutsideValidity(authority, now)
}

const shownName = (name: string): string => name.replaceAll('\n', ', ')

/** Why a certificate cannot be an issuer here, with so many issuers below it (RFC 5280 6.1.4). */
function whyNoIssuer(issuer: X509Certificate, now: number, below: number): string | undefined {
  const { pathLength, notKept } = issuerConstraints(issuer)
  if (pathLength < 0) return 'has constraints that cannot be read'
  if (below > pathLength) return `allows ${pathLength} issuers below itself, and there are ${below}`
  if (notKept !== undefined) return `has the extension ${notKept}, which is not kept to here`
  if (!isForClients(issuer)) return 'is not for issuers of client certificates'
  return whyOutsideValidity(issuer, now)
}

const isWeak = (certificate: X509Certificate): boolean => weakSignature.test(certificate.signatureAlgorithm ?? '')

/** By what both certificates say; whether the key of the one signed the other is `hasSignatureOf`. */
function mayHaveIssued(issuer: X509Certificate, child: X509Certificate): boolean {
  return issuer.ca && child.checkIssued(issuer)
}

/** Verifying costs 0.1 ms; a change in the registry judges every connection again. */
const verified = new WeakMap<X509Certificate, WeakMap<X509Certificate, boolean>>()

function hasSignatureOf(child: X509Certificate, issuer: X509Certificate): boolean {
  const issuers = verified.get(child) ?? new WeakMap<X509Certificate, boolean>()
  verified.set(child, issuers)
  const known = issuers.get(issuer)
  if (known !== undefined) return known
  const answer = verifies(child, issuer)
  issuers.set(issuer, answer)
  return answer
}

function verifies(child: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return child.verify(issuer.publicKey)
  } catch {
    return false // a key or an algorithm that OpenSSL does not take
  }
}
