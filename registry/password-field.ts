/** A client's `passwordAuthentication`: a password comes in once, its hash is kept, nothing goes out. */
import { hashPassword, verifyPassword } from '../access/password-hash.ts'
import type { RegistryView } from '../model/registry-view.ts'

type Json = Readonly<Record<string, unknown>>

/**
 * The properties with the password's hash in its place. The hash that stands stays when the password is the same, so that
 * applying the same file again changes nothing; without a password it stays too (rules.ts asks for one that is there).
 */
export async function withPasswordHashed(properties: Json, view: RegistryView, name: string, cost: number): Promise<Json> {
  const { passwordAuthentication } = properties as { readonly passwordAuthentication?: { readonly password?: string } }
  if (passwordAuthentication?.password === undefined) return properties
  const password = Buffer.from(passwordAuthentication.password)
  const before = view.clients.get(name)?.properties.passwordHash
  const passwordHash = before !== undefined && (await verifyPassword(password, before)) ? before : await hashPassword(password, cost)
  return { ...properties, passwordAuthentication: { passwordHash } }
}
