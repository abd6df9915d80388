/** CAs with issuers below them, and their revocation lists, for tests. */
import 'reflect-metadata' // @peculiar/x509 cannot be loaded without
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'

x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0])
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const day = 86_400_000

export interface Issuer {
  readonly name: string
  readonly pem: string
  readonly keys: webcrypto.CryptoKeyPair
}

export interface Issued {
  readonly cert: string
  /** PKCS #8, PEM. */
  readonly key: string
  readonly serialNumber: string
}

export interface CertificateOptions {
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly from?: number
  readonly to?: number
  readonly isCa?: boolean
  readonly pathLength?: number
  /** New ones without. */
  readonly keys?: webcrypto.CryptoKeyPair
  readonly extensions?: readonly x509.Extension[]
}

let serial = 0x1000

async function make(commonName: string, issuer: Issuer | undefined, options: CertificateOptions) {
  const keys = options.keys ?? ((await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair)
  const { now, from = now - day, to = now + day, isCa = false, pathLength, extensions = [] } = options
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: (serial++).toString(16),
    subject: `CN=${commonName}`,
    issuer: `CN=${issuer?.name ?? commonName}`,
    notBefore: new Date(from),
    notAfter: new Date(to),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    extensions: [new x509.BasicConstraintsExtension(isCa, pathLength, true), ...extensions],
  })
  return { keys, certificate, pem: `${certificate.toString('pem')}\n` }
}

/** An authority that signs itself, or that another one signed. */
export async function makeIssuer(name: string, options: CertificateOptions, by?: Issuer): Promise<Issuer & { readonly serialNumber: string }> {
  const { keys, pem, certificate } = await make(name, by, { isCa: true, ...options })
  return { name, keys, pem, serialNumber: certificate.serialNumber }
}

export async function issue(name: string, by: Issuer, options: CertificateOptions): Promise<Issued> {
  const { keys, pem, certificate } = await make(name, by, options)
  const key = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')
  return { cert: pem, key, serialNumber: certificate.serialNumber }
}

export interface ListOptions {
  /** Milliseconds since the epoch; the list is a day older and good for a day more, unless `made` and `next` say otherwise. */
  readonly now: number
  readonly made?: number
  readonly next?: number
  /** CRL number, below 128. */
  readonly number?: number
}

/** A revocation list of the authority, PEM. */
export async function revocationList(by: Issuer, serialNumbers: readonly string[], options: ListOptions): Promise<string> {
  const { now, made = now - day, next = now + day, number } = options
  const list = await x509.X509CrlGenerator.create({
    issuer: `CN=${by.name}`,
    thisUpdate: new Date(made),
    nextUpdate: new Date(next),
    entries: serialNumbers.map((serialNumber) => ({ serialNumber, revocationDate: new Date(now - day) })),
    extensions: number === undefined ? [] : [new x509.Extension('2.5.29.20', false, new Uint8Array([2, 1, number]))],
    signingAlgorithm: algorithm,
    signingKey: by.keys.privateKey,
  })
  return x509.PemConverter.encode(list.rawData, 'X509 CRL')
}

/** Names that certificates below may have: a critical extension that is not understood here. */
export const nameConstraints = new x509.Extension('2.5.29.30', true, new Uint8Array([0x30, 0]))
export const mildNameConstraints = new x509.Extension('2.5.29.30', false, new Uint8Array([0x30, 0]))
export const forServersOnly = new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth])
export const signsNothing = new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)
