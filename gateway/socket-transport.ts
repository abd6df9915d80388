import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Transport, TransportKind, TransportListener } from './transport.ts'

/** IPv4 addresses as such, also when the listener is dual-stack. */
export function plainAddress(address: string | undefined): string {
  if (!address) return ''
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

/** The certificate a TLS client showed, if any. */
export function clientCertificate(socket: Socket): X509Certificate | null {
  return socket instanceof TLSSocket ? (socket.getPeerX509Certificate() ?? null) : null
}

/** MQTT straight on a TCP or TLS socket. */
export class SocketTransport implements Transport {
  readonly kind: TransportKind
  readonly remoteAddress: string
  readonly #socket: Socket
  #certificate: X509Certificate | null | undefined
  #graceTimer: NodeJS.Timeout | null = null

  constructor(socket: Socket, kind: 'tcp' | 'tls', remoteAddress: string) {
    this.kind = kind
    this.#socket = socket
    this.remoteAddress = remoteAddress
    socket.setNoDelay(true)
    // A peer that vanished without a FIN and asked for no keep alive is found by TCP itself.
    socket.setKeepAlive(true, 60_000)
  }

  get certificate(): X509Certificate | null {
    this.#certificate ??= clientCertificate(this.#socket)
    return this.#certificate
  }

  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  listen(listener: TransportListener): void {
    const socket = this.#socket
    socket.on('data', (chunk: Buffer) => listener.onData(chunk))
    socket.on('drain', () => listener.onDrain())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      if (this.#graceTimer) clearTimeout(this.#graceTimer)
      listener.onClosed(false)
    })
    if (socket.destroyed) queueMicrotask(() => listener.onClosed(false))
  }

  write(parts: readonly Buffer[]): void {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return
    if (parts.length === 1) {
      socket.write(parts[0] as Buffer)
      return
    }
    socket.cork()
    for (const part of parts) socket.write(part)
    socket.uncork()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(graceMs: number): void {
    const socket = this.#socket
    if (socket.destroyed || this.#graceTimer) return
    socket.end()
    // Unread input would turn the close into a reset that can overtake the last packet: read it into nothing.
    socket.removeAllListeners('data')
    socket.resume()
    this.#graceTimer = setTimeout(() => socket.destroy(), graceMs)
    this.#graceTimer.unref()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
