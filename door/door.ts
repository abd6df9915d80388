import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerOptions, type ServerResponse, STATUS_CODES } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { HealthCheck } from './health.ts'
import type { DoorMetrics } from './metrics.ts'
import { isLoopback, type Peer, refuseKey } from './peer.ts'
import { problemBody, sendProblem } from './problem.ts'
import type { ReverseProxy } from './proxy.ts'
import { route } from './routes.ts'

export interface DoorOptions {
  readonly production: boolean
  readonly proxy: ReverseProxy
  readonly health: HealthCheck
  readonly metrics: DoorMetrics
  readonly registry: Registry
  readonly logger: Logger
  readonly limits: {
    readonly headersMax: number
    readonly headersTimeoutMs: number
    readonly requestTimeoutMs: number
    readonly socketTimeoutMs: number
    readonly connectionsMax: number
  }
}

function peerOf(request: IncomingMessage): Peer {
  return { address: request.socket.remoteAddress, encrypted: 'encrypted' in request.socket }
}

async function serve(options: DoorOptions, request: IncomingMessage, response: ServerResponse, proceed: () => void): Promise<void> {
  const { production, metrics } = options
  const peer = peerOf(request)
  const why = refuseKey(peer, production, request.headers.authorization)
  if (why !== null) {
    metrics.refused.inc({ reason: 'key' })
    sendProblem(response, { status: 403, detail: why, close: true })
    return
  }
  const where = route(request.url ?? '')
  switch (where.to) {
    case 'hop':
      if (!where.streams) giveTime(options, request, response)
      return options.proxy.forward(where.hop, request, response, peer, proceed, where.streams)
    case 'refused':
      return sendProblem(response, { status: where.status, detail: where.detail, close: where.status === 400 })
    case 'health':
      if (!reads(request, response)) return
      return answerHealth(await options.health.check(), response)
    case 'metrics':
      if (!reads(request, response)) return
      // How busy a broker is, and with what, is not for everyone who reaches its front door.
      if (!isLoopback(peer.address))
        return sendProblem(response, { status: 403, detail: 'metrics are shown to this machine only; INTERNAL_PORT serves them to the others inside' })
      response.setHeader('content-type', options.registry.contentType)
      response.end(await options.registry.metrics())
  }
}

/** Node's own time for a whole request is one for all; a body that streams gets more, so each request has its own. */
function giveTime({ metrics, limits }: DoorOptions, request: IncomingMessage, response: ServerResponse): void {
  const timer = setTimeout(() => {
    if (request.complete) return
    if (response.headersSent) request.socket.destroy()
    else refuseMalformed(metrics, Object.assign(new Error('slow'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), request.socket)
  }, limits.requestTimeoutMs)
  const done = (): void => clearTimeout(timer)
  request.once('end', done)
  request.once('close', done)
  response.once('close', done)
}

function reads(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.method === 'GET' || request.method === 'HEAD') return true
  response.setHeader('allow', 'GET, HEAD')
  sendProblem(response, { status: 405, detail: `${request.method} is not possible here; GET is`, close: true })
  return false
}

function answerHealth(health: Awaited<ReturnType<HealthCheck['check']>>, response: ServerResponse): void {
  const body = `${JSON.stringify(health)}\n`
  response.writeHead(health.status === 'ok' ? 200 : 503, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  })
  response.end(body)
}

/** Answers what the parser refused; there is no request to answer it with. */
function refuseMalformed(metrics: DoorMetrics, error: Error & { code?: string }, socket: Socket): void {
  const known = {
    HPE_HEADER_OVERFLOW: [431, 'headers', 'the header section is too large (DOOR_HEADERS_MAX)'],
    ERR_HTTP_REQUEST_TIMEOUT: [408, 'slow', 'the request took too long to arrive'],
  } as const
  const [status, reason, detail] = known[error.code as keyof typeof known] ?? ([400, 'malformed', 'this is not an HTTP request'] as const)
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  metrics.refused.inc({ reason })
  const body = problemBody({ status, detail })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

/** A server of the front door, not yet listening: plain, or over TLS with a certificate and key in PEM. */
export function createDoor(options: DoorOptions, tls?: { readonly cert: Buffer; readonly key: Buffer }): Server {
  const { limits, metrics, logger } = options
  const settings: ServerOptions = {
    maxHeaderSize: limits.headersMax,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: 0,
    // Node looks at the time for headers only this often; that of a whole request is ours.
    connectionsCheckingInterval: Math.min(1000, limits.headersTimeoutMs),
    keepAliveTimeout: 5000,
    noDelay: true,
  }
  const listener =
    (proceeding: boolean): RequestListener =>
    (request, response) => {
      let proceeded = !proceeding
      const proceed = (): void => {
        if (!proceeded) response.writeContinue()
        proceeded = true
      }
      serve(options, request, response, proceed).catch((error) => {
        logger.error({ error, path: request.url?.split('?', 1)[0] }, 'a request failed inside the front door')
        sendProblem(response, { status: 500, detail: 'the front door failed', close: true })
      })
    }
  const server = tls === undefined ? createServer(settings, listener(false)) : createTlsServer({ ...settings, ...tls, minVersion: 'TLSv1.2' }, listener(false))
  server.on('checkContinue', listener(true))
  server.maxConnections = limits.connectionsMax
  server.on('drop', () => metrics.refused.inc({ reason: 'connections' }))
  server.setTimeout(limits.socketTimeoutMs, (socket) => {
    metrics.refused.inc({ reason: 'idle' })
    socket.destroy()
  })
  server.on('clientError', (error, socket) => refuseMalformed(metrics, error, socket as Socket))
  return server
}
