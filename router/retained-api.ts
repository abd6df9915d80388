/**
 * Retained messages over the router's internal HTTP port: those of the shards that this router owns. Whoever asks puts the
 * answers of all routers together, and sees from their shards whether one is missing. What clears one is a publish like any
 * client's, by the owner of the topic's shard. For the other services only.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { partitionOf } from '../log/partitioner.ts'
import { topicFilterProblem } from '../mqtt/topic.ts'
import type { Message } from '../schemas/message.ts'
import { messageIdSize } from '../schemas/message-id.ts'
import { encodeMessage } from '../schemas/message-record.ts'
import { showsKey } from './internal-key.ts'
import { isOver, pageOfRetained, type RetainedShard, retainedOf } from './retained-report.ts'

export interface RetainedApiOptions {
  /** Of all routers together. */
  readonly shards: number
  owned(): readonly RetainedShard[]
  /** Appends to `messages`; resolves once it is in the log. */
  append(shard: number, topic: string, value: Buffer): Promise<void>
  /** This router, where messages name the gateway they came through. */
  readonly router: string
  onCleared(by: string, topic: string): void
  readonly now: () => number
  /** Of the services among themselves; without one nothing is answered. */
  readonly key: string | undefined
}

const pageMax = 2_000
/** What was cleared should be gone for who asks next: the answer waits for the fold, but not for ever. */
const foldedMs = 2_000
/** The client id in the messages that clear. Client ids below it are reserved. */
const clearingClientId = '$loggerhead/api'

/** The empty retained publish that clears a topic [MQTT-3.3.1-6], in the name of who asked for it. */
export function clearingMessage(topic: string, by: string, router: string, now: number): Message {
  const messageId = randomBytes(messageIdSize)
  messageId[8] = 0 // nobody else can append it
  return {
    messageId,
    clientId: clearingClientId,
    session: -1,
    receivedAt: now,
    topic,
    qos: 1,
    retain: true,
    messageExpiryInterval: null,
    authenticationName: by,
    gateway: router,
    protocolVersion: 5,
    payloadFormatIndicator: null,
    contentType: null,
    responseTopic: null,
    correlationData: null,
    userProperties: [],
    payload: Buffer.alloc(0),
  }
}

interface Answer {
  readonly status: number
  readonly body?: object
}
const problem = (status: number, detail: string): Answer => ({ status, body: { status, detail } })

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
      .catch((error: Error) => problem(503, `the log did not answer: ${error.message}`))
      .then(({ status, body }) => {
        response.writeHead(status, body ? { 'content-type': 'application/json' } : {})
        response.end(body && JSON.stringify(body))
      })
    return true
  }

  async #answer(request: IncomingMessage, path: string, query: URLSearchParams): Promise<Answer> {
    const { key, owned, now, shards } = this.#options
    if (!showsKey(request.headers.authorization, key)) return problem(401, 'the key of INTERNAL_KEY_FILE is needed')
    const mine = owned()
    const topic = query.get('topic')
    if (path === '/retained/message' && request.method === 'DELETE' && topic !== null) {
      return this.#clear(mine, topic, String(request.headers['x-loggerhead-by'] ?? 'unknown'))
    }
    if (request.method !== 'GET') return problem(405, 'GET, or DELETE of one message')
    const told = { shards, owned: mine.map(({ shard }) => shard) }
    if (path === '/retained/message') return { status: 200, body: { ...told, message: topic === null ? null : (retainedOf(mine, topic, now()) ?? null) } }
    const filter = query.get('filter') || '#'
    const wrong = topicFilterProblem(filter)
    if (wrong) return problem(400, `the filter ${wrong}`)
    const top = Math.min(pageMax, Math.max(1, Number(query.get('top')) || 100))
    return { status: 200, body: { ...told, messages: await pageOfRetained(mine, { filter, after: query.get('after') ?? '', top, now: now() }) } }
  }

  async #clear(mine: readonly RetainedShard[], topic: string, by: string): Promise<Answer> {
    const { shards, now, router, append, onCleared } = this.#options
    const shard = partitionOf(topic, shards)
    const index = mine.find((each) => each.shard === shard)?.index
    if (!index) return problem(421, 'another router owns the shard of this topic')
    const before = index.get(topic)
    if (!before || isOver(before, now())) return problem(404, 'nothing is retained there')
    await append(shard, topic, encodeMessage(clearingMessage(topic, by, router, now())))
    onCleared(by, topic)
    const deadline = now() + foldedMs
    while (index.get(topic) === before && now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10))
    return { status: 204 }
  }
}
