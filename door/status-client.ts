import type { Upstream } from './config.ts'
import { readStatus, type ServiceStatus } from './diagnosis.ts'
import { type GatewayFigures, readFigures } from './figures.ts'
import type { TimeLimit } from './time-limit.ts'

/** Largest body of a /status that is read, bytes; more is taken for no answer. */
const bodyMax = 262_144

/** What a service answers at /status. Rejects when it does not answer in time, or not with JSON. */
async function fetchStatus({ url }: Upstream, timeLimit: TimeLimit, timeoutMs: number): Promise<unknown> {
  const limit = timeLimit(timeoutMs)
  try {
    const answer = await fetch(new URL('/status', url), { signal: limit.signal, redirect: 'error' })
    let text = ''
    const decoder = new TextDecoder()
    for await (const chunk of answer.body ?? []) {
      text += decoder.decode(chunk, { stream: true })
      if (text.length > bodyMax) throw new Error(`its status is larger than ${bodyMax} bytes`)
    }
    return JSON.parse(text)
  } finally {
    limit.clear()
  }
}

/** Asks one gateway for its figures; null when it does not answer in time. Never rejects. */
export async function askFigures(upstream: Upstream, timeLimit: TimeLimit, timeoutMs: number): Promise<GatewayFigures | null> {
  return fetchStatus(upstream, timeLimit, timeoutMs).then(
    (status) => readFigures(upstream.id, status),
    () => null,
  )
}

/** Asks one service for its status; one that does not answer in time is down. Never rejects. */
export async function askStatus(kind: ServiceStatus['kind'], upstream: Upstream, timeLimit: TimeLimit, timeoutMs: number): Promise<ServiceStatus> {
  const { id } = upstream
  try {
    return readStatus(id, kind, await fetchStatus(upstream, timeLimit, timeoutMs))
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    return { id, kind, up: false, reason: cause instanceof Error ? cause.message : String(cause) }
  }
}
