/** The public keys that verify tokens: out of an issuer's certificates, or out of the key set (RFC 7517) it publishes. */
import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import type { JwtAuthentication } from '../model/client-authentication.ts'

/** RS256 is Event Grid's (OJ-05), ES256 an extension. Never `none`, and never a secret that both sides know. */
export const tokenAlgorithms = ['RS256', 'ES256'] as const
export type TokenAlgorithm = (typeof tokenAlgorithms)[number]

export interface VerificationKey {
  /** What a token's header calls it; undefined where the key set gives it no name. */
  readonly kid: string | undefined
  readonly algorithm: TokenAlgorithm
  readonly key: KeyObject
  /** SHA-256 of the public key: the same key under another name is the same. */
  readonly thumbprint: string
  /** Milliseconds since the epoch between which the certificate is valid; a key set's keys have no such bounds. */
  readonly validity?: { readonly from: number; readonly to: number }
}

function algorithmOf(key: KeyObject): TokenAlgorithm | undefined {
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= 2048) return 'RS256'
  return key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1' ? 'ES256' : undefined
}

const thumbprintOf = (key: KeyObject): string =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')

/** The key of an issuer's certificate (PEM), or what such a certificate has to be. */
export function keyOfCertificate(kid: string, pem: string): VerificationKey | { readonly problem: string } {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(pem)
  } catch {
    return { problem: 'must be an X.509 certificate in PEM' }
  }
  const key = certificate.publicKey
  const algorithm = algorithmOf(key)
  if (!algorithm) return { problem: 'must have an RSA key of 2048 bits or more, or an EC key on P-256' }
  const validity = { from: certificate.validFromDate.getTime(), to: certificate.validToDate.getTime() }
  return { kid, algorithm, key, thumbprint: thumbprintOf(key), validity }
}

const ofIssuer = new WeakMap<JwtAuthentication, readonly VerificationKey[]>()

/** The keys of the certificates that stand in the namespace's settings; parsed once. */
export function keysOfIssuer(issuer: JwtAuthentication): readonly VerificationKey[] {
  const known = ofIssuer.get(issuer)
  if (known) return known
  const keys = issuer.encodedIssuerCertificates.flatMap(({ kid, encodedCertificate }) => {
    const key = keyOfCertificate(kid, encodedCertificate)
    return 'problem' in key ? [] : [key] // the API refuses such a certificate; a record that holds one verifies nothing
  })
  ofIssuer.set(issuer, keys)
  return keys
}

/** Keys taken out of one key set; what comes behind them is not looked at. */
const keysMax = 100

/** The signing keys of a key set; undefined when it is none. Keys of other kinds are passed over, as RFC 7517 asks. */
export function readKeySet(document: unknown): readonly VerificationKey[] | undefined {
  const listed = typeof document === 'object' && document !== null ? (document as { readonly keys?: unknown }).keys : undefined
  if (!Array.isArray(listed)) return undefined
  return listed.slice(0, keysMax).flatMap((jwk: unknown): VerificationKey[] => {
    if (typeof jwk !== 'object' || jwk === null) return []
    const { kty, use, alg, kid, n, e, crv, x, y } = jwk as Readonly<Record<string, unknown>>
    if ((kty !== 'RSA' && kty !== 'EC') || (use !== undefined && use !== 'sig')) return []
    try {
      // Only what makes a public key, whatever else stands there.
      const key = createPublicKey({ key: (kty === 'RSA' ? { kty, n, e } : { kty, crv, x, y }) as Record<string, string>, format: 'jwk' })
      const algorithm = algorithmOf(key)
      if (!algorithm || (alg !== undefined && alg !== algorithm)) return []
      return [{ kid: typeof kid === 'string' ? kid : undefined, algorithm, key, thumbprint: thumbprintOf(key) }]
    } catch {
      return [] // no key
    }
  })
}
