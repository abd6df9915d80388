/** /mqtt/… and /topics/…:publish over HTTP: finds out which namespace a request is for, and hands it over. Behind the front door, on the internal port. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { originOf } from '../../access/request-origin.ts'
import { type Arrival, type Choice, hostOfHeader } from '../arrivals.ts'
import { HttpProblem, sendProblem } from './http-problem.ts'
import type { NamespaceHttp, Operation } from './namespace-http.ts'

export interface MqttHttpOptions {
  choose(arrival: Arrival): Choice
  httpOf(namespace: string): NamespaceHttp | undefined
}

const operations: ReadonlyMap<string, { readonly method: 'GET' | 'POST'; readonly operation: Operation }> = new Map([
  ['/mqtt/messages', { method: 'POST', operation: 'publish' }],
  ['/mqtt/retainedmessages/message', { method: 'GET', operation: 'getRetained' }],
  ['/mqtt/retainedmessages', { method: 'GET', operation: 'listRetained' }],
])

const eventTopic = /^\/topics\/([^/]+):publish$/i
const publishEvents = { method: 'POST', operation: 'publishEvents' } as const

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // no topic has this name
  }
}

const headerOf = (request: IncomingMessage, name: string): string | undefined => {
  const value = request.headers[name]
  return typeof value === 'string' ? value : undefined
}

export class MqttHttp {
  readonly #options: MqttHttpOptions

  constructor(options: MqttHttpOptions) {
    this.#options = options
  }

  /** Answers what is asked there; false when the request is for somebody else. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const [path = ''] = (request.url ?? '').split('?', 1)
    if (!/^\/mqtt\//i.test(path) && !eventTopic.test(path)) return false
    try {
      this.#hand(path, request, response)
    } catch (error) {
      if (!(error instanceof HttpProblem)) throw error
      sendProblem(response, error)
    }
    return true
  }

  #hand(path: string, request: IncomingMessage, response: ServerResponse): void {
    // As Azure does, which does not look at case in paths.
    const [, topic] = eventTopic.exec(path) ?? []
    const known = topic === undefined ? operations.get(path.toLowerCase()) : publishEvents
    if (!known) throw new HttpProblem(404, 'there is nothing here; messages are at /mqtt/messages, /mqtt/retainedMessages and /mqtt/retainedMessages/message')
    if (request.method !== known.method) {
      response.setHeader('allow', known.method)
      throw new HttpProblem(405, `${request.method} is not possible here; ${known.method} is`)
    }
    const header = headerOf(request, 'x-forwarded-host') ?? request.headers.host
    const host = hostOfHeader(header)
    const choice = this.#options.choose({ by: 'host', host })
    if ('refused' in choice) throw new HttpProblem(404, choice.refused)
    const http = this.#options.httpOf(choice.namespace)
    if (!http) throw new HttpProblem(503, `the namespace ${choice.namespace} is not served here now`, { retryAfter: 2 })
    const origin = originOf(request.socket.remoteAddress ?? '', request.headers)
    const base = header === undefined ? path : `${origin.isEncrypted ? 'https' : 'http'}://${header}${path}`
    void http.serve({ operation: known.operation, request, response, origin, base, ...(topic === undefined ? {} : { topic: decode(topic) }) })
  }
}
