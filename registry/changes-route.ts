/** `GET /namespaces/{ns}/changes`: who changed which resource, when, from what to what, as lines of JSON. */
import type { FastifyInstance } from 'fastify'
import { readChanges } from '../audit/changes.ts'
import { LogBeginning } from '../history/log-beginning.ts'
import { resolvePlaces } from '../history/places.ts'
import type { Log } from '../log/log.ts'
import { resourceKinds } from '../model/registry-resources.ts'
import type { ServedNamespace } from './namespaces.ts'
import type { PastStreams } from './past-streams.ts'
import { readStretch, type Stretch } from './stretch.ts'
import { badRequest } from './violations.ts'

export const changesQuery = {
  resource: { schema: { type: 'string' }, about: 'Only changes of this resource, as clients/pump, or of this kind, as clients' },
  by: { schema: { type: 'string' }, about: 'Only what this principal changed: api-key, apiKeys/name or oidc/subject' },
  from: { schema: { type: 'string', default: '-P7D' }, about: 'A time in UTC, a duration back from now (-PT1H), or positions in lifecycle (0:10,1:55)' },
  to: { schema: { type: 'string' }, about: 'The same, not included; without it up to now' },
} as const

type Asked = Readonly<Partial<Record<keyof typeof changesQuery, string>>>

/** Namespaces come and go in the home one. */
const kinds: readonly string[] = [...resourceKinds, 'namespaces']

function readQuery(query: Readonly<Record<string, unknown>>): Asked {
  const violations = Object.entries(query).flatMap(([field, value]) => {
    if (!Object.hasOwn(changesQuery, field)) return [{ field, rule: `is none of ${Object.keys(changesQuery).join(', ')}` }]
    return typeof value === 'string' ? [] : [{ field, rule: 'may be given once' }]
  })
  if (violations.length > 0) throw badRequest(violations)
  const asked = query as Asked
  // Nothing would match a kind that there is not, which would read as if nothing had changed.
  const kind = asked.resource?.split('/', 1)[0]
  if (kind !== undefined && !kinds.includes(kind)) {
    throw badRequest([{ field: 'resource', value: asked.resource, rule: `a kind or kind/name; the kinds are ${kinds.join(', ')}` }])
  }
  return asked
}

/** A line for each change; the last one says that it is the last, and from when on no change is missing where retention has removed some that were asked for. */
async function* linesOf(
  log: Log,
  { history: { partitions }, lifecycleTopic: topic }: ServedNamespace,
  asked: Asked,
  { from, to }: Stretch,
): AsyncGenerator<string> {
  const places = await resolvePlaces({ log, topic, filter: '#', partitions, from, to })
  const beginning = new LogBeginning(log, topic)
  await beginning.look()
  const reaches = places.map(({ source, next, end }) => ({ source, next, end: end ?? next }))
  for await (const { at, ...change } of readChanges({ log, topic, query: asked, reaches })) {
    yield `${JSON.stringify({ time: new Date(at).toISOString(), ...change })}\n`
  }
  const since = beginning.since(
    from,
    Date.now(),
    reaches.map(({ source }) => source),
  )
  yield `${JSON.stringify({ end: true, ...(since === undefined ? {} : { since: new Date(since).toISOString() }) })}\n`
}

export function addChangesRoute(api: FastifyInstance, streams: PastStreams): void {
  // What API keys there are is told to owners alone, and this tells all changes.
  api.get('/namespaces/:ns/changes', { config: { role: 'owner' } }, async (request, reply) => {
    const asked = readQuery(request.query as Readonly<Record<string, unknown>>)
    const stretch = readStretch(asked, '-P7D', Date.now())
    return streams.answer(reply, request.at.history.log, (log) => linesOf(log, request.at, asked, stretch))
  })
}
