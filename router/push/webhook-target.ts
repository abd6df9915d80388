/** One webhook as the pusher sees it: content goes in, an answer comes out, whatever happens on the way. */

import { shownUrl } from '../../access/shown-url.ts'
import type { DeliveryHeaders } from '../../events/delivery-headers.ts'
import type { DeliveryAnswer } from '../../events/delivery-result.ts'
import type { HttpContent } from '../../events/http-binding.ts'
import { deliveryOriginHeaders } from '../../events/webhook-handshake.ts'
import { type OutgoingRequests, RequestFailed } from '../../outgoing/outgoing-request.ts'
import { contextAmong } from '../../telemetry/trace-context.ts'
import type { Tracing } from '../../telemetry/tracing.ts'

export interface WebhookTargetOptions {
  readonly requests: Pick<OutgoingRequests, 'send'>
  readonly url: string
  /** The DNS name that the webhook has agreed to. */
  readonly origin: string
  readonly timeoutMs: number
  /** Null where nothing is traced. */
  readonly tracing?: Tracing | null
}

/** What an answer may hold that nobody reads; more of it closes the connection, bytes. */
const ignoredMax = 65_536

export class WebhookTarget {
  readonly #options: WebhookTargetOptions

  constructor(options: WebhookTargetOptions) {
    this.#options = options
  }

  /** Never rejects. */
  async deliver({ contentType, body }: HttpContent, headers: DeliveryHeaders): Promise<DeliveryAnswer> {
    const { requests, url, origin, timeoutMs, tracing = null } = this.#options
    const { traceparent, tracestate } = traceIn(contentType, body)
    const span = tracing?.webhook(traceparent, { 'http.request.method': 'POST', 'url.full': shownUrl(url) }) ?? null
    const continued = span?.traceparent ?? traceparent
    try {
      const { status, headers: told } = await requests.send({
        url,
        method: 'POST',
        headers: {
          ...(continued !== undefined && { traceparent: continued }),
          ...(tracestate !== undefined && { tracestate }),
          ...headers,
          ...deliveryOriginHeaders(origin),
          'content-type': contentType,
          'user-agent': 'Loggerhead',
        },
        body,
        timeoutMs,
        bytesMax: ignoredMax,
        ignoresBody: true,
      })
      span?.end(status >= 400 ? `HTTP ${status}` : undefined)
      return { status, retryAfter: told['retry-after'] }
    } catch (error) {
      const failed = error instanceof RequestFailed ? error.kind : 'network'
      span?.end(failed)
      return { failed }
    }
  }
}

interface EventTrace {
  readonly traceparent?: string
  /** Of the same trace, whoever continues it. */
  readonly tracestate?: string
}

/** The event's own, when there is one event and it has one: a batch is in no trace. Most events have none, and are not parsed for it. */
function traceIn(contentType: string, body: Buffer): EventTrace {
  if (contentType.startsWith('application/cloudevents-batch') || !body.includes('"traceparent"')) return {}
  try {
    const { traceparent, tracestate } = JSON.parse(body.toString()) as { readonly traceparent?: unknown; readonly tracestate?: unknown }
    if (typeof traceparent !== 'string') return {}
    const context = contextAmong([['traceparent', traceparent], ...(typeof tracestate === 'string' ? [['tracestate', tracestate] as const] : [])])
    if (typeof context === 'string') return {}
    return { traceparent, ...(context.state === '' ? {} : { tracestate: context.state }) }
  } catch {
    return {}
  }
}
