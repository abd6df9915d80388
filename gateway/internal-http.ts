import { createServer, type Server } from 'node:http'

/** Metrics as text. */
export interface MetricsText {
  readonly contentType: string
  metrics(): Promise<string>
}

/** /status and /metrics, for the front door and whoever watches. Bound to loopback unless told otherwise. */
export function createInternalHttp(status: () => Readonly<Record<string, unknown>>, metrics: MetricsText): Server {
  const server = createServer((request, response) => {
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
  server.requestTimeout = 10_000
  server.headersTimeout = 5000
  return server
}
