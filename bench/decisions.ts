/**
 * What a decision whether a client may publish costs, in a registry of 10,000 clients, 100 groups and 1,000 templates: on one
 * core, by CPU time and not by the clock.
 */
import { compileRules } from '../access/decide.ts'
import { type Principal, principalOfSession } from '../access/principal.ts'
import { Random } from '../test/simulation/random.ts'
import { makeTopics, makeWorld, viewOfWorld } from '../test/support/access-world.ts'

interface Rate {
  readonly about: string
  readonly perSecond: number
  /** Nanoseconds of CPU. */
  readonly each: number
}

function measure(about: string, count: number, run: () => void): Rate {
  const before = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(before)
  const seconds = (user + system) / 1e6
  return { about, perSecond: Math.round(count / seconds), each: Math.round((seconds * 1e9) / count) }
}

export function measureDecisions(): readonly Rate[] {
  const random = new Random(1)
  const world = makeWorld(random, { clients: 10_000, groups: 100, spaces: 100, templatesPerSpace: 10, bindings: 300 })
  const view = viewOfWorld(world, random)
  const rules = compileRules(view)
  const asked = world.clients.map((client) => ({ principal: principalOfSession(view, client) as Principal, topics: makeTopics(random, world, client, 4) }))
  const decideAll = (): void => {
    for (const { principal, topics } of asked) for (const topic of topics) rules.mayPublish(principal, topic)
  }
  const rounds = 50
  const first = measure('first decision of a client: its groups, its filters', asked.length, () => {
    for (const { principal } of asked) rules.mayPublish(principal, 'never/asked/before')
  })
  decideAll()
  const again = measure('topic that the client published to before', rounds * asked.length * 4, () => {
    for (let round = 0; round < rounds; round++) decideAll()
  })
  const suffixed = asked.map(({ principal, topics }) => ({
    principal,
    topics: topics.flatMap((topic) => Array.from({ length: 50 }, (_, i) => `${topic}/${i}`)),
  }))
  const fresh = measure('topic that is new to it', suffixed.length * 200, () => {
    for (const { principal, topics } of suffixed) for (const topic of topics) rules.mayPublish(principal, topic)
  })
  return [first, again, fresh]
}

/** As text. */
export function decisionsText(rates: readonly Rate[]): string {
  const lines = rates.map(
    ({ about, perSecond, each }) => `  ${about}: ${perSecond.toLocaleString('en-US')} a second, ${each.toLocaleString('en-US')} ns of CPU each`,
  )
  return ['decisions to publish, on one core (10,000 clients, 100 groups, 1,000 templates, 300 bindings):', ...lines].join('\n')
}
