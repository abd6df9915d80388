/** Certificates for tests. */
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { issueCertificate } from '../../../access/certificates.ts'

const day = 86_400_000
export const now = Date.UTC(2030, 0, 1)

export interface Authority {
  readonly commonName: string
  readonly pem: string
  readonly privateKey: KeyObject
}

export interface Validity {
  readonly from?: number
  readonly to?: number
}

const dates = ({ from = now - day, to = now + day }: Validity) => ({ notBefore: new Date(from), notAfter: new Date(to) })

export function makeAuthority(commonName: string, validity: Validity = {}): Authority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { commonName, privateKey, pem: issueCertificate({ commonName, publicKey, use: 'ca', signingKey: privateKey, ...dates(validity) }) }
}

export function makeLeaf(
  issuer: Authority,
  commonName: string,
  validity: Validity & { readonly use?: 'server' | 'client'; readonly hosts?: readonly string[] } = {},
): X509Certificate {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const request = {
    commonName,
    publicKey,
    use: validity.use ?? 'client',
    hosts: validity.hosts ?? [],
    issuer: { commonName: issuer.commonName },
    signingKey: issuer.privateKey,
    ...dates(validity),
  }
  return new X509Certificate(issueCertificate(request))
}
