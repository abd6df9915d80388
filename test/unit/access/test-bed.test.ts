/** Decisions in a large made-up registry, against the slow and plain reading of the rules. */
import { beforeAll, expect, test } from '@jest/globals'
import { compileRules, type Rules } from '../../../access/decide.ts'
import { type Principal, principalOfSession } from '../../../access/principal.ts'
import type { RegistryView } from '../../../model/registry-view.ts'
import { Random } from '../../simulation/random.ts'
import {
  type AccessWorld,
  allowedFilters,
  isMember,
  type MadeClient,
  makeFilter,
  makeTopics,
  makeWorld,
  matches,
  neverNamed,
  viewOfWorld,
} from '../../support/access-world.ts'
import { count } from '../../support/available.ts'

const seed = Number(process.env.SEED ?? count(20_191, Math.floor(Math.random() * 1e9)))
/** Clients asked about: every n-th. The plain reading takes its time. */
const everyNth = count(20, 1)
/** Of those whose groups are compared, which costs less. */
const everyNthInGroups = count(4, 1)
const topicsPerClient = 4
const size = { clients: 10_000, groups: 100, spaces: 100, templatesPerSpace: 10, bindings: 300 }

const random = new Random(seed)
let world: AccessWorld
let view: RegistryView
let rules: Rules
let asked: readonly MadeClient[]
beforeAll(() => {
  world = makeWorld(random, size)
  view = viewOfWorld(world, random)
  asked = world.clients.filter((_, i) => i % everyNth === 0)
  rules = compileRules(view)
})
const principalOf = (client: MadeClient): Principal => principalOfSession(view, client)!
const told = (what: string, client: MadeClient, topic: string) => `${what} by ${JSON.stringify(client)}: ${topic} (SEED=${seed})`

test('CG-03 CG-04 CG-05 CG-06 CG-08 CG-09 every client is in the groups whose queries it meets', () => {
  const compared = world.clients.filter((_, i) => i % everyNthInGroups === 0)
  const wrong = compared.flatMap((client) => {
    const groups = rules.groupsOf(principalOf(client))
    const expected = ['$all', ...[...world.groups].filter(([, query]) => isMember(query, client)).map(([name]) => name)]
    return JSON.stringify(groups) === JSON.stringify(expected) ? [] : [told('groups', client, `${groups} instead of ${expected}`)]
  })
  expect(wrong).toEqual([])
})

test('CL-06 TS-01 PB-02 TS-03 TS-04 TS-06 TS-07 of 10,000 clients each may publish where a template of theirs leads, and nowhere else', () => {
  const wrong: string[] = []
  const counts = { allowed: 0, denied: 0 }
  for (const client of asked) {
    const filters = allowedFilters(world, client, 'Publisher')
    const principal = principalOf(client)
    for (const topic of makeTopics(random, world, client, topicsPerClient)) {
      const expected = filters.some((filter) => matches(filter, topic.split('/')))
      counts[expected ? 'allowed' : 'denied']++
      if (rules.mayPublish(principal, topic).allowed !== expected) wrong.push(told('publish', client, topic))
    }
  }
  expect(wrong.slice(0, 5)).toEqual([])
  // Neither answer is so rare that the other would pass for right.
  const all = asked.length * topicsPerClient
  expect(Math.min(counts.allowed, counts.denied)).toBeGreaterThan(all / 10)
})

test('TS-11 a filter is granted exactly when every topic that it can match is', () => {
  const wrong: string[] = []
  const counts = { allowed: 0, denied: 0 }
  for (const client of asked) {
    const filters = allowedFilters(world, client, 'Subscriber')
    const isAllowed = (topic: readonly string[]): boolean => filters.some((filter) => matches(filter, topic))
    const filter = makeFilter(random, world, client)
    const levels = filter.split('/')
    const open = levels.at(-1) === '#'
    const fixed = open ? levels.slice(0, -1) : levels
    const lengthMax = Math.max(fixed.length, ...filters.map((each) => each.length)) + 1
    // Lengths that it can match; one that nobody names in each open place is the hardest to be allowed.
    const lengths = open ? Array.from({ length: lengthMax - fixed.length + 1 }, (_, i) => fixed.length + i) : [fixed.length]
    const hardest = lengths.map((length) => Array.from({ length }, (_, i) => (i < fixed.length && fixed[i] !== '+' ? fixed[i]! : neverNamed)))
    const expected = hardest.every(isAllowed)
    counts[expected ? 'allowed' : 'denied']++
    if (rules.maySubscribe(principalOf(client), filter).allowed !== expected) wrong.push(told('subscribe', client, filter))
  }
  expect(wrong.slice(0, 5)).toEqual([])
  expect(Math.min(counts.allowed, counts.denied)).toBeGreaterThan(asked.length / 20)
})
