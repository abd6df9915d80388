/** Retained messages as they are now: listed, looked at and cleared. Each router tells of the shards it owns; all of them together are the whole. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { topicFilterProblem, topicNameProblem } from '../mqtt/topic.ts'
import { readPage } from './paging.ts'
import { Problem } from './problem.ts'
import type { RouterAnswer } from './routers.ts'
import { badRequest } from './violations.ts'

interface Told {
  readonly shards: number
  readonly owned: readonly number[]
}
interface ToldMessage {
  readonly topic: string
}

/** What the routers say, when together they own every shard. Throws Problem: a list with holes would pass for all there is. */
function whole<T>(answers: readonly RouterAnswer[]): readonly (Told & T)[] {
  const told = answers.filter(({ status }) => status === 200).map(({ body }) => body as Told & T)
  const owned = new Set(told.flatMap(({ owned }) => owned))
  const shards = told[0]?.shards ?? 0
  if (shards > 0 && owned.size >= shards) return told
  const silent = answers.filter(({ status }) => status !== 200).map(({ router, status }) => `${router}: ${status === 0 ? 'no answer' : status}`)
  throw new Problem(
    503,
    shards === 0
      ? `no router can tell of retained messages now (${silent.join(', ') || 'none is configured in ROUTER_URLS'})`
      : `${shards - owned.size} of ${shards} shards have no owner now; ask again`,
    { retryAfter: 2 },
  )
}

const notThere = (topic: string): Problem => new Problem(404, `nothing is retained on “${topic}”`)

function topicOf(request: FastifyRequest): string {
  const { topic } = request.params as { readonly topic: string }
  const wrong = topicNameProblem(topic)
  if (wrong) throw badRequest([{ field: 'topic', value: topic, rule: `a topic name; this one ${wrong}` }])
  return topic
}

export function addRetainedRoutes(api: FastifyInstance): void {
  const config = { kind: 'retainedMessages', role: 'operator' } as const
  const representation = (namespace: string, { topic, ...properties }: ToldMessage): object => ({
    id: `/namespaces/${namespace}/retainedMessages/${encodeURIComponent(topic)}`,
    name: topic,
    type: 'Loggerhead/namespaces/retainedMessages',
    properties: { topic, ...properties },
  })

  api.get('/namespaces/:ns/retainedMessages', { config }, async (request) => {
    const { top, after, nextLink } = readPage(request)
    const { topicFilter = '#' } = request.query as Readonly<Record<string, string>>
    const wrong = topicFilter.startsWith('$share/') ? 'must not be a shared one' : topicFilterProblem(topicFilter)
    if (wrong) throw badRequest([{ field: 'topicFilter', value: topicFilter, rule: `a topic filter; this one ${wrong}` }])
    const query = new URLSearchParams({ filter: topicFilter, after, top: String(top + 1) })
    const answers = whole<{ readonly messages: readonly ToldMessage[] }>(await request.at.routers.ask('GET', `/retained?${query}`, request.caller.by))
    const messages = answers.flatMap((answer) => answer.messages).sort((a, b) => (a.topic < b.topic ? -1 : 1))
    const page = messages.slice(0, top)
    return { value: page.map((message) => representation(request.at.name, message)), ...(messages.length > top ? nextLink(page.at(-1)?.topic ?? '') : {}) }
  })

  api.get('/namespaces/:ns/retainedMessages/:topic', { config }, async (request) => {
    const topic = topicOf(request)
    const query = new URLSearchParams({ topic })
    const answers = whole<{ readonly message: ToldMessage | null }>(await request.at.routers.ask('GET', `/retained/message?${query}`, request.caller.by))
    const message = answers.map((answer) => answer.message).find((each) => each !== null)
    if (!message) throw notThere(topic)
    return representation(request.at.name, message)
  })

  // The owner of the topic's shard publishes what clears it: subscribers see an empty message, as when a client does.
  api.delete('/namespaces/:ns/retainedMessages/:topic', { config }, async (request, reply) => {
    const topic = topicOf(request)
    const answers = await request.at.routers.ask('DELETE', `/retained/message?${new URLSearchParams({ topic })}`, request.caller.by)
    if (answers.some(({ status }) => status === 204)) return reply.code(204).send()
    if (answers.some(({ status }) => status === 404)) throw notThere(topic)
    throw new Problem(503, 'no router owns the shard of this topic now; ask again', { retryAfter: 2 })
  })
}
