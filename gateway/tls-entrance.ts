/**
 * TLS in front of several namespaces. Which one a socket is for is read from its ClientHello; each has a TLS server of its own,
 * with keys of its own for session tickets, so that no session that was begun with one namespace is resumed with another:
 * to the other it is a stranger's, and a full handshake follows.
 */
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import type { Choice } from './arrivals.ts'
import { refusalAlert } from './client-hello.ts'
import { awaitClientHello } from './client-hello-reader.ts'
import type { HostCertificates } from './host-certificates.ts'
import type { CertificatePair } from './server-certificate.ts'

export interface TlsEntranceOptions {
  readonly pair: CertificatePair
  readonly hostCertificates: HostCertificates
  readonly alpn?: readonly string[]
  /** ms, for the ClientHello and then for the rest of the handshake. */
  readonly timeoutMs: number
  /** The namespace that takes every socket, unread; null when hosts have to be told apart. */
  readonly only: () => string | null
  readonly choose: (host: string | null) => Choice
  /** Guards a socket whose ClientHello is awaited: returns what ends the guard. */
  readonly guard: (socket: Socket) => () => void
  readonly onRefused: (socket: Socket, why: string) => void
  readonly onHandshakeTimeout: () => void
  readonly onSecure: (socket: TLSSocket, namespace: string) => void
}

/** The handshake asks for a certificate and lets every one pass: access/authenticate.ts judges. */
const common: TlsOptions = { requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' }

export class TlsEntrance {
  readonly #options: TlsEntranceOptions
  #pair: CertificatePair
  /** By namespace. None of them listens: sockets are handed to them. */
  readonly #servers = new Map<string, Server>()

  constructor(options: TlsEntranceOptions) {
    this.#options = options
    this.#pair = options.pair
  }

  /** Takes a socket of which nothing has been read. */
  take(socket: Socket): void {
    const { only, choose, guard, onRefused } = this.#options
    const namespace = only()
    if (namespace !== null) {
      this.#handOn(socket, namespace)
      return
    }
    const unguard = guard(socket)
    awaitClientHello(socket, (hello) => {
      unguard()
      if (hello.is === 'malformed') {
        socket.destroy()
        return
      }
      const choice = choose(hello.host)
      if ('namespace' in choice) {
        this.#handOn(socket, choice.namespace)
        return
      }
      onRefused(socket, choice.refused)
      socket.end(refusalAlert(hello.host), () => socket.destroy())
    })
  }

  /** Handshakes from now on; what stands keeps its keys. */
  renew(pair: CertificatePair): void {
    this.#pair = pair
    for (const server of this.#servers.values()) server.setSecureContext({ ...common, ...pair })
  }

  /** The namespaces there are: the servers of others are forgotten. */
  keep(namespaces: ReadonlySet<string>): void {
    for (const namespace of [...this.#servers.keys()]) if (!namespaces.has(namespace)) this.#servers.delete(namespace)
  }

  #handOn(socket: Socket, namespace: string): void {
    const server = this.#servers.get(namespace) ?? this.#serve(namespace)
    this.#servers.set(namespace, server)
    server.emit('connection', socket)
  }

  #serve(namespace: string): Server {
    const { hostCertificates, alpn, timeoutMs, onHandshakeTimeout, onSecure } = this.#options
    const server = createServer(
      {
        ...common,
        ...this.#pair,
        ...(alpn && { ALPNProtocols: [...alpn] }),
        handshakeTimeout: timeoutMs,
        SNICallback: (host, done) => done(null, hostCertificates.contextOf(host)),
      },
      (socket) => onSecure(socket, namespace),
    )
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') onHandshakeTimeout()
      socket.destroy()
    })
    return server
  }
}
