/** One connection to one broker. It is never mended: when anything fails, all its requests fail and a new link is opened. */
import { type Broker, brokerOn, type Connection, fetchMetadata, type KafkajsLogger, type Metadata, newConnection } from './kafkajs.ts'

/** Kafka could not be asked: not connected, cut off, or no answer in time. The request may have been carried out. */
export class LinkError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'LinkError'
  }
}

export interface LinkOptions {
  readonly host: string
  readonly port: number
  readonly clientId: string
  readonly ssl: object | boolean | null
  readonly sasl: object | null
  readonly kafkajsLogger: KafkajsLogger
  readonly connectTimeoutMs: number
  /** Called at each answer, and once when the link fails: what health is made of. */
  readonly onAnswer: () => void
  readonly onFailure: (error: Error, sinceMs: number) => void
}

/** A request written by ourselves. `write` must put the whole frame, length included, on the socket. */
export interface RawRequest {
  readonly apiKey: number
  readonly apiName: string
  readonly apiVersion: number
  readonly timeoutMs: number
  frame(correlationId: number, clientId: string): readonly Buffer[]
  onAnswer(payload: Buffer): void
  onError(error: Error): void
}

export class Link {
  readonly #options: LinkOptions
  readonly #connection: Connection
  readonly #broker: Broker
  #failed: Error | null = null
  #closing = false
  readonly #waiting = new Set<(error: LinkError) => void>()

  constructor(options: LinkOptions) {
    this.#options = options
    this.#connection = newConnection({ ...options, logger: options.kafkajsLogger })
    this.#broker = brokerOn(this.#connection, options.kafkajsLogger, options.connectTimeoutMs)
  }

  get address(): string {
    return `${this.#options.host}:${this.#options.port}`
  }

  /** False once it failed, or when its SASL session is about to end: then a new link takes over. */
  get usable(): boolean {
    const { connectionStatus, sasl } = this.#connection
    return this.#failed === null && !this.#closing && connectionStatus === 'connected' && (!sasl || this.#connection.isAuthenticated())
  }

  /** Connects, asks the API versions and authenticates. */
  async open(): Promise<this> {
    await this.#bounded(this.#broker.connect(), 2 * this.#options.connectTimeoutMs, `connecting to ${this.address}`)
    const socket = this.#connection.socket
    // kafkajs listens for 'end' and 'error'; a socket can also just close.
    socket?.once('close', () => this.#fail(new LinkError(`${this.address} closed the connection`), 0))
    return this
  }

  /** One of kafkajs's own requests. */
  call<T>(what: string, timeoutMs: number, request: (broker: Broker) => Promise<T>): Promise<T> {
    return this.#bounded(request(this.#broker), timeoutMs, `${what} at ${this.address}`)
  }

  metadata(topics: readonly string[], timeoutMs: number): Promise<Metadata> {
    return this.#bounded(fetchMetadata(this.#connection, topics), timeoutMs, `metadata at ${this.address}`)
  }

  /** Sends a request of our own encoding. The answer's buffer is ours to keep. */
  send(request: RawRequest): void {
    const connection = this.#connection
    const socket = connection.socket
    if (!this.usable || !socket) {
      request.onError(this.#failed ?? new LinkError(`${this.address} is not connected`))
      return
    }
    const correlationId = connection.nextCorrelationId()
    const sentAt = Date.now()
    const timer = setTimeout(() => {
      this.#fail(new LinkError(`no answer to ${request.apiName} from ${this.address} within ${request.timeoutMs} ms`), Date.now() - sentAt)
    }, request.timeoutMs)
    connection.requestQueue.push({
      entry: {
        apiKey: request.apiKey,
        apiName: request.apiName,
        apiVersion: request.apiVersion,
        correlationId,
        resolve: ({ payload }) => {
          clearTimeout(timer)
          this.#options.onAnswer()
          request.onAnswer(payload)
        },
        reject: (error) => {
          clearTimeout(timer)
          const failure = error instanceof LinkError ? error : new LinkError(error.message, { cause: error })
          // kafkajs rejects before it changes its status: from here on this link is not usable.
          if (!this.#failed && !this.#closing) {
            this.#failed = failure
            this.#options.onFailure(failure, 0)
            process.nextTick(() => this.#destroy(failure))
          }
          request.onError(failure)
        },
      },
      expectResponse: true,
      requestTimeout: null,
      sendRequest: () => {
        const parts = request.frame(correlationId, this.#options.clientId)
        socket.cork()
        for (const part of parts) socket.write(part)
        socket.uncork()
      },
    })
  }

  /** The broker asked us to wait before the next request. */
  throttle(ms: number): void {
    if (ms > 0) this.#connection.requestQueue.maybeThrottle(ms)
  }

  /** Ends it when bytes of a request still wait in this process: what is unanswered fails. */
  closeUnlessSent(): void {
    if ((this.#connection.socket?.writableLength ?? 0) > 0) this.#fail(new LinkError(`a request to ${this.address} had been sent by half`), 0)
  }

  /** Ends it at once; what is unanswered fails. */
  close(): void {
    this.#closing = true
    this.#destroy(new LinkError(`the connection to ${this.address} was closed here`))
  }

  #fail(error: LinkError, waitedMs: number): void {
    if (this.#failed || this.#closing) return
    this.#failed = error
    this.#options.onFailure(error, waitedMs)
    this.#destroy(error)
  }

  #destroy(error: LinkError): void {
    const connection = this.#connection
    // Unanswered bytes must never leave this process later: their memory is reused.
    // While connecting, only an 'error' event makes kafkajs clear its timer.
    if (connection.connectionStatus === 'connected') connection.socket?.destroy()
    else connection.socket?.destroy(error)
    for (const giveUp of [...this.#waiting]) giveUp(error)
    connection.connectionStatus = 'disconnected'
    connection.requestQueue.destroy()
    connection.rejectRequests(error)
  }

  async #bounded<T>(work: Promise<T>, timeoutMs: number, what: string): Promise<T> {
    const startedAt = Date.now()
    let timer: NodeJS.Timeout | undefined
    let giveUp: (error: LinkError) => void = () => {}
    const late = new Promise<never>((_, reject) => {
      giveUp = reject
      this.#waiting.add(reject)
      timer = setTimeout(() => {
        const error = new LinkError(`no answer while ${what} within ${timeoutMs} ms`)
        this.#fail(error, Date.now() - startedAt)
        reject(error)
      }, timeoutMs)
    })
    try {
      const result = await Promise.race([work, late])
      this.#options.onAnswer()
      return result
    } catch (error) {
      if (error instanceof LinkError) throw error
      if (error instanceof Error && 'type' in error && error.type !== undefined) {
        // Kafka answered, if only to refuse; a refused login makes no usable link though.
        if (String(error.type).includes('SASL') || error.name === 'KafkaJSSASLAuthenticationError')
          this.#fail(new LinkError(error.message, { cause: error }), 0)
        else this.#options.onAnswer()
        throw error
      }
      const failure = new LinkError(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
      if (error instanceof Error && (error.name.startsWith('KafkaJSConnection') || error.name === 'KafkaJSSASLAuthenticationError')) this.#fail(failure, 0)
      throw failure
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(giveUp)
      work.catch(() => {})
    }
  }
}
