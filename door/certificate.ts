import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import type { Server } from 'node:https'
import type { Logger } from 'pino'

export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

/** Reads both files; throws what the file system says. */
export function readCertificate(files: CertificateFiles): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(files.cert), key: readFileSync(files.key) }
}

/**
 * Gives the server a changed certificate for its next handshakes; who is connected stays. A pair that does not fit
 * (one file written, the other not yet) is logged and the one in use kept. Returns what stops the watching.
 */
export function followCertificate(server: Server, files: CertificateFiles, logger: Logger, intervalMs = 1000): () => void {
  const reload = (): void => {
    try {
      server.setSecureContext(readCertificate(files))
      logger.info(files, 'the changed certificate is in use')
    } catch (error) {
      logger.error({ error, ...files }, 'the changed certificate cannot be used; the one before stays')
    }
  }
  for (const file of [files.cert, files.key]) watchFile(file, { interval: intervalMs, persistent: false }, reload)
  return () => {
    for (const file of [files.cert, files.key]) unwatchFile(file, reload)
  }
}
