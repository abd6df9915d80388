/** One webhook as the pusher sees it: content goes in, an answer comes out, whatever happens on the way. */
import type { DeliveryHeaders } from '../../events/delivery-headers.ts'
import type { DeliveryAnswer } from '../../events/delivery-result.ts'
import type { HttpContent } from '../../events/http-binding.ts'
import { deliveryOriginHeaders } from '../../events/webhook-handshake.ts'
import { type OutgoingRequests, RequestFailed } from '../../outgoing/outgoing-request.ts'

export interface WebhookTargetOptions {
  readonly requests: Pick<OutgoingRequests, 'send'>
  readonly url: string
  /** The DNS name that the webhook has agreed to. */
  readonly origin: string
  readonly timeoutMs: number
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
    const { requests, url, origin, timeoutMs } = this.#options
    try {
      const { status, headers: told } = await requests.send({
        url,
        method: 'POST',
        headers: { ...headers, ...deliveryOriginHeaders(origin), 'content-type': contentType, 'user-agent': 'Loggerhead' },
        body,
        timeoutMs,
        bytesMax: ignoredMax,
        ignoresBody: true,
      })
      return { status, retryAfter: told['retry-after'] }
    } catch (error) {
      return { failed: error instanceof RequestFailed ? error.kind : 'network' }
    }
  }
}
