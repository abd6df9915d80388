import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** A file with a random key that only its owner can read, made when it is missing. */
export function keyFile(path: string): string {
  if (!existsSync(path) || readFileSync(path, 'utf8').trim() === '') {
    mkdirSync(dirname(path), { recursive: true })
    const fresh = `${path}.${process.pid}.new`
    writeFileSync(fresh, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 })
    renameSync(fresh, path)
  }
  chmodSync(path, 0o600)
  return path
}
