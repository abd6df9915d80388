/** A CA of the test's own, a server pair in files, and client pairs as asked for. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { issueCertificate } from '../../../access/certificates.ts'

const hourMs = 3_600_000
const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()
const keys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })

export interface ClientPair {
  readonly cert: string
  readonly key: string
}

/** `named`: the CA's common name; one of its own when not given. */
export function testCertificates(named?: string) {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-tls-'))
  const authority = keys()
  const commonName = named ?? `test CA ${folder.slice(-6)}`
  const between = (fromMs: number, toMs: number) => ({ notBefore: new Date(Date.now() + fromMs), notAfter: new Date(Date.now() + toMs) })
  const ca = issueCertificate({ commonName, publicKey: authority.publicKey, ...between(-hourMs, 24 * hourMs), use: 'ca', signingKey: authority.privateKey })
  const issue = (use: 'server' | 'client', name: string, toMs = hourMs, hosts: readonly string[] = ['localhost', '127.0.0.1']): ClientPair => {
    const { publicKey, privateKey } = keys()
    const cert = issueCertificate({
      commonName: name,
      publicKey,
      ...between(-hourMs, toMs),
      use,
      ...(use === 'server' && { hosts }),
      issuer: { commonName },
      signingKey: authority.privateKey,
    })
    return { cert, key: pem(privateKey) }
  }
  const certFile = join(folder, 'server.pem')
  const keyFile = join(folder, 'server.key')
  /** Puts a new server pair into the files. */
  const renew = (): ClientPair => {
    const pair = issue('server', 'localhost')
    writeFileSync(keyFile, pair.key)
    writeFileSync(certFile, pair.cert)
    return pair
  }
  renew()
  /** Puts a server pair of this host name into a folder of such. */
  const serverOf = (host: string, into: string): void => {
    const pair = issue('server', host, hourMs, [host])
    writeFileSync(join(into, `${host}.key`), pair.key)
    writeFileSync(join(into, `${host}.pem`), pair.cert)
  }
  return { ca, serverOf, server: { TLS_CERT: certFile, TLS_KEY: keyFile }, renew, client: (name: string, toMs?: number) => issue('client', name, toMs) }
}
