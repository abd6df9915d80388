interface RefusedDetails {
  /** Seconds. */
  readonly retryAfter?: number
  readonly cause?: unknown
}

/** A bearer token does not do: 401 when it is not good, 403 when it gives no role, 503 when its issuer does not answer. The message is for who showed it. */
export class TokenRefused extends Error {
  readonly status: 401 | 403 | 503
  readonly retryAfter: number | undefined
  constructor(status: 401 | 403 | 503, message: string, { retryAfter, cause }: RefusedDetails = {}) {
    super(message, cause === undefined ? {} : { cause })
    this.name = 'TokenRefused'
    this.status = status
    this.retryAfter = retryAfter
  }
}
