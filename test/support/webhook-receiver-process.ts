/**
 * A receiver of webhooks in a process of its own. The first part of the path says how it behaves: `/status/503?retry-after=2`, `/slow/5000`,
 * `/drop`, `/redirect?to=…`, `/large/1000000`, `/hang`, `/flaky/3` (every third request fails), `/ok`. The query says how it answers OPTIONS:
 * `allowed-origin` (none: consent), `allowed-rate`, `options-status`. It reads everything with the SDK of CloudEvents.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CloudEventV1, HTTP } from 'cloudevents'
import type { ReceivedRequest } from './webhook-receiver.ts'

const received: ReceivedRequest[] = []
const openNow = new Map<string, number>()
const counts = new Map<string, number>()

function eventsOf(request: IncomingMessage, body: string): { events: readonly CloudEventV1<unknown>[]; problem?: string } {
  try {
    const parsed = HTTP.toEvent({ headers: request.headers, body })
    return { events: Array.isArray(parsed) ? parsed : [parsed as CloudEventV1<unknown>] }
  } catch (error) {
    return { events: [], problem: (error as Error).message }
  }
}

function answerOptions(url: URL, request: IncomingMessage, response: ServerResponse): void {
  const origin = url.searchParams.get('allowed-origin') ?? String(request.headers['webhook-request-origin'])
  const rate = url.searchParams.get('allowed-rate')
  response.writeHead(Number(url.searchParams.get('options-status') ?? 200), {
    allow: 'POST',
    ...(origin === 'none' ? {} : { 'webhook-allowed-origin': origin }),
    ...(rate === null ? {} : { 'webhook-allowed-rate': rate }),
    ...(url.searchParams.has('to') ? { location: String(url.searchParams.get('to')) } : {}),
  })
  response.end()
}

function behave(url: URL, response: ServerResponse): void {
  const [, how = 'ok', detail = ''] = url.pathname.split('/')
  const count = (counts.get(url.pathname) ?? 0) + 1
  counts.set(url.pathname, count)
  switch (how) {
    case 'status': {
      const retryAfter = url.searchParams.get('retry-after')
      response.writeHead(Number(detail), retryAfter === null ? {} : { 'retry-after': retryAfter }).end()
      return
    }
    case 'slow':
      setTimeout(() => response.writeHead(204).end(), Number(detail))
      return
    case 'hang':
      return
    case 'drop':
      response.socket?.destroy()
      return
    case 'half':
      response.writeHead(200, { 'content-length': '100' }).write('half')
      setTimeout(() => response.socket?.destroy(), 20)
      return
    case 'redirect':
      response.writeHead(307, { location: url.searchParams.get('to') ?? '/ok' }).end()
      return
    case 'large':
      response.writeHead(200).end(Buffer.alloc(Number(detail)))
      return
    case 'flaky':
      response.writeHead(count % Number(detail) === 0 ? 500 : 204).end()
      return
    default:
      response.writeHead(204).end()
  }
}

async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://receiver')
  if (url.pathname === '/received') {
    const from = Number(url.searchParams.get('from') ?? 0)
    response.end(JSON.stringify(received.slice(from)))
    return
  }
  const at = Date.now()
  const open = (openNow.get(url.pathname) ?? 0) + 1
  openNow.set(url.pathname, open)
  response.on('close', () => openNow.set(url.pathname, (openNow.get(url.pathname) ?? 1) - 1))
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const body = Buffer.concat(parts).toString()
  const { events, problem } = request.method === 'POST' ? eventsOf(request, body) : { events: [] }
  received.push({
    method: request.method ?? '',
    path: url.pathname,
    headers: request.headers,
    events: events.map((event) => JSON.parse(JSON.stringify(event)) as Record<string, unknown>),
    ...(problem === undefined ? {} : { problem }),
    at,
    open,
  })
  if (request.method === 'OPTIONS') answerOptions(url, request, response)
  else behave(url, response)
}

const server = createServer((request, response) => void take(request, response).catch(() => response.destroy()))
server.keepAliveTimeout = 2_000
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on('disconnect', () => process.exit(0))
