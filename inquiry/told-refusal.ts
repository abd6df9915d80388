/** What gateways write down of a publish or a SUBSCRIBE that nobody had permitted. */
import type { LifecycleEvent } from '../schemas/event-records.ts'

/** A refusal as an audit event tells it. */
export interface ToldRefusal {
  readonly kind: 'publish' | 'subscribe'
  readonly authenticationName: string
  /** Or the filter. */
  readonly topic: string
  /** Others of the minute that it stands for. */
  readonly more: number
}

const kinds = { 'Loggerhead.PublishRefused': 'publish', 'Loggerhead.SubscribeRefused': 'subscribe' } as const
const notAuthorized = 0x87

/** Of a permission that was missing; undefined for all else that stands in `lifecycle`, which others may have written to. */
export function toldRefusal({ type, data }: LifecycleEvent): ToldRefusal | undefined {
  const kind = kinds[type as keyof typeof kinds]
  if (kind === undefined) return undefined
  const { clientAuthenticationName: authenticationName, topic, reasonCode, more } = parsed(data) ?? {}
  if (typeof authenticationName !== 'string' || typeof topic !== 'string' || typeof more !== 'number' || reasonCode !== notAuthorized) return undefined
  return { kind, authenticationName, topic, more }
}

function parsed(text: string): Readonly<Record<string, unknown>> | null {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>> | null
  } catch {
    return null
  }
}
