/** Lock tokens: which delivery of which event somebody has. Opaque to clients; only what the log knows makes one good. */
import { randomBytes } from 'node:crypto'
import type { EventPlace } from './ledger.ts'

export interface LockToken extends EventPlace {
  /** 96 random bits of this one delivery. */
  readonly lock: string
}

const tokenPattern = /^(\d{1,5})\.(\d{1,16})\.([A-Za-z0-9_-]{16})$/
/** Longer ones are none, characters of the base64url text. */
const tokenLengthMax = 128

export const makeLock = (): string => randomBytes(12).toString('base64url')

export function writeLockToken({ partition, offset, lock }: LockToken): string {
  return Buffer.from(`${partition}.${offset}.${lock}`).toString('base64url')
}

/** Undefined for what never was a token. */
export function readLockToken(token: string): LockToken | undefined {
  if (token.length > tokenLengthMax || !/^[A-Za-z0-9_-]+$/.test(token)) return undefined
  const [, partition, offset, lock] = tokenPattern.exec(Buffer.from(token, 'base64url').toString('latin1')) ?? []
  if (partition === undefined || offset === undefined || lock === undefined || !Number.isSafeInteger(Number(offset))) return undefined
  return { partition: Number(partition), offset: Number(offset), lock }
}
