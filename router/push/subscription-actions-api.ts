/**
 * What the registry asks of the owner of an event subscription, over the router's internal HTTP port: to go back in its topic, and to
 * try dead letters again. For the other services only: their key is asked for.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from '../../log/log.ts'
import { showsKey } from '../internal-key.ts'
import type { Subscription } from '../subscriptions/subscription.ts'

export interface SubscriptionActionsOptions {
  readonly log: Pick<Log, 'startOffsets' | 'endOffsets' | 'offsetsAt'>
  /** Undefined when this router does not own it. */
  find(topic: string, name: string): Subscription | undefined
  kafkaTopicOf(topic: string): string
  readonly key: string | undefined
  /** Somebody did this to a subscription. */
  onDone(by: string, topic: string, subscription: string, action: string): void
}

interface Answer {
  readonly status: number
  readonly body: object
}
const problem = (status: number, detail: string): Answer => ({ status, body: { status, detail } })
const path = /^\/subscriptions\/([A-Za-z0-9$-]+)\/([A-Za-z0-9-]+)\/(rewind|redrive)$/

export class SubscriptionActionsApi {
  readonly #options: SubscriptionActionsOptions

  constructor(options: SubscriptionActionsOptions) {
    this.#options = options
  }

  /** Answers when the request is for an action; false when it is for somebody else. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const target = request.url ?? '/'
    if (!target.startsWith('/subscriptions/') || !URL.canParse(target, 'http://router')) return false
    const url = new URL(target, 'http://router')
    const [, topic, name, action] = path.exec(url.pathname) ?? []
    if (topic === undefined || name === undefined || action === undefined) return false
    this.#answer(request, topic, name, action, url.searchParams)
      .catch((error: Error) => problem(503, `the log did not answer: ${error.message}`))
      .then(({ status, body }) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)))
    return true
  }

  async #answer(request: IncomingMessage, topic: string, name: string, action: string, query: URLSearchParams): Promise<Answer> {
    const { key, find, onDone } = this.#options
    if (!showsKey(request.headers.authorization, key)) return problem(401, 'the key of INTERNAL_KEY_FILE is needed')
    if (request.method !== 'POST') return problem(405, 'POST')
    const subscription = find(topic, name)
    if (!subscription) return problem(421, 'another router owns the event subscription')
    const answer = action === 'rewind' ? await this.#rewind(subscription, query) : await redrive(subscription, query)
    if (answer.status === 200) onDone(String(request.headers['x-loggerhead-by'] ?? 'unknown'), topic, name, action)
    return answer
  }

  async #rewind(subscription: Subscription, query: URLSearchParams): Promise<Answer> {
    const { log, kafkaTopicOf } = this.#options
    const topic = kafkaTopicOf(subscription.topic)
    const [starts, ends] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic)])
    const within = (partition: number, offset: number): number => Math.min(ends.get(partition) ?? 0, Math.max(starts.get(partition) ?? 0, offset))
    const positions = new Map<number, number>()
    if (query.has('time')) {
      for (const [partition, offset] of await log.offsetsAt(topic, Number(query.get('time')))) positions.set(partition, within(partition, offset))
    } else {
      const partition = Number(query.get('partition'))
      if (!ends.has(partition)) return problem(400, `there is no partition ${partition}: the topic has ${ends.size}`)
      positions.set(partition, within(partition, Number(query.get('offset'))))
    }
    await subscription.rewind(positions)
    return { status: 200, body: { positions: Object.fromEntries(positions) } }
  }
}

async function redrive(subscription: Subscription, query: URLSearchParams): Promise<Answer> {
  return { status: 200, body: await subscription.redrive(Number(query.get('time') ?? 0)) }
}
