/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of templates */
import { describe, expect, test } from '@jest/globals'
import { compileRules, type Rules } from '../../../access/decide.ts'
import { internalPrincipal, type Principal, principalOfSession } from '../../../access/principal.ts'
import type { Attributes } from '../../../model/registry-resources.ts'
import { put, viewOf } from './registry.ts'

const registered = (authenticationName: string, attributes: Attributes = {}): Principal => ({
  clientName: authenticationName,
  authenticationName,
  attributes,
  kind: 'registered',
})
const anonymous: Principal = { clientName: 'anonymous', authenticationName: 'anonymous', attributes: {}, kind: 'anonymous' }

const allow = (group: string, space: string, permission: 'Publisher' | 'Subscriber') => ({ clientGroupName: group, topicSpaceName: space, permission })

const factory = () =>
  viewOf({
    clientGroups: { machines: { query: 'attributes.type = "machine"' }, managers: { query: 'attributes.type = "manager"' }, $anonymous: {} },
    topicSpaces: {
      telemetry: { topicTemplates: ['machines/${client.authenticationName}/telemetry/#'] },
      all: { topicTemplates: ['machines/#'] },
      lines: { topicTemplates: ['lines/${client.attributes.lines}/+'] },
      public: { topicTemplates: ['public/+'] },
    },
    permissionBindings: {
      'machines-pub': allow('machines', 'telemetry', 'Publisher'),
      'managers-sub': allow('managers', 'all', 'Subscriber'),
      'lines-pub': allow('machines', 'lines', 'Publisher'),
      'lines-sub': allow('machines', 'lines', 'Subscriber'),
      'all-pub': allow('$all', 'public', 'Publisher'),
      'anonymous-sub': allow('$anonymous', 'public', 'Subscriber'),
    },
  })

const m1 = registered('M1', { type: 'machine', lines: ['a', 'b'] })
const boss = registered('boss', { type: 'manager' })
const people = { M1: m1, boss, anonymous }

test.each<[string, keyof typeof people, string, boolean]>([
  ['PB-06 its own topic', 'M1', 'machines/M1/telemetry/x', true],
  ['PB-06 the parent of #', 'M1', 'machines/M1/telemetry', true],
  ['PB-06 another’s topic', 'M1', 'machines/M2/telemetry', false],
  ['TS-03 the name in another case', 'M1', 'machines/m1/telemetry', false],
  ['TS-07 one of the values of a list', 'M1', 'lines/b/x', true],
  ['TS-07 no value of the list', 'M1', 'lines/c/x', false],
  ['CG-02 what $all may', 'boss', 'public/x', true],
  ['PB-02 a Subscriber does not publish', 'boss', 'machines/M1/telemetry', false],
  ['PB-02 nothing without a binding', 'boss', 'elsewhere', false],
  ['CG-02 $all is not for anonymous', 'anonymous', 'public/x', false],
])('%s: %s publishes to %s: %j', (_title, name, topic, expected) => {
  const principal = people[name]
  const rules = compileRules(factory())
  expect(rules.mayPublish(principal, topic).allowed).toBe(expected)
  expect(rules.mayPublish(principal, topic).allowed).toBe(expected) // from the cache
})

test.each<[string, keyof typeof people, string, boolean]>([
  ['TS-11 the whole space', 'boss', 'machines/#', true],
  ['TS-11 a part of it', 'boss', 'machines/+/telemetry', true],
  ['TS-11 more than the space', 'boss', '#', false],
  ['TS-11 more than the space', 'boss', '+/M1', false],
  ['TS-09 shared, judged by the filter', 'boss', '$share/g/machines/#', true],
  ['TS-09 shared, judged by the filter', 'boss', '$share/g/#', false],
  ['TS-07 per value', 'M1', 'lines/a/+', true],
  ['TS-07 not over all values', 'M1', 'lines/+/x', false],
  ['PB-02 a Publisher does not subscribe', 'M1', 'public/x', false],
  ['anonymous by its own group', 'anonymous', 'public/+', true],
])('%s: %s subscribes to %s: %j', (_title, name, filter, expected) => {
  expect(compileRules(factory()).maySubscribe(people[name], filter).allowed).toBe(expected)
})

test('PB-05 the machines of an area and those who manage them: each group publishes where the other reads, and in its own area only', () => {
  const rules = compileRules(
    viewOf({
      clientGroups: {
        Area1Machines: { query: 'attributes.area = "area1" and attributes.type = "machine"' },
        Area1Mgmt: { query: 'attributes.area = "area1" and attributes.type = "mgmt"' },
      },
      topicSpaces: { Area1Telemetry: { topicTemplates: ['areas/area1/machines/#'] }, Area1Commands: { topicTemplates: ['areas/area1/mgmt/#'] } },
      permissionBindings: {
        'machines-pub': allow('Area1Machines', 'Area1Telemetry', 'Publisher'),
        'machines-sub': allow('Area1Machines', 'Area1Commands', 'Subscriber'),
        'mgmt-pub': allow('Area1Mgmt', 'Area1Commands', 'Publisher'),
        'mgmt-sub': allow('Area1Mgmt', 'Area1Telemetry', 'Subscriber'),
      },
    }),
  )
  const may = (principal: Principal) =>
    ['areas/area1/machines/1', 'areas/area1/mgmt/1'].map((topic) => [rules.mayPublish(principal, topic).allowed, rules.maySubscribe(principal, topic).allowed])
  expect(may(registered('machine', { area: 'area1', type: 'machine' }))).toEqual([
    [true, false],
    [false, true],
  ])
  expect(may(registered('mgmt', { area: 'area1', type: 'mgmt' }))).toEqual([
    [false, true],
    [true, false],
  ])
  expect(may(registered('stranger', { area: 'area2', type: 'machine' })).flat()).not.toContain(true)
})

test('PB-02 bindings add up: a filter may be covered by several together', () => {
  const view = viewOf({
    topicSpaces: { parent: { topicTemplates: ['a'] }, children: { topicTemplates: ['a/+/#'] } },
    permissionBindings: { one: allow('$all', 'parent', 'Subscriber') },
  })
  expect(compileRules(view).maySubscribe(m1, 'a/#').allowed).toBe(false)
  put(view, 'permissionBindings', 'two', allow('$all', 'children', 'Subscriber'))
  expect(compileRules(view).maySubscribe(m1, 'a/#').allowed).toBe(true)
})

describe('TS-09, M5-23: topics that start with $', () => {
  const templates = ['#', '+/#', '${client.attributes.x}/#', '$SYS/#', '$own/${client.authenticationName}/#', '$$${client.attributes.x}/a']
  const view = (limits?: object) =>
    viewOf({
      clientGroups: { $anonymous: {} },
      topicSpaces: { everything: { topicTemplates: templates } },
      permissionBindings: {
        p: allow('$all', 'everything', 'Publisher'),
        s: allow('$all', 'everything', 'Subscriber'),
        ap: allow('$anonymous', 'everything', 'Publisher'),
        as: allow('$anonymous', 'everything', 'Subscriber'),
      },
      ...(limits && { namespace: { n: { limits } } }),
    })
  const named = registered('x', { x: '$other' })
  const publishes = (rules: Rules, topic: string) => [named, anonymous].map((principal) => rules.mayPublish(principal, topic).allowed)
  const subscribes = (rules: Rules, filter: string) => [named, anonymous].map((principal) => rules.maySubscribe(principal, filter).allowed)

  test.each(['$SYS/x', '$SYS', '$share/g/x', '$share', '$loggerhead/canary/x', '$loggerhead'])(
    'nobody publishes on %s, whatever the templates say',
    (topic) => {
      expect(publishes(compileRules(view()), topic)).toEqual([false, false])
    },
  )

  test.each(['$share/g/$loggerhead/canary/#', '$loggerhead/canary/#', '$share/g/$share/h/#', '$share/g', '$share/g/'])('nobody subscribes to %s', (filter) => {
    expect(subscribes(compileRules(view()), filter)).toEqual([false, false])
  })

  test('the others and the broker’s figures go by the templates that spell them, which a wildcard or an attribute does not', () => {
    const rules = compileRules(view())
    expect([publishes(rules, '$own/x/a'), subscribes(rules, '$own/x/#'), subscribes(rules, '$SYS/#'), subscribes(rules, '$share/g/$SYS/broker/+')]).toEqual([
      [true, false],
      [true, false],
      [true, true],
      [true, true],
    ])
    for (const topic of ['$', '$other/a', '$SYSTEM/a', '$$y/a']) expect([topic, publishes(rules, topic)]).toEqual([topic, [false, false]])
    expect(publishes(rules, '$$$other/a')).toEqual([true, false])
    expect(subscribes(rules, '#')).toEqual([true, true])
  })

  test('where the namespace refuses them, all of them are refused: at once, and until it does no longer', () => {
    const registry = view({ preset: 'eventgrid' })
    for (const topic of ['$own/x/a', '$SYS/a', '$x']) expect(publishes(compileRules(registry), topic)).toEqual([false, false])
    for (const filter of ['$own/x/a', '$SYS/#', '$share/g/$SYS/#']) expect(subscribes(compileRules(registry), filter)).toEqual([false, false])
    expect(subscribes(compileRules(registry), '$share/g/#')).toEqual([true, true])
    put(registry, 'namespace', 'n', { limits: { preset: 'eventgrid', dollarTopicsRefused: false } })
    expect(publishes(compileRules(registry), '$own/x/a')).toEqual([true, false])
    put(registry, 'namespace', 'n', { limits: { preset: 'open', dollarTopicsRefused: true } })
    expect(publishes(compileRules(registry), '$own/x/a')).toEqual([false, false])
  })
})

test('Loggerhead’s own client stays below $loggerhead/canary/, and writes the figures below $SYS/', () => {
  const rules = compileRules(factory())
  expect(rules.mayPublish(internalPrincipal, '$loggerhead/canary/g/1').allowed).toBe(true)
  expect(rules.maySubscribe(internalPrincipal, '$loggerhead/canary/#').allowed).toBe(true)
  expect(rules.maySubscribe(internalPrincipal, '$share/g/$loggerhead/canary/g/#').allowed).toBe(true)
  expect(rules.mayPublish(internalPrincipal, '$SYS/broker/uptime').allowed).toBe(true)
  for (const topic of ['$loggerhead/other', '$loggerhead/canary', 'public/x', '$SYS']) expect(rules.mayPublish(internalPrincipal, topic).allowed).toBe(false)
  for (const filter of ['#', '$loggerhead/#', '+/canary/x', 'public/+', '$SYS/#']) expect(rules.maySubscribe(internalPrincipal, filter).allowed).toBe(false)
})

test('a refusal says why, an allowance by which binding', () => {
  const rules = compileRules(factory())
  expect(rules.mayPublish(m1, 'machines/M1/telemetry')).toEqual({ allowed: true, binding: 'machines-pub' })
  expect(rules.mayPublish(m1, 'x')).toEqual({ allowed: false, why: 'no permission binding with the permission Publisher covers this topic' })
  expect(rules.groupsOf(m1)).toEqual(['$all', 'machines'])
  expect(rules.groupsOf(anonymous)).toEqual(['$anonymous'])
})

test('rules are compiled anew when groups, spaces or bindings change, and only then', () => {
  const view = factory()
  const before = compileRules(view)
  put(view, 'clients', 'new', { clientCertificateAuthentication: {} })
  expect(compileRules(view)).toBe(before)
  put(view, 'permissionBindings', 'machines-pub')
  const after = compileRules(view)
  expect(after).not.toBe(before)
  expect(after.mayPublish(m1, 'machines/M1/telemetry').allowed).toBe(false)
  put(view, 'topicSpaces', 'lines', { topicTemplates: ['lines/z/x'] })
  expect(compileRules(view).mayPublish(m1, 'lines/a/x').allowed).toBe(false)
  put(view, 'clientGroups', '$anonymous')
  expect(compileRules(view).maySubscribe(anonymous, 'public/x').allowed).toBe(false)
})

test('a record with a query or template that cannot be read grants nothing and harms nothing else', () => {
  const view = factory()
  put(view, 'clientGroups', 'machines', { query: 'attributes.type like "m%"' })
  put(view, 'topicSpaces', 'public', { topicTemplates: ['a/#/b', 'public/+'] })
  const rules = compileRules(view)
  expect(rules.mayPublish(m1, 'machines/M1/telemetry').allowed).toBe(false)
  expect(rules.mayPublish(m1, 'public/x').allowed).toBe(true)
})

test('a session is judged as what its name could be if it connected now', () => {
  const view = viewOf({ clients: { c: { authenticationName: 'Alice', clientCertificateAuthentication: {}, attributes: { x: 1 } } } })
  expect(principalOfSession(view, { authenticationName: 'alice' })).toEqual({
    clientName: 'c',
    authenticationName: 'Alice',
    attributes: { x: 1 },
    kind: 'registered',
  })
  // SE-04: who merely said the name is not its bearer.
  expect(principalOfSession(view, { authenticationName: 'alice', ownerKind: 'anonymous' })).toBeUndefined()
  expect(principalOfSession(view, { authenticationName: 'bob' })).toBeUndefined()
  put(view, 'clientGroups', '$anonymous', {})
  expect(principalOfSession(view, { authenticationName: 'bob' })?.kind).toBe('anonymous')
  put(view, 'clients', 'c', { authenticationName: 'Alice', state: 'Disabled', clientCertificateAuthentication: {} })
  expect(principalOfSession(view, { authenticationName: 'Alice' })).toBeUndefined()
  expect(principalOfSession(view, { authenticationName: '$loggerhead' })).toBe(internalPrincipal)
  expect(principalOfSession(view, { authenticationName: '$other' })).toBeUndefined()
})

test('a publish is judged a million times a second, whether the topic is known or new', () => {
  const rules = compileRules(factory())
  const topics = Array.from({ length: 1000 }, (_, i) => `machines/M1/telemetry/${i}`)
  const rate = (count: number, topicOf: (i: number) => string): number => {
    // What the processor was given to this and not what went by: others use it too.
    const before = process.cpuUsage()
    for (let i = 0; i < count; i++) rules.mayPublish(m1, topicOf(i))
    const { user, system } = process.cpuUsage(before)
    return count / ((user + system) / 1e6)
  }
  rate(50_000, (i) => topics[i % 1000]!)
  const known = rate(300_000, () => topics[0]!)
  const changing = rate(300_000, (i) => topics[i % 1000]!)
  process.stderr.write(`publish checks/s: ${Math.round(known / 1000)}k for one topic, ${Math.round(changing / 1000)}k for a thousand\n`)
  expect(known).toBeGreaterThan(300_000) // a third of the aim: the machine is shared
})

test('a replay takes the permission Replayer, and one that goes on with what is published the permission Subscriber too', () => {
  const view = factory()
  const may = (principal: Principal, filter: string) => compileRules(view).maySubscribe(principal, filter)
  const past = '$replay/-PT1H..-PT1M/machines/#'
  const onwards = '$replay/-PT1H/machines/#'
  expect(may(boss, past)).toEqual({ allowed: false, why: 'no permission bindings with the permission Replayer cover all of this filter' })
  put(view, 'permissionBindings', 'managers-replay', { clientGroupName: 'managers', topicSpaceName: 'all', permission: 'Replayer' })
  expect(may(boss, past)).toEqual({ allowed: true, binding: 'managers-replay' })
  expect(may(boss, onwards)).toEqual({ allowed: true, binding: 'managers-sub' })
  expect(compileRules(view).mayReplay(boss, 'machines/1/+').allowed).toBe(true)
  expect(may(boss, '$replay/-PT1H..-PT1M/#').allowed).toBe(false)
  put(view, 'permissionBindings', 'managers-sub')
  expect(may(boss, past).allowed).toBe(true)
  expect(may(boss, onwards)).toEqual({ allowed: false, why: 'no permission bindings with the permission Subscriber cover all of this filter' })
  expect(may(boss, 'machines/#').allowed).toBe(false)
})

test.each([
  '$replay',
  '$replay/-PT1H',
  '$replay/nonsense/machines/1',
  '$share/g/$replay/-PT1H/machines/1',
  '$replay/-PT1H/$share/g/machines/1',
  '$replay/-PT1H/$loggerhead/x',
])('a replay that asks for nothing, or for what is the broker’s own, is allowed to nobody: %s', (filter) => {
  const view = factory()
  put(view, 'topicSpaces', 'everything', { topicTemplates: ['#'] })
  for (const permission of ['Subscriber', 'Replayer']) {
    put(view, 'permissionBindings', permission, { clientGroupName: '$all', topicSpaceName: 'everything', permission })
  }
  expect(compileRules(view).maySubscribe(boss, '$replay/-PT1H/machines/1').allowed).toBe(true)
  expect(compileRules(view).maySubscribe(boss, filter).allowed).toBe(false)
  expect(compileRules(view).mayPublish(boss, filter).allowed).toBe(false)
})
