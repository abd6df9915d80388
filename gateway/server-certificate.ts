import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Logger } from 'pino'

/** The chain and key of the TLS listeners, PEM. */
export interface CertificatePair {
  readonly cert: Buffer
  readonly key: Buffer
}

/** How often the files are looked at, ms. Polling, because a certificate is often replaced by renaming a folder or link. */
const lookMs = 1000

/** Reads certificate and key; throws naming the file, or what is wrong with the pair. */
export function readPair(certFile: string, keyFile: string): CertificatePair {
  const pair = { cert: readFileSync(certFile), key: readFileSync(keyFile) }
  try {
    createSecureContext({ ...pair })
  } catch (cause) {
    throw new Error(`TLS_CERT ${certFile} and TLS_KEY ${keyFile} are no pair: ${(cause as Error).message}`, { cause })
  }
  return pair
}

/** Calls back with each new pair; a half-written one is passed over until its other half is there. Returns how to stop. */
export function followPair(certFile: string, keyFile: string, logger: Logger, onPair: (pair: CertificatePair) => void): () => void {
  const look = (): void => {
    try {
      onPair(readPair(certFile, keyFile))
      logger.info({ certFile }, 'the server certificate was read again')
    } catch (error) {
      logger.warn({ error: (error as Error).message }, 'the new server certificate is not used')
    }
  }
  for (const file of [certFile, keyFile]) watchFile(file, { interval: lookMs, persistent: false }, look)
  return () => {
    for (const file of [certFile, keyFile]) unwatchFile(file, look)
  }
}
