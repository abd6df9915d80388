/**
 * HTTP requests of the services to the outside, for keys and webhooks: bounded in time, bytes and connections, never after a
 * redirect, only where an operator lets them go.
 */
import { Agent as HttpAgent, type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import type { LookupFunction } from 'node:net'
import type { SecureVersion } from 'node:tls'
import { shownUrl } from '../access/shown-url.ts'
import { hostNames } from './host-names.ts'
import { hostOf, type OutgoingPolicy, whyAddressForbidden, whyForbidden } from './outgoing-policy.ts'

export interface OutgoingRequest {
  readonly url: string
  readonly method: 'GET' | 'POST' | 'OPTIONS' | 'PUT' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** For the whole, connecting included. */
  readonly timeoutMs: number
  /** Longest body of the answer. */
  readonly bytesMax: number
  /** The status is all that is asked for: a body is not waited for, and the connection is closed at `bytesMax`. */
  readonly ignoresBody?: boolean
}

export interface OutgoingResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Empty when it was ignored. */
  readonly body: Buffer
}

/** The request could not be made or its answer not be read; the message holds no secret. */
export class RequestFailed extends Error {
  /** timeout, resolution, network, tooLarge, forbidden, or an HTTP status. */
  readonly kind: string
  constructor(kind: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'RequestFailed'
    this.kind = kind
  }
}

export interface OutgoingRequestsOptions {
  readonly policy: OutgoingPolicy
  /** Requests under way to each host; further ones wait for their turn, within their time. */
  readonly connectionsMax: number
  /** The authorities that sign the hosts' certificates (PEM); undefined: the public ones. */
  readonly ca?: string | undefined
  /** Least version of TLS: TLSv1.2 without it. */
  readonly minVersion?: SecureVersion | undefined
}

const noBody = Buffer.alloc(0)

/** A connection is not kept for longer than servers do by default, ms. */
const idleMs = 4_000

/** Keep-alive connections to a few hosts, a bounded number at a time. */
export class OutgoingRequests {
  readonly #policy: OutgoingPolicy
  readonly #https: HttpsAgent
  readonly #http: HttpAgent
  #isClosed = false

  constructor({ policy, connectionsMax, ca, minVersion = 'TLSv1.2' }: OutgoingRequestsOptions) {
    this.#policy = policy
    const options = { keepAlive: true, timeout: idleMs, maxSockets: connectionsMax, maxFreeSockets: Math.min(connectionsMax, 16), scheduling: 'lifo' } as const
    this.#https = new HttpsAgent({ ...options, minVersion, ...(ca === undefined ? {} : { ca }) })
    this.#http = new HttpAgent(options)
  }

  /** Rejects with RequestFailed. An answer with any status is an answer. */
  send(asked: OutgoingRequest): Promise<OutgoingResponse> {
    if (this.#isClosed) return Promise.reject(new RequestFailed('network', `${shownUrl(asked.url)} is not asked any more`))
    const forbidden = whyForbidden(asked.url, this.#policy)
    if (forbidden) return Promise.reject(new RequestFailed('forbidden', `${shownUrl(asked.url)} is not asked: ${forbidden}`))
    const url = new URL(asked.url)
    const isSecure = url.protocol === 'https:'
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(asked.timeoutMs)
      const fail = (error: NodeJS.ErrnoException): void => {
        if (signal.aborted) reject(new RequestFailed('timeout', `${url.host} did not answer within ${asked.timeoutMs} ms`, error))
        else if (error instanceof RequestFailed) reject(error)
        else reject(new RequestFailed('network', `${url.host} cannot be asked: ${error.code ?? error.message}`, error))
      }
      const headers = { ...asked.headers, ...(asked.body === undefined ? {} : { 'content-length': String(Buffer.byteLength(asked.body)) }) }
      const options = { method: asked.method, headers, signal, lookup: this.#lookup(hostOf(url)) }
      const onResponse = (response: IncomingMessage): void => {
        const { statusCode: status = 0, headers } = response
        const body = asked.ignoresBody ? ignore(response, asked.bytesMax) : collect(response, asked.bytesMax, url.host)
        body.then((body) => resolve({ status, headers, body }), fail)
      }
      const attempt = (mayRepeat: boolean): void => {
        const request = isSecure
          ? requestHttps(url, { ...options, agent: this.#https }, onResponse)
          : requestHttp(url, { ...options, agent: this.#http }, onResponse)
        request.on('error', (error: NodeJS.ErrnoException) => {
          // The other side closed the connection while it was idle, just as this request went out on it. Cut by `close` it looks the same.
          if (mayRepeat && !this.#isClosed && request.reusedSocket && error.code === 'ECONNRESET') attempt(false)
          else fail(error)
        })
        request.end(asked.body)
      }
      attempt(true)
    })
  }

  /** What is under way is cut, and nothing is sent any more. */
  close(): void {
    this.#isClosed = true
    this.#https.destroy()
    this.#http.destroy()
  }

  /** Looks at the address that is really connected to: a name may stand for another one each time it is asked. */
  #lookup(host: string): LookupFunction {
    return (hostname, options, callback) => {
      hostNames.addressesOf(hostname).then(
        (addresses) => {
          const ofFamily = addresses.filter(({ family }) => !options.family || family === Number(String(options.family).replace('IPv', '')))
          const allowed = ofFamily.filter(({ address }) => whyAddressForbidden(address, host, this.#policy) === undefined)
          const [first] = allowed
          if (!first) return callback(new RequestFailed('forbidden', `${hostname} has an address that is not asked`), [])
          if (options.all) callback(null, allowed)
          else callback(null, first.address, first.family)
        },
        (error: NodeJS.ErrnoException) => callback(new RequestFailed('resolution', `${hostname} has no address: ${error.code ?? error.message}`, error), []),
      )
    }
  }
}

async function collect(response: IncomingMessage, bytesMax: number, host: string): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > bytesMax) {
      response.destroy()
      throw new RequestFailed('tooLarge', `${host} answered with more than ${bytesMax} bytes`)
    }
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** Lets the body pass, so that the connection can be used again. */
async function ignore(response: IncomingMessage, bytesMax: number): Promise<Buffer> {
  let bytes = 0
  response.on('data', (part: Buffer) => {
    bytes += part.length
    if (bytes > bytesMax) response.destroy()
  })
  response.on('error', () => {}) // it ends in the middle, or its time is up: the status has come
  return noBody
}
