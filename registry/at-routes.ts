/** `GET /namespaces/{ns}/at/{time}/{kind}` and `/diff`: the state of any moment of the history window, folded from the log as the services fold it. */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { BeforeHistory } from '../history/before-history.ts'
import { type Moment, momentOf } from '../history/moment.ts'
import { fixed, parseBound } from '../history/replay-range.ts'
import { type StateKind, type StateOptions, stateDifferences, stateKinds, stateRows } from '../history/state-rows.ts'
import { ndjson } from './import-route.ts'
import { keptAlive } from './kept-alive.ts'
import type { PastTurns } from './past-turns.ts'
import { Problem } from './problem.ts'
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
  if (!kind) throw badRequest([{ field, value: text, rule: stateKinds.join(', ') }])
  return kind
}

async function momentIn(request: FastifyRequest, field: string, text: string, now: number): Promise<Moment> {
  const bound = parseBound(text)
  if (typeof bound === 'string') throw badRequest([{ field, value: text, rule: `${boundAbout}; this one ${bound}` }])
  const { log, topics } = request.at.history
  return momentOf(log, topics, fixed(bound, now)).catch(orGone)
}

/** What was asked for is from before what is kept. */
function orGone(error: unknown): never {
  throw error instanceof BeforeHistory ? new Problem(410, `that moment is not kept: ${error.message}`, { cause: error }) : error
}

const optionsOf = ({ at: { history } }: FastifyRequest, now: number): StateOptions => ({
  log: history.log,
  topics: history.topics,
  shards: history.partitions,
  now,
  showClient: ({ properties }) => shownClient(properties),
})

/** Lines of JSON, the first portion computed before the answer begins; what breaks off later says so in the last line. */
async function answer(reply: FastifyReply, portions: AsyncGenerator<readonly object[]>, last: object, done: () => void): Promise<FastifyReply> {
  const first = await portions.next().catch((error: unknown) => {
    done()
    return orGone(error)
  })
  const stream: Readable = Readable.from(keptAlive(linesOf(first, portions, last)), { highWaterMark: 1 })
  stream.once('close', done)
  return reply.header('content-type', ndjson).send(stream)
}

async function* linesOf(first: IteratorResult<readonly object[]>, portions: AsyncGenerator<readonly object[]>, last: object): AsyncGenerator<string> {
  try {
    for (let next = first; !next.done; next = await portions.next()) {
      if (next.value.length > 0) yield next.value.map((row) => `${JSON.stringify(row)}\n`).join('')
    }
    yield `${JSON.stringify(last)}\n`
  } catch (error) {
    yield `${JSON.stringify({ error: (error as Error).message })}\n`
  }
}

export function addAtRoutes(api: FastifyInstance, turns: PastTurns): void {
  const config = { role: 'operator' } as const

  api.get('/namespaces/:ns/at/:time/:kind', { config }, async (request, reply) => {
    const { time, kind: named } = request.params as { readonly time: string; readonly kind: string }
    const kind = kindIn(named, 'kind')
    const now = Date.now()
    const moment = await momentIn(request, 'time', time, now)
    const rows = stateRows(optionsOf(request, now), kind, moment)
    return answer(reply, rows, { end: true, at: new Date(moment.at).toISOString() }, turns.begin())
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
    const [earlier, later] = await Promise.all([momentIn(request, 'from', from, now), momentIn(request, 'to', to, now)])
    const all = async function* (): AsyncGenerator<readonly object[]> {
      for (const each of kinds) yield* stateDifferences(optionsOf(request, now), each, earlier, later)
    }
    return answer(reply, all(), { end: true, from: new Date(earlier.at).toISOString(), to: new Date(later.at).toISOString() }, turns.begin())
  })
}
