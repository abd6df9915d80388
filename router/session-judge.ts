import { compileRules, maySubscribeTo } from '../access/decide.ts'
import { principalOfSession } from '../access/principal.ts'
import type { RegistryView } from '../model/registry-view.ts'
import type { SessionJudge } from './client-shard.ts'

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
