/**
 * Pull delivery over HTTP, behind the front door. The router that owns a subscription answers; another one hands the request
 * on to it, once.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { STATUS_CODES } from 'node:http'
import { type EventAccess, type EventRefusal, refuseEventCaller } from '../../access/event-access.ts'
import { originOf } from '../../access/request-origin.ts'
import type { RegistryFollower } from '../../model/registry-follower.ts'
import type { RouterAddress } from '../../proto/routers.ts'
import { failureOf } from '../../telemetry/event-failure.ts'
import type { PullMetrics, SubscriptionLabels } from './pull-metrics.ts'
import {
  findTarget,
  isPullPath,
  type PullAction,
  PullProblem,
  type PullTarget,
  readLockTokens,
  readReceive,
  readReleaseDelay,
  readTarget,
  receiveAnswer,
  settledAnswer,
} from './pull-request.ts'
import type { SettledTokens, Subscription } from './subscription.ts'
import { SubscriptionClosed } from './subscription-closed.ts'
import type { Subscriptions } from './subscriptions.ts'

export interface PullApiOptions {
  readonly subscriptions: Pick<Subscriptions, 'owns' | 'find'>
  readonly registry: RegistryFollower
  /** The deployment's other routers. */
  readonly others: readonly RouterAddress[]
  isOwnersKey(given: string): boolean
  readonly bearerOf: EventAccess['bearerOf']
  readonly isProduction: boolean
  /** Requests under way at one time. */
  readonly receivesMax: number
  /** How long another router may take to settle events, ms; 10 s unless it is given. */
  readonly handOnTimeoutMs?: number
  readonly metrics: Pick<PullMetrics, 'settled' | 'failed'>
  onLimit(limit: 'PULL_RECEIVES_MAX'): void
  /** A caller at this address was refused. */
  onRefused(refusal: EventRefusal, address: string): void
  onError(error: unknown): void
  readonly now: () => number
}

/** Marks a request that another router has handed on: it is not handed on again. */
const handedOn = 'x-loggerhead-handed-on'
const bodyMax = 262_144
const bodyTimeoutMs = 10_000
/** What another router may take for an answer, ms: beyond the longest wait for events, and what an append takes. */
const handOnTimesMs = { receive: 130_000, others: 10_000 }

const unavailable = (message: string): PullProblem => new PullProblem(503, message)

/** How far a request came. */
interface Progress {
  /** The caller may receive events. */
  isKnown: boolean
}

export class PullApi {
  readonly #options: PullApiOptions
  #underWay = 0

  constructor(options: PullApiOptions) {
    this.#options = options
  }

  /** Answers when the request is for pull delivery; false when it is for somebody else. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const [path = ''] = (request.url ?? '').split('?', 1)
    if (!isPullPath(path)) return false
    void this.#serve(path, request, response)
    return true
  }

  async #serve(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { onError, onLimit, receivesMax } = this.#options
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    const progress: Progress = { isKnown: false }
    this.#underWay++
    try {
      if (this.#underWay > receivesMax) {
        onLimit('PULL_RECEIVES_MAX')
        throw unavailable(`${receivesMax} requests are under way, which is the most (PULL_RECEIVES_MAX)`)
      }
      await this.#answer(path, request, response, gone.signal, progress)
    } catch (error) {
      const problem = problemOf(error)
      if (!problem) onError(error)
      this.#countFailure(path, problem?.status ?? 503, progress)
      if (!response.destroyed) sendProblem(response, problem ?? unavailable('the log did not confirm; ask again'))
    } finally {
      this.#underWay--
      request.resume()
    }
  }

  async #answer(path: string, request: IncomingMessage, response: ServerResponse, signal: AbortSignal, progress: Progress): Promise<void> {
    const { subscriptions } = this.#options
    await this.#authorize(request)
    progress.isKnown = true
    const target = readTarget(path)
    if (request.method !== 'POST') throw new PullProblem(405, `${request.method} is not possible here; POST is`)
    const query = new URL(request.url ?? '/', 'http://router').searchParams
    const { topic, subscription: name } = target
    if (!subscriptions.owns(topic, name)) return this.#handOn(target, request, response, signal)
    const subscription = subscriptions.find(topic, name)
    const isQueue = subscription?.properties.deliveryConfiguration.deliveryMode === 'Queue'
    if (!subscription || subscription.isExpired) throw new PullProblem(404, `there is no event subscription ${topic}/${name}`)
    if (!isQueue)
      throw new PullProblem(400, `the event subscription ${topic}/${name} is pushed to a webhook; events are received from those with the deliveryMode Queue`)
    const answer = await this.#act(target, subscription, query, request, signal)
    response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': answer.length, 'cache-control': 'no-store' }).end(answer)
  }

  async #act(target: PullTarget, subscription: Subscription, query: URLSearchParams, request: IncomingMessage, signal: AbortSignal): Promise<Buffer> {
    const { action } = target
    if (action === 'receive') {
      const { eventsMax, waitMs } = readReceive(query)
      return receiveAnswer(await subscription.receive(eventsMax, waitMs, signal))
    }
    const { metrics, now } = this.#options
    const labels = labelsOf(target)
    const begun = now()
    const settled = await settle(action, subscription, query, request)
    metrics.settled(labels, action, settled.succeeded.length, now() - begun)
    for (const { code } of settled.failed) metrics.failed(labels, action, { error: 'ClientError', error_type: code })
    return settledAnswer(settled)
  }

  /** Of subscriptions that there are, at the router that answers: one that sends a request back to another does not. */
  #countFailure(path: string, status: number, { isKnown }: Progress): void {
    const { registry, metrics } = this.#options
    const target = findTarget(path)
    if (!target || status === 421 || !registry.view.eventSubscriptions.has(`${target.topic}/${target.subscription}`)) return
    metrics.failed(labelsOf(target), target.action, failureOf(status, isKnown))
  }

  async #authorize(request: IncomingMessage): Promise<void> {
    const { registry, now, onRefused } = this.#options
    const origin = originOf(request.socket.remoteAddress ?? '', request.headers)
    const refusal = await refuseEventCaller({ authorization: request.headers.authorization, origin }, { ...this.#options, view: registry.view, now: now() })
    if (!refusal) return
    onRefused(refusal, origin.address)
    throw new PullProblem(refusal.status, refusal.detail)
  }

  async #handOn({ action }: PullTarget, request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    if (request.headers[handedOn] !== undefined) throw new PullProblem(421, 'another router owns the shard of this subscription')
    const body = await readBody(request)
    const { authorization = '', 'x-forwarded-for': from, 'x-forwarded-proto': scheme, 'x-forwarded-host': host } = request.headers
    const passed = { 'x-forwarded-for': from, 'x-forwarded-proto': scheme, 'x-forwarded-host': host, 'content-type': request.headers['content-type'] }
    const headers = { authorization, [handedOn]: '1', ...Object.fromEntries(Object.entries(passed).filter(([, value]) => value !== undefined)) } as Record<
      string,
      string
    >
    // One that hangs must not keep a receiver from settling what it has for longer than its locks last.
    const timeoutMs = action === 'receive' ? handOnTimesMs.receive : (this.#options.handOnTimeoutMs ?? handOnTimesMs.others)
    for (const { url } of this.#options.others) {
      try {
        const init = { method: 'POST', headers, body, signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) }
        const answer = await fetch(new URL(request.url ?? '/', url), init)
        if (answer.status === 421) {
          await answer.body?.cancel()
          continue
        }
        const retryAfter = answer.headers.get('retry-after')
        const type = answer.headers.get('content-type') ?? 'application/json'
        const bytes = Buffer.from(await answer.arrayBuffer())
        response
          .writeHead(answer.status, { 'content-type': type, 'content-length': bytes.length, ...(retryAfter ? { 'retry-after': retryAfter } : {}) })
          .end(bytes)
        return
      } catch (error) {
        if (signal.aborted) return
        this.#options.onError(error) // the next one may own it by now
      }
    }
    throw unavailable('no router owns the shard of this subscription now; ask again')
  }
}

async function settle(
  action: Exclude<PullAction, 'receive'>,
  subscription: Subscription,
  query: URLSearchParams,
  request: IncomingMessage,
): Promise<SettledTokens> {
  const delayMs = action === 'release' ? readReleaseDelay(query) : 0
  const tokens = readLockTokens(await readBody(request))
  switch (action) {
    case 'acknowledge':
      return subscription.acknowledge(tokens)
    case 'release':
      return subscription.release(tokens, delayMs)
    case 'reject':
      return subscription.reject(tokens)
    case 'renewLock':
      return subscription.renew(tokens)
  }
}

const labelsOf = ({ topic, subscription }: PullTarget): SubscriptionLabels => ({ topic, event_subscription: subscription })

/** Undefined when nobody expected it. */
function problemOf(error: unknown): PullProblem | undefined {
  if (error instanceof PullProblem) return error
  return error instanceof SubscriptionClosed ? unavailable('the subscription has changed, or has another owner now; ask again') : undefined
}

/** Rejects with PullProblem. */
function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const settle = (how: () => void): void => {
      clearTimeout(timer)
      request.off('data', onData)
      how()
    }
    const onData = (chunk: Buffer): void => {
      size += chunk.length
      if (size > bodyMax) settle(() => reject(new PullProblem(413, `the body is larger than ${bodyMax} bytes`)))
      else chunks.push(chunk)
    }
    const timer = setTimeout(() => settle(() => reject(new PullProblem(408, `the body did not arrive within ${bodyTimeoutMs} ms`))), bodyTimeoutMs)
    request.on('data', onData)
    request.once('end', () => settle(() => resolve(Buffer.concat(chunks))))
    request.once('close', () => settle(() => reject(new PullProblem(400, 'the body broke off'))))
    request.once('error', () => settle(() => reject(new PullProblem(400, 'the body broke off'))))
  })
}

function sendProblem(response: ServerResponse, { status, message, field }: PullProblem): void {
  const title = STATUS_CODES[status] ?? 'Error'
  // Beside RFC 9457, what Azure's clients look for.
  const error = { code: title.replaceAll(/[^A-Za-z]/g, ''), message }
  const body = JSON.stringify({ type: 'about:blank', title, status, detail: message, ...(field === undefined ? {} : { field }), error })
  response.writeHead(status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    ...(status === 503 ? { 'retry-after': '1' } : {}),
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    ...(status === 405 ? { allow: 'POST' } : {}),
  })
  response.end(body)
}
