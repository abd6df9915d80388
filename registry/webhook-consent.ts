/** Asks a webhook whether it wants to be sent events, before a subscription may name it (PU-02). */
import { shownUrl } from '../access/shown-url.ts'
import { type Consent, handshakeHeaders, readConsent } from '../events/webhook-handshake.ts'
import { type OutgoingRequests, RequestFailed } from '../outgoing/outgoing-request.ts'
import type { RegistryConfig } from './config.ts'
import type { AskWebhook } from './event-resources.ts'
import { badRequest } from './violations.ts'

export interface AskedConsent {
  readonly url: string
  /** A DNS name that stands for all senders of the deployment. */
  readonly origin: string
  /** Requests per minute that will not be exceeded; null when nobody set any. */
  readonly perMinute: number | null
  readonly timeoutMs: number
  onTimeout(): void
}

/** What an answer may hold that nobody reads, bytes. */
const ignoredMax = 65_536

/** A webhook that cannot be asked has not consented. */
async function askConsent(requests: Pick<OutgoingRequests, 'send'>, { url, origin, perMinute, timeoutMs, onTimeout }: AskedConsent): Promise<Consent> {
  try {
    const answer = await requests.send({
      url,
      method: 'OPTIONS',
      // No header of the operator's: a target learns no secret before it has agreed to anything.
      headers: { ...handshakeHeaders(origin, perMinute), 'user-agent': 'Loggerhead' },
      timeoutMs,
      bytesMax: ignoredMax,
      ignoresBody: true,
    })
    const consent = readConsent(answer.status, answer.headers, origin)
    return consent.isGiven ? consent : { isGiven: false, why: `the webhook ${shownUrl(url)} has not agreed to events: ${consent.why}` }
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error
    if (error.kind === 'timeout') onTimeout()
    return { isGiven: false, why: `the webhook ${shownUrl(url)} could not be asked whether it wants events: ${error.message}` }
  }
}

const endpointUrl = 'properties.deliveryConfiguration.push.destination.properties.endpointUrl'

/** What the API asks: the origin is the namespace's first host name, or the deployment's. */
export function webhookAsker(
  requests: Pick<OutgoingRequests, 'send'>,
  { PUSH_ORIGIN, PUSH_HANDSHAKE_TIMEOUT }: Pick<RegistryConfig, 'PUSH_ORIGIN' | 'PUSH_HANDSHAKE_TIMEOUT'>,
  hostNamesOf: (namespace: string) => readonly string[],
  onLimit: (limit: 'PUSH_HANDSHAKE_TIMEOUT') => void,
): AskWebhook {
  return async ({ name }, url, perMinute) => {
    const origin = hostNamesOf(name)[0] ?? PUSH_ORIGIN
    const consent = await askConsent(requests, {
      url,
      origin,
      perMinute,
      timeoutMs: PUSH_HANDSHAKE_TIMEOUT,
      onTimeout: () => onLimit('PUSH_HANDSHAKE_TIMEOUT'),
    })
    if (!consent.isGiven) throw badRequest([{ field: endpointUrl, rule: consent.why }])
    return { origin, perMinute: consent.perMinute }
  }
}
