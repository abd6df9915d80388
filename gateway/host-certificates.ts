/** Certificates of single host names: a folder with <host name>.pem and <host name>.key, read again when it changes. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Logger } from 'pino'
import { foldHostName } from '../model/namespaces.ts'
import { readPair } from './server-certificate.ts'

/** How often the folder is looked at, ms. */
const lookMs = 1000
/** Certificates that are read; further files are passed over. */
const certificatesMax = 1000

interface Held {
  /** Of the two files, as they were when they were read. */
  readonly version: string
  readonly context: SecureContext
}

export class HostCertificates {
  readonly #folder: string
  readonly #logger: Logger
  readonly #held = new Map<string, Held>()
  /** Versions of pairs that could not be read: said once each. */
  readonly #refused = new Map<string, string>()
  #timer: NodeJS.Timeout | undefined

  /** An empty folder name holds none. Throws when the folder cannot be read. */
  constructor(folder: string, logger: Logger) {
    this.#folder = folder
    this.#logger = logger
    if (folder === '') return
    this.#look()
    this.#timer = setInterval(() => this.#lookAgain(), lookMs)
    this.#timer.unref()
  }

  /** Of this host name alone; undefined when it has no certificate of its own. */
  contextOf(host: string): SecureContext | undefined {
    return this.#held.get(host.toLowerCase())?.context
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #lookAgain(): void {
    try {
      this.#look()
    } catch (error) {
      this.#logger.warn({ folder: this.#folder, error: (error as Error).message }, 'the folder of host certificates cannot be read; those in use stay')
    }
  }

  #look(): void {
    const files = readdirSync(this.#folder)
      .filter((file) => file.endsWith('.pem'))
      .slice(0, certificatesMax)
    const seen = new Set<string>()
    for (const file of files) {
      const host = foldHostName(file.slice(0, -'.pem'.length))
      if (host === null) continue
      seen.add(host)
      this.#read(host, join(this.#folder, file), join(this.#folder, `${file.slice(0, -'.pem'.length)}.key`))
    }
    for (const host of [...this.#held.keys()]) if (!seen.has(host)) this.#held.delete(host)
  }

  /** A half-written pair is passed over until its other half is there; the one before stays in use. */
  #read(host: string, certFile: string, keyFile: string): void {
    let version = ''
    try {
      version = [certFile, keyFile]
        .map((file) => statSync(file))
        .map(({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`)
        .join(', ')
      if (this.#held.get(host)?.version === version || this.#refused.get(host) === version) return
      const context = createSecureContext({ ...readPair(certFile, keyFile), minVersion: 'TLSv1.2' })
      this.#held.set(host, { version, context })
      this.#refused.delete(host)
      this.#logger.info({ host, certFile }, 'the certificate of a host name was read')
    } catch (error) {
      if (this.#refused.get(host) === version) return
      this.#refused.set(host, version)
      this.#logger.warn({ host, error: (error as Error).message }, 'the certificate of a host name is not used')
    }
  }
}
