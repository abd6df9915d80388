import { createHash, timingSafeEqual } from 'node:crypto'

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Whether a request of another service shows the key that they use among themselves. Without a key nobody is known. */
export function showsKey(authorization: string | undefined, key: string | undefined): boolean {
  return key !== undefined && timingSafeEqual(digest(authorization ?? ''), digest(`Bearer ${key}`))
}
