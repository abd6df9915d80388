/** Who calls the API: the owner of the deployment, an API key of the registry with its role, or who a token of the OIDC issuer names. */
import { findApiKey, isRoleEnough } from '../access/api-keys.ts'
import { TokenRefused } from '../access/token-refused.ts'
import type { TokenBearer } from '../access/token-roles.ts'
import type { ApiKeyRole } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { Problem } from './problem.ts'

/** Who made a change, and from where: what the log holds of it. */
export interface Author {
  /** As in Caller, or a part of the registry itself. */
  readonly by: string
  /** The address that the request came from, as the front door saw it; undefined when nobody asked. */
  readonly address?: string | undefined
}

export interface Caller {
  /** As it stands in records: `api-key` is the owner's key file, else `apiKeys/<name>`, or `oidc/<subject>`. */
  readonly by: string
  readonly role: ApiKeyRole
  /** An API key is good for the namespace that holds it; the owner's key for the whole deployment. */
  readonly scope: 'deployment' | 'namespace'
}

const owner: Caller = Object.freeze({ by: 'api-key', role: 'owner', scope: 'deployment' })

/** The caller who has this key; undefined when nobody has, or its time is over. Without a view, as for a namespace that is not there, only the owner. */
export function findCaller(given: string, isOwnersKey: (given: string) => boolean, view: RegistryView | undefined, now: number): Caller | undefined {
  if (isOwnersKey(given)) return owner
  const key = view && findApiKey(given, view, now)
  return key && { by: `apiKeys/${key.name}`, role: key.role, scope: 'namespace' }
}

/** The caller whom a token names, who is found out about. Rejects with Problem. */
export async function callerByToken(bearer: Promise<TokenBearer>): Promise<Caller> {
  try {
    return { ...(await bearer), scope: 'deployment' }
  } catch (error) {
    if (!(error instanceof TokenRefused)) throw error
    const { status, message, retryAfter, cause } = error
    throw new Problem(status, message, { ...(retryAfter === undefined ? {} : { retryAfter }), cause })
  }
}

/** Throws Problem unless the caller's role is the needed one or above. */
export function checkRole(caller: Caller, needed: ApiKeyRole): void {
  if (isRoleEnough(caller.role, needed)) return
  throw new Problem(403, `this takes the role ${needed}; ${caller.by} has the role ${caller.role}`)
}

/** Throws Problem unless the caller's key is the owner's: what concerns the deployment, no namespace's own key may change. */
export function checkDeployment(caller: Caller): void {
  if (caller.scope === 'deployment') return
  throw new Problem(403, `this takes the key of the deployment’s owner; the key (${caller.by}) is good for its namespace alone`)
}
