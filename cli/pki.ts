/**
 * A small certificate authority for development and small fleets: a root that stays in its drawer, an intermediate that signs,
 * certificates of clients and servers, and the list of those that were revoked. ECDSA P-256 throughout.
 */
import 'reflect-metadata' // @peculiar/x509 cannot be loaded without
import { randomBytes, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const dayMs = 86_400_000
/** Clocks of devices are late. */
const clockSkewMs = 3_600_000
const rootDays = 3650
const intermediateDays = 1825
/** Within this time a new list should be written; who reads it may take an older one for stale. */
const revocationListDays = 30

type Key = webcrypto.CryptoKey
type KeyPair = webcrypto.CryptoKeyPair

/** A certificate and its key, PEM. */
export interface Pair {
  readonly certificate: string
  readonly key: string
}

export interface Authorities {
  readonly root: Pair
  readonly intermediate: Pair
}

export interface LeafRequest {
  readonly use: 'client' | 'server'
  readonly commonName: string
  /** DNS names and IP addresses; a server needs one. */
  readonly hosts: readonly string[]
  readonly days: number
  readonly now: number
}

/** A certificate that must not be trusted any more. */
export interface Revoked {
  /** Hexadecimal digits. */
  readonly serialNumber: string
  readonly at: Date
}

const newKeys = (): Promise<KeyPair> => webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])

async function pemOf(key: Key): Promise<string> {
  return `${x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), x509.PemConverter.PrivateKeyTag)}\n`
}

const keyFrom = (pem: string): Promise<Key> => webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(pem), algorithm, false, ['sign'])

/** Positive, 127 random bits. */
function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x3f) | 0x40 // neither negative nor with a leading zero
  return bytes.toString('hex')
}

const nameOf = (commonName: string): x509.JsonName => [{ CN: [commonName] }]
const pem = (certificate: x509.X509Certificate | x509.X509Crl): string => `${certificate.toString('pem')}\n`

async function authority(commonName: string, days: number, pathLength: number, now: number, issuer?: { readonly name: string; readonly keys: KeyPair }) {
  const keys = await newKeys()
  const signing = issuer?.keys ?? keys
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: nameOf(commonName),
    issuer: nameOf(issuer?.name ?? commonName),
    notBefore: new Date(now - clockSkewMs),
    notAfter: new Date(now + days * dayMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: signing.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(true, pathLength, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(signing.publicKey),
    ],
  })
  return { keys, pair: { certificate: pem(certificate), key: await pemOf(keys.privateKey) } }
}

/** A new root and a new intermediate below it. */
export async function makeAuthorities(name: string, now: number): Promise<Authorities> {
  const root = await authority(`${name} Root CA`, rootDays, 1, now)
  const intermediate = await authority(`${name} Intermediate CA`, intermediateDays, 0, now, { name: `${name} Root CA`, keys: root.keys })
  return { root: root.pair, intermediate: intermediate.pair }
}

/** A certificate signed by the intermediate, with a new key. It ends with its issuer at the latest. */
export async function issueLeaf(issuer: Pair, { use, commonName, hosts, days, now }: LeafRequest): Promise<Pair> {
  const signer = new x509.X509Certificate(issuer.certificate)
  const keys = await newKeys()
  const end = Math.min(now + days * dayMs, signer.notAfter.getTime())
  const alternative = hosts.map((host): x509.JsonGeneralName => ({ type: isIP(host) === 0 ? 'dns' : 'ip', value: host }))
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: nameOf(commonName),
    issuer: signer.subjectName,
    notBefore: new Date(now - clockSkewMs),
    notAfter: new Date(end),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: await keyFrom(issuer.key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([use === 'client' ? x509.ExtendedKeyUsage.clientAuth : x509.ExtendedKeyUsage.serverAuth]),
      ...(alternative.length > 0 ? [new x509.SubjectAlternativeNameExtension(alternative)] : []),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(signer),
    ],
  })
  return { certificate: pem(certificate), key: await pemOf(keys.privateKey) }
}

/** What a revocation list says is revoked. */
export function readRevoked(list: string): readonly Revoked[] {
  return new x509.X509Crl(list).entries.map((entry) => ({ serialNumber: entry.serialNumber, at: entry.revocationDate }))
}

/** The list of what is revoked, signed by the intermediate, PEM (RFC 5280, 5). */
export async function makeRevocationList(issuer: Pair, revoked: readonly Revoked[], now: number): Promise<string> {
  const list = await x509.X509CrlGenerator.create({
    issuer: new x509.X509Certificate(issuer.certificate).subjectName,
    thisUpdate: new Date(now),
    nextUpdate: new Date(now + revocationListDays * dayMs),
    signingAlgorithm: algorithm,
    signingKey: await keyFrom(issuer.key),
    entries: revoked.map((each) => ({ serialNumber: each.serialNumber, revocationDate: each.at })),
  })
  return pem(list)
}

/** Hexadecimal digits. */
export const serialNumberOf = (certificate: string): string => new x509.X509Certificate(certificate).serialNumber
