/** Sessions as they are now: listed, looked at, ended and disconnected. Every router knows all of them; what one's queue holds, and what happens to it, only the owner of its shard. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RouterAnswer } from '../proto/routers.ts'
import { readPage } from './paging.ts'
import { Problem } from './problem.ts'

/** A session as a router tells of it; the rest is passed on as it is. */
interface ToldSession {
  readonly clientId: string
  readonly isOwner: boolean
}

const clientIdOf = (request: FastifyRequest): string => (request.params as { readonly id: string }).id

function unreached(answers: readonly RouterAnswer[]): Problem {
  const silent = answers.filter(({ status }) => status !== 200).map(({ router, status }) => `${router}: ${status === 0 ? 'no answer' : status}`)
  return new Problem(503, `no router can tell of sessions now (${silent.join(', ') || 'none is configured in ROUTER_URLS'})`, { retryAfter: 2 })
}

/** The answers of several routers as one: who owns the shard knows most. */
function merged(answers: readonly RouterAnswer[]): readonly ToldSession[] {
  const sessions = new Map<string, ToldSession>()
  for (const { body } of answers) {
    for (const session of (body as { readonly sessions: readonly ToldSession[] }).sessions) {
      if (session.isOwner || !sessions.has(session.clientId)) sessions.set(session.clientId, session)
    }
  }
  return [...sessions.values()].sort((a, b) => (a.clientId < b.clientId ? -1 : 1))
}

export function addSessionRoutes(api: FastifyInstance): void {
  const config = { kind: 'sessions', role: 'operator' } as const
  const representation = (namespace: string, { clientId, isOwner: _, ...properties }: ToldSession): object => ({
    id: `/namespaces/${namespace}/sessions/${encodeURIComponent(clientId)}`,
    name: clientId,
    type: 'Loggerhead/namespaces/sessions',
    properties,
  })
  const notThere = (clientId: string): Problem => new Problem(404, `there is no session “${clientId}”`)

  api.get('/namespaces/:ns/sessions', { config }, async (request) => {
    const { top, after, nextLink } = readPage(request)
    const { connected = '', authenticationName = '' } = request.query as Readonly<Record<string, string>>
    if (!['', 'true', 'false'].includes(connected)) throw new Problem(400, 'connected: true or false')
    const query = new URLSearchParams({ top: String(top + 1), after, connected, authenticationName })
    const answers = await request.at.routers.ask('GET', `/sessions?${query}`, request.caller.by)
    const told = answers.filter(({ status }) => status === 200)
    if (told.length === 0) throw unreached(answers)
    const sessions = merged(told)
    const page = sessions.slice(0, top)
    return { value: page.map((session) => representation(request.at.name, session)), ...(sessions.length > top ? nextLink(page.at(-1)!.clientId) : {}) }
  })

  api.get('/namespaces/:ns/sessions/:id', { config }, async (request) => {
    const clientId = clientIdOf(request)
    const answers = await request.at.routers.ask('GET', `/sessions/${encodeURIComponent(clientId)}`, request.caller.by)
    const told = answers.filter(({ status }) => status === 200).map(({ body }) => body as ToldSession)
    const session = told.find(({ isOwner }) => isOwner) ?? told[0]
    if (session) return representation(request.at.name, session)
    throw answers.some(({ status }) => status === 404) ? notThere(clientId) : unreached(answers)
  })

  const decide = async (request: FastifyRequest, clientId: string, method: 'DELETE' | 'POST', path: string): Promise<void> => {
    const answers = await request.at.routers.ask(method, path, request.caller.by)
    if (answers.some(({ status }) => status === 204)) return
    const answer = answers.find(({ status }) => status !== 0 && status !== 421)
    if (answer?.status === 404) throw notThere(clientId)
    const detail = (answer?.body as { readonly detail?: string } | undefined)?.detail
    if (answer && answer.status < 500) throw new Problem(answer.status, detail ?? 'the router refused')
    throw new Problem(503, detail ?? 'no router owns the shard of this client now; ask again', { retryAfter: 2 })
  }

  api.delete('/namespaces/:ns/sessions/:id', { config }, async (request, reply) => {
    const clientId = clientIdOf(request)
    await decide(request, clientId, 'DELETE', `/sessions/${encodeURIComponent(clientId)}`)
    return reply.code(204).send()
  })

  // Client ids may hold colons: the action is what stands behind the last one.
  api.post('/namespaces/:ns/sessions/:id', { config }, async (request, reply) => {
    const target = clientIdOf(request)
    if (!target.endsWith(':disconnect')) throw new Problem(404, 'the one action of a session is :disconnect')
    const clientId = target.slice(0, -':disconnect'.length)
    await decide(request, clientId, 'POST', `/sessions/${encodeURIComponent(clientId)}/disconnect`)
    return reply.code(204).send()
  })
}
