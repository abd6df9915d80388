/** Who may publish and receive events over HTTP (NT-03): whoever shows an API key of the namespace with the role operator, or the owner's. */
import { type AddressRule, addressRule, type NetworkAccess } from '../model/ip-rules.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { type CallerRefusal, judgeApiKey } from './api-keys.ts'
import { isTooOpen, type Origin } from './request-origin.ts'

export interface EventCaller {
  /** The header Authorization, as it came. */
  readonly authorization: string | undefined
  readonly origin: Origin
}

export interface EventAccess {
  readonly view: RegistryView
  isOwnersKey(given: string): boolean
  readonly isProduction: boolean
  readonly now: number
}

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
export function refuseEventCaller({ authorization, origin }: EventCaller, { view, isOwnersKey, isProduction, now }: EventAccess): CallerRefusal | undefined {
  if (!ruleOf(view.namespace?.properties)(origin.address)) return { status: 403, detail: 'the namespace does not let this address in' }
  const given = /^(?:SharedAccessKey|Bearer) +(\S+) *$/i.exec(authorization ?? '')?.[1]
  if (given === undefined) {
    return { status: 401, detail: 'the header Authorization must be “SharedAccessKey” or “Bearer”, a space, and an API key of the namespace' }
  }
  if (isTooOpen(origin, isProduction)) return { status: 403, detail: 'a key is not taken over plain HTTP from anywhere but loopback; use HTTPS' }
  if (isOwnersKey(given)) return undefined
  const judged = judgeApiKey(given, view, now, 'operator')
  return 'detail' in judged ? judged : undefined
}
