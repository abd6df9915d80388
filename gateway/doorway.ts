/**
 * The way of a socket from accept to its protocol: a place among the connections, the proxy's header, its client's
 * address, a turn at the TLS handshakes. Sockets come here paused, and leave for the server that speaks their protocol.
 */
import type { Socket } from 'node:net'
import type { AddressSet } from '../model/ip-rules.ts'
import type { Admission } from './admission.ts'
import type { GatewayConfig, LimitName } from './config.ts'
import type { Deadlines, Timed } from './deadlines.ts'
import type { HandshakeTurns, Turn } from './handshake-turns.ts'
import { readProxyHeader } from './proxy-header.ts'
import { plainAddress } from './socket-transport.ts'

export interface DoorwayHost {
  readonly config: GatewayConfig
  readonly deadlines: Deadlines
  now(): number
  reached(limit: LimitName): void
  /** A socket was closed for its PROXY protocol header, or because nobody trusts it with one. */
  proxyRefused(reason: 'untrusted' | 'malformed'): void
}

/** How the sockets of one listener come in. */
export interface Way {
  readonly admission: Admission
  /** The addresses of proxies that send a PROXY protocol header; null where none is expected. */
  readonly proxies: AddressSet | null
  /** TLS handshakes take turns; null without TLS. */
  readonly turns: HandshakeTurns | null
}

interface Entered {
  readonly address: string
  readonly turn: Turn | null
}

export class Doorway {
  readonly #host: DoorwayHost
  /** By peer: a TLS socket does not tell which socket it is made of, but has the same peer. */
  readonly #entered = new Map<string, Entered>()

  constructor(host: DoorwayHost) {
    this.#host = host
  }

  /** Calls `go` when the socket may speak its protocol, or closes it. */
  enter(socket: Socket, way: Way, go: () => void): void {
    const { admission, proxies } = way
    socket.on('error', () => socket.destroy())
    if (!admission.enter()) {
      this.#host.reached('CONNECTIONS_MAX')
      socket.destroy()
      return
    }
    socket.once('close', () => admission.leave())
    const peer = plainAddress(socket.remoteAddress)
    if (proxies === null) this.#place(socket, peer, way, go)
    else if (proxies.has(peer)) this.#readHeader(socket, (source) => this.#place(socket, source ?? peer, way, go))
    else this.#refuse(socket, 'untrusted')
  }

  /** The address of the client, also behind a proxy and in TLS. */
  addressOf(socket: Socket): string {
    return this.#entered.get(peerOf(socket))?.address ?? plainAddress(socket.remoteAddress)
  }

  /** The TLS handshake is over. */
  secured(socket: Socket): void {
    this.#entered.get(peerOf(socket))?.turn?.end()
  }

  #place(socket: Socket, address: string, { admission, turns }: Way, go: () => void): void {
    if (!admission.place(address)) {
      this.#host.reached('CONNECTIONS_PER_ADDRESS_MAX')
      socket.destroy()
      return
    }
    socket.once('close', () => admission.unplace(address))
    if (turns === null) {
      this.#know(socket, { address, turn: null })
      go()
    } else this.#takeTurn(socket, address, turns, go)
  }

  /** A turn is for who has begun to speak: a silent socket keeps nobody waiting. */
  #takeTurn(socket: Socket, address: string, turns: HandshakeTurns, go: () => void): void {
    const { config } = this.#host
    const done = this.#bound(socket, config.TLS_HANDSHAKE_TIMEOUT, () => this.#host.reached('TLS_HANDSHAKE_TIMEOUT'))
    const onReadable = (): void => {
      if (socket.readableLength === 0) {
        socket.read(0) // its end, should that be all
        return
      }
      socket.removeListener('readable', onReadable)
      let turn: (Turn & { readonly waits: boolean }) | null = null
      const begin = (): void => {
        done()
        go()
      }
      // Known before it begins: the handshake may be over at once.
      this.#know(socket, { address, turn: { end: () => turn?.end() } })
      turn = turns.take(address, begin)
      socket.once('close', () => turn?.end())
      if (turn.waits) this.#host.reached('TLS_HANDSHAKES_MAX')
    }
    socket.on('readable', onReadable)
    // What came with the proxy's header is not told again.
    if (socket.readableLength > 0) onReadable()
  }

  #readHeader(socket: Socket, go: (source: string | null) => void): void {
    const { config } = this.#host
    const done = this.#bound(socket, config.PROXY_HEADER_TIMEOUT, () => this.#host.reached('PROXY_HEADER_TIMEOUT'))
    let bytes = Buffer.alloc(0)
    const onReadable = (): void => {
      for (;;) {
        const header = readProxyHeader(bytes, config.PROXY_HEADER_SIZE_MAX)
        if (header.is === 'incomplete') {
          // Not a byte more than the header has: what follows is the client's.
          const chunk: Buffer | null = socket.read(Math.min(header.size - bytes.length, socket.readableLength))
          if (chunk === null) return
          bytes = Buffer.concat([bytes, chunk])
          continue
        }
        socket.removeListener('readable', onReadable)
        done()
        if (header.is === 'malformed') {
          if (header.isTooLarge) this.#host.reached('PROXY_HEADER_SIZE_MAX')
          this.#refuse(socket, 'malformed')
        } else go(header.source)
        return
      }
    }
    socket.on('readable', onReadable)
  }

  #refuse(socket: Socket, reason: 'untrusted' | 'malformed'): void {
    this.#host.proxyRefused(reason)
    socket.destroy()
  }

  /** Closes the socket after `ms`, unless the answer is called before. */
  #bound(socket: Socket, ms: number, onLate: () => void): () => void {
    const { deadlines } = this.#host
    const timed: Timed = {
      onDeadline: () => {
        onLate()
        socket.destroy()
        return null
      },
    }
    const done = (): void => deadlines.remove(timed)
    deadlines.set(timed, this.#host.now() + ms)
    socket.once('close', done)
    return done
  }

  #know(socket: Socket, entered: Entered): void {
    const peer = peerOf(socket)
    this.#entered.set(peer, entered)
    // Another socket with the same peer may have come before this one's end is told.
    socket.once('close', () => {
      if (this.#entered.get(peer) === entered) this.#entered.delete(peer)
    })
  }
}

const peerOf = ({ remoteAddress, remotePort, localPort }: Socket): string => `${remoteAddress} ${remotePort} ${localPort}`
