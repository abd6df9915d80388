/** Publishing and reading over HTTP in one namespace: who may be served at all, who asks, and what is answered. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { EventAccess } from '../../access/event-access.ts'
import { isTooOpen, type Origin } from '../../access/request-origin.ts'
import { RefusedKind } from '../../audit/refusals.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Routers } from '../../proto/routers.ts'
import { EventHttp } from '../events/event-http.ts'
import type { EventPublisher } from '../events/event-publisher.ts'
import { refuseEverybody } from '../protocol.ts'
import { BodyRefused } from './body.ts'
import { ByteBudget } from './byte-budget.ts'
import type { HttpHost } from './http-host.ts'
import { HttpProblem, sendProblem } from './http-problem.ts'
import { Identities } from './identity.ts'
import { type Asker, HttpPublisher, HttpRates } from './publisher.ts'
import { readQuery } from './query.ts'
import { RetainedReader } from './retained-reader.ts'

/** What can be asked, as metrics name it. */
export type Operation = 'publish' | 'getRetained' | 'listRetained' | 'publishEvents'

export interface NamespaceHttpOptions {
  readonly host: HttpHost
  readonly routers: Routers
  readonly events: EventPublisher
  isOwnersKey(given: string): boolean
  readonly bearerOf: EventAccess['bearerOf']
  readonly isProduction: boolean
  onError(error: unknown): void
}

/** One request, as far as its shell has looked at it. */
export interface Asked {
  readonly operation: Operation
  /** The namespace topic, of the operation publishEvents. */
  readonly topic?: string
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly origin: Origin
  /** The address of what is asked, without the query. */
  readonly base: string
}

export class NamespaceHttp {
  readonly #options: NamespaceHttpOptions
  readonly #identities: Identities
  readonly #publisher: HttpPublisher
  readonly #retained: RetainedReader
  readonly #events: EventHttp
  #underWay = 0

  constructor(options: NamespaceHttpOptions) {
    const { host, routers } = options
    this.#options = options
    const budget = new ByteBudget(() => host.config.HTTP_BODIES_BYTES_MAX)
    const rates = new HttpRates(host)
    this.#identities = new Identities(host, options.isOwnersKey)
    this.#publisher = new HttpPublisher(host, rates, budget)
    this.#retained = new RetainedReader(host, routers, rates, budget)
    const { isOwnersKey, bearerOf, isProduction } = options
    this.#events = new EventHttp({
      publisher: options.events,
      config: host.config,
      metrics: host.metrics,
      budget,
      now: () => host.now(),
      onRefused: ({ status, detail, isForAddress }, address) => {
        if (isForAddress) host.metrics.ipRefused++
        if (status < 500) this.#audit(address, detail)
      },
      access: () => ({ view: host.view, isOwnersKey, bearerOf, isProduction, now: host.now() }),
    })
  }

  /** Answers the request, whatever happens. */
  async serve(asked: Asked): Promise<void> {
    const { host, onError } = this.#options
    const { operation, response } = asked
    this.#underWay++
    try {
      await this.#serve(asked)
    } catch (error) {
      // 499 is what nginx calls it.
      if (error instanceof BodyRefused) response.destroy()
      else if (error instanceof HttpProblem) sendProblem(response, error)
      else {
        onError(error)
        sendProblem(response, new HttpProblem(500, 'the gateway failed at this request'))
      }
    } finally {
      this.#underWay--
      host.metrics.httpRequests.inc({ operation, code: String(response.headersSent ? response.statusCode : 499) })
    }
  }

  async #serve(asked: Asked): Promise<void> {
    const { operation, request, response, base } = asked
    this.#refuseEverybody()
    if (operation === 'publishEvents') return this.#events.publish({ topic: asked.topic ?? '', ...asked })
    const asker = await this.#find(asked)
    const query = readQuery(request.url ?? '')
    switch (operation) {
      case 'publish':
        await this.#publisher.publish(asker, query, request)
        response.writeHead(204).end()
        return
      case 'getRetained':
        return this.#retained.get(asker, query, response)
      case 'listRetained':
        return this.#retained.list(asker, query, base, response)
    }
  }

  #refuseEverybody(): void {
    const { host } = this.#options
    const { config, metrics } = host
    if (this.#underWay > config.HTTP_REQUESTS_MAX) {
      metrics.reached('HTTP_REQUESTS_MAX')
      throw new HttpProblem(503, `${config.HTTP_REQUESTS_MAX} requests are under way, which is the most`, { retryAfter: 1 })
    }
    const refusal = refuseEverybody(host.readiness(true), config)
    if (!refusal) return
    if (refusal.limit) metrics.reached(refusal.limit)
    throw new HttpProblem(503, refusal.detail, { retryAfter: 1 })
  }

  async #find({ origin, request }: Asked): Promise<Asker> {
    const { host, isProduction } = this.#options
    const { address } = origin
    const { authorization } = request.headers
    if (!host.access.mayComeFrom(address)) {
      host.metrics.ipRefused++
      this.#audit(address, 'the namespace does not let this address in')
      throw new HttpProblem(403, 'the namespace does not let this address in')
    }
    if (authorization !== undefined && isTooOpen(origin, isProduction)) {
      throw new HttpProblem(403, 'a bearer is not taken over plain HTTP from anywhere but loopback; use HTTPS')
    }
    try {
      return { ...(await this.#identities.find(authorization)), address }
    } catch (error) {
      if (error instanceof HttpProblem && error.status < 500) this.#audit(address, typeof error.cause === 'string' ? error.cause : error.message)
      throw error
    }
  }

  #audit(remoteAddress: string, why: string): void {
    const nobody = { authenticationName: '', clientId: '', remoteAddress, transport: 'http' }
    this.#options.host.audit({ ...nobody, kind: RefusedKind.connect, reasonCode: ReasonCode.NotAuthorized, why })
  }
}
