/**
 * The gRPC service of proto/delivery.proto on @grpc/grpc-js, with the Batch passed through as raw bytes: a gateway
 * serves it, every router holds one stream to every gateway.
 */
import { readFileSync } from 'node:fs'
import type { Http2Server, ServerHttp2Session } from 'node:http2'
import type { Duplex } from 'node:stream'
import {
  ChannelCredentials,
  type ChannelOptions,
  type Client,
  credentials,
  Metadata,
  makeClientConstructor,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import { FrameError, FrameWriter, readFrames } from './frame-codec.ts'
import type { Frame } from './frames.ts'

/** HTTP/2 windows of both ends, bytes. The default of 64 KiB would wait for a round trip every 64 KiB. */
const windowSize = 4 * 1024 * 1024
/** Frames are handed to gRPC at this size even within one tick, bytes. */
const batchSizeMax = 128 * 1024
/** Largest gRPC message either side accepts, bytes: one batch plus one largest message. */
const messageSizeMax = 16 * 1024 * 1024

/** Metadata of the call: the namespace's life name. One that does not say it means the home namespace. */
const namespaceKey = 'loggerhead-namespace'

const raw = (bytes: Buffer): Buffer => bytes

const service = {
  link: {
    path: '/loggerhead.delivery.v1.Delivery/Link',
    requestStream: true,
    responseStream: true,
    requestSerialize: raw,
    requestDeserialize: raw,
    responseSerialize: raw,
    responseDeserialize: raw,
  },
} satisfies ServiceDefinition

const options: ChannelOptions = {
  'grpc.max_receive_message_length': messageSizeMax,
  'grpc.max_send_message_length': -1,
  'grpc-node.flow_control_window': windowSize,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.use_local_subchannel_pool': 1,
}

/** PEM files of mutual TLS between routers and gateways. */
export interface DeliveryTls {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** Both ends of a stream: frames out are collected per tick into one batch, frames in are handed on one by one. */
export class FrameLink {
  readonly #stream: Duplex
  readonly #writer = new FrameWriter()
  readonly #onEnd: (reason: string) => void
  readonly #onDrain: (() => void) | undefined
  #queuedBytes = 0
  #flushScheduled = false
  #ended = false

  /** `onFrame` may throw FrameError: the link ends. `onEnd` is called once, `onDrain` when HTTP/2 has taken all. */
  constructor(stream: Duplex, handlers: { onFrame(frame: Frame): void; onEnd(reason: string): void; onDrain?(): void }) {
    this.#stream = stream
    this.#onEnd = handlers.onEnd
    this.#onDrain = handlers.onDrain?.bind(handlers)
    stream.on('data', (batch: Buffer) => {
      try {
        for (const frame of readFrames(batch)) {
          if (this.#ended) return
          handlers.onFrame(frame)
        }
      } catch (error) {
        if (!(error instanceof FrameError)) throw error
        this.close(error.message)
      }
    })
    stream.on('error', (error: Error) => this.#end(error.message))
    stream.on('end', () => this.close('the peer ended the stream'))
    stream.on('close', () => this.#end('closed'))
  }

  /** Bytes sent into the link that HTTP/2 has not taken yet: the peer is slow when this grows. */
  get queuedBytes(): number {
    return this.#queuedBytes + this.#writer.size
  }

  get isOpen(): boolean {
    return !this.#ended
  }

  send(frame: Frame): void {
    if (this.#ended) return
    this.#writer.write(frame)
    if (this.#writer.size >= batchSizeMax) this.#flush()
    else if (!this.#flushScheduled) {
      this.#flushScheduled = true
      setImmediate(() => {
        this.#flushScheduled = false
        this.#flush()
      })
    }
  }

  close(reason: string): void {
    if (this.#ended) return
    this.#flush()
    this.#stream.end()
    this.#end(reason)
  }

  #flush(): void {
    if (this.#ended || this.#writer.isEmpty) return
    const batch = this.#writer.take()
    const { length } = batch
    this.#queuedBytes += length
    this.#stream.write(batch, (error) => {
      this.#queuedBytes -= length
      // gRPC has copied it behind a header of its own.
      if (!error) this.#writer.giveBack(batch)
      if (this.#queuedBytes === 0 && !this.#ended) this.#onDrain?.()
    })
  }

  #end(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#onEnd(reason)
  }
}

/** The gateway's side: calls `onLink` with each router's stream and the namespace it is for. */
export async function serveDelivery(listen: {
  readonly address: string
  readonly tls?: DeliveryTls
  onLink(stream: Duplex, peer: string, namespace: string | undefined): void
}): Promise<{ port: number; close(): void }> {
  const server = new Server(options)
  widenWindows(server)
  server.addService(service, {
    link: (call: ServerDuplexStream<Buffer, Buffer>) =>
      listen.onLink(call as unknown as Duplex, call.getPeer(), call.metadata.get(namespaceKey)[0]?.toString()),
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(listen.address, serverCredentials(listen.tls), (error, bound) => (error ? reject(error) : resolve(bound)))
  })
  return { port, close: () => server.forceShutdown() }
}

/** The router's side: one client per gateway and namespace, so that no namespace waits in another's HTTP/2 window. */
export function dialDelivery(address: string, tls?: DeliveryTls, namespace?: string): { link(): Duplex; close(): void } {
  const DeliveryClient = makeClientConstructor(service, 'Delivery')
  const client: Client = new DeliveryClient(address, clientCredentials(tls), options)
  const metadata = new Metadata()
  if (namespace !== undefined) metadata.set(namespaceKey, namespace)
  return {
    link: () => client.makeBidiStreamRequest<Buffer, Buffer>(service.link.path, raw, raw, metadata) as unknown as Duplex,
    close: () => client.close(),
  }
}

function serverCredentials(tls?: DeliveryTls): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure()
  const pair = { private_key: readFileSync(tls.key), cert_chain: readFileSync(tls.cert) }
  return ServerCredentials.createSsl(readFileSync(tls.ca), [pair], true)
}

function clientCredentials(tls?: DeliveryTls): ChannelCredentials {
  return tls ? credentials.createSsl(readFileSync(tls.ca), readFileSync(tls.key), readFileSync(tls.cert)) : ChannelCredentials.createInsecure()
}

/**
 * grpc-js 1.14 reads `flow_control_window` on the client only, and the gateway, which receives most, is the server:
 * its HTTP/2 sessions are widened as they are made.
 */
function widenWindows(server: Server): void {
  const inner = server as unknown as { createHttp2Server(credentials: ServerCredentials): Http2Server; commonServerOptions: { settings?: object } }
  inner.commonServerOptions.settings = { ...inner.commonServerOptions.settings, initialWindowSize: windowSize }
  const create = inner.createHttp2Server.bind(server)
  inner.createHttp2Server = (serverCredentials) => {
    const http2Server = create(serverCredentials)
    http2Server.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(windowSize))
    return http2Server
  }
}
