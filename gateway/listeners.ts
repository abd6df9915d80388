/** Where clients come in: TCP, TLS, WebSocket and secure WebSocket. */
import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage, STATUS_CODES } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Logger } from 'pino'
import { WebSocketServer } from 'ws'
import { AddressSet, rangesOf } from '../model/ip-rules.ts'
import { Admission } from './admission.ts'
import { type Arrival, type Choice, hostOfHeader } from './arrivals.ts'
import type { Endpoint, GatewayConfig, LimitName, ListenerName } from './config.ts'
import type { Deadlines, Timed } from './deadlines.ts'
import { Doorway, type DoorwayHost, type Way } from './doorway.ts'
import { HandshakeTurns } from './handshake-turns.ts'
import { HostCertificates } from './host-certificates.ts'
import { type CertificatePair, followPair, readPair } from './server-certificate.ts'
import { SocketTransport } from './socket-transport.ts'
import { TlsEntrance } from './tls-entrance.ts'
import type { Transport } from './transport.ts'
import { WebSocketTransport } from './websocket-transport.ts'

/** What listeners need of the process. */
export interface ListenerHost extends DoorwayHost {
  readonly config: GatewayConfig
  readonly admission: Admission
  readonly deadlines: Deadlines
  readonly logger: Logger
  /** Counts a limit that took effect before the namespace was known. */
  reached(limit: LimitName): void
  /** The namespace that every socket of the shared listeners is for; null when hosts have to be told apart. */
  onlyNamespace(): string | null
  choose(arrival: Arrival): Choice
  /** Said of a socket or an upgrade that no namespace takes. */
  onRefused(remoteAddress: string, why: string): void
  accept(transport: Transport, namespace: string, isInternal: boolean): void
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

const internalLimits = { CONNECTIONS_MAX: 64, CONNECTIONS_PER_ADDRESS_MAX: 64 }

export class Listeners {
  readonly #host: ListenerHost
  readonly #servers: Server[] = []
  readonly #entrances: TlsEntrance[] = []
  readonly ports: Record<string, number> = {}
  readonly #doorway: Doorway
  readonly #turns: HandshakeTurns
  #unfollow: (() => void) | null = null
  #hostCertificates: HostCertificates | null = null

  constructor(host: ListenerHost) {
    this.#host = host
    this.#doorway = new Doorway(host)
    this.#turns = new HandshakeTurns(host.config.TLS_HANDSHAKES_MAX)
  }

  /** Opens every listener that the settings ask for. Throws ListenError, or what is wrong with the certificate. */
  async open(): Promise<void> {
    const { config, logger } = this.#host
    const { mqtt, mqtts, ws, wss, internal } = config.listeners
    const toHome = (): string => config.LOGGERHEAD_NAMESPACE
    if (mqtt) await this.#listen('mqtt', 'MQTT_PORT', mqtt, this.#plain(toHome, false))
    if (internal) await this.#listen('internalMqtt', 'INTERNAL_MQTT_PORT', internal, this.#plain(toHome, true))
    const byHost = (request: IncomingMessage): Choice => this.#host.choose({ by: 'host', host: hostOfHeader(request.headers.host) })
    if (ws) await this.#listen('ws', 'WS_PORT', ws, this.#plainWebSocket(byHost))
    for (const { namespace, kind, endpoint } of config.namespaceListeners) {
      const choose = (): Choice => this.#host.choose({ by: 'listener', namespace })
      const server = kind === 'mqtt' ? this.#plain(() => namespace, false) : this.#plainWebSocket(choose)
      await this.#listen(`${kind}:${namespace}`, 'NAMESPACE_LISTENERS', endpoint, server)
    }
    if (!mqtts && !wss) return
    const pair = readPair(config.TLS_CERT, config.TLS_KEY)
    this.#hostCertificates = new HostCertificates(config.TLS_HOST_CERTS, logger)
    if (mqtts) {
      const entrance = this.#entrance(pair, (socket, namespace) =>
        this.#host.accept(new SocketTransport(socket, 'tls', this.#doorway.addressOf(socket)), namespace, false),
      )
      await this.#listen('mqtts', 'MQTTS_PORT', mqtts, this.#secure('mqtts', entrance))
    }
    if (wss) {
      const choices = new WeakMap<Duplex, Choice>()
      const server = this.#webSocket('wss', ({ socket }) => choices.get(socket) ?? { refused: 'the namespace of the TLS connection is not known' })
      const onSecure = (socket: TLSSocket, namespace: string): void => {
        choices.set(socket, { namespace })
        server.emit('connection', socket)
      }
      await this.#listen('wss', 'WSS_PORT', wss, this.#secure('wss', this.#entrance(pair, onSecure, ['http/1.1'])))
    }
    this.#unfollow = followPair(config.TLS_CERT, config.TLS_KEY, logger, (changed) => {
      for (const entrance of this.#entrances) entrance.renew(changed)
    })
  }

  /** The namespaces there are now. */
  keep(namespaces: ReadonlySet<string>): void {
    for (const entrance of this.#entrances) entrance.keep(namespaces)
  }

  /** Takes no more; connections that stand are the gateway's. */
  close(): void {
    this.#unfollow?.()
    this.#hostCertificates?.close()
    for (const server of this.#servers) server.close()
  }

  async #listen(name: string, setting: string, endpoint: Endpoint, server: Server): Promise<void> {
    this.#servers.push(server)
    this.ports[name] = await listen(server, setting, endpoint)
    server.on('error', (error) => this.#host.logger.error({ error, setting }, 'a listener failed'))
    this.#host.logger.info({ listener: name, host: endpoint.host, port: this.ports[name] }, 'listening')
  }

  /** A server that lets sockets in paused and hands them on when they may speak their protocol. */
  #server(way: Way, handOn: (socket: Socket) => void): Server {
    return createTcpServer({ noDelay: true, pauseOnConnect: true }, (socket) => this.#doorway.enter(socket, way, () => handOn(socket)))
  }

  #way(listener: ListenerName, turns: HandshakeTurns | null): Way {
    const { config, admission } = this.#host
    return { admission, proxies: config.proxied.has(listener) ? new AddressSet(rangesOf(config.proxies)) : null, turns }
  }

  #plain(namespace: () => string, isInternal: boolean): Server {
    // The front door gets in however crowded the others may be.
    const way = isInternal ? { admission: new Admission(internalLimits), proxies: null, turns: null } : this.#way('mqtt', null)
    return this.#server(way, (socket) => {
      this.#host.accept(new SocketTransport(socket, 'tcp', this.#doorway.addressOf(socket)), namespace(), isInternal)
      socket.resume()
    })
  }

  #plainWebSocket(choose: (request: IncomingMessage) => Choice): Server {
    const server = this.#webSocket('ws', choose)
    return this.#server(this.#way('ws', null), (socket) => {
      server.emit('connection', socket)
      socket.resume()
    })
  }

  #secure(listener: ListenerName, entrance: TlsEntrance): Server {
    return this.#server(this.#way(listener, this.#turns), (socket) => entrance.take(socket))
  }

  #entrance(pair: CertificatePair, onSecure: (socket: TLSSocket, namespace: string) => void, alpn?: readonly string[]): TlsEntrance {
    const host = this.#host
    const entrance = new TlsEntrance({
      pair,
      hostCertificates: this.#hostCertificates as HostCertificates,
      ...(alpn && { alpn }),
      timeoutMs: host.config.TLS_HANDSHAKE_TIMEOUT,
      only: () => host.onlyNamespace(),
      choose: (name) => host.choose({ by: 'host', host: name }),
      guard: (socket) => this.#limitHandshake(socket),
      onRefused: (socket, why) => host.onRefused(this.#doorway.addressOf(socket), why),
      onHandshakeTimeout: () => host.reached('TLS_HANDSHAKE_TIMEOUT'),
      onSecure: (socket, namespace) => {
        this.#doorway.secured(socket)
        onSecure(socket, namespace)
      },
    })
    this.#entrances.push(entrance)
    return entrance
  }

  /** Closes the socket when TLS_HANDSHAKE_TIMEOUT is over; the answer calls that off. */
  #limitHandshake(socket: Socket): () => void {
    const { deadlines, config } = this.#host
    const timed: Timed = {
      onDeadline: () => {
        this.#host.reached('TLS_HANDSHAKE_TIMEOUT')
        socket.destroy()
        return null
      },
    }
    const callOff = (): void => deadlines.remove(timed)
    deadlines.set(timed, this.#host.now() + config.TLS_HANDSHAKE_TIMEOUT)
    socket.once('close', callOff)
    return callOff
  }

  #webSocket(kind: 'ws' | 'wss', choose: (request: IncomingMessage) => Choice): HttpServer {
    const { config } = this.#host
    const server = createHttpServer({ noDelay: true })
    const webSockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false, // no compression, no compression bombs
      maxPayload: config.MAXIMUM_PACKET_SIZE + frameRoom,
      handleProtocols: () => subprotocol,
    })
    server.headersTimeout = config.TLS_HANDSHAKE_TIMEOUT
    server.maxHeadersCount = 64
    const waiting = new WeakMap<Duplex, () => void>()
    server.prependListener('connection', (socket: Socket) => waiting.set(socket, this.#limitHandshake(socket)))
    server.on('request', (request, response) => {
      const status = pathOf(request) === path ? 426 : 404
      response.writeHead(status, { connection: 'close', ...(status === 426 && { upgrade: 'websocket' }) }).end()
    })
    server.on('upgrade', (request, socket, head) => {
      const refusal = refuseUpgrade(request, config.origins)
      if (refusal) return refuse(socket, refusal)
      const choice = choose(request)
      if ('refused' in choice) {
        this.#host.onRefused(this.#doorway.addressOf(request.socket), choice.refused)
        return refuse(socket, 421)
      }
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        waiting.get(socket)?.()
        this.#host.accept(new WebSocketTransport(webSocket, socket as Socket, kind, this.#doorway.addressOf(socket as Socket)), choice.namespace, false)
      })
    })
    server.on('clientError', (_error, socket) => socket.destroy())
    return server
  }
}

const pathOf = (request: IncomingMessage): string => (request.url ?? '').split('?', 1)[0] ?? ''

/** The HTTP status that refuses an upgrade; null when it may go on. */
function refuseUpgrade(request: IncomingMessage, origins: readonly string[]): number | null {
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
