import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onPath, run } from '../wire/programs.ts'

/** Files in PEM. */
export interface KeyPair {
  readonly certificateFile: string
  readonly keyFile: string
  readonly certificate: string
  readonly key: string
}

/** A certificate authority made by openssl, which knows nothing of Loggerhead. */
export class OpensslAuthority {
  readonly #folder: string
  readonly #openssl: string
  readonly root: KeyPair

  private constructor(folder: string, openssl: string) {
    this.#folder = folder
    this.#openssl = openssl
    this.root = this.#pair('ca')
  }

  static get isInstalled(): boolean {
    return onPath('openssl') !== undefined
  }

  static async make(name: string): Promise<OpensslAuthority> {
    const folder = mkdtempSync(join(tmpdir(), 'loggerhead-openssl-'))
    const openssl = onPath('openssl') ?? 'openssl'
    const file = (rest: string) => join(folder, rest)
    await call(openssl, [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      file('ca.key'),
      '-out',
      file('ca.pem'),
    ])
    return new OpensslAuthority(folder, openssl)
  }

  #pair(name: string): KeyPair {
    const certificateFile = join(this.#folder, `${name}.pem`)
    const keyFile = join(this.#folder, `${name}.key`)
    return { certificateFile, keyFile, certificate: readFileSync(certificateFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
  }

  /** A client certificate whose common name this is. */
  async client(name: string): Promise<KeyPair> {
    const file = (rest: string) => join(this.#folder, `${name}${rest}`)
    writeFileSync(file('.ext'), 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n')
    await call(this.#openssl, [
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      file('.key'),
      '-out',
      file('.csr'),
    ])
    const signing = ['-CA', this.root.certificateFile, '-CAkey', this.root.keyFile, '-CAcreateserial', '-days', '2', '-sha256', '-extfile', file('.ext')]
    await call(this.#openssl, ['x509', '-req', '-in', file('.csr'), ...signing, '-out', file('.pem')])
    return this.#pair(name)
  }

  /** A certificate that nobody else signed. */
  async selfSigned(name: string): Promise<KeyPair & { readonly thumbprint: string }> {
    const file = (rest: string) => join(this.#folder, `${name}${rest}`)
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    await call(this.#openssl, ['req', '-x509', ...key, '-days', '2', '-subj', `/CN=${name}`, '-keyout', file('.key'), '-out', file('.pem')])
    const printed = await call(this.#openssl, ['x509', '-in', file('.pem'), '-noout', '-fingerprint', '-sha256'])
    const thumbprint = printed.trim().split('=')[1]?.replaceAll(':', '') ?? ''
    return { ...this.#pair(name), thumbprint }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

async function call(openssl: string, args: readonly string[]): Promise<string> {
  const { code, output, errors } = await run(openssl, args)
  if (code !== 0) throw new Error(`openssl ${args.join(' ')}: ${errors}`)
  return output
}
