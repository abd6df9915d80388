/** Asks a webhook whether it wants to be sent events, before a subscription may name it (PU-02). */
import { shownUrl } from '../access/shown-url.ts'
import { type Consent, handshakeHeaders, readConsent } from '../events/webhook-handshake.ts'
import { type OutgoingRequests, RequestFailed } from '../outgoing/outgoing-request.ts'

export interface AskedConsent {
  readonly url: string
  /** A DNS name that stands for all senders of the deployment. */
  readonly origin: string
  /** Requests per minute that will not be exceeded; null when nobody set any. */
  readonly perMinute: number | null
  /** Headers that the webhook may want for letting anybody in. */
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
}

/** What an answer may hold that nobody reads, bytes. */
const ignoredMax = 65_536

/** Never rejects: a webhook that cannot be asked has not consented. */
export async function askConsent(requests: Pick<OutgoingRequests, 'send'>, { url, origin, perMinute, headers, timeoutMs }: AskedConsent): Promise<Consent> {
  try {
    const answer = await requests.send({
      url,
      method: 'OPTIONS',
      headers: { ...headers, ...handshakeHeaders(origin, perMinute), 'user-agent': 'Loggerhead' },
      timeoutMs,
      bytesMax: ignoredMax,
      ignoresBody: true,
    })
    const consent = readConsent(answer.status, answer.headers, origin)
    return consent.isGiven ? consent : { isGiven: false, why: `the webhook ${shownUrl(url)} has not agreed to events: ${consent.why}` }
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error
    return { isGiven: false, why: `the webhook ${shownUrl(url)} could not be asked whether it wants events: ${error.message}` }
  }
}
