/**
 * The development profile's certificates: a CA, a server certificate and one client's. ECDSA P-256, because a handshake
 * with it costs a tenth of one with RSA. node-forge knows X.509 but no ECDSA, so that the keys and signatures are node:crypto's.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import forge from 'node-forge'

export interface CertificateRequest {
  readonly commonName: string
  readonly organization?: string
  readonly publicKey: KeyObject
  readonly notBefore: Date
  readonly notAfter: Date
  readonly use: 'ca' | 'server' | 'client'
  /** DNS names and IP addresses. */
  readonly hosts?: readonly string[]
  /** Who signs; the certificate signs itself without. */
  readonly issuer?: { readonly commonName: string }
  /** The issuer's private key, or the certificate's own. */
  readonly signingKey: KeyObject
}

const { asn1 } = forge
/** Missing in the typings. */
interface Signing {
  getTBSCertificate(certificate: forge.pki.Certificate): forge.asn1.Asn1
}
const pki = forge.pki as typeof forge.pki & Signing
const { SEQUENCE, BITSTRING, OCTETSTRING, OID } = asn1.Type
const universal = asn1.Class.UNIVERSAL
const ecdsaWithSha256 = '1.2.840.10045.4.3.2'

const derOf = (node: forge.asn1.Asn1): Buffer => Buffer.from(asn1.toDer(node).getBytes(), 'latin1')
const spkiOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'der' }).toString('latin1')

function signatureAlgorithm(): forge.asn1.Asn1 {
  return asn1.create(universal, SEQUENCE, true, [asn1.create(universal, OID, false, asn1.oidToDer(ecdsaWithSha256).getBytes())])
}

/** RFC 5280 4.2.1.2, method 1: SHA-1 of the subject public key's bits. */
function keyIdentifier(key: KeyObject): string {
  const [, bits] = asn1.fromDer(spkiOf(key)).value as forge.asn1.Asn1[]
  const text = bits!.value as string | forge.asn1.Asn1[]
  const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1').subarray(1) : derOf(bits!)
  return createHash('sha1').update(bytes).digest().toString('latin1')
}

function keyIdentifierExtensions(subject: KeyObject, issuer: KeyObject): readonly object[] {
  const octets = (tagClass: forge.asn1.Class, type: number, value: string) => asn1.create(tagClass, type, false, value)
  const subjectValue = octets(universal, OCTETSTRING, keyIdentifier(subject))
  const authorityValue = asn1.create(universal, SEQUENCE, true, [octets(asn1.Class.CONTEXT_SPECIFIC, 0, keyIdentifier(issuer))])
  return [
    { id: '2.5.29.14', value: derOf(subjectValue).toString('latin1') },
    { id: '2.5.29.35', value: derOf(authorityValue).toString('latin1') },
  ]
}

function extensionsOf(request: CertificateRequest): readonly object[] {
  const identifiers = keyIdentifierExtensions(request.publicKey, createPublicKey(request.signingKey))
  if (request.use === 'ca') {
    return [
      { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      ...identifiers,
    ]
  }
  const altNames = (request.hosts ?? []).map((host) => (isIP(host) ? { type: 7, ip: host } : { type: 2, value: host }))
  return [
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    request.use === 'server' ? { name: 'extKeyUsage', serverAuth: true } : { name: 'extKeyUsage', clientAuth: true },
    ...(altNames.length > 0 ? [{ name: 'subjectAltName', altNames }] : []),
    ...identifiers,
  ]
}

const nameOf = (commonName: string, organization: string | undefined): forge.pki.CertificateField[] => [
  ...(organization ? [{ name: 'organizationName', value: organization }] : []),
  { name: 'commonName', value: commonName, valueTagClass: asn1.Type.UTF8 as unknown as forge.asn1.Class }, // the typings mistake the tag's type for its class
]

/** Makes a certificate; returns PEM. */
export function issueCertificate(request: CertificateRequest): string {
  const template = pki.createCertificate()
  template.serialNumber = `01${randomBytes(15).toString('hex')}`
  template.validity.notBefore = request.notBefore
  template.validity.notAfter = request.notAfter
  template.setSubject(nameOf(request.commonName, request.organization))
  template.setIssuer(nameOf(request.issuer?.commonName ?? request.commonName, request.organization))
  template.publicKey = pki.setRsaPublicKey(new forge.jsbn.BigInteger('3'), new forge.jsbn.BigInteger('3')) // a placeholder: forge encodes RSA keys only
  template.siginfo.algorithmOid = ecdsaWithSha256
  template.setExtensions(extensionsOf(request) as object[])
  const body = pki.getTBSCertificate(template)
  const fields = body.value as forge.asn1.Asn1[]
  fields[2] = signatureAlgorithm()
  fields[6] = asn1.fromDer(spkiOf(request.publicKey))
  const signature = sign('sha256', derOf(body), request.signingKey)
  const bits = asn1.create(universal, BITSTRING, false, `\0${signature.toString('latin1')}`)
  const certificate = derOf(asn1.create(universal, SEQUENCE, true, [body, signatureAlgorithm(), bits]))
  return new X509Certificate(certificate).toString()
}

/** The development profile's files. */
export interface DevelopmentCertificates {
  readonly ca: string
  readonly caKey: string
  readonly serverCertificate: string
  readonly serverKey: string
  readonly clientCertificate: string
  readonly clientKey: string
  /** False when all stood there and were good. */
  readonly made: boolean
}

export interface DevelopmentCertificateOptions {
  /** Names and addresses the server certificate is good for, besides localhost, 127.0.0.1 and ::1. */
  readonly hosts: readonly string[]
  /** Common name of the client certificate. */
  readonly clientName?: string
  /** Milliseconds since the epoch. */
  readonly now?: number
}

const dayMs = 86_400_000
const authorityLifetimeMs = 3650 * dayMs
const lifetimeMs = 825 * dayMs // the most that Apple's TLS takes
const renewBeforeMs = 30 * dayMs

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Written whole or not at all, never readable by others when secret. */
async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', mode)
  try {
    await file.chmod(mode)
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}

function parsed(pem: string | undefined): X509Certificate | undefined {
  try {
    return pem === undefined ? undefined : new X509Certificate(pem)
  } catch {
    return undefined
  }
}

function hasKey(certificate: X509Certificate, key: string | undefined): boolean {
  try {
    return key !== undefined && certificate.checkPrivateKey(createPrivateKey(key))
  } catch {
    return false
  }
}

interface Pair {
  readonly certificate: string | undefined
  readonly key: string | undefined
}

function isGood(pair: Pair, lifetimeLeftMs: number, now: number): boolean {
  const certificate = parsed(pair.certificate)
  return certificate !== undefined && hasKey(certificate, pair.key) && certificate.validToDate.getTime() >= now + lifetimeLeftMs
}

function isGoodLeaf(pair: Pair, ca: X509Certificate, hosts: readonly string[], now: number): boolean {
  const certificate = parsed(pair.certificate)
  if (!certificate || !isGood(pair, renewBeforeMs, now) || !certificate.checkIssued(ca) || !certificate.verify(ca.publicKey)) return false
  return hosts.every((host) => (isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host)) !== undefined)
}

const newKeys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()

const caName = 'Loggerhead development CA'
const organization = 'Loggerhead development'

interface Authority {
  readonly certificate: X509Certificate
  readonly key: KeyObject
  readonly pem: string
  readonly isNew: boolean
}

function authorityFrom(pair: Pair, now: number): Authority {
  if (isGood(pair, lifetimeMs, now)) {
    return { certificate: new X509Certificate(pair.certificate!), key: createPrivateKey(pair.key!), pem: pair.certificate!, isNew: false } // isGood has read both
  }
  const { publicKey, privateKey } = newKeys()
  const validity = { notBefore: new Date(now - 3_600_000), notAfter: new Date(now + authorityLifetimeMs) }
  const pem = issueCertificate({ ...validity, commonName: caName, organization, publicKey, use: 'ca', signingKey: privateKey })
  return { certificate: new X509Certificate(pem), key: privateKey, pem, isNew: true }
}

/**
 * Makes what is missing, broken or close to its end in the folder: ca.pem, ca.key, server.pem, server.key, client.pem, client.key.
 * The CA stays as long as it outlives what it signs, so that clients keep trusting; a new one renews all.
 */
export async function makeDevelopmentCertificates(folder: string, options: DevelopmentCertificateOptions): Promise<DevelopmentCertificates> {
  const now = options.now ?? Date.now()
  const path = (name: string) => join(folder, name)
  const pairAt = async (name: string): Promise<Pair> => ({ certificate: await readText(path(`${name}.pem`)), key: await readText(path(`${name}.key`)) })
  const authority = authorityFrom(await pairAt('ca'), now)
  let made = authority.isNew
  const writePair = async (name: string, certificate: string, key: KeyObject) => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeWhole(path(`${name}.key`), pemOf(key), 0o600)
    await writeWhole(path(`${name}.pem`), certificate, 0o644)
    made = true
  }
  const issue = async (use: 'server' | 'client', commonName: string, hosts: readonly string[]) => {
    if (isGoodLeaf(await pairAt(use), authority.certificate, hosts, now)) return
    const { publicKey, privateKey } = newKeys()
    const validity = { notBefore: new Date(now - 3_600_000), notAfter: new Date(now + lifetimeMs) }
    const issuer = { commonName: caName }
    const signingKey = authority.key
    await writePair(use, issueCertificate({ ...validity, commonName, organization, publicKey, use, hosts, issuer, signingKey }), privateKey)
  }
  if (authority.isNew) await writePair('ca', authority.pem, authority.key)
  await issue('server', 'localhost', [...new Set(['localhost', '127.0.0.1', '::1', ...options.hosts])])
  await issue('client', options.clientName ?? 'sample_client', [])
  return {
    ca: path('ca.pem'),
    caKey: path('ca.key'),
    serverCertificate: path('server.pem'),
    serverKey: path('server.key'),
    clientCertificate: path('client.pem'),
    clientKey: path('client.key'),
    made,
  }
}
