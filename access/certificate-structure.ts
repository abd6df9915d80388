/** What node:crypto does not tell of certificates and revocation lists (RFC 5280), read with node-forge's DER reader. */
import { verify, type X509Certificate } from 'node:crypto'
import forge from 'node-forge'

const { asn1 } = forge
type Node = forge.asn1.Asn1

const children = (node: Node | undefined): readonly Node[] => (Array.isArray(node?.value) ? node.value : [])
const bytesOf = (node: Node | undefined): string => (typeof node?.value === 'string' ? node.value : '')
const isA = (node: Node | undefined, type: number): boolean => node?.tagClass === asn1.Class.UNIVERSAL && (node.type as number) === type
const isContext = (node: Node, tag: number): boolean => node.tagClass === asn1.Class.CONTEXT_SPECIFIC && (node.type as number) === tag
const parse = (der: Uint8Array): Node => asn1.fromDer(Buffer.from(der).toString('latin1'))

interface Extension {
  readonly oid: string
  readonly isCritical: boolean
  /** DER. */
  readonly value: string
}

/** Extension ::= SEQUENCE { OBJECT IDENTIFIER, [BOOLEAN], OCTET STRING } */
function readExtensions(list: Node | undefined): readonly Extension[] {
  return children(list).map((extension) => {
    const parts = children(extension)
    const critical = parts[1]
    return {
      oid: asn1.derToOid(bytesOf(parts[0])),
      isCritical: isA(critical, asn1.Type.BOOLEAN) && bytesOf(critical) !== '\0',
      value: bytesOf(parts.at(-1)),
    }
  })
}

const oids = {
  keyUsage: '2.5.29.15',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  nameConstraints: '2.5.29.30',
  certificatePolicies: '2.5.29.32',
  extendedKeyUsage: '2.5.29.37',
}
/** Critical extensions of an issuer that are kept to here. */
const understood: ReadonlySet<string> = new Set([oids.basicConstraints, oids.keyUsage, oids.extendedKeyUsage, oids.certificatePolicies])

export interface IssuerConstraints {
  /** Issuers that may stand between this one and the leaf; Infinity without a limit, -1 when it may not issue at all. */
  readonly pathLength: number
  /** An extension that is not kept to here, critical (RFC 5280 4.2) or name constraints in any case: the certificate must not be used as an issuer. */
  readonly notKept: string | undefined
}

const constraints = new WeakMap<X509Certificate, IssuerConstraints>()

/** What a certificate says of the ones below it; parsed once. One that cannot be read allows nothing: clients make such. */
export function issuerConstraints(certificate: X509Certificate): IssuerConstraints {
  const known = constraints.get(certificate)
  if (known) return known
  let read: IssuerConstraints
  try {
    read = readConstraints(certificate)
  } catch {
    read = { pathLength: -1, notKept: undefined }
  }
  constraints.set(certificate, read)
  return read
}

function readConstraints(certificate: X509Certificate): IssuerConstraints {
  const tbs = children(parse(certificate.raw))[0]
  const extensions = readExtensions(children(children(tbs).find((part) => isContext(part, 3)))[0])
  const basic = extensions.find(({ oid }) => oid === oids.basicConstraints)
  const length = basic && children(asn1.fromDer(basic.value)).find((part) => isA(part, asn1.Type.INTEGER))
  return {
    pathLength: length ? asn1.derToInteger(forge.util.createBuffer(bytesOf(length))) : Number.POSITIVE_INFINITY,
    notKept: extensions.find(({ oid, isCritical }) => oid === oids.nameConstraints || (isCritical && !understood.has(oid)))?.oid,
  }
}

/** A list of revoked certificates whose signature is good. */
export interface RevocationList {
  /** Serial numbers as node:crypto writes them: upper case hexadecimal digits without leading zeros. */
  readonly serials: ReadonlySet<string>
  /** Milliseconds since the epoch; the next one is due by `nextUpdate`, Infinity when it does not say. */
  readonly thisUpdate: number
  readonly nextUpdate: number
  /** Grows from one list of the CA to the next, where it numbers them. */
  readonly number: bigint | undefined
}

/** Whether the same CA made the one list before the other. Numbers count within a second only: a CA set up anew begins again at 1. */
export function isOlder(list: RevocationList, other: RevocationList): boolean {
  if (list.thisUpdate !== other.thisUpdate) return list.thisUpdate < other.thisUpdate
  return list.number !== undefined && other.number !== undefined && list.number < other.number
}

const signatureHashes: Readonly<Record<string, string | null>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.3.101.112': null, // Ed25519 hashes by itself
}

/** A certificate's serial number, as it is compared. */
export const foldSerial = (hex: string): string => hex.toUpperCase().replace(/^0+(?=.)/, '')

function readTime(node: Node | undefined): number {
  const text = bytesOf(node)
  const date = isA(node, asn1.Type.UTCTIME) ? asn1.utcTimeToDate(text) : isA(node, asn1.Type.GENERALIZEDTIME) ? asn1.generalizedTimeToDate(text) : undefined
  return date ? date.getTime() : Number.NaN
}

const isTime = (node: Node | undefined): boolean => isA(node, asn1.Type.UTCTIME) || isA(node, asn1.Type.GENERALIZEDTIME)

/** An INTEGER that is not negative. */
const readNumber = (der: string): bigint => BigInt(`0x${Buffer.from(bytesOf(asn1.fromDer(der)), 'latin1').toString('hex')}`)

/** DER, PEM, or either in base64. */
function toDer(content: Uint8Array): Buffer {
  const bytes = Buffer.from(content)
  if (bytes[0] === 0x30) return bytes
  const text = bytes.toString('latin1')
  const pem = /-----BEGIN (?:X509 )?CRL-----([\s\S]*?)-----END (?:X509 )?CRL-----/.exec(text)
  if (pem) return Buffer.from(pem[1]!, 'base64')
  const decoded = Buffer.from(text, 'base64')
  return decoded[0] === 0x30 ? decoded : decoded.includes('-----BEGIN') ? toDer(decoded) : decoded
}

/**
 * Reads a certificate revocation list and checks that the issuer signed it, or says what is wrong with it.
 *
 *   CertificateList ::= SEQUENCE { SEQUENCE { [version], signature, issuer, thisUpdate, [nextUpdate], [revoked], [0] extensions }, algorithm, BIT STRING }
 */
export function readRevocationList(content: Uint8Array, issuer: X509Certificate): RevocationList | { readonly problem: string } {
  try {
    const [tbs, algorithm, signature] = children(parse(toDer(content)))
    const oid = asn1.derToOid(bytesOf(children(algorithm)[0]))
    const hash = signatureHashes[oid]
    if (hash === undefined) return { problem: `is signed with ${oid}; allowed are SHA-256, -384 and -512 with RSA or ECDSA, and Ed25519` }
    const bits = signature && 'bitStringContents' in signature ? (signature.bitStringContents as string) : bytesOf(signature)
    const signed = Buffer.from(asn1.toDer(tbs as Node).getBytes(), 'latin1')
    if (!verify(hash, signed, issuer.publicKey, Buffer.from(bits, 'latin1').subarray(1))) return { problem: 'must be signed by this CA' }
    return readBody(children(tbs))
  } catch {
    return { problem: 'must be a certificate revocation list in PEM or DER' }
  }
}

function readBody(parts: readonly Node[]): RevocationList | { readonly problem: string } {
  const from = parts.findIndex(isTime)
  const hasNext = isTime(parts[from + 1])
  const after = parts[from + (hasNext ? 2 : 1)]
  const revoked = isA(after, asn1.Type.SEQUENCE) ? children(after) : []
  const extensions = readExtensions(children(parts.find((part) => isContext(part, 0)))[0])
  // A delta, or a list for some certificates only, is not the whole truth (RFC 5280 5.2).
  const critical = extensions.find(({ isCritical }) => isCritical)
  if (critical) return { problem: `has the critical extension ${critical.oid}, which is not understood here: a whole list of this CA is needed` }
  const serials = new Set<string>()
  for (const entry of revoked) {
    const [serial, , entryExtensions] = children(entry)
    if (readExtensions(entryExtensions).some(({ isCritical }) => isCritical)) return { problem: 'has entries for another CA' }
    serials.add(foldSerial(Buffer.from(bytesOf(serial), 'latin1').toString('hex')))
  }
  const thisUpdate = readTime(parts[from])
  const nextUpdate = hasNext ? readTime(parts[from + 1]) : Number.POSITIVE_INFINITY
  if (Number.isNaN(thisUpdate) || Number.isNaN(nextUpdate)) return { problem: 'must say when it was made and when the next one is due' }
  const crlNumber = extensions.find(({ oid }) => oid === oids.crlNumber)
  return { serials, thisUpdate, nextUpdate, number: crlNumber && readNumber(crlNumber.value) }
}
