/**
 * HTTP requests of the gateway to the outside, for keys and webhooks: bounded in time, bytes and connections, never after a
 * redirect, only where an operator lets them go.
 */
import { lookup as lookupName } from 'node:dns'
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { shownUrl } from '../access/shown-url.ts'

export interface OutgoingRequest {
  readonly url: string
  readonly method: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** For the whole, connecting included. */
  readonly timeoutMs: number
  /** Longest body of the answer. */
  readonly bytesMax: number
}

export interface OutgoingResponse {
  readonly status: number
  readonly body: Buffer
}

/** The request could not be made or its answer not be read; the message holds no secret. */
export class RequestFailed extends Error {
  /** timeout, network, tooLarge, forbidden, or an HTTP status. */
  readonly kind: string
  constructor(kind: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'RequestFailed'
    this.kind = kind
  }
}

/** Which URLs may be asked at all. */
export interface OutgoingPolicy {
  /** Host names; empty: any. `*.example.com` stands for the names below. */
  readonly hosts: readonly string[]
  /** Plain HTTP is fine on this machine: the development profile. */
  readonly plainOnLoopback: boolean
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')
// A connection to the unspecified address ends on this machine too.
loopback.addSubnet('0.0.0.0', 8)
loopback.addAddress('::', 'ipv6')
/** Where machines find their cloud's credentials: nothing that a namespace's settings may reach. */
const linkLocal = new BlockList()
linkLocal.addSubnet('169.254.0.0', 16)
linkLocal.addSubnet('fe80::', 10, 'ipv6')
linkLocal.addAddress('fd00:ec2::254', 'ipv6')

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4')
const plainIp = (address: string): string => (address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address)
const isLoopback = (address: string): boolean => loopback.check(plainIp(address), family(plainIp(address)))
const isLinkLocal = (address: string): boolean => linkLocal.check(plainIp(address), family(plainIp(address)))

function matchesHost(host: string, pattern: string): boolean {
  return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) && host.length > pattern.length - 1 : host === pattern
}

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '').toLowerCase()

/** Why a URL may not be asked; undefined when it may, as far as its text tells. */
export function whyForbidden(text: string, { hosts, plainOnLoopback }: OutgoingPolicy): string | undefined {
  if (!URL.canParse(text)) return 'it is no URL'
  const url = new URL(text)
  const host = hostOf(url)
  if (url.username !== '' || url.password !== '') return 'it must hold no user name or password'
  const isLocal = host === 'localhost' || (isIP(host) !== 0 && isLoopback(host))
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLocal && plainOnLoopback)) return 'it must begin with https://'
  if (hosts.length > 0 && !hosts.some((pattern) => matchesHost(host, pattern))) return `the host ${host} is not among OUTGOING_HOSTS`
  if (isIP(host) !== 0) return whyAddressForbidden(host, isLocal && (plainOnLoopback || hosts.length > 0))
  return undefined
}

function whyAddressForbidden(address: string, mayBeLoopback: boolean): string | undefined {
  if (isLinkLocal(address)) return 'its address is link-local'
  return isLoopback(address) && !mayBeLoopback ? 'its address is this machine’s own' : undefined
}

/** Keep-alive connections to a few hosts, a bounded number at a time. */
export class OutgoingRequests {
  readonly #policy: OutgoingPolicy
  readonly #https: HttpsAgent
  readonly #http: HttpAgent

  constructor(policy: OutgoingPolicy, connectionsMax: number, ca?: string) {
    this.#policy = policy
    const options = { keepAlive: true, maxSockets: connectionsMax, maxFreeSockets: Math.min(connectionsMax, 16), scheduling: 'lifo' } as const
    this.#https = new HttpsAgent({ ...options, minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) })
    this.#http = new HttpAgent(options)
  }

  /** Rejects with RequestFailed. An answer with any status is an answer. */
  send(asked: OutgoingRequest): Promise<OutgoingResponse> {
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
        collect(response, asked.bytesMax, url.host).then((body) => resolve({ status: response.statusCode ?? 0, body }), fail)
      }
      const request = isSecure
        ? requestHttps(url, { ...options, agent: this.#https }, onResponse)
        : requestHttp(url, { ...options, agent: this.#http }, onResponse)
      request.on('error', fail)
      request.end(asked.body)
    })
  }

  close(): void {
    this.#https.destroy()
    this.#http.destroy()
  }

  /** Looks at the address that is really connected to: a name may stand for another one each time it is asked. */
  #lookup(host: string): LookupFunction {
    const mayBeLoopback = this.#policy.plainOnLoopback || this.#policy.hosts.includes(host)
    return (hostname, options, callback) => {
      lookupName(hostname, { ...options, all: true }, (error, addresses) => {
        if (error) return callback(error, [])
        const allowed = addresses.filter(({ address }) => whyAddressForbidden(address, mayBeLoopback) === undefined)
        const [first] = allowed
        if (!first) return callback(new RequestFailed('forbidden', `${hostname} has an address that is not asked`), [])
        if (options.all) callback(null, allowed)
        else callback(null, first.address, first.family)
      })
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
