/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of templates */
/**
 * A made-up registry of any size, and questions about it; and next to it what the rules mean, spelled out as slowly and
 * plainly as possible: the reference that decisions are compared with.
 */
import type { Attributes } from '../../model/registry-resources.ts'
import { RegistryView } from '../../model/registry-view.ts'
import type { Random } from '../simulation/random.ts'

type Literal = string | number
/** A group's query as a tree. */
export type Query =
  | { readonly any: readonly Query[] }
  | { readonly all: readonly Query[] }
  | { readonly operand: string; readonly comparison: '=' | '!=' | '<>' | '<' | '>' | '<=' | '>='; readonly literal: Literal }
  | { readonly operand: string; readonly among: readonly Literal[] }

export interface MadeClient {
  readonly name: string
  readonly authenticationName: string
  readonly attributes: Attributes
}

export interface AccessWorld {
  readonly clients: readonly MadeClient[]
  readonly groups: ReadonlyMap<string, Query>
  readonly spaces: ReadonlyMap<string, readonly string[]>
  readonly bindings: readonly { readonly name: string; readonly group: string; readonly space: string; readonly permission: 'Publisher' | 'Subscriber' }[]
}

export interface WorldSize {
  readonly clients: number
  readonly groups: number
  readonly spaces: number
  readonly templatesPerSpace: number
  readonly bindings: number
}

const types = ['press', 'lathe', 'robot', 'camera', 'gate', 'truck']
const tags = ['motion', 'noise', 'heat', 'light', 'dust', 'gas']
const words = ['a', 'b', 'c', 'data', 'alarm', 'state', ...types]
/** Stands in no template, attribute or name. */
export const neverNamed = 'never-named'
const pickSome = <T>(random: Random, items: readonly T[], most: number): readonly T[] =>
  Array.from({ length: random.below(most + 1) }, () => random.pick(items))

function makeClient(random: Random, index: number): MadeClient {
  const attributes: Record<string, Attributes[string]> = {}
  if (random.chance(0.9)) attributes.type = random.pick(types)
  if (random.chance(0.8)) attributes.floor = random.below(40) - 4
  if (random.chance(0.7)) attributes.tags = pickSome(random, tags, 4)
  if (random.chance(0.9)) attributes.site = random.chance(0.02) ? random.pick(['x/y', '+', '#', '']) : `site${random.below(50)}`
  return { name: `client-${index}`, authenticationName: `Client-${index}`, attributes }
}

function makeQuery(random: Random, depth: number): Query {
  if (depth > 0 && random.chance(0.5)) {
    const parts = Array.from({ length: 2 + random.below(2) }, () => makeQuery(random, depth - 1))
    return random.chance(0.5) ? { any: parts } : { all: parts }
  }
  switch (random.below(6)) {
    case 0:
      return { operand: 'attributes.floor', comparison: random.pick(['<', '>', '<=', '>=', '=', '!='] as const), literal: random.below(40) - 4 }
    case 1:
      return { operand: 'attributes.tags', comparison: random.pick(['=', '<>'] as const), literal: random.pick(tags) }
    case 2:
      return { operand: 'attributes.tags', among: [random.pick(tags), random.pick(tags)] }
    case 3:
      return { operand: 'attributes.site', among: Array.from({ length: 8 }, () => `site${random.below(50)}`) }
    case 4:
      return { operand: 'authenticationName', comparison: random.pick(['=', '!='] as const), literal: `client-${random.below(1000)}` }
    default:
      return { operand: 'attributes.type', comparison: random.pick(['=', '!=', '<>'] as const), literal: random.pick(types) }
  }
}

/** Groups are parts of a fleet: some sites, or some floors. */
function makeNarrow(random: Random): Query {
  if (random.chance(0.5)) return { operand: 'attributes.site', among: Array.from({ length: 5 }, () => `site${random.below(50)}`) }
  const floor = random.below(38) - 4
  return {
    all: [
      { operand: 'attributes.floor', comparison: '>=', literal: floor },
      { operand: 'attributes.floor', comparison: '<', literal: floor + 3 },
    ],
  }
}

/** The query in the language, with parentheses where the tree needs them and quotes, spaces and keywords as they may be. */
export function textOf(query: Query, random: Random, within: 'any' | 'all' | undefined = undefined): string {
  if ('any' in query || 'all' in query) {
    const [word, parts] = 'any' in query ? (['or', query.any] as const) : (['and', query.all] as const)
    const kind = 'any' in query ? 'any' : 'all'
    const text = parts.map((part) => textOf(part, random, kind)).join(random.chance(0.3) ? ` ${word.toUpperCase()}  ` : ` ${word} `)
    return (kind === 'any' && within === 'all') || random.chance(0.2) ? `(${text})` : text
  }
  const literal = (value: Literal): string => (typeof value === 'number' ? String(value) : random.chance(0.5) ? `"${value}"` : `'${value}'`)
  return 'among' in query ? `${query.operand} IN [${query.among.map(literal).join(', ')}]` : `${query.operand} ${query.comparison} ${literal(query.literal)}`
}

function makeTemplate(random: Random): string {
  const level = (): string =>
    random.weighted<() => string>([
      [5, () => random.pick(words)],
      [2, () => '+'],
      [2, () => '${client.authenticationName}'],
      [2, () => '${client.attributes.site}'],
      [1, () => '${client.attributes.tags}'],
      [1, () => 'floor${client.attributes.floor|.x}'],
    ])()
  const levels: string[] = Array.from({ length: 1 + random.below(4) }, level)
  // Few are as wide as a lone wildcard: nothing would be denied.
  if (!levels.some((each) => each !== '+')) levels[0] = random.pick(words)
  return [...levels, ...(random.chance(0.3) ? ['#'] : [])].join('/')
}

export function makeWorld(random: Random, size: WorldSize): AccessWorld {
  const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => make(index))
  const groups = new Map(times(size.groups, (i) => [`group-${i}`, { all: [makeQuery(random, 2), makeNarrow(random)] }]))
  const spaces = new Map(times(size.spaces, (i) => [`space-${i}`, times(size.templatesPerSpace, () => makeTemplate(random))]))
  const bindings = times(size.bindings, (i) => ({
    name: `binding-${i}`,
    group: random.chance(0.02) ? '$all' : `group-${random.below(size.groups)}`,
    space: `space-${random.below(size.spaces)}`,
    permission: random.pick(['Publisher', 'Subscriber'] as const),
  }))
  return { clients: times(size.clients, (i) => makeClient(random, i)), groups, spaces, bindings }
}

/** The world as the registry's view holds it. */
export function viewOfWorld(world: AccessWorld, random: Random): RegistryView {
  const view = new RegistryView()
  const put = (kind: string, name: string, properties: object): void => {
    const entry = { kind, name, properties: JSON.stringify(properties), etag: '', createdAt: 1, updatedAt: 1, by: 'test' }
    view.apply({ offset: view.position, key: `${kind}/${name}`, entry })
  }
  for (const { name, ...properties } of world.clients) put('clients', name, { clientCertificateAuthentication: {}, ...properties })
  for (const [name, query] of world.groups) put('clientGroups', name, { query: textOf(query, random) })
  for (const [name, topicTemplates] of world.spaces) put('topicSpaces', name, { topicTemplates })
  for (const { name, group, space, permission } of world.bindings) {
    put('permissionBindings', name, { clientGroupName: group, topicSpaceName: space, permission })
  }
  return view
}

/** A topic that a template of the binding's space may well match. */
function makeTopic(random: Random, world: AccessWorld, client: MadeClient, bindings: AccessWorld['bindings']): string {
  const { space } = bindings.length > 0 && random.chance(0.7) ? random.pick(bindings) : random.pick(world.bindings)
  const filled = filtersOf(random.pick(world.spaces.get(space)!), random.chance(0.8) ? client : random.pick(world.clients))
  const filter = filled.length > 0 ? random.pick(filled) : [random.pick(words)]
  return filter
    .flatMap((level) => (level === '#' ? pickSome(random, words, 2) : [level === '+' || random.chance(0.05) ? random.pick([...words, neverNamed]) : level]))
    .join('/')
}

export function makeTopics(random: Random, world: AccessWorld, client: MadeClient, count: number): readonly string[] {
  const own = bindingsOf(world, client, 'Publisher')
  return Array.from({ length: count }, () => makeTopic(random, world, client, own))
}

/** A filter around such a topic. */
export function makeFilter(random: Random, world: AccessWorld, client: MadeClient): string {
  const levels = makeTopic(random, world, client, bindingsOf(world, client, 'Subscriber')).split('/')
  const opened = levels.map((level) => (random.chance(0.2) ? '+' : level))
  return [...opened, ...(random.chance(0.3) ? ['#'] : [])].join('/')
}

// What the rules mean.

/** CG-03 … CG-09. */
export function isMember(query: Query, client: MadeClient): boolean {
  if ('any' in query) return query.any.some((part) => isMember(part, client))
  if ('all' in query) return query.all.every((part) => isMember(part, client))
  const isName = query.operand === 'authenticationName'
  const value = isName ? client.authenticationName.toLowerCase() : client.attributes[query.operand.slice('attributes.'.length)]
  if (value === undefined) return false
  const equals = (literal: Literal): boolean => {
    const wanted = isName ? String(literal).toLowerCase() : literal
    return Array.isArray(value) ? value.includes(wanted) : value === wanted
  }
  if ('among' in query) return query.among.some(equals)
  const { comparison, literal } = query
  if (comparison === '=') return equals(literal)
  if (comparison === '!=' || comparison === '<>') return !equals(literal)
  if (typeof value !== 'number' || typeof literal !== 'number') return false
  return comparison === '<' ? value < literal : comparison === '>' ? value > literal : comparison === '<=' ? value <= literal : value >= literal
}

/** TS-03 … TS-07: the filters that a template is for a client, by putting every value in the place of its variable. */
export function filtersOf(template: string, client: MadeClient): readonly (readonly string[])[] {
  const variable = /\$\{client\.(authenticationName|attributes\.\w+)(?:\|([^}]*))?\}/
  const [, named] = variable.exec(template) ?? []
  if (named === undefined) return [template.split('/')]
  const value = named === 'authenticationName' ? client.authenticationName : client.attributes[named.slice('attributes.'.length)]
  const values = value === undefined ? [] : Array.isArray(value) ? value : [String(value)]
  const every = new RegExp(`\\$\\{client\\.${named.replace('.', '\\.')}(?:\\|([^}]*))?\\}`, 'g')
  return values
    .filter((each) => each !== '' && !/[/+#]/.test(each))
    .flatMap((each) =>
      filtersOf(
        template.replace(every, (_all, suffix: string | undefined) => `${each}${suffix ?? ''}`),
        client,
      ),
    )
}

/** MQTT 4.7, level by level. */
export function matches(filter: readonly string[], topic: readonly string[]): boolean {
  for (const [i, level] of filter.entries()) {
    if (level === '#') return true
    if (i >= topic.length || (level !== '+' && level !== topic[i])) return false
  }
  return filter.length === topic.length
}

function bindingsOf(world: AccessWorld, client: MadeClient, permission: 'Publisher' | 'Subscriber'): AccessWorld['bindings'] {
  return world.bindings
    .filter((binding) => binding.permission === permission)
    .filter(({ group }) => group === '$all' || isMember(world.groups.get(group)!, client))
}

/** All filters that bindings give a client (PB-01, PB-02), each spelled out. */
export function allowedFilters(world: AccessWorld, client: MadeClient, permission: 'Publisher' | 'Subscriber'): readonly (readonly string[])[] {
  return bindingsOf(world, client, permission)
    .flatMap(({ space }) => world.spaces.get(space)!)
    .flatMap((template) => filtersOf(template, client))
}
