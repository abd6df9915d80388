/** API keys: what is stored of them, and whose a key is. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { type ApiKeyRole, apiKeyRoles } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'

/** What every key of a namespace begins with. */
export const apiKeyPrefix = 'lh_'

/** A new key: shown once, never stored. */
export const makeKey = (): string => `${apiKeyPrefix}${randomBytes(32).toString('base64url')}`

/** What is stored of a key. */
export const hashOf = (key: string): string => createHash('sha256').update(key).digest('hex')

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Compares keys with the one given, in a time that says nothing about it. */
export function keyChecker(key: string): (given: string) => boolean {
  const expected = digest(key)
  return (given) => timingSafeEqual(digest(given), expected)
}

/** The API key of the namespace that was shown; undefined when none was, or its time is over. */
export function findApiKey(given: string, view: RegistryView, now: number): { readonly name: string; readonly role: ApiKeyRole } | undefined {
  if (!given.startsWith(apiKeyPrefix)) return undefined
  const hash = Buffer.from(hashOf(given))
  for (const { name, properties } of view.apiKeys.values()) {
    const stored = Buffer.from(properties.hash)
    if (stored.length !== hash.length || !timingSafeEqual(stored, hash)) continue
    return properties.expiresAt !== undefined && properties.expiresAt <= now ? undefined : { name, role: properties.role }
  }
  return undefined
}

/** Whether a role is the needed one or above. */
export const isRoleEnough = (role: ApiKeyRole, needed: ApiKeyRole): boolean => apiKeyRoles.indexOf(role) >= apiKeyRoles.indexOf(needed)

/** Why whoever calls over HTTP is refused: 401 for nobody, 403 for somebody who may not. */
export interface CallerRefusal {
  readonly status: 401 | 403
  readonly detail: string
}

/** The API key of the namespace that was shown, if its role is the needed one or above; else why it does not do. */
export function judgeApiKey(given: string, view: RegistryView, now: number, needed: ApiKeyRole): { readonly name: string } | CallerRefusal {
  const key = findApiKey(given, view, now)
  if (!key) return { status: 401, detail: 'the API key is wrong or its time is over' }
  if (isRoleEnough(key.role, needed)) return key
  return { status: 403, detail: `this takes the role ${needed}; the key has the role ${key.role}` }
}
