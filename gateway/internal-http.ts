import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

/** Metrics as text. */
export interface MetricsText {
  readonly contentType: string
  metrics(): Promise<string>
}

/** Who answers a part of the requests. */
export interface HttpHandler {
  /** False when the request is for somebody else. */
  handle(request: IncomingMessage, response: ServerResponse): boolean
}

/** What is beyond the time for a body, ms: the headers, and what is thrown away of a body that was refused. */
const besidesBodyMs = 10_000

/** /status and /metrics, and behind the front door /mqtt/…, for the front door and whoever watches. Bound to loopback unless told otherwise. */
export function createInternalHttp(status: () => Readonly<Record<string, unknown>>, metrics: MetricsText, mqtt: HttpHandler, bodyMs: number): Server {
  const server = createServer((request, response) => {
    if (mqtt.handle(request, response)) return
    const path = (request.url ?? '').split('?', 1)[0]
    if (request.method !== 'GET' && request.method !== 'HEAD') response.writeHead(405, { allow: 'GET' }).end()
    else if (path === '/status') response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(status()))
    else if (path === '/metrics') {
      metrics.metrics().then(
        (text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text),
        () => response.writeHead(500).end(),
      )
    } else response.writeHead(404).end()
  })
  server.requestTimeout = bodyMs + besidesBodyMs
  server.headersTimeout = 5000
  return server
}
