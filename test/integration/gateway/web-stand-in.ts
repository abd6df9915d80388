/** A web server of the test's own on loopback: answers as it is told, and remembers what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export class WebStandIn {
  readonly asked: Asked[] = []
  /** What is answered; null leaves the request without an answer. */
  answer: (asked: Asked) => { readonly status?: number; readonly body?: string; readonly headers?: Readonly<Record<string, string>> } | null = () => ({})
  readonly #server = createServer((request, response) => void this.#take(request, response))
  readonly #sockets = new Set<Socket>()
  readonly #open = new Set<ServerResponse>()
  /** Most requests that were without an answer at one time. */
  openMax = 0

  static async start(): Promise<WebStandIn> {
    const web = new WebStandIn()
    web.#server.on('connection', (socket) => web.#sockets.add(socket))
    await new Promise<void>((resolve) => web.#server.listen(0, '127.0.0.1', resolve))
    return web
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Connections that were made so far. */
  get connections(): number {
    return this.#sockets.size
  }

  get open(): number {
    return this.#open.size
  }

  /** Answers all that were left without. */
  answerOpen(body: string): void {
    for (const response of this.#open) response.end(body)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#open.add(response)
    this.openMax = Math.max(this.openMax, this.#open.size)
    response.on('close', () => this.#open.delete(response))
    let body = ''
    for await (const part of request) body += part
    const asked = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body }
    this.asked.push(asked)
    const { status = 200, body: text = '', headers = {} } = this.answer(asked) ?? { status: 0 }
    if (status > 0) response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text)
  }
}
