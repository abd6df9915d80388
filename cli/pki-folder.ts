/**
 * The folder of a small certificate authority:
 *
 *   root.pem root.key, intermediate.pem intermediate.key, ca-chain.pem      who signs
 *   issued/NAME.pem, .key, .yaml                                            certificate, key, and what to apply to register it
 *   revoked/NAME-SERIAL.pem, crl.pem                                        what must not be trusted any more
 *
 * Keys can be read by their owner only, and nothing that stands there is ever overwritten but the revocation list.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Failure } from './failure.ts'
import type { Authorities, Pair } from './pki.ts'

const secret = 0o600

/** Written whole, and never over what is there. Throws Failure. */
function writeNew(path: string, text: string, mode = 0o644): void {
  try {
    writeFileSync(path, text, { flag: 'wx', mode })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new Failure(`${path} is there already and is not overwritten`)
    throw new Failure(`cannot write ${path}: ${(error as Error).message}`)
  }
}

export class PkiFolder {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  file(...names: readonly string[]): string {
    return join(this.path, ...names)
  }

  /** Writes new authorities. Throws Failure when the folder has some. */
  writeAuthorities({ root, intermediate }: Authorities): void {
    for (const name of ['root', 'intermediate'] as const) {
      for (const end of ['key', 'pem']) {
        const file = this.file(`${name}.${end}`)
        if (existsSync(file)) throw new Failure(`${file} is there already and is not overwritten`)
      }
    }
    for (const folder of ['', 'issued', 'revoked']) mkdirSync(this.file(folder), { recursive: true, mode: 0o700 })
    for (const [name, pair] of [
      ['root', root],
      ['intermediate', intermediate],
    ] as const) {
      writeNew(this.file(`${name}.key`), pair.key, secret)
      writeNew(this.file(`${name}.pem`), pair.certificate)
    }
    writeNew(this.file('ca-chain.pem'), intermediate.certificate + root.certificate)
  }

  /** Who signs. Throws Failure. */
  intermediate(): Pair {
    return { certificate: this.#read('intermediate.pem'), key: this.#read('intermediate.key') }
  }

  /** Throws Failure when the name has a certificate that was not revoked, or had one under which it is known. */
  checkFree(name: string): void {
    const there = this.file('issued', `${name}.pem`)
    if (existsSync(there)) throw new Failure(`${there} is there already and is not overwritten; loggerhead pki revoke ${name} first, or choose another name`)
  }

  writeIssued(name: string, pair: Pair, manifest: string | undefined): void {
    this.checkFree(name)
    writeNew(this.file('issued', `${name}.key`), pair.key, secret)
    writeNew(this.file('issued', `${name}.pem`), pair.certificate)
    if (manifest !== undefined) writeNew(this.file('issued', `${name}.yaml`), manifest)
  }

  /** The certificate of a name, as it was issued. Throws Failure. */
  issued(name: string): string {
    return this.#read('issued', `${name}.pem`)
  }

  /** What to apply to register the client; undefined for a server. */
  manifest(name: string): string | undefined {
    const file = this.file('issued', `${name}.yaml`)
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined
  }

  /** The revocation list; undefined while nothing is revoked. */
  revocationList(): string | undefined {
    const file = this.file('crl.pem')
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined
  }

  /** The list first: when what follows does not happen, the certificate is revoked all the same. */
  writeRevoked(name: string, serialNumber: string, list: string): void {
    const next = this.file('crl.pem.new')
    writeFileSync(next, list)
    renameSync(next, this.file('crl.pem'))
    renameSync(this.file('issued', `${name}.pem`), this.file('revoked', `${name}-${serialNumber}.pem`))
    for (const end of ['key', 'yaml']) rmSync(this.file('issued', `${name}.${end}`), { force: true })
  }

  /** Whether a certificate of the name was ever revoked. */
  wasRevoked(name: string): boolean {
    return readdirSync(this.file('revoked')).some((file) => /^(.*)-[0-9a-f]+\.pem$/.exec(file)?.[1] === name)
  }

  #read(...names: readonly string[]): string {
    const file = this.file(...names)
    try {
      return readFileSync(file, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw new Failure(`cannot read ${file}: ${(error as Error).message}`)
      throw new Failure(
        names[0] === 'issued' ? `there is no ${file}: no certificate is issued under that name` : `there is no ${file}: loggerhead pki init makes it`,
      )
    }
  }
}
