/**
 * Who may publish and subscribe to what (spec 1.13): groups are who, topic spaces are what, bindings join both.
 * Nothing is allowed without a binding; bindings add up; there is no denying one.
 *
 * Compiled once per change of groups, spaces, bindings or the namespace's settings; per principal the filters that are left stand in a FilterSet,
 * shared by all principals of the same groups where no template has a variable.
 */
import { asksForReplay, parseReplayFilter } from '../history/replay-range.ts'
import type { RoleAssignment } from '../model/client-authentication.ts'
import { rulesInForce } from '../model/namespace-limits.ts'
import type { Permission } from '../model/permission.ts'
import { allGroup, anonymousGroup, type ResourceProperties } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { figuresPrefix, isReadByBroker, isWrittenByBroker, startsWithDollar } from './broker-topics.ts'
import { FilterSet, withoutShare } from './cover.ts'
import { internalTopicPrefix, type Principal, type Voucher } from './principal.ts'
import { compileQuery, type Predicate, QueryError } from './query.ts'
import { parseTemplate, substitute, TemplateError, type TopicTemplate } from './template.ts'

export type Decision =
  /** The binding that allows it (for a filter: one of those that do together). */
  | { readonly allowed: true; readonly binding: string }
  /** `isFinal`: whatever the bindings say. */
  | { readonly allowed: false; readonly why: string; readonly isFinal?: true }

export interface Rules {
  /** The view's rulesPosition when this was compiled: the rules stand until the view's differs. */
  readonly position: number
  /** The topic is a valid topic name. */
  mayPublish(principal: Principal, topic: string): Decision
  /** The filter is a valid topic filter, possibly `$share/group/…` or `$replay/range/…`: one that goes on with what is published takes both permissions. */
  maySubscribe(principal: Principal, filter: string): Decision
  /** Whether what was published on the filter's topics before may be sent. The filter is a plain topic filter. */
  mayReplay(principal: Principal, filter: string): Decision
  /** What the principal may subscribe to, for whoever keeps that for long: nothing of the rules is kept with it. */
  rightsOfSubscriber(principal: Principal): SubscriberRights
  /** Whether a group that the principal is in asks for receipts of what it is sent. */
  wantsReceipts(principal: Principal): boolean
  /** Names of the groups the principal is in. */
  groupsOf(principal: Principal): readonly string[]
}

interface Rule {
  readonly group: string
  readonly permission: Permission
  readonly template: TopicTemplate
  readonly allowed: Decision
}

interface Access {
  readonly publish: FilterSet<Decision>
  readonly subscribe: FilterSet<Decision>
  readonly replay: FilterSet<Decision>
  /** Answers for the topics last asked, cleared when full. */
  readonly recent: Map<string, Decision>
}

const deny = (why: string): Decision => Object.freeze({ allowed: false, why })
const denyAlways = (why: string): Decision => Object.freeze({ allowed: false, why, isFinal: true })
const reserved = denyAlways('topics that start with “$” are reserved in this namespace (M5-23)')
const brokersOwn = denyAlways('this topic is the broker’s own')
const notPublisher = deny('no permission binding with the permission Publisher covers this topic')
const notSubscriber = deny('no permission bindings with the permission Subscriber cover all of this filter')
const notReplayer = deny('no permission bindings with the permission Replayer cover all of this filter')
const outsideOwn = deny(`Loggerhead's own client stays below ${internalTopicPrefix} and writes below ${figuresPrefix}`)
const notAReplay = deny('the replay names no range or no filter')
const notAFilter = deny('the shared subscription names no filter')
const own: Decision = Object.freeze({ allowed: true, binding: '$loggerhead' })
const operators: Decision = Object.freeze({ allowed: true, binding: '$operator' })

const recentMax = 64
const setOf = { Publisher: 'publish', Subscriber: 'subscribe', Replayer: 'replay' } as const satisfies Record<Permission, keyof Access>

/** What was made of one resource's properties: a change of one leaves those of the others as they are. */
function madeOnce<P extends object, T>(make: (properties: P) => T): (properties: P) => T {
  const made = new WeakMap<P, T>()
  return (properties) => {
    const known = made.get(properties)
    if (known !== undefined) return known
    const fresh = make(properties)
    made.set(properties, fresh)
    return fresh
  }
}

/** Null for a query that the API would have refused: a record that holds one has no members. */
const membersOf = madeOnce(({ query }: ResourceProperties['clientGroups']): { readonly isMember: Predicate | null } => {
  try {
    return { isMember: compileQuery(query) }
  } catch (error) {
    if (error instanceof QueryError) return { isMember: null }
    throw error
  }
})

function readGroups(view: RegistryView): ReadonlyMap<string, Predicate> {
  const groups = new Map<string, Predicate>()
  for (const [name, { properties }] of view.clientGroups) {
    if (name.startsWith('$')) continue // built in: membership is by kind
    const { isMember } = membersOf(properties)
    if (isMember) groups.set(name, isMember)
  }
  return groups
}

const templatesOf = madeOnce(({ topicTemplates }: ResourceProperties['topicSpaces']): readonly TopicTemplate[] =>
  topicTemplates.flatMap((text) => {
    try {
      return [parseTemplate(text)]
    } catch (error) {
      if (error instanceof TemplateError) return [] // as above
      throw error
    }
  }),
)

/** A role as a group: its members are those whose token has the value. */
interface RoleGroup {
  readonly name: string
  readonly voucher: Voucher
  readonly claim: string
  readonly value: string
}

function readRoles(view: RegistryView): readonly { readonly group: RoleGroup; readonly assignment: RoleAssignment }[] {
  const namespace = view.namespace?.properties
  return (['customJwt', 'oauth2Jwt'] as const).flatMap((voucher) =>
    (namespace?.[`${voucher}Authentication`]?.roleAssignments ?? []).map((assignment, index) => {
      const { claim, value } = assignment
      return { group: { name: `$role:${voucher}[${index}]`, voucher, claim, value }, assignment }
    }),
  )
}

function hasRole({ kind, attributes }: Principal, { voucher, claim, value }: RoleGroup): boolean {
  if (kind !== voucher || !Object.hasOwn(attributes, claim)) return false
  const has = attributes[claim]
  return typeof has === 'object' ? has.includes(value) : has === value
}

function readRules(view: RegistryView): readonly Rule[] {
  const spaces = new Map([...view.topicSpaces].map(([name, space]) => [name, templatesOf(space.properties)]))
  const byRole = readRoles(view).flatMap(({ group, assignment: { permission, topicSpaceName } }) => {
    const allowed: Decision = Object.freeze({ allowed: true, binding: group.name })
    const templates = topicSpaceName === undefined ? [...spaces.values()].flat() : (spaces.get(topicSpaceName) ?? [])
    return templates.map((template) => ({ group: group.name, permission, template, allowed }))
  })
  const byBinding = [...view.permissionBindings].flatMap(([name, { properties }]) => {
    const allowed: Decision = Object.freeze({ allowed: true, binding: name })
    const { clientGroupName: group, permission } = properties
    return (spaces.get(properties.topicSpaceName) ?? []).map((template) => ({ group, permission, template, allowed }))
  })
  return [...byBinding, ...byRole]
}

class CompiledRules implements Rules {
  readonly position: number
  readonly #groups: ReadonlyMap<string, Predicate>
  readonly #rules: readonly Rule[]
  /** Groups whose members’ deliveries are noted. */
  readonly #receipted: readonly string[]
  readonly #roles: readonly RoleGroup[]
  readonly #anonymousExists: boolean
  /** The namespace keeps every topic that starts with `$` (M5-23). */
  readonly #dollarIsReserved: boolean
  readonly #byPrincipal = new WeakMap<Principal, Access>()
  /** Filter sets of principals without variables, by their groups; as many as there are combinations in use, bounded. */
  readonly #byGroups = new Map<string, Access>()

  constructor(view: RegistryView) {
    this.position = view.rulesPosition
    this.#groups = readGroups(view)
    this.#rules = readRules(view)
    this.#receipted = [...view.clientGroups.values()].filter(({ properties }) => properties.deliveryReceipts).map(({ name }) => name)
    this.#roles = readRoles(view).map(({ group }) => group)
    this.#anonymousExists = view.clientGroups.has(anonymousGroup)
    this.#dollarIsReserved = rulesInForce(view.namespace?.properties.limits).dollarTopicsRefused
  }

  mayPublish(principal: Principal, topic: string): Decision {
    if (principal.kind === 'internal') return topic.startsWith(internalTopicPrefix) || topic.startsWith(figuresPrefix) ? own : outsideOwn
    if (startsWithDollar(topic)) {
      if (this.#dollarIsReserved) return reserved
      if (isWrittenByBroker(topic)) return brokersOwn
    }
    if (principal.kind === 'operator') return operators
    const access = this.#byPrincipal.get(principal) ?? this.#resolve(principal)
    const known = access.recent.get(topic)
    if (known !== undefined) return known
    const decision = access.publish.match(topic) ?? notPublisher
    if (access.recent.size >= recentMax) access.recent.clear()
    access.recent.set(topic, decision)
    return decision
  }

  maySubscribe(principal: Principal, filter: string): Decision {
    if (!asksForReplay(filter)) return this.#covers('subscribe', principal, filter)
    const asked = parseReplayFilter(filter)
    if (typeof asked === 'string') return notAReplay
    const past = this.#covers('replay', principal, asked.filter)
    return past.allowed && asked.to === null ? this.#covers('subscribe', principal, asked.filter) : past
  }

  mayReplay(principal: Principal, filter: string): Decision {
    return this.#covers('replay', principal, filter)
  }

  #covers(what: 'subscribe' | 'replay', principal: Principal, filter: string): Decision {
    const asked = withoutShare(filter)
    if (asked === undefined) return notAFilter
    const aside = asideOfBindings(principal, asked, this.#dollarIsReserved)
    if (aside) return aside
    const access = this.#byPrincipal.get(principal) ?? this.#resolve(principal)
    return access[what].covers(asked) ?? (what === 'subscribe' ? notSubscriber : notReplayer)
  }

  rightsOfSubscriber(principal: Principal): SubscriberRights {
    const groups = this.groupsOf(principal)
    const rules = this.#rules.filter(({ permission, group }) => permission === 'Subscriber' && groups.includes(group))
    const filters = rules.flatMap(({ template }) => substitute(template, principal).map((levels) => levels.join('/')))
    return new SubscriberRights(principal, [...new Set(filters)].sort(), this.#dollarIsReserved)
  }

  wantsReceipts(principal: Principal): boolean {
    if (this.#receipted.length === 0 || principal.kind === 'internal') return false
    const groups = this.groupsOf(principal)
    return this.#receipted.some((group) => groups.includes(group))
  }

  groupsOf(principal: Principal): readonly string[] {
    switch (principal.kind) {
      case 'internal':
      case 'operator':
        return []
      case 'anonymous':
        return this.#anonymousExists ? [anonymousGroup] : []
      case 'oauth2Jwt':
        // EN-05: permission bindings are not for them.
        return this.#rolesOf(principal)
      default:
        return [allGroup, ...[...this.#groups].filter(([, isMember]) => isMember(principal)).map(([name]) => name), ...this.#rolesOf(principal)]
    }
  }

  #rolesOf(principal: Principal): readonly string[] {
    return this.#roles.filter((role) => hasRole(principal, role)).map(({ name }) => name)
  }

  #resolve(principal: Principal): Access {
    const groups = this.groupsOf(principal)
    const rules = this.#rules.filter((rule) => groups.includes(rule.group))
    const isShared = rules.every((rule) => rule.template.variables.length === 0)
    const key = groups.join('\n')
    const access = (isShared ? this.#byGroups.get(key) : undefined) ?? build(rules, principal)
    if (isShared && this.#byGroups.size < 10_000) this.#byGroups.set(key, access)
    this.#byPrincipal.set(principal, access)
    return access
  }
}

function build(rules: readonly Rule[], principal: Principal): Access {
  const access: Access = { publish: new FilterSet(), subscribe: new FilterSet(), replay: new FilterSet(), recent: new Map() }
  for (const { permission, template, allowed } of rules) {
    const set = access[setOf[permission]]
    for (const levels of substitute(template, principal)) set.add(levels, allowed)
  }
  return access
}

/** What no binding has a say in; undefined for all the rest. The filter is a plain one. */
function asideOfBindings({ kind }: Principal, filter: string, dollarIsReserved: boolean): Decision | undefined {
  if (kind === 'internal') return filter.startsWith(internalTopicPrefix) ? own : outsideOwn
  if (startsWithDollar(filter)) {
    if (dollarIsReserved) return reserved
    if (isReadByBroker(filter)) return brokersOwn
  }
  return kind === 'operator' ? operators : undefined
}

/** What one principal may subscribe to. */
export class SubscriberRights {
  /** A text that is the same as another's where the same topics may be subscribed to. */
  readonly key: string
  /** Filters of the bindings. */
  readonly size: number
  readonly #principal: Principal
  readonly #filters: readonly string[]
  readonly #dollarIsReserved: boolean
  #set: FilterSet<true> | undefined

  constructor(principal: Principal, filters: readonly string[], dollarIsReserved: boolean) {
    // Of all characters U+0000 alone stands in no filter.
    this.key = [`${principal.kind} ${dollarIsReserved}`, ...filters].join('\0')
    this.size = filters.length
    this.#principal = principal
    this.#filters = filters
    this.#dollarIsReserved = dollarIsReserved
  }

  /** The topic is a valid topic name. */
  allows(topic: string): boolean {
    const aside = asideOfBindings(this.#principal, topic, this.#dollarIsReserved)
    if (aside) return aside.allowed
    // Most that are kept are never asked.
    this.#set ??= filterSetOf(this.#filters)
    return this.#set.covers(topic) === true
  }
}

function filterSetOf(filters: readonly string[]): FilterSet<true> {
  const set = new FilterSet<true>()
  for (const filter of filters) set.add(filter.split('/'), true)
  return set
}

/** Whether the subscription may be held: one with a replay that stands beside its filter takes what `$replay` before it would. */
export function maySubscribeTo(
  rules: Rules,
  principal: Principal,
  { filter, replay }: { readonly filter: string; readonly replay: { readonly to: unknown } | null },
): boolean {
  if (!replay || asksForReplay(filter)) return rules.maySubscribe(principal, filter).allowed
  return rules.mayReplay(principal, filter).allowed && (replay.to !== null || rules.maySubscribe(principal, filter).allowed)
}

const compiled = new WeakMap<RegistryView, CompiledRules>()

/** The rules of the view as it stands; the same object while groups, spaces, bindings and the namespace's settings do not change. */
export function compileRules(view: RegistryView): Rules {
  const known = compiled.get(view)
  if (known?.position === view.rulesPosition) return known
  const rules = new CompiledRules(view)
  compiled.set(view, rules)
  return rules
}
