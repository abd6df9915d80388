/** The namespace's webhook in words: what it is sent about a client, and what its answer means (spec 1.8). */

import type { ShownToWebhook, WebhookDecision } from './evidence.ts'
import { authenticationNameProblem } from './principal.ts'
import { attributesOf } from './token.ts'

/** The JSON that is posted. */
export function webhookRequest(shown: ShownToWebhook): string {
  const { clientId, username, password, authenticationMethod, authenticationData, certificate, certificateChain = [] } = shown
  return JSON.stringify({
    clientId,
    userName: username,
    password: password?.toString('base64'),
    authenticationMethod,
    authenticationData: authenticationData?.toString('base64'),
    clientCertificate: certificate?.toString(),
    clientCertificateChain: certificateChain.length > 0 ? certificateChain.map((each) => each.toString()).join('') : undefined,
  })
}

/** The answer is none that the contract knows; the message says what is wrong with it. */
export class BadDecision extends Error {}

/** More attributes than fit. */
export class TooManyAttributes extends BadDecision {}

/** Longest reason that goes into the log, characters. */
const reasonMax = 500

/** Reads the body of an answer with HTTP 200. Throws BadDecision. */
export function readDecision(body: Buffer, attributesBytesMax: number): WebhookDecision {
  let json: unknown
  try {
    json = JSON.parse(body.toString('utf8'))
  } catch {
    throw new BadDecision('the answer is no JSON')
  }
  if (typeof json !== 'object' || json === null) throw new BadDecision('the answer is no JSON object')
  const { decision, clientAuthenticationName: name, attributes, expiration, errorReason } = json as Readonly<Record<string, unknown>>
  if (decision === 'deny') return { decision, errorReason: typeof errorReason === 'string' ? oneLine(errorReason) : 'without a reason' }
  if (decision !== 'allow') throw new BadDecision('decision is neither allow nor deny')
  const problem = typeof name === 'string' ? authenticationNameProblem(name) : 'is missing'
  if (problem) throw new BadDecision(`clientAuthenticationName ${problem}`)
  const given = attributesOf(typeof attributes === 'object' && attributes !== null && !Array.isArray(attributes) ? (attributes as Record<string, unknown>) : {})
  const bytes = Buffer.byteLength(JSON.stringify(given))
  if (bytes > attributesBytesMax) throw new TooManyAttributes(`the attributes have ${bytes} bytes; allowed are ${attributesBytesMax}`)
  if (expiration === undefined || expiration === null) return { decision, clientAuthenticationName: name as string, attributes: given }
  if (typeof expiration !== 'number' || !Number.isFinite(expiration)) throw new BadDecision('expiration is no number of seconds')
  return { decision, clientAuthenticationName: name as string, attributes: given, expiresAt: expiration * 1000 }
}

function oneLine(text: string): string {
  return text.slice(0, reasonMax).replaceAll(/\p{Cc}/gu, ' ')
}
