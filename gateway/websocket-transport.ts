import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import type { RawData, WebSocket } from 'ws'
import { type ShownCertificates, shownCertificates } from './socket-transport.ts'
import type { Transport, TransportKind, TransportListener } from './transport.ts'

/** Close codes of RFC 6455. */
const normalClosure = 1000
const goingAway = 1001
/** Its close frame came without a code (RFC 6455, 7.1.5). */
const noStatus = 1005
const unsupportedData = 1003

/** MQTT in binary WebSocket frames; packets may span frames and frames hold several packets [MQTT-6.0.0-2]. */
export class WebSocketTransport implements Transport {
  readonly kind: TransportKind
  readonly remoteAddress: string
  readonly #webSocket: WebSocket
  readonly #socket: Socket
  #shown: ShownCertificates | null = null
  #ending = false
  #graceTimer: NodeJS.Timeout | null = null

  constructor(webSocket: WebSocket, socket: Socket, kind: 'ws' | 'wss', remoteAddress: string) {
    this.kind = kind
    this.#webSocket = webSocket
    this.#socket = socket
    this.remoteAddress = remoteAddress
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
    return this.#webSocket.bufferedAmount
  }

  listen(listener: TransportListener): void {
    const webSocket = this.#webSocket
    webSocket.on('message', (data: RawData, isBinary: boolean) => {
      if (this.#ending) return
      if (!isBinary) {
        // [MQTT-6.0.0-1]
        this.#close(unsupportedData, 1000)
        return
      }
      listener.onData(data as Buffer)
    })
    webSocket.on('error', () => webSocket.terminate())
    webSocket.on('close', (code: number) => {
      if (this.#graceTimer) clearTimeout(this.#graceTimer)
      listener.onClosed(code === normalClosure || code === goingAway || code === noStatus)
    })
    this.#socket.on('drain', () => listener.onDrain())
  }

  write(parts: readonly Buffer[]): void {
    const webSocket = this.#webSocket
    if (webSocket.readyState !== webSocket.OPEN) return
    // One frame for all parts.
    webSocket.send(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts))
  }

  pause(): void {
    this.#webSocket.pause()
  }

  resume(): void {
    this.#webSocket.resume()
  }

  end(graceMs: number): void {
    this.#close(normalClosure, graceMs)
  }

  destroy(): void {
    this.#webSocket.terminate()
  }

  #close(code: number, graceMs: number): void {
    if (this.#ending) return
    this.#ending = true
    this.#webSocket.resume()
    this.#webSocket.close(code)
    this.#graceTimer = setTimeout(() => this.#webSocket.terminate(), graceMs)
    this.#graceTimer.unref()
  }
}
