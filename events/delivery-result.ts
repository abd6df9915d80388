/** What came of one attempt to deliver to a webhook, and what follows from it: PU-04, PU-06, PU-10 and PU-12. */

/** What the webhook said, or how asking it failed. */
export type DeliveryAnswer =
  | { readonly status: number; readonly retryAfter?: string | undefined }
  /** timeout, resolution, network, tooLarge or forbidden: no answer came, or the request was not let out. */
  | { readonly failed: string }

/** As `deliveryresult` of a dead letter names it. */
const deliveryResults = [
  'Success',
  'BadRequest',
  'Unauthorized',
  'Forbidden',
  'NotFound',
  'PayloadTooLarge',
  'UriTooLong',
  'TimedOut',
  'Busy',
  'Disabled',
  'Redirected',
  'SocketError',
  'ResolutionError',
  'AddressForbidden',
  'Failed',
] as const
export type DeliveryResult = (typeof deliveryResults)[number]

export interface DeliveryVerdict {
  readonly result: DeliveryResult
  /** delivered; again, by the schedule; or never again: a client error that repeating does not mend. */
  readonly fate: 'delivered' | 'retry' | 'undeliverable'
  /** Least time until the events of this attempt are tried again, ms. */
  readonly retryAfterMs: number
  /** Time that the whole subscription rests, ms. */
  readonly probationMs: number
}

/** How long a subscription rests after a failure (PU-10), ms. */
export interface Probations {
  /** Busy and TimedOut. */
  readonly busyMs: number
  readonly socketErrorMs: number
  /** What somebody has to mend: NotFound, ResolutionError, Disabled, Unauthorized, Forbidden. */
  readonly configurationMs: number
}

/** Event Grid's. */
const defaultProbations: Probations = { busyMs: 10_000, socketErrorMs: 30_000, configurationMs: 300_000 }

/** A webhook may ask for a longer rest than this, and gets this much, ms. */
const retryAfterMaxMs = 3_600_000

/** 200 to 204 and nothing else (PU-04). */
const isSuccess = (status: number): boolean => status >= 200 && status <= 204

const failures: Readonly<Record<string, DeliveryResult>> = { timeout: 'TimedOut', resolution: 'ResolutionError', forbidden: 'AddressForbidden' }

function resultOf(status: number): DeliveryResult {
  if (isSuccess(status)) return 'Success'
  if (status >= 300 && status < 400) return 'Redirected' // never followed
  switch (status) {
    case 400:
      return 'BadRequest'
    case 401:
      return 'Unauthorized'
    case 403:
      return 'Forbidden'
    case 404:
      return 'NotFound'
    case 408:
    case 504:
      return 'TimedOut'
    case 410:
      return 'Disabled'
    case 413:
      return 'PayloadTooLarge'
    case 414:
      return 'UriTooLong'
    case 429:
    case 503:
      return 'Busy'
    default:
      return 'Failed'
  }
}

const undeliverable: ReadonlySet<DeliveryResult> = new Set(['BadRequest', 'Unauthorized', 'Forbidden', 'NotFound', 'PayloadTooLarge', 'UriTooLong'])

/** Least waits that Event Grid gives for single statuses, ms; the schedule's wait when it is longer. */
const leastWaits: Readonly<Record<number, number>> = { 408: 120_000, 503: 30_000 }

function probationOf(result: DeliveryResult, { busyMs, socketErrorMs, configurationMs }: Probations): number {
  switch (result) {
    case 'Busy':
    case 'TimedOut':
      return busyMs
    case 'SocketError':
      return socketErrorMs
    case 'NotFound':
    case 'ResolutionError':
    case 'AddressForbidden':
    case 'Disabled':
    case 'Unauthorized':
    case 'Forbidden':
      return configurationMs
    default:
      return 0
  }
}

/** `Retry-After` as milliseconds from `nowMs`: seconds, or a date (RFC 9110, 10.2.3); 0 for what is neither. */
export function retryAfterMs(text: string | undefined, nowMs: number): number {
  if (text === undefined) return 0
  const at = /^\d{1,9}$/.test(text.trim()) ? nowMs + Number(text) * 1000 : Date.parse(text)
  return Number.isNaN(at) ? 0 : Math.min(retryAfterMaxMs, Math.max(0, at - nowMs))
}

/** Judges an answer. The least waits of single statuses are no longer than `leastWaitMaxMs`. */
export function judgeDelivery(answer: DeliveryAnswer, nowMs: number, probations: Probations = defaultProbations, leastWaitMaxMs = 120_000): DeliveryVerdict {
  if ('failed' in answer) {
    const result = failures[answer.failed] ?? 'SocketError'
    return { result, fate: 'retry', retryAfterMs: 0, probationMs: probationOf(result, probations) }
  }
  const { status, retryAfter } = answer
  const result = resultOf(status)
  if (result === 'Success') return { result, fate: 'delivered', retryAfterMs: 0, probationMs: 0 }
  // The CloudEvents webhook specification: no further request until then.
  const askedMs = result === 'Busy' ? retryAfterMs(retryAfter, nowMs) : 0
  return {
    result,
    fate: undeliverable.has(result) ? 'undeliverable' : 'retry',
    retryAfterMs: Math.max(askedMs, Math.min(leastWaitMaxMs, leastWaits[status] ?? 0)),
    probationMs: Math.max(askedMs, probationOf(result, probations)),
  }
}
