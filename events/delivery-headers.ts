/** Headers that an operator adds to a webhook's requests (PU-09): the same for all, or out of the event. */
import type { DeliveryAttributeMapping } from '../model/event-subscriptions.ts'

/** Headers of one subscription. */
export const deliveryHeadersMax = 10
/** Of a header's value, bytes. */
const deliveryHeaderBytesMax = 4096

/** What carries the request itself or says who sends what: not for an operator to set. */
const ownHeaders: ReadonlySet<string> = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'date',
  'expect',
  'host',
  'keep-alive',
  'origin',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
])

/** Why no header may have this name; undefined when one may. */
export function whyNoHeaderName(name: string): string | undefined {
  if (name.length > 256 || !/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name)) return 'must be a header name (RFC 9110 5.1) of at most 256 characters'
  const lower = name.toLowerCase()
  return ownHeaders.has(lower) || /^(ce-|webhook-)/.test(lower) ? 'is a header that requests have of their own' : undefined
}

/** Why no header may have this value. */
export function whyNoHeaderValue(value: string): string | undefined {
  if (Buffer.byteLength(value) > deliveryHeaderBytesMax) return `must be at most ${deliveryHeaderBytesMax} bytes`
  return /^[\x20-\x7e\t]*$/.test(value) ? undefined : 'must be printable ASCII'
}

type Step = string | number

/**
 * The steps of a `sourceField`: `subject`, `data.device.id`, `$.data.readings[0]['room no']`, that is a singular query of RFC 9535
 * whose `$.` may be left out, as Event Grid's examples do. Null for what is none.
 */
export function parseSourceField(text: string): readonly Step[] | null {
  if (text.length === 0 || text.length > 1024) return null
  const steps: Step[] = []
  const step = /\.?([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)|\[(?:(0|[1-9]\d{0,5})|'((?:[^'\\]|\\['\\])*)'|"((?:[^"\\]|\\["\\])*)")\]/gy
  step.lastIndex = text.startsWith('$') ? 1 : 0
  while (step.lastIndex < text.length) {
    const at = step.lastIndex
    const found = step.exec(text)
    if (!found) return null
    const [whole, name, index, single, double] = found
    if (name !== undefined) {
      // Only the very first name goes without a dot.
      if (!whole.startsWith('.') && at !== 0) return null
      if (whole.startsWith('.') && at === 0) return null
      steps.push(name)
    } else steps.push(index !== undefined ? Number(index) : (single ?? double ?? '').replace(/\\(.)/g, '$1'))
  }
  return steps.length === 0 ? null : steps
}

/** What a header can say: texts, numbers and booleans. */
function valueAt(event: unknown, steps: readonly Step[]): string | undefined {
  let value: unknown = event
  for (const step of steps) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) !== (typeof step === 'number') || !Object.hasOwn(value, step)) return undefined
    value = (value as Readonly<Record<Step, unknown>>)[step]
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

/** Text in a header as the CloudEvents HTTP binding writes it (3.1.3.2): what is not printable ASCII, and space, quote and percent, percent-encoded. */
export function headerText(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\x21-\x7e]|["%]/gu, (character) => [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''))
}

export type DeliveryHeaders = Readonly<Record<string, string>>

export interface CompiledHeaders {
  /** Whether any comes out of the event. */
  readonly isDynamic: boolean
  /** Of the request for an event, given in the JSON format; what it has nothing for is left out, as is what is too long. */
  of(event: unknown): DeliveryHeaders
  /** The same without secrets: `customDeliveryProperties` of a dead letter, whose names are in lower case. */
  shownOf(event: unknown): DeliveryHeaders
}

/** Compiles mappings that were checked when they were written. */
export function compileHeaders(mappings: readonly DeliveryAttributeMapping[] = []): CompiledHeaders {
  const fixed: Record<string, string> = {}
  const shownFixed: Record<string, string> = {}
  const dynamic: { readonly name: string; readonly steps: readonly Step[] }[] = []
  for (const mapping of mappings) {
    const name = mapping.name.toLowerCase()
    if (mapping.type === 'Static') {
      fixed[name] = mapping.properties.value
      if (!mapping.properties.isSecret) shownFixed[name] = mapping.properties.value
    } else dynamic.push({ name, steps: parseSourceField(mapping.properties.sourceField) ?? [] })
  }
  const withDynamic = (base: DeliveryHeaders, event: unknown): DeliveryHeaders => {
    if (dynamic.length === 0) return base
    const headers: Record<string, string> = { ...base }
    for (const { name, steps } of dynamic) {
      const text = valueAt(event, steps)
      const value = text === undefined ? undefined : headerText(text)
      if (value !== undefined && value.length <= deliveryHeaderBytesMax) headers[name] = value
    }
    return headers
  }
  return { isDynamic: dynamic.length > 0, of: (event) => withDynamic(fixed, event), shownOf: (event) => withDynamic(shownFixed, event) }
}
