/** A request is answered with an error: RFC 9457 problem details. */
import { type ServerResponse, STATUS_CODES } from 'node:http'

interface ProblemDetails {
  /** The query parameter or header that is wrong. */
  readonly field?: string
  readonly value?: string
  /** Seconds. */
  readonly retryAfter?: number
  readonly cause?: unknown
}

/** The message is the problem's detail: what was wrong and what is allowed. */
export class HttpProblem extends Error {
  readonly status: number
  readonly field: string | undefined
  readonly value: string | undefined
  readonly retryAfter: number | undefined

  constructor(status: number, detail: string, { field, value, retryAfter, cause }: ProblemDetails = {}) {
    super(detail, cause === undefined ? {} : { cause })
    this.name = 'HttpProblem'
    this.status = status
    this.field = field
    this.value = value
    this.retryAfter = retryAfter
  }
}

const shownMax = 200
const shown = (value: string): string => (value.length > shownMax ? `${value.slice(0, shownMax)}…` : value)

export function sendProblem(response: ServerResponse, problem: HttpProblem): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const { status, message: detail, field, value, retryAfter } = problem
  const title = STATUS_CODES[status] ?? 'Error'
  const body = JSON.stringify({
    type: 'about:blank',
    title,
    status,
    detail,
    ...(field !== undefined && { field }),
    ...(value !== undefined && { value: shown(value) }),
  })
  response.writeHead(status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
    ...(status === 401 && { 'www-authenticate': 'Bearer' }),
  })
  response.end(body)
}
