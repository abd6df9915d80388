import {
  Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
  type ServerResponse,
} from 'node:http'
import { request as httpsRequest, Agent as TlsAgent } from 'node:https'
import { pipeline } from 'node:stream'
import type { Upstream } from './config.ts'
import { forwardedHeaders, returnedHeaders } from './forwarded.ts'
import type { DoorMetrics } from './metrics.ts'
import type { Peer } from './peer.ts'
import { type Problem, sendProblem } from './problem.ts'
import type { Hop } from './routes.ts'
import { Upstreams } from './upstreams.ts'

export interface ProxyOptions {
  readonly upstreams: Readonly<Record<Hop, readonly Upstream[]>>
  readonly metrics: DoorMetrics
  readonly bodyMax: number
  readonly requestsPerHopMax: number
  readonly connectTimeoutMs: number
  readonly upstreamTimeoutMs: number
  readonly now: () => number
}

/** How one attempt ended. Only an attempt of which the service saw nothing may be repeated elsewhere. */
type Attempt =
  | { readonly result: 'answered' }
  | { readonly result: 'gone' }
  | { readonly result: 'tooLarge' }
  | { readonly result: 'unreached'; readonly reason: string }
  | { readonly result: 'stale' }
  | { readonly result: 'timeout' }
  | { readonly result: 'broken'; readonly reason: string }

class TimedOut extends Error {}

/**
 * For so long at most a connection to a service is kept unused, ms; for a second less than the service says in Keep-Alive,
 * or a request could meet its end, and one with effects cannot be asked again.
 */
const idleMs = 60_000

const repeatable: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE'])

function reasonOf(error: Error & { code?: string }): string {
  return error.code === undefined ? error.message : `${error.code} ${error.message}`.replace(/^(\S+) (?=.*\1)/, '')
}

/**
 * Passes requests on to the services and their answers back, as streams: nothing is held but what a socket holds.
 * The body is touched only once a connection stands, so that a service that is away costs a try and not a request.
 */
export class ReverseProxy {
  readonly #options: ProxyOptions
  readonly #kinds: Readonly<Record<Hop, Upstreams>>
  readonly #underWay: Record<Hop, number> = { registry: 0, gateway: 0, router: 0 }
  // Without a time of its own an agent does not heed Keep-Alive.
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 32, timeout: idleMs })
  readonly #tlsAgent = new TlsAgent({ keepAlive: true, maxFreeSockets: 32, timeout: idleMs })

  constructor(options: ProxyOptions) {
    const { upstreams, now } = options
    this.#options = options
    this.#kinds = {
      registry: new Upstreams(upstreams.registry, now),
      gateway: new Upstreams(upstreams.gateway, now),
      router: new Upstreams(upstreams.router, now),
    }
  }

  /**
   * Answers the request, whatever happens. `proceed` is called once before the body is read (for 100-continue). A body that
   * streams has no bound here: nothing of it is held.
   */
  async forward(hop: Hop, request: IncomingMessage, response: ServerResponse, peer: Peer, proceed: () => void, streams = false): Promise<void> {
    const { metrics, requestsPerHopMax } = this.#options
    const bodyMax = streams ? Number.POSITIVE_INFINITY : this.#options.bodyMax
    if (Number(request.headers['content-length'] ?? 0) > bodyMax) {
      this.#refuse(response, hop, 'body', this.#tooLarge())
      return
    }
    if (this.#underWay[hop] >= requestsPerHopMax) {
      this.#refuse(response, hop, 'busy', {
        status: 503,
        hop,
        retryAfter: 1,
        close: true,
        detail: `${requestsPerHopMax} requests are under way to the ${hop}, which is the most`,
      })
      return
    }
    metrics.underWay.set({ hop }, ++this.#underWay[hop])
    try {
      await this.#forward(hop, request, response, peer, proceed, bodyMax)
    } finally {
      metrics.underWay.set({ hop }, --this.#underWay[hop])
    }
  }

  close(): void {
    this.#agent.destroy()
    this.#tlsAgent.destroy()
  }

  async #forward(hop: Hop, request: IncomingMessage, response: ServerResponse, peer: Peer, proceed: () => void, bodyMax: number): Promise<void> {
    const { metrics } = this.#options
    const kind = this.#kinds[hop]
    const headers = forwardedHeaders(request.headers, peer)
    const reasons: string[] = []
    let queue = kind.order()
    let repeated = false
    for (let upstream = queue.shift(); upstream !== undefined; upstream = queue.shift()) {
      const attempt = await this.#attempt(upstream, request, response, headers, proceed, bodyMax)
      if (attempt.result === 'unreached') {
        kind.failed(upstream)
        metrics.upstreamFailures.inc({ hop, kind: 'connect' })
        reasons.push(`${upstream.id}: ${attempt.reason}`)
        continue
      }
      kind.reached(upstream)
      switch (attempt.result) {
        case 'stale':
          // The service closed an idle connection just as it was used again: a request without effects is asked once more.
          if (!repeated) {
            repeated = true
            queue = [upstream, ...queue]
            continue
          }
          return this.#fail(response, hop, 'broken', 502, `${upstream.id} broke off`)
        case 'timeout':
          return this.#fail(response, hop, 'timeout', 504, `${upstream.id} gave no answer in ${this.#options.upstreamTimeoutMs} ms`)
        case 'broken':
          return this.#fail(response, hop, 'broken', 502, `${upstream.id} broke off: ${attempt.reason}`)
        case 'tooLarge':
          return this.#refuse(response, hop, 'body', this.#tooLarge())
        case 'answered':
        case 'gone':
          metrics.requests.inc({ hop, code: attempt.result === 'gone' ? 499 : response.statusCode })
          return
      }
    }
    const why = reasons.length === 0 ? `no ${hop} is configured` : reasons.join('; ')
    metrics.requests.inc({ hop, code: 503 })
    sendProblem(response, { status: 503, hop, retryAfter: 1, close: true, detail: `no ${hop} can be reached (${why})` })
  }

  #attempt(
    upstream: Upstream,
    request: IncomingMessage,
    response: ServerResponse,
    headers: IncomingHttpHeaders,
    proceed: () => void,
    bodyMax: number,
  ): Promise<Attempt> {
    const { connectTimeoutMs, upstreamTimeoutMs } = this.#options
    return new Promise((resolve) => {
      let phase: 'connecting' | 'sending' | 'answering' | 'settled' = 'connecting'
      const onward = this.#open(upstream, request, headers)

      const settle = (attempt: Attempt): void => {
        if (phase === 'settled') return
        phase = 'settled'
        clearTimeout(connecting)
        request.off('data', onData)
        request.off('end', onEnd)
        response.off('close', onGone)
        if (attempt.result !== 'answered') onward.destroy()
        resolve(attempt)
      }
      const connecting = setTimeout(() => onward.destroy(new Error(`no connection within ${connectTimeoutMs} ms`)), connectTimeoutMs)

      let size = 0
      const onData = (chunk: Buffer): void => {
        size += chunk.length
        if (size > bodyMax) {
          request.pause()
          settle({ result: 'tooLarge' })
        } else if (!onward.write(chunk)) request.pause()
      }
      const onEnd = (): void => {
        onward.end()
      }
      const onGone = (): void => settle({ result: response.writableFinished ? 'answered' : 'gone' })

      const send = (): void => {
        if (phase !== 'connecting') return
        phase = 'sending'
        clearTimeout(connecting)
        onward.setTimeout(upstreamTimeoutMs, () => onward.destroy(new TimedOut()))
        proceed()
        // Ended already: this is asked again, which only happens without a body.
        if (request.readableEnded) onEnd()
        request.on('data', onData)
        request.on('end', onEnd)
        onward.on('drain', () => request.resume())
        request.resume()
      }

      response.on('close', onGone)
      onward.on('socket', (socket) => {
        if (!socket.connecting) send()
        else socket.once(upstream.url.protocol === 'https:' ? 'secureConnect' : 'connect', send)
      })
      onward.on('response', (answer) => {
        if (phase === 'settled') return
        phase = 'answering'
        response.writeHead(answer.statusCode ?? 502, returnedHeaders(answer.headers))
        // What a service sends before its first byte of body (a long pull) goes out at once.
        response.flushHeaders()
        pipeline(answer, response, () => settle({ result: 'answered' }))
      })
      onward.on('error', (error) => {
        if (phase === 'connecting') settle({ result: 'unreached', reason: reasonOf(error) })
        // After the answer began, its own stream tells how it ended.
        else if (phase === 'sending') {
          const withoutEffect = repeatable.has(request.method) && size === 0
          if (error instanceof TimedOut) settle({ result: 'timeout' })
          else if (onward.reusedSocket && withoutEffect) settle({ result: 'stale' })
          else settle({ result: 'broken', reason: reasonOf(error) })
        }
      })
    })
  }

  #open(upstream: Upstream, request: IncomingMessage, headers: IncomingHttpHeaders): ClientRequest {
    const { url } = upstream
    const options: RequestOptions = {
      hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port,
      method: request.method,
      path: `${url.pathname.replace(/\/$/, '')}${request.url}`,
      headers,
    }
    if (url.protocol === 'https:') return httpsRequest({ ...options, agent: this.#tlsAgent })
    return httpRequest({ ...options, agent: this.#agent })
  }

  #tooLarge(): Problem {
    return { status: 413, close: true, detail: `the body is larger than ${this.#options.bodyMax} bytes (DOOR_BODY_MAX)` }
  }

  #refuse(response: ServerResponse, hop: Hop, reason: 'body' | 'busy', problem: Problem): void {
    this.#options.metrics.refused.inc({ reason })
    this.#options.metrics.requests.inc({ hop, code: problem.status })
    sendProblem(response, problem)
  }

  #fail(response: ServerResponse, hop: Hop, kind: 'timeout' | 'broken', status: number, detail: string): void {
    this.#options.metrics.upstreamFailures.inc({ hop, kind })
    this.#options.metrics.requests.inc({ hop, code: status })
    sendProblem(response, { status, hop, detail, close: true })
  }
}
