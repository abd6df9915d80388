/** Retained messages as they are now: listed, looked at and cleared. Each router tells of the shards it owns; all of them together are the whole. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type ErasedMark, erasedMark } from '../history/history-line.ts'
import { topicFilterProblem, topicNameProblem } from '../mqtt/topic.ts'
import { getRetained, listRetained, ShardsMissing, type ToldMessage } from '../proto/retained-answers.ts'
import { readPage } from './paging.ts'
import { Problem } from './problem.ts'
import { badRequest } from './violations.ts'

/** A list with holes is none. */
function orMissing(error: unknown): never {
  throw error instanceof ShardsMissing ? new Problem(503, error.message, { retryAfter: 2 }) : error
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
  const representation = (namespace: string, { topic, ...properties }: ToldMessage & { readonly payload?: string } & ErasedMark): object => ({
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
    const { messages, hasMore } = await listRetained(request.at.routers, { filter: topicFilter, after, top }, request.caller.by).catch(orMissing)
    return { value: messages.map((message) => representation(request.at.name, message)), ...(hasMore ? nextLink(messages.at(-1)?.topic ?? '') : {}) }
  })

  api.get('/namespaces/:ns/retainedMessages/:topic', { config }, async (request) => {
    const topic = topicOf(request)
    const message = await getRetained(request.at.routers, topic, request.caller.by).catch(orMissing)
    if (!message) throw notThere(topic)
    const payload = await request.at.erasure.openedPayload(Buffer.from(message.payload, 'base64'), topic)
    if (typeof payload === 'string') return representation(request.at.name, { ...message, size: 0, payload: '', ...erasedMark(payload) })
    return representation(request.at.name, { ...message, size: payload.length, payload: payload.toString('base64') })
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
