/** W3C Trace Context as it stands in user properties of MQTT, attributes of CloudEvents and headers of HTTP. Pure. */

export interface TraceContext {
  /** 32 digits, hexadecimal. */
  readonly traceId: string
  /** 16 digits, hexadecimal: the span that spans of ours are children of. */
  readonly spanId: string
  /** Whoever sent it records the trace. */
  readonly isSampled: boolean
  /** What vendors pass along, as it came; empty when there is none, or none that is in order. */
  readonly state: string
}

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const nothing = /^0+$/
/** What every participant has to be able to pass along, characters. */
const stateLengthMax = 512
const stateForm = /^[\x20-\x7e]*$/

/** Null when it is malformed. Later versions may say more: what is known of them is read. */
export function parseTraceparent(text: string): TraceContext | null {
  // Longer than any known version: not worth a look.
  if (text.length > 512) return null
  const [, version, traceId, spanId, flags, rest] = form.exec(text) ?? []
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined) return null
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null
  if (nothing.test(traceId) || nothing.test(spanId)) return null
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1, state: '' }
}

export function formatTraceparent(traceId: string, spanId: string, isSampled: boolean): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`
}

/**
 * The context of an HTTP request (every value of each header), as properties of what it publishes: `traceparent`, and `tracestate`
 * when there is one in order. Empty when there is none, or none that is in order, which is as if it were not there.
 */
export function contextHeaders(headers: Readonly<Record<string, readonly string[] | undefined>>): readonly (readonly [name: string, value: string])[] {
  const { traceparent = [], tracestate = [] } = headers
  const [parent, ...more] = traceparent
  if (parent === undefined || more.length > 0) return []
  const context = contextAmong([['traceparent', parent], ...tracestate.map((value) => ['tracestate', value] as const)])
  if (typeof context === 'string') return []
  return [['traceparent', parent], ...(context.state === '' ? [] : [['tracestate', context.state] as const])]
}

/** The context among the properties of a message: none, malformed (as two are), or what it says. */
export function contextAmong(properties: Iterable<readonly [name: string, value: string]>): TraceContext | 'none' | 'malformed' {
  let parent: string | null = null
  let state = ''
  for (const [name, value] of properties) {
    if (name === 'traceparent') {
      if (parent !== null) return 'malformed'
      parent = value
    } else if (name === 'tracestate') state = state === '' ? value : `${state},${value}`
  }
  if (parent === null) return 'none'
  const context = parseTraceparent(parent)
  if (context === null) return 'malformed'
  return state.length <= stateLengthMax && stateForm.test(state) ? { ...context, state } : context
}
