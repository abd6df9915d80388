/** Where clients come in: TCP, TLS, WebSocket and secure WebSocket. */
import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage, STATUS_CODES } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type TlsOptions, type Server as TlsServer } from 'node:tls'
import type { Logger } from 'pino'
import { WebSocketServer } from 'ws'
import { Admission } from './admission.ts'
import type { Endpoint, GatewayConfig } from './config.ts'
import type { Deadlines, Timed } from './deadlines.ts'
import type { GatewayMetrics } from './metrics.ts'
import { type CertificatePair, followPair, readPair } from './server-certificate.ts'
import { plainAddress, SocketTransport } from './socket-transport.ts'
import type { Transport } from './transport.ts'
import { WebSocketTransport } from './websocket-transport.ts'

/** What listeners need of the gateway. */
export interface ListenerHost {
  readonly config: GatewayConfig
  readonly admission: Admission
  readonly deadlines: Deadlines
  readonly metrics: GatewayMetrics
  readonly logger: Logger
  now(): number
  accept(transport: Transport, isInternal: boolean): void
}

/** A listener cannot listen: the message names its setting and address. */
export class ListenError extends Error {
  constructor(setting: string, { host, port }: Endpoint, cause: NodeJS.ErrnoException) {
    const what = cause.code === 'EADDRINUSE' ? 'is in use' : cause.code === 'EACCES' ? 'may not be opened by this user' : `cannot be opened: ${cause.message}`
    super(`${setting}: port ${port} on ${host} ${what}`, { cause })
    this.name = 'ListenError'
  }
}

const path = '/mqtt'
const subprotocol = 'mqtt'
/** A WebSocket frame may hold several packets; this much beyond the largest one. Bytes. */
const frameRoom = 65_536

/** Opens a port; a dual-stack address falls back to IPv4 where there is no IPv6. Answers the port. */
export async function listen(server: Server, setting: string, endpoint: Endpoint): Promise<number> {
  const open = (host: string): Promise<number> =>
    new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port: endpoint.port }, () => {
        server.removeListener('error', reject)
        resolve((server.address() as AddressInfo).port)
      })
    })
  try {
    return await open(endpoint.host)
  } catch (error) {
    const failure = error as NodeJS.ErrnoException
    if (endpoint.host !== '::' || (failure.code !== 'EAFNOSUPPORT' && failure.code !== 'EADDRNOTAVAIL')) throw new ListenError(setting, endpoint, failure)
    try {
      return await open('0.0.0.0')
    } catch (second) {
      throw new ListenError(setting, endpoint, second as NodeJS.ErrnoException)
    }
  }
}

const internalLimits = { CONNECTIONS_MAX: 64, CONNECTIONS_PER_ADDRESS_MAX: 64, CONNECTS_PER_SECOND_MAX: 64 }

export class Listeners {
  readonly #host: ListenerHost
  readonly #servers: Server[] = []
  readonly #secure: (TlsServer | HttpsServer)[] = []
  readonly ports: Record<string, number> = {}
  /** The front door gets in however crowded the others may be. */
  readonly #internalAdmission = new Admission(internalLimits)
  #unfollow: (() => void) | null = null

  constructor(host: ListenerHost) {
    this.#host = host
  }

  /** Opens every listener that the settings ask for. Throws ListenError, or what is wrong with the certificate. */
  async open(): Promise<void> {
    const { config, logger } = this.#host
    const { mqtt, mqtts, ws, wss, internal } = config.listeners
    if (mqtt) await this.#listen('mqtt', 'MQTT_PORT', mqtt, this.#plain(false))
    if (internal) await this.#listen('internalMqtt', 'INTERNAL_MQTT_PORT', internal, this.#plain(true))
    if (ws) await this.#listen('ws', 'WS_PORT', ws, this.#webSocket(createHttpServer(), 'ws'))
    if (!mqtts && !wss) return
    const pair = readPair(config.TLS_CERT, config.TLS_KEY)
    if (mqtts) await this.#listen('mqtts', 'MQTTS_PORT', mqtts, this.#tls(pair))
    if (wss) await this.#listen('wss', 'WSS_PORT', wss, this.#secureWebSocket(pair))
    this.#unfollow = followPair(config.TLS_CERT, config.TLS_KEY, logger, (changed) => {
      // Handshakes from now on; what stands keeps its keys.
      for (const server of this.#secure) server.setSecureContext({ ...tlsOptions, ...changed })
    })
  }

  /** Takes no more; connections that stand are the gateway's. */
  close(): void {
    this.#unfollow?.()
    for (const server of this.#servers) server.close()
  }

  async #listen(name: string, setting: string, endpoint: Endpoint, server: Server): Promise<void> {
    this.#servers.push(server)
    this.ports[name] = await listen(server, setting, endpoint)
    server.on('error', (error) => this.#host.logger.error({ error, setting }, 'a listener failed'))
    this.#host.logger.info({ listener: name, host: endpoint.host, port: this.ports[name] }, 'listening')
  }

  /** Counts a socket before anything is read from it, or closes it. */
  #admit(socket: Socket, admission: Admission = this.#host.admission): boolean {
    const { metrics } = this.#host
    const address = plainAddress(socket.remoteAddress)
    const refusal = admission.enter(address)
    if (refusal) {
      metrics.reached(refusal)
      socket.destroy()
      return false
    }
    socket.once('close', () => admission.leave(address))
    return true
  }

  #plain(isInternal: boolean): Server {
    return createTcpServer({ noDelay: true }, (socket) => {
      if (this.#admit(socket, isInternal ? this.#internalAdmission : undefined)) this.#host.accept(new SocketTransport(socket, 'tcp'), isInternal)
    })
  }

  #tls(pair: CertificatePair): TlsServer {
    const server = createTlsServer({ ...tlsOptions, ...pair, handshakeTimeout: this.#host.config.TLS_HANDSHAKE_TIMEOUT, noDelay: true }, (socket) =>
      this.#host.accept(new SocketTransport(socket, 'tls'), false),
    )
    this.#guardHandshakes(server)
    return server
  }

  #secureWebSocket(pair: CertificatePair): Server {
    const server = createHttpsServer({ ...tlsOptions, ...pair, ALPNProtocols: ['http/1.1'], handshakeTimeout: this.#host.config.TLS_HANDSHAKE_TIMEOUT })
    this.#guardHandshakes(server)
    return this.#webSocket(server, 'wss')
  }

  #guardHandshakes(server: TlsServer | HttpsServer): void {
    this.#secure.push(server)
    server.prependListener('connection', (socket: Socket) => this.#admit(socket))
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') this.#host.metrics.reached('TLS_HANDSHAKE_TIMEOUT')
      socket.destroy()
    })
  }

  #webSocket(server: HttpServer | HttpsServer, kind: 'ws' | 'wss'): Server {
    const { config, metrics } = this.#host
    const webSockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false, // no compression, no compression bombs
      maxPayload: config.MAXIMUM_PACKET_SIZE + frameRoom,
      handleProtocols: () => subprotocol,
    })
    server.headersTimeout = config.TLS_HANDSHAKE_TIMEOUT
    server.maxHeadersCount = 64
    const waiting = new WeakMap<Duplex, Timed>()
    const deadline = (socket: Socket): void => {
      const timed: Timed = {
        onDeadline: () => {
          metrics.reached('TLS_HANDSHAKE_TIMEOUT')
          socket.destroy()
          return null
        },
      }
      waiting.set(socket, timed)
      this.#host.deadlines.set(timed, this.#host.now() + config.TLS_HANDSHAKE_TIMEOUT)
      socket.once('close', () => this.#host.deadlines.remove(timed))
    }
    if (kind === 'ws') server.prependListener('connection', (socket: Socket) => this.#admit(socket) && deadline(socket))
    else server.on('secureConnection', deadline)
    server.on('request', (request, response) => {
      const status = pathOf(request) === path ? 426 : 404
      response.writeHead(status, { connection: 'close', ...(status === 426 && { upgrade: 'websocket' }) }).end()
    })
    server.on('upgrade', (request, socket, head) => {
      const refusal = refuseUpgrade(request, config.origins)
      if (refusal) return refuse(socket, refusal)
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        const timed = waiting.get(socket)
        if (timed) this.#host.deadlines.remove(timed)
        this.#host.accept(new WebSocketTransport(webSocket, socket as Socket, kind), false)
      })
    })
    server.on('clientError', (_error, socket) => socket.destroy())
    return server
  }
}

/** The handshake asks for a certificate and lets every one pass: access/authenticate.ts judges. */
const tlsOptions: TlsOptions = { requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' }

const pathOf = (request: IncomingMessage): string => (request.url ?? '').split('?', 1)[0] ?? ''

/** The HTTP status that refuses an upgrade; null when it may go on. */
export function refuseUpgrade(request: IncomingMessage, origins: readonly string[]): number | null {
  if (pathOf(request) !== path) return 404
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  if (!offered.includes(subprotocol)) return 400 // [MQTT-6.0.0-3]
  return originAllowed(request.headers.origin, request.headers.host, origins) ? null : 403
}

function originAllowed(origin: string | undefined, host: string | undefined, origins: readonly string[]): boolean {
  if (origin === undefined || origins.includes('*')) return true
  if (origins.length > 0) return origins.includes(origin.toLowerCase())
  try {
    return new URL(origin).host === host?.toLowerCase()
  } catch {
    return false
  }
}

function refuse(socket: Duplex, status: number): void {
  socket.on('error', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy())
}
