/** Why a client may or may not publish, subscribe or have a replay: the same decision as at work, with what led to it. */
import { withoutReplay } from '../history/replay-range.ts'
import type { Permission } from '../model/permission.ts'
import { allGroup } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { FilterSet, withoutShare } from './cover.ts'
import { compileRules, type Decision, type Rules } from './decide.ts'
import { type Principal, principalOfSession } from './principal.ts'
import { parseTemplate, substitute, TemplateError } from './template.ts'

export type ExplainedAction = 'publish' | 'subscribe' | 'replay'

export interface ConsideredTemplate {
  readonly template: string
  /** What it is for this client, at most ten of them; none when a variable has no value that may stand in a topic. */
  readonly filters: readonly string[]
  readonly matches: boolean
}

/** A binding with the permission that was asked for. */
export interface ConsideredBinding {
  readonly binding: string
  readonly clientGroup: string
  readonly isMember: boolean
  readonly topicSpace: string
  readonly templates: readonly ConsideredTemplate[]
}

export interface Explanation {
  readonly allowed: boolean
  readonly reason: string
  readonly client?: string
  readonly authenticationName: string
  readonly groups: readonly string[]
  readonly binding?: string
  readonly clientGroup?: string
  readonly topicSpace?: string
  readonly template?: string
  readonly considered: readonly ConsideredBinding[]
}

const permissionOf = { publish: 'Publisher', subscribe: 'Subscriber', replay: 'Replayer' } as const satisfies Record<ExplainedAction, Permission>
const decide: Record<ExplainedAction, (rules: Rules, principal: Principal, topic: string) => Decision> = {
  publish: (rules, principal, topic) => rules.mayPublish(principal, topic),
  subscribe: (rules, principal, filter) => rules.maySubscribe(principal, filter),
  replay: (rules, principal, filter) => rules.mayReplay(principal, withoutReplay(filter)),
}

/** Bindings looked at in an explanation, and filters shown of one template. */
const consideredMax = 100
const filtersMax = 10

function consider(view: RegistryView, principal: Principal, groups: readonly string[], action: ExplainedAction, topic: string): ConsideredBinding[] {
  const permission = permissionOf[action]
  const asked = action === 'publish' ? topic : (withoutShare(withoutReplay(topic)) ?? '')
  return [...view.permissionBindings.values()]
    .filter(({ properties }) => properties.permission === permission)
    .sort((a, b) => Number(groups.includes(b.properties.clientGroupName)) - Number(groups.includes(a.properties.clientGroupName)))
    .slice(0, consideredMax)
    .map(({ name, properties: { clientGroupName, topicSpaceName } }) => ({
      binding: name,
      clientGroup: clientGroupName,
      isMember: groups.includes(clientGroupName),
      topicSpace: topicSpaceName,
      templates: (view.topicSpaces.get(topicSpaceName)?.properties.topicTemplates ?? []).map((text) => considerTemplate(text, principal, action, asked)),
    }))
}

function considerTemplate(text: string, principal: Principal, action: ExplainedAction, asked: string): ConsideredTemplate {
  try {
    const filters = substitute(parseTemplate(text), principal)
    const set = new FilterSet<true>()
    for (const levels of filters) set.add(levels, true)
    const matches = (action === 'publish' ? set.match(asked) : set.covers(asked)) === true
    return { template: text, filters: filters.slice(0, filtersMax).map((levels) => levels.join('/')), matches }
  } catch (error) {
    if (error instanceof TemplateError) return { template: text, filters: [], matches: false }
    throw error
  }
}

/**
 * Explains a decision. `name` is a client's resource name or its authentication name; a name that nobody is registered
 * under is judged as who comes without a certificate.
 */
export function explain(view: RegistryView, name: string, action: ExplainedAction, topic: string): Explanation {
  const client = view.clients.get(name) ?? view.clientNamed(name)
  const authenticationName = client?.properties.authenticationName ?? name
  const about = { authenticationName, ...(client ? { client: client.name } : {}) }
  const principal = principalOfSession(view, { authenticationName })
  if (!principal) {
    const reason = client
      ? `the client “${client.name}” is ${client.properties.state}: it cannot connect`
      : `no client has the name or authentication name “${name}”, and there is no group $anonymous that would let strangers in`
    return { allowed: false, reason, ...about, groups: [], considered: [] }
  }
  const rules = compileRules(view)
  const groups = rules.groupsOf(principal)
  const decision = decide[action](rules, principal, topic)
  const considered = consider(view, principal, groups, action, topic)
  if (!decision.allowed) {
    const reason = decision.isFinal ? decision.why : missing(decision.why, groups, considered)
    return { allowed: false, reason, ...about, groups, considered }
  }
  const by = considered.find(({ binding }) => binding === decision.binding)
  const template = by?.templates.find(({ matches }) => matches)?.template
  return {
    allowed: true,
    reason: template === undefined ? 'several bindings allow it together' : `the permission binding “${decision.binding}” allows it`,
    ...about,
    groups,
    binding: decision.binding,
    ...(by ? { clientGroup: by.clientGroup, topicSpace: by.topicSpace } : {}),
    ...(template === undefined ? {} : { template }),
    considered,
  }
}

/** Which one thing would have to be different, where there is one. */
function missing(why: string, groups: readonly string[], considered: readonly ConsideredBinding[]): string {
  const nearest = considered.find(({ isMember, templates }) => !isMember && templates.some(({ matches }) => matches))
  if (nearest) return `${why}; the binding “${nearest.binding}” would, but the client is not in its group “${nearest.clientGroup}”`
  const own = considered.filter(({ isMember }) => isMember)
  const which = groups.filter((group) => group !== allGroup)
  if (own.length === 0) return `${why}; none is bound to ${which.length === 0 ? 'a group the client is in' : `its groups (${which.join(', ')})`}`
  const unset = own.find(({ templates }) => templates.some(({ filters }) => filters.length === 0))
  if (unset) return `${why}; a template of the space “${unset.topicSpace}” has a variable that the client has no usable value for`
  return `${why}; its bindings lead to the spaces ${[...new Set(own.map(({ topicSpace }) => topicSpace))].join(', ')}, none of whose templates match`
}
