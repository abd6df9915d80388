import { compileRules, maySubscribeTo } from '../access/decide.ts'
import { type Principal, principalOfSession, type SessionIdentity } from '../access/principal.ts'
import type { RegistryView } from '../model/registry-view.ts'
import type { Subscription } from '../model/session.ts'

/** What the registry says of sessions now. */
export interface SessionJudge {
  /** Position in `registry` of the view that judges. */
  readonly position: number
  principalOf(session: SessionIdentity): Principal | undefined
  mayReceive(principal: Principal, subscription: Pick<Subscription, 'filter' | 'replay'>): boolean
  mayPublish(principal: Principal, topic: string): boolean
}

/** Judges sessions by the registry as it is now. */
export function sessionJudge(view: RegistryView): SessionJudge {
  const rules = compileRules(view)
  return {
    position: view.position,
    principalOf: (session) => principalOfSession(view, session),
    mayReceive: (principal, subscription) => maySubscribeTo(rules, principal, subscription),
    mayPublish: (principal, topic) => rules.mayPublish(principal, topic).allowed,
  }
}
