/**
 * Retained messages over the router's internal HTTP port: those of the shards that this router owns. Whoever asks puts the
 * answers of all routers together, and sees from their shards whether one is missing. For the other services only.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { topicFilterProblem } from '../mqtt/topic.ts'
import { showsKey } from './internal-key.ts'
import { pageOfRetained, type RetainedShard, retainedOf } from './retained-report.ts'

export interface RetainedApiOptions {
  /** Of all routers together. */
  readonly shards: number
  owned(): readonly RetainedShard[]
  readonly now: () => number
  /** Of the services among themselves; without one nothing is answered. */
  readonly key: string | undefined
}

const pageMax = 2_000

export class RetainedApi {
  readonly #options: RetainedApiOptions

  constructor(options: RetainedApiOptions) {
    this.#options = options
  }

  /** Answers when the request is for retained messages; false when it is for somebody else. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const target = request.url ?? '/'
    if (!/^\/retained([?/]|$)/.test(target) || !URL.canParse(target, 'http://router')) return false
    const { pathname, searchParams } = new URL(target, 'http://router')
    this.#answer(request, pathname, searchParams)
      .catch((error: Error) => ({ status: 500, body: { status: 500, detail: error.message } }))
      .then(({ status, body }) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)))
    return true
  }

  async #answer(request: IncomingMessage, path: string, query: URLSearchParams): Promise<{ readonly status: number; readonly body: object }> {
    const { key, owned, now, shards } = this.#options
    const problem = (status: number, detail: string) => ({ status, body: { status, detail } })
    if (!showsKey(request.headers.authorization, key)) return problem(401, 'the key of INTERNAL_KEY_FILE is needed')
    if (request.method !== 'GET') return problem(405, 'GET')
    const mine = owned()
    const told = { shards, owned: mine.map(({ shard }) => shard) }
    const topic = query.get('topic')
    if (path === '/retained/message') return { status: 200, body: { ...told, message: topic === null ? null : (retainedOf(mine, topic, now()) ?? null) } }
    const filter = query.get('filter') || '#'
    const wrong = topicFilterProblem(filter)
    if (wrong) return problem(400, `the filter ${wrong}`)
    const top = Math.min(pageMax, Math.max(1, Number(query.get('top')) || 100))
    return { status: 200, body: { ...told, messages: await pageOfRetained(mine, { filter, after: query.get('after') ?? '', top, now: now() }) } }
  }
}
