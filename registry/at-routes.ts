/** `GET /namespaces/{ns}/at/{time}/{kind}` and `/diff`: the state of any moment of the history window, folded from the log as the services fold it. */
import type { FastifyInstance } from 'fastify'
import { type Moment, momentOf } from '../history/moment.ts'
import { fixed, parseBound } from '../history/replay-range.ts'
import { type StateKind, type StateOptions, stateDifferences, stateKinds, stateRows } from '../history/state-rows.ts'
import type { Log } from '../log/log.ts'
import { keptOf } from '../model/history-kept.ts'
import type { ServedNamespace } from './namespaces.ts'
import type { PastStreams } from './past-streams.ts'
import { shownClient } from './resources.ts'
import { badRequest } from './violations.ts'

export const diffQuery = {
  from: { schema: { type: 'string' }, about: 'The earlier moment: a time in UTC, a duration back from now (-PT1H), or positions of messages (0:10,1:55)' },
  to: { schema: { type: 'string', default: '-PT0S' }, about: 'The later one; without it now' },
  kind: { schema: { enum: stateKinds }, about: 'Differences of this kind only' },
} as const

const boundAbout = 'a moment: a time in UTC, a duration back from now such as -PT1H, or positions'

function kindIn(text: string, field: string): StateKind {
  const kind = stateKinds.find((known) => known === text)
  if (!kind) throw badRequest([{ field, value: text, rule: `one of ${stateKinds.join(', ')}` }])
  return kind
}

function boundIn(field: string, text: string, now: number): ReturnType<typeof fixed> {
  const bound = parseBound(text)
  if (typeof bound === 'string') throw badRequest([{ field, value: text, rule: `${boundAbout}; this one ${bound}` }])
  return fixed(bound, now)
}

const optionsOf = (log: Log, { history: { topics, partitions }, registry }: ServedNamespace, now: number): StateOptions => ({
  log,
  topics,
  shards: partitions,
  now,
  kept: keptOf(registry.view),
  showClient: ({ properties }) => shownClient(properties),
})

const iso = ({ at }: Moment): string => new Date(at).toISOString()

/** Lines of JSON of a portion. */
const linesOf = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

export function addAtRoutes(api: FastifyInstance, streams: PastStreams): void {
  const config = { role: 'operator' } as const

  api.get('/namespaces/:ns/at/:time/:kind', { config }, async (request, reply) => {
    const { time, kind: named } = request.params as { readonly time: string; readonly kind: string }
    const kind = kindIn(named, 'kind')
    const now = Date.now()
    const bound = boundIn('time', time, now)
    const { at } = request
    return streams.answer(reply, at.history.log, async function* (log) {
      const moment = await momentOf(log, at.history.topics, bound)
      for await (const rows of stateRows(optionsOf(log, at, now), kind, moment)) if (rows.length > 0) yield linesOf(rows)
      yield linesOf([{ end: true, at: iso(moment) }])
    })
  })

  api.get('/namespaces/:ns/diff', { config }, async (request, reply) => {
    const query = request.query as Readonly<Record<string, unknown>>
    const unknown = Object.keys(query).find((name) => !(name in diffQuery))
    if (unknown !== undefined) throw badRequest([{ field: unknown, rule: `is none of ${Object.keys(diffQuery).join(', ')}` }])
    const { from, to = '-PT0S', kind } = query
    if (typeof from !== 'string') throw badRequest([{ field: 'from', rule: `must be given, once: ${boundAbout}` }])
    if (typeof to !== 'string') throw badRequest([{ field: 'to', rule: 'may be given once' }])
    if (kind !== undefined && typeof kind !== 'string') throw badRequest([{ field: 'kind', rule: 'may be given once' }])
    const kinds = kind === undefined ? stateKinds : [kindIn(kind, 'kind')]
    const now = Date.now()
    const bounds = [boundIn('from', from, now), boundIn('to', to, now)] as const
    const { at } = request
    return streams.answer(reply, at.history.log, async function* (log) {
      const { topics } = at.history
      const [earlier, later] = [await momentOf(log, topics, bounds[0]), await momentOf(log, topics, bounds[1])]
      for await (const rows of stateDifferences(optionsOf(log, at, now), kinds, earlier, later)) if (rows.length > 0) yield linesOf(rows)
      yield linesOf([{ end: true, from: iso(earlier), to: iso(later) }])
    })
  })
}
