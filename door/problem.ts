import { type ServerResponse, STATUS_CODES } from 'node:http'

/** An error as RFC 9457 spells it. `hop` names the service that failed, where one did. */
export interface Problem {
  readonly status: number
  readonly detail: string
  readonly hop?: string
  /** Ends the connection: what the client still sends is not read. */
  readonly close?: boolean
  /** Seconds. */
  readonly retryAfter?: number
}

/** The body of a problem. */
export function problemBody(problem: Problem): string {
  const { status, detail, hop } = problem
  return JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail, ...(hop === undefined ? {} : { hop }) })
}

/** Answers with the problem; once an answer has begun there is only the connection left to end. */
export function sendProblem(response: ServerResponse, problem: Problem): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const body = problemBody(problem)
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(problem.retryAfter === undefined ? {} : { 'retry-after': String(problem.retryAfter) }),
    ...(problem.close ? { connection: 'close' } : {}),
  })
  response.end(body)
}
