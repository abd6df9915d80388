/** `GET /namespaces/{ns}/history`: what was published, as lines of JSON that begin at once and can be gone on with. The registry reads the log itself: no gateway or router is asked. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Cursor } from '../history/cursor.ts'
import { erasedMark, erasedMessage, type HistoryFormat, historyEvent, historyFormats, historyLine } from '../history/history-line.ts'
import { HistoryReader } from '../history/history-reader.ts'
import { LogBeginning } from '../history/log-beginning.ts'
import { LogIndex } from '../history/log-index.ts'
import { resolvePlaces } from '../history/places.ts'
import { positionsText } from '../history/replay-range.ts'
import type { Log } from '../log/log.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { topicFilterProblem } from '../mqtt/topic.ts'
import { type AccessMoment, accessMoments, type Eyes, eyesNow, eyesThen, openEyes } from './history-access.ts'
import type { HistorySource } from './history-source.ts'
import type { ServedNamespace } from './namespaces.ts'
import type { PastStreams } from './past-streams.ts'
import type { Problem } from './problem.ts'
import { readStretch, type Stretch } from './stretch.ts'
import { badRequest } from './violations.ts'

export const historyQuery = {
  topicFilter: { schema: { type: 'string', default: '#' }, about: 'Only messages on topics that match' },
  from: {
    schema: { type: 'string', default: '-PT1H' },
    about: 'A time in UTC, a duration back from now (-PT1H), positions (0:10,1:55), or the cursor of a line before',
  },
  to: { schema: { type: 'string' }, about: 'The same, not included; without it up to now' },
  client: { schema: { type: 'string' }, about: 'Only what this MQTT client id has published' },
  as: { schema: { type: 'string' }, about: 'Only what the client with this authentication name may subscribe to' },
  access: { schema: { enum: accessMoments, default: 'now' }, about: 'With as: by the permissions of now, or by those of then, when each message came' },
  limit: { schema: { type: 'integer', minimum: 1 }, about: 'Most messages' },
  format: { schema: { enum: historyFormats, default: 'json' }, about: 'json, or a CloudEvent on each line' },
  progress: {
    schema: { enum: ['true', 'false'], default: 'false' },
    about: 'With true the first line, and one now and then while nothing matches, has progress: true and a cursor; the first also to, where it ends',
  },
} as const

const readBytes = 512 * 1024
/** Reads without a match after which somebody who wants to know is told how far it is. */
const quietReads = 8
/** Looked at together at least, whatever the limit: each look is a fetch. */
const foundMin = 1_000
const limitMax = 1_000_000_000

interface Asked extends Stretch {
  readonly filter: string
  readonly client: string | null
  /** An authentication name: read through whose eyes; null through the operator's. */
  readonly as: string | null
  readonly access: AccessMoment
  readonly limit: number
  readonly format: HistoryFormat
  readonly withProgress: boolean
}

function readQuery(request: FastifyRequest, now: number): Asked {
  const query = request.query as Readonly<Record<string, unknown>>
  const text = (name: keyof typeof historyQuery): string | undefined => {
    const value = query[name]
    if (value !== undefined && typeof value !== 'string') throw badRequest([{ field: name, rule: 'may be given once' }])
    return value
  }
  const wrong = (field: keyof typeof historyQuery, value: string, rule: string): Problem => badRequest([{ field, value, rule }])
  const unknown = Object.keys(query).find((name) => !(name in historyQuery))
  if (unknown !== undefined) throw badRequest([{ field: unknown, rule: `is none of ${Object.keys(historyQuery).join(', ')}` }])
  const filter = text('topicFilter') ?? '#'
  const problem = filter.startsWith('$share/') ? 'must not be a shared one' : topicFilterProblem(filter)
  if (problem) throw wrong('topicFilter', filter, `a topic filter; this one ${problem}`)
  const format = text('format') ?? 'json'
  if (!historyFormats.some((known) => known === format)) throw wrong('format', format, historyFormats.join(' or '))
  const progress = text('progress') ?? 'false'
  if (progress !== 'true' && progress !== 'false') throw wrong('progress', progress, 'true or false')
  const [as = null, access] = [text('as'), text('access')]
  if (as === '') throw wrong('as', as, 'an authentication name')
  if (access !== undefined && as === null) throw wrong('access', access, 'goes with as, which says whose')
  const moment = accessMoments.find((known) => known === (access ?? 'now'))
  if (!moment) throw wrong('access', access as string, accessMoments.join(' or '))
  const limitText = text('limit')
  const limit = limitText === undefined ? limitMax : Number(limitText)
  if (!Number.isInteger(limit) || limit < 1 || limit > limitMax) throw wrong('limit', limitText as string, `a whole number from 1 to ${limitMax}`)
  return {
    filter,
    client: text('client') ?? null,
    as,
    access: moment,
    limit,
    format: format as HistoryFormat,
    withProgress: progress === 'true',
    ...readStretch({ from: text('from'), to: text('to') }, '-PT1H', now),
  }
}

async function eyesOf(log: Log, { topics }: HistorySource, view: RegistryView, { as, access, from }: Asked): Promise<Eyes> {
  if (as === null) return openEyes
  return access === 'now' ? eyesNow(view, as) : await eyesThen({ log, topic: topics.registry, view, authenticationName: as, from })
}

/** Lines of JSON; the last one says that it is the last, and where to go on. An error in the middle is a line too: what came before stands. */
async function* linesOf(log: Log, { history: source, name: namespace, erasure, registry }: ServedNamespace, asked: Asked): AsyncGenerator<string> {
  const { topic, partitions, formerly } = source
  const eyes = await eyesOf(log, source, registry.view, asked)
  const index = new LogIndex(log, source.indexTopic)
  const { filter, client, from, to, format } = asked
  const places = await resolvePlaces({ log, topic, filter, partitions, formerly, from, to })
  const beginning = new LogBeginning(log, topic)
  await beginning.look()
  const since = beginning.since(
    from,
    Date.now(),
    places.map(({ source }) => source),
  )
  const told = since === undefined ? {} : { since: new Date(since).toISOString() }
  let gone = 0
  const reader = new HistoryReader({ log, topic, query: { filter, client }, places, index, onGone: (_, below, start) => (gone += start - below) })
  const cursor = new Cursor(places)
  let left = asked.limit
  let quiet = 0
  let text = ''
  if (asked.withProgress) {
    const to = positionsText(places.map((place) => [place.source, place.end as number]))
    yield `${JSON.stringify({ progress: true, cursor: cursor.text, to, ...told })}\n`
  } else if (since !== undefined) yield `${JSON.stringify({ ...told, cursor: cursor.text })}\n`
  try {
    while (!reader.isThere && left > 0) {
      text = ''
      const found = await eyes.seen(await reader.read(readBytes, Math.max(left, foundMin)))
      for (const each of found.slice(0, left)) {
        cursor.move(each.source, each.record.offset + 1)
        const opened = await erasure.opened(each.record.value)
        const loss = typeof opened === 'string' ? opened : null
        const message = typeof opened === 'string' ? erasedMessage(each.record.value) : opened
        const line = format === 'json' ? historyLine(each, cursor.text, message) : historyEvent(each, cursor.text, namespace, message)
        text += `${JSON.stringify(loss ? { ...line, ...erasedMark(loss) } : line)}\n`
      }
      left -= Math.min(left, found.length)
      // What was found beyond the limit is still to be told.
      if (left > 0) for (const place of reader.places) cursor.move(place.source, place.next)
      quiet = text === '' ? quiet + 1 : 0
      if (asked.withProgress && quiet >= quietReads) {
        quiet = 0
        text = `${JSON.stringify({ progress: true, cursor: cursor.text })}\n`
      }
      if (text !== '') yield text
    }
    const known = Math.max(since ?? 0, eyes.since ?? 0)
    const last = { end: true, cursor: cursor.text, ...(gone > 0 ? { gone } : {}), ...(known > 0 ? { since: new Date(known).toISOString() } : {}) }
    yield `${JSON.stringify(last)}\n`
  } catch (error) {
    // The cursor is behind what could not be told.
    yield `${text}${JSON.stringify({ error: (error as Error).message, cursor: cursor.text })}\n`
  }
}

export function addHistoryRoutes(api: FastifyInstance, streams: PastStreams): void {
  api.get('/namespaces/:ns/history', { config: { role: 'operator' } }, async (request, reply) => {
    const asked = readQuery(request, Date.now())
    return streams.answer(reply, request.at.history.log, (log) => linesOf(log, request.at, asked))
  })
}
