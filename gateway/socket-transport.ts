import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { type DetailedPeerCertificate, TLSSocket } from 'node:tls'
import type { Transport, TransportKind, TransportListener } from './transport.ts'

/** IPv4 addresses as such, also when the listener is dual-stack. */
export function plainAddress(address: string | undefined): string {
  if (!address) return ''
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

/** What a TLS client showed. */
export interface ShownCertificates {
  readonly certificate: X509Certificate | null
  readonly certificateChain: readonly X509Certificate[]
}

/** Certificates of a chain that are read, at most. */
const chainMax = 5
const nothing: ShownCertificates = { certificate: null, certificateChain: [] }

/** What a TLS client showed: its certificate, and what it sent behind it as far as each signed the one before. To be called once for a socket. */
export function shownCertificates(socket: Socket): ShownCertificates {
  if (!(socket instanceof TLSSocket)) return nothing
  const certificateChain: X509Certificate[] = []
  // The chain first: asking for the certificate alone takes it from the TLS library's hands.
  let at: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
  while (certificateChain.length < chainMax && at?.issuerCertificate?.raw && at.issuerCertificate !== at) {
    at = at.issuerCertificate
    certificateChain.push(new X509Certificate(at.raw))
  }
  return { certificate: socket.getPeerX509Certificate() ?? null, certificateChain }
}

/** MQTT straight on a TCP or TLS socket. */
export class SocketTransport implements Transport {
  readonly kind: TransportKind
  readonly remoteAddress: string
  readonly #socket: Socket
  #shown: ShownCertificates | null = null
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
    this.#shown ??= shownCertificates(this.#socket)
    return this.#shown.certificate
  }

  get certificateChain(): readonly X509Certificate[] {
    this.#shown ??= shownCertificates(this.#socket)
    return this.#shown.certificateChain
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
