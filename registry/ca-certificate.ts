/** What may be registered as a CA certificate (XA-01). Checked when it is written, so that authentication never meets a strange one. */
import { X509Certificate } from 'node:crypto'

export type ReadCertificate = { readonly ok: true; readonly certificate: X509Certificate; readonly pem: string } | { readonly ok: false; readonly rule: string }

const no = (rule: string): ReadCertificate => ({ ok: false, rule })
const block = /-----BEGIN ([A-Z0-9 ]+)-----/g
const nameConstraints = Buffer.from('0603551d1e', 'hex') // its object identifier, 2.5.29.30, in DER

/** PEM; its base64 body alone; or the base64 of the PEM text: all three are in use with Event Grid. */
function toPem(text: string): string {
  const trimmed = text.trim()
  if (trimmed.includes('-----BEGIN')) return trimmed
  const decoded = Buffer.from(trimmed, 'base64')
  if (decoded.includes('-----BEGIN')) return decoded.toString('latin1').trim()
  return `-----BEGIN CERTIFICATE-----\n${trimmed.replaceAll(/\s/g, '').replaceAll(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----`
}

/** Reads a CA certificate, or says what one has to be. */
export function readCaCertificate(text: string, now: number): ReadCertificate {
  const pem = toPem(text)
  const blocks = [...pem.matchAll(block)].map((match) => match[1]!)
  if (blocks.some((label) => label.includes('PRIVATE KEY'))) return no('must hold no private key; consider that key as known to others now')
  if (blocks.length !== 1 || blocks[0] !== 'CERTIFICATE')
    return no(`must be exactly one PEM block CERTIFICATE, the direct issuer of the client certificates and not a chain; found ${blocks.join(', ') || 'none'}`)
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(pem)
  } catch {
    return no('must be an X.509 certificate in PEM')
  }
  if (!certificate.ca) return no('must be a CA certificate: basic constraints with CA:TRUE, and keyCertSign where a key usage is present')
  if (certificate.validToDate.getTime() <= now) return no(`must not have expired; this one did at ${certificate.validToDate.toISOString()}`)
  const { modulusLength } = certificate.publicKey.asymmetricKeyDetails ?? {}
  if (modulusLength !== undefined && modulusLength < 2048) return no(`must have an RSA key of 2048 bits or more; this one has ${modulusLength}`)
  if (certificate.raw.includes(nameConstraints)) return no('must not have name constraints: they would not be kept')
  return { ok: true, certificate, pem: certificate.toString() }
}
