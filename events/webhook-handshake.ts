/** The validation handshake of the CloudEvents HTTP webhook specification, section 4 (PU-02): a target says that it wants what is sent. */
import type { IncomingHttpHeaders } from 'node:http'

/** Headers of the OPTIONS request; `origin` is a DNS name that stands for all senders of the deployment. */
export function handshakeHeaders(origin: string, perMinute: number | null): Readonly<Record<string, string>> {
  return { 'webhook-request-origin': origin, ...(perMinute === null ? {} : { 'webhook-request-rate': String(perMinute) }) }
}

/** Headers of every delivery after it. Event Grid sends `Origin`, the specification asks for the other. */
export function deliveryOriginHeaders(origin: string): Readonly<Record<string, string>> {
  return { origin, 'webhook-request-origin': origin }
}

export type Consent =
  /** `perMinute` is null for no limit. */
  { readonly isGiven: true; readonly perMinute: number | null } | { readonly isGiven: false; readonly why: string }

/** What is told of a target's header in an answer: it may be long. */
const shownMax = 100

/**
 * Whether the answer to OPTIONS is consent. It is the header that says so, not the status: many a server answers OPTIONS
 * with 200 and knows nothing of events. An answer that is a redirect or an error is none all the same.
 */
export function readConsent(status: number, headers: IncomingHttpHeaders, origin: string): Consent {
  const refuse = (why: string): Consent => ({ isGiven: false, why })
  if (status >= 300) return refuse(`it answered OPTIONS with HTTP ${status}`)
  const allowed = text(headers['webhook-allowed-origin'])
  if (allowed === undefined) return refuse('its answer to OPTIONS has no header WebHook-Allowed-Origin')
  if (allowed !== '*' && allowed.toLowerCase() !== origin.toLowerCase()) {
    return refuse(`its header WebHook-Allowed-Origin is “${allowed.slice(0, shownMax)}”, neither “${origin}” nor *`)
  }
  const rate = text(headers['webhook-allowed-rate'])
  if (rate === undefined || rate === '*') return { isGiven: true, perMinute: null }
  if (!/^[1-9]\d{0,8}$/.test(rate)) return refuse(`its header WebHook-Allowed-Rate is “${rate.slice(0, shownMax)}”, neither requests per minute nor *`)
  return { isGiven: true, perMinute: Number(rate) }
}

function text(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === 'string' ? header.trim() : header?.[0]?.trim()
}
