import type { X509Certificate } from 'node:crypto'

export type TransportKind = 'tcp' | 'tls' | 'ws' | 'wss'

/** What a transport tells its connection. */
export interface TransportListener {
  /** Bytes from the client; the chunk belongs to the receiver. */
  onData(chunk: Buffer): void
  /** What waited in `waitingBytes` has been taken by the network. */
  onDrain(): void
  /** The transport is over. `orderly` is a WebSocket close frame. Called once. */
  onClosed(orderly: boolean): void
}

/** A byte stream to one client, whatever carries it: the connection does not know which. */
export interface Transport {
  readonly kind: TransportKind
  readonly remoteAddress: string
  /** The client's certificate, checked by nobody yet: access/authenticate.ts is the judge. */
  readonly certificate: X509Certificate | null
  /** What else the client sent with it; empty on a resumed TLS session. */
  readonly certificateChain: readonly X509Certificate[]
  /** Bytes written that the network has not taken. */
  readonly waitingBytes: number
  listen(listener: TransportListener): void
  /** One write to the network for all parts. */
  write(parts: readonly Buffer[]): void
  pause(): void
  resume(): void
  /** Closes after what was written is out, at the latest after `graceMs`. */
  end(graceMs: number): void
  /** Closes at once. */
  destroy(): void
}
