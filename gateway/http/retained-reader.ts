/** Reads retained messages over HTTP, for who may subscribe to them: what the routers tell, each of its shards. */
import type { ServerResponse } from 'node:http'
import { RefusedKind } from '../../audit/refusals.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { getRetained, listRetained, ShardsMissing, type WholeMessage } from '../../proto/retained-answers.ts'
import type { Routers } from '../../proto/routers.ts'
import { topicLimit } from '../protocol.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { HttpHost } from './http-host.ts'
import { HttpProblem } from './http-problem.ts'
import { type Asker, type HttpRates, refuseAboveRate } from './publisher.ts'
import { listBody, messageHeaders, readGetRequest, readListRequest, tokenOf } from './retained-request.ts'

/** A page of a list takes less, bytes. */
const pageBytes = 262_144

export class RetainedReader {
  readonly #host: HttpHost
  readonly #routers: Routers
  readonly #rates: HttpRates
  readonly #budget: ByteBudget

  constructor(host: HttpHost, routers: Routers, rates: HttpRates, budget: ByteBudget) {
    this.#host = host
    this.#routers = routers
    this.#rates = rates
    this.#budget = budget
  }

  /** Answers with the message. Rejects with HttpProblem. */
  async get(asker: Asker, query: ReadonlyMap<string, string>, response: ServerResponse): Promise<void> {
    const topic = readGetRequest(query)
    this.#check(asker, 'topic', topic)
    // In base64 and again as it is.
    const message = await this.#within(3 * this.#host.config.MAXIMUM_PACKET_SIZE, response, () =>
      getRetained(this.#routers, topic, asker.principal.authenticationName),
    )
    const payload = message && (await this.#payloadOf(message))
    if (!payload) throw new HttpProblem(404, 'nothing is retained on this topic', { field: 'topic', value: topic })
    response.writeHead(200, messageHeaders({ ...message, size: payload.length }))
    response.end(payload)
  }

  /** Answers with a page; `base` is the address that was asked, without its query. */
  async list(asker: Asker, query: ReadonlyMap<string, string>, base: string, response: ServerResponse): Promise<void> {
    const request = readListRequest(query)
    this.#check(asker, 'topicFilter', request.filter)
    const { messages, hasMore } = await this.#within(pageBytes, response, () => listRetained(this.#routers, request, asker.principal.authenticationName))
    const last = messages.at(-1)?.topic ?? ''
    const body = listBody(messages, hasMore ? `${base}?continuationToken=${tokenOf(request, last)}` : null)
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' })
    response.end(body)
  }

  /** As it was published; null when it was erased: nobody gets it any more. */
  async #payloadOf({ payload, topic }: WholeMessage): Promise<Buffer | null> {
    const bytes = Buffer.from(payload, 'base64')
    const { sealing } = this.#host
    if (!sealing) return bytes
    return sealing.openedPayload(bytes, topic).catch(() => {
      throw new HttpProblem(503, 'the key that the message is sealed with cannot be read now', { retryAfter: 2 })
    })
  }

  /** A request counts as a SUBSCRIBE does. Throws HttpProblem. */
  #check({ principal, clientId, address }: Asker, field: string, filter: string): void {
    const { config, metrics } = this.#host
    const limit = topicLimit(filter, config)
    if (limit) {
      metrics.reached(limit)
      throw new HttpProblem(400, `${field} is above ${limit} (${config[limit]})`, { field, value: filter })
    }
    const rates = this.#rates.of(clientId)
    refuseAboveRate(rates.subscribeWaitMs())
    rates.subscribed()
    if (this.#host.access.maySubscribe(principal, filter)) return
    const { authenticationName } = principal
    const why = 'no permission binding allows it'
    const refused = { authenticationName, clientId, remoteAddress: address, transport: 'http', topic: filter, reasonCode: ReasonCode.NotAuthorized, why }
    this.#host.audit({ kind: RefusedKind.subscribe, ...refused })
    throw new HttpProblem(403, `“${authenticationName}” may not subscribe to ${filter.slice(0, 200)}`, { field, value: filter })
  }

  /** Holds the bytes of an answer from before it is asked for until the client has it, or is gone. */
  async #within<T>(bytes: number, response: ServerResponse, ask: () => Promise<T>): Promise<T> {
    if (!this.#budget.tryTake(bytes)) {
      this.#host.metrics.reached('HTTP_BODIES_BYTES_MAX')
      throw new HttpProblem(503, 'too many answers are held at this moment', { retryAfter: 1 })
    }
    const giveBack = (): void => this.#budget.give(bytes)
    if (response.closed) giveBack()
    else response.once('close', giveBack)
    try {
      return await ask()
    } catch (error) {
      throw error instanceof ShardsMissing ? new HttpProblem(503, error.message, { retryAfter: 2 }) : error
    }
  }
}
