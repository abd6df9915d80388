/**
 * Passwords as they are stored: hashed by scrypt (RFC 7914) with a salt each, cost and all in one text. Hashing costs some
 * 40 ms and 16 MiB at the least cost, on a thread of its own.
 */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'

interface Stored {
  /** Base 2 logarithm of scrypt's N. */
  readonly cost: number
  readonly salt: Buffer
  readonly hash: Buffer
}

/** The least and the most cost that is computed, whatever a record says. */
const passwordCosts = { min: 14, max: 18 } as const
const blockSize = 8
const hashBytes = 32
const saltBytes = 16

const pattern = /^\$scrypt\$ln=(\d\d),r=8,p=1\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/

function read(text: string): Stored | undefined {
  const match = pattern.exec(text)
  if (!match) return undefined
  const [, cost, salt, hash] = match
  const stored = { cost: Number(cost), salt: Buffer.from(salt!, 'base64'), hash: Buffer.from(hash!, 'base64') }
  return stored.cost >= passwordCosts.min && stored.cost <= passwordCosts.max ? stored : undefined
}

function derive(password: Buffer, salt: Buffer, cost: number): Promise<Buffer> {
  const N = 2 ** cost
  return new Promise((resolve, reject) => {
    scrypt(password, salt, hashBytes, { N, r: blockSize, p: 1, maxmem: 256 * N * blockSize }, (error, hash) => (error ? reject(error) : resolve(hash)))
  })
}

const base64 = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '')

/** Hashes a password with a new salt. `cost` is the base 2 logarithm of scrypt's N, 14 to 18. */
export async function hashPassword(password: Buffer, cost: number): Promise<string> {
  const salt = randomBytes(saltBytes)
  return `$scrypt$ln=${cost},r=8,p=1$${base64(salt)}$${base64(await derive(password, salt, cost))}`
}

/** Whether the password is the one that was hashed; false for a text that is no hash. */
export async function verifyPassword(password: Buffer, stored: string): Promise<boolean> {
  const known = read(stored)
  return known !== undefined && timingSafeEqual(await derive(password, known.salt, known.cost), known.hash)
}
