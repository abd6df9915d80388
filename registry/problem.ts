/** Errors on the wire: RFC 9457 problem details. */
import { STATUS_CODES } from 'node:http'

/** One thing that is wrong: where, what was given, and which rule says so. */
export interface Violation {
  /** Path in the resource, e.g. `properties.attributes.site`. */
  readonly field: string
  readonly value?: unknown
  /** What is allowed, in words. */
  readonly rule: string
}

/** A request is answered with an error. The message is the problem's detail. */
export class Problem extends Error {
  readonly status: number
  readonly violations: readonly Violation[]
  /** Seconds. */
  readonly retryAfter: number | undefined
  constructor(
    status: number,
    detail: string,
    options: { readonly violations?: readonly Violation[]; readonly retryAfter?: number; readonly cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'Problem'
    this.status = status
    this.violations = options.violations ?? []
    this.retryAfter = options.retryAfter
  }
}

const shownMax = 200

/** Values are shown shortened: what is wrong with a long one rarely stands at its end. */
export function shown(value: unknown): unknown {
  if (typeof value === 'string') return value.length > shownMax ? `${value.slice(0, shownMax)}…` : value
  if (typeof value !== 'object' || value === null) return value
  const text = JSON.stringify(value)
  return text.length > shownMax ? `${text.slice(0, shownMax)}…` : value
}

/** The body of a problem. The first violation stands at the top level too, for who reads no lists. */
export function problemBody(problem: Problem): string {
  const violations = problem.violations.map((violation) => ({ ...violation, ...('value' in violation ? { value: shown(violation.value) } : {}) }))
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[problem.status] ?? 'Error',
    status: problem.status,
    detail: problem.message,
    ...violations[0],
    ...(violations.length > 0 ? { violations } : {}),
  })
}
