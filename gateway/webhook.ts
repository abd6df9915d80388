/** Asks the namespace's webhook about a client, at most so many at a time; further ones wait for their turn. */
import { readFileSync, statSync } from 'node:fs'
import type { Evidence, Question } from '../access/evidence.ts'
import { shownUrl } from '../access/shown-url.ts'
import { BadDecision, readDecision, TooManyAttributes, webhookRequest } from '../access/webhook.ts'
import { type OutgoingRequests, RequestFailed } from '../outgoing/outgoing-request.ts'
import { SettingError } from '../settings/setting.ts'

export interface WebhookOptions {
  readonly requests: Pick<OutgoingRequests, 'send'>
  readonly timeoutMs: number
  readonly bytesMax: number
  readonly attributesBytesMax: number
  /** The bearer token that is sent along; null for none. */
  token(): string | null
  onDecision(decision: 'allow' | 'deny'): void
  /** `error` is timeout, resolution, network, tooLarge, forbidden, attributes or content; `status` the HTTP status, when one came. */
  onFailed(error: string, status: number | null): void
}

export class Webhook {
  readonly #options: WebhookOptions

  constructor(options: WebhookOptions) {
    this.#options = options
  }

  /** Rejects with an Error that tells of no secret when there is no decision. */
  async ask({ endpointUrl, shown }: Question & { about: 'webhook' }): Promise<Evidence> {
    const { requests, timeoutMs, bytesMax, attributesBytesMax, token, onDecision, onFailed } = this.#options
    const bearer = token()
    let status: number | null = null
    try {
      const response = await requests.send({
        url: endpointUrl,
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }) },
        body: webhookRequest(shown),
        timeoutMs,
        bytesMax,
      })
      status = response.status
      // The contract: always 200, the decision is in the body.
      if (status !== 200) throw new RequestFailed('status', `the webhook ${shownUrl(endpointUrl)} answered with HTTP ${status}`)
      const decision = readDecision(response.body, attributesBytesMax)
      onDecision(decision.decision)
      return { about: 'webhook', endpointUrl, decision }
    } catch (error) {
      onFailed(failureOf(error), status)
      if (error instanceof BadDecision) throw new Error(`the webhook ${shownUrl(endpointUrl)}: ${error.message}`)
      throw error
    }
  }
}

function failureOf(error: unknown): string {
  if (error instanceof RequestFailed) return error.kind
  return error instanceof TooManyAttributes ? 'attributes' : 'content'
}

/** How often a secret's file is looked at, at most, ms. */
const lookMs = 1000

/** A secret in a file, read again when the file has changed. Throws SettingError when it cannot be read at the start. */
export function secretFrom(variable: string, file: string, now: () => number): () => string | null {
  if (file === '') return () => null
  let secret: string
  let changedAt: number
  const read = (): void => {
    changedAt = statSync(file).mtimeMs
    secret = readFileSync(file, 'utf8').trim()
  }
  try {
    read()
  } catch (error) {
    throw new SettingError(variable, `cannot read the file “${file}”: ${(error as Error).message}`)
  }
  let lookedAt = now()
  return () => {
    if (now() - lookedAt < lookMs) return secret
    lookedAt = now()
    try {
      if (statSync(file).mtimeMs !== changedAt) read()
    } catch {} // being replaced: the one before serves until the file is there
    return secret
  }
}
