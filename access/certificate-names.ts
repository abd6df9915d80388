/** The names in an X.509 certificate, out of the texts that node:crypto writes. */
import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'

export interface CertificateNames {
  /** Relative distinguished names in the certificate's order, e.g. `O=Acme`, `CN=vehicle01`; values unescaped. */
  readonly subject: readonly string[]
  readonly commonNames: readonly string[]
  readonly dns: readonly string[]
  readonly uri: readonly string[]
  /** Canonical text. */
  readonly ip: readonly string[]
  readonly email: readonly string[]
}

/** RFC 4514 escapes: `\,` or the bytes of UTF-8 as `\C3\BC`. */
function unescapeValue(text: string): string {
  return text.replace(
    /(?:\\[0-9A-Fa-f]{2})+|\\(.)/gs,
    (all, single: string | undefined) => single ?? Buffer.from(all.replaceAll('\\', ''), 'hex').toString('utf8'),
  )
}

/** Splits at a separator that no backslash precedes. */
function splitUnescaped(text: string, separator: RegExp): readonly string[] {
  const parts: string[] = []
  let start = 0
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') {
      at++
      continue
    }
    separator.lastIndex = at
    const match = separator.exec(text)
    if (!match) continue
    parts.push(text.slice(start, at))
    at += match[0].length - 1
    start = at + 1
  }
  parts.push(text.slice(start))
  return parts
}

const lineBreakOrPlus = /\n| \+ /y
const comma = /\s*[,;]\s*/y

/** node writes one attribute a line, several of one RDN with ` + ` between, values escaped, so that no value can pose as another attribute. */
function readSubject(subject: string | undefined): readonly string[] {
  return subject ? splitUnescaped(subject, lineBreakOrPlus).map(unescapeValue) : []
}

/** An IP address in one spelling; undefined when it is none. */
export function canonicalIp(text: string): string | undefined {
  switch (isIP(text)) {
    case 4:
      return text
    case 6:
      return text.includes('%') ? undefined : new URL(`http://[${text}]`).hostname.slice(1, -1)
    default:
      return undefined
  }
}

const altName = /(DNS|URI|IP Address|email|[^:,]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/y

function readAltNames(text: string | undefined): readonly (readonly [kind: string, value: string])[] {
  const names: (readonly [string, string])[] = []
  if (!text) return names
  for (let at = 0; at < text.length; ) {
    altName.lastIndex = at
    const match = altName.exec(text)
    if (!match) return [] // not what node writes: better no name than a wrong one
    const [all, kind, value] = match
    names.push([kind!, value!.startsWith('"') ? (JSON.parse(value!) as string) : value!])
    at += all.length
  }
  return names
}

const read = new WeakMap<X509Certificate, CertificateNames>()

/** Reads the names of a certificate, once. */
export function namesOf(certificate: X509Certificate): CertificateNames {
  const known = read.get(certificate)
  if (known) return known
  const subject = readSubject(certificate.subject)
  const altNames = readAltNames(certificate.subjectAltName)
  const of = (kind: string) => altNames.filter(([found]) => found === kind).map(([, value]) => value)
  const names = {
    subject,
    commonNames: subject.filter((rdn) => rdn.startsWith('CN=')).map((rdn) => rdn.slice(3)),
    dns: of('DNS'),
    uri: of('URI'),
    ip: of('IP Address').flatMap((value) => canonicalIp(value) ?? []),
    email: of('email'),
  }
  read.set(certificate, names)
  return names
}

/** The distinguished name as one text, `CN=vehicle01,O=Acme`: from the most specific on, as RFC 4514 has it. */
export function distinguishedName(names: CertificateNames): string {
  return names.subject.toReversed().join(',')
}

const fold = (text: string): string => text.toLowerCase()

/** True when the text is the subject's distinguished name, in either order, with or without spaces after the commas, ignoring case. */
export function isDistinguishedName(names: CertificateNames, text: string): boolean {
  const asked = splitUnescaped(text, comma).map((rdn) => fold(unescapeValue(rdn)))
  const subject = names.subject.map(fold)
  if (asked.length !== subject.length || subject.length === 0) return false
  return asked.every((rdn, i) => rdn === subject[i]) || asked.every((rdn, i) => rdn === subject[subject.length - 1 - i])
}
