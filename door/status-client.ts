import type { Upstream } from './config.ts'
import { readStatus, type ServiceStatus } from './diagnosis.ts'

/** Largest body of a /status that is read, bytes; more is taken for no answer. */
const bodyMax = 262_144

/** Asks one service for its status; one that does not answer in time is down. Never rejects. */
export async function askStatus(kind: ServiceStatus['kind'], upstream: Upstream, timeoutMs: number): Promise<ServiceStatus> {
  const { id, url } = upstream
  try {
    const answer = await fetch(new URL('/status', url), { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' })
    let text = ''
    const decoder = new TextDecoder()
    for await (const chunk of answer.body ?? []) {
      text += decoder.decode(chunk, { stream: true })
      if (text.length > bodyMax) throw new Error(`its status is larger than ${bodyMax} bytes`)
    }
    return readStatus(id, kind, JSON.parse(text))
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    return { id, kind, up: false, reason: cause instanceof Error ? cause.message : String(cause) }
  }
}
