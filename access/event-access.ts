/** Who may publish and receive events over HTTP (NT-03): whoever shows an API key of the namespace or a token that gives the role operator, or the owner's key. */
import { type AddressRule, addressRule, type NetworkAccess } from '../model/ip-rules.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { isRoleEnough, judgeApiKey } from './api-keys.ts'
import { isTooOpen, type Origin } from './request-origin.ts'
import { TokenRefused } from './token-refused.ts'
import type { TokenBearer } from './token-roles.ts'

export interface EventCaller {
  /** The header Authorization, as it came. */
  readonly authorization: string | undefined
  readonly origin: Origin
}

export interface EventAccess {
  readonly view: RegistryView
  isOwnersKey(given: string): boolean
  /** Who shows a token of the OIDC issuer; undefined where there is none. Rejects with TokenRefused. */
  readonly bearerOf: ((token: string) => Promise<TokenBearer>) | undefined
  readonly isProduction: boolean
  readonly now: number
}

/** Why a caller is refused. */
export interface EventRefusal {
  readonly status: 401 | 403 | 503
  readonly detail: string
  /** The namespace lets nobody in from that address. */
  readonly isForAddress?: true
}

const needed = 'operator'
/** A key has no dots. */
const tokenForm = /^[\w-]+\.[\w-]+\.[\w-]+$/

/** By the namespace's settings, which are another object after each change: there may be thousands of rules, and anybody can ask. */
const addressRules = new WeakMap<NetworkAccess, AddressRule>()

function ruleOf(settings: NetworkAccess = {}): AddressRule {
  const known = addressRules.get(settings)
  if (known) return known
  const rule = addressRule(settings)
  addressRules.set(settings, rule)
  return rule
}

/** Undefined when the caller may. */
export async function refuseEventCaller(
  { authorization, origin }: EventCaller,
  { view, isOwnersKey, bearerOf, isProduction, now }: EventAccess,
): Promise<EventRefusal | undefined> {
  if (!ruleOf(view.namespace?.properties)(origin.address)) return { status: 403, detail: 'the namespace does not let this address in', isForAddress: true }
  const [, scheme = '', given] = /^(SharedAccessKey|Bearer) +(\S+) *$/i.exec(authorization ?? '') ?? []
  if (given === undefined) {
    return {
      status: 401,
      detail: 'the header Authorization must be “SharedAccessKey” or “Bearer”, a space, and an API key of the namespace, or “Bearer” and a token',
    }
  }
  if (isTooOpen(origin, isProduction)) return { status: 403, detail: 'a key is not taken over plain HTTP from anywhere but loopback; use HTTPS' }
  if (isOwnersKey(given)) return undefined
  if (bearerOf && /^Bearer$/i.test(scheme) && tokenForm.test(given)) return refuseBearer(bearerOf(given))
  const judged = judgeApiKey(given, view, now, needed)
  return 'detail' in judged ? judged : undefined
}

async function refuseBearer(found: Promise<TokenBearer>): Promise<EventRefusal | undefined> {
  try {
    const { by, role } = await found
    return isRoleEnough(role, needed) ? undefined : { status: 403, detail: `this takes the role ${needed}; ${by} has the role ${role}` }
  } catch (error) {
    if (error instanceof TokenRefused) return { status: error.status, detail: error.message }
    throw error
  }
}
