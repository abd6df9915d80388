/** CloudEvents as they come in: out of JSON (structured mode), or out of headers and bytes (binary mode), over Kafka or HTTP. Pure. */
import {
  type Attributes,
  attributeNameLimit,
  type CloudEvent,
  dataOf,
  decodeUtf8,
  isAttributeName,
  isJsonMediaType,
  isStructuredMediaType,
  jsonData,
} from './cloud-event.ts'
import type { FilteredEvent } from './filter.ts'
import { type ParsedJson, parseJsonText } from './json-text.ts'

/** Why something is no CloudEvent: the attribute, and what is allowed. */
export interface EventProblem {
  readonly field: string
  readonly rule: string
}

export type ReceivedEvent = { readonly event: CloudEvent } | { readonly problem: EventProblem }

const required = ['id', 'source', 'specversion', 'type'] as const

const wrong = (field: string, rule: string): { readonly problem: EventProblem } => ({ problem: { field, rule } })

/** NT-06 and the CloudEvents specification, 3.1; `nameMax` bounds the names of extensions. */
function attributeProblem(attributes: Attributes, nameMax: number): EventProblem | undefined {
  for (const name of required) {
    const value = attributes[name]
    if (typeof value !== 'string' || value === '') return { field: name, rule: 'is required: text that is not empty' }
  }
  if (attributes.specversion !== '1.0') return { field: 'specversion', rule: 'must be 1.0' }
  for (const name of Object.keys(attributes)) {
    // In the JSON format the data stands beside the attributes (JSON format, 3.1).
    if (name === 'data') return { field: name, rule: 'is no name of an attribute' }
    if (!isAttributeName(name) || name.length > nameMax)
      return { field: name.slice(0, 64), rule: `attribute names are 1 to ${nameMax} lower-case letters and digits` }
  }
  const { time } = attributes
  if (time !== undefined && (typeof time !== 'string' || !/^\d{4}-\d{2}-\d{2}[Tt]/.test(time) || Number.isNaN(Date.parse(time)))) {
    return { field: 'time', rule: 'must be a time such as 2030-01-31T12:00:00Z (RFC 3339)' }
  }
  return undefined
}

/** An event in the JSON format, parsed; `exact` is how its data is passed on. */
export function structuredEvent(json: unknown, nameMax = attributeNameLimit, exact = json): ReceivedEvent {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return wrong('event', 'must be an object')
  const { data, data_base64: base64, ...rest } = json as Readonly<Record<string, unknown>>
  const attributes: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(rest)) {
    if (value === null) continue // the same as absent (JSON format, 2.2)
    if (typeof value !== 'string' && typeof value !== 'boolean' && !Number.isSafeInteger(value)) {
      return wrong(name.slice(0, 64), 'attributes are text, whole numbers or booleans')
    }
    attributes[name] = value as string | number | boolean
  }
  const problem = attributeProblem(attributes, nameMax)
  if (problem) return { problem }
  if (base64 !== undefined && base64 !== null) {
    if (data !== undefined) return wrong('data_base64', 'and data exclude each other')
    if (typeof base64 !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) return wrong('data_base64', 'must be text in base64')
    return { event: { attributes, data: { kind: 'binary', bytes: Buffer.from(base64, 'base64') } } }
  }
  if (data === undefined) return { event: { attributes, data: { kind: 'none' } } }
  const { datacontenttype } = attributes
  // A string under another type than JSON is the text itself (JSON format, 3.1).
  if (typeof data === 'string' && typeof datacontenttype === 'string' && !isJsonMediaType(datacontenttype)) {
    return { event: { attributes, data: { kind: 'text', bytes: Buffer.from(data) } } }
  }
  return { event: { attributes: { datacontenttype: 'application/json', ...attributes }, data: jsonData(data, dataOf(exact)) } }
}

/** An event whose attributes came beside its data. */
export function binaryEvent(attributes: Attributes, bytes: Buffer | null, nameMax = attributeNameLimit): ReceivedEvent {
  const problem = attributeProblem(attributes, nameMax)
  if (problem) return { problem }
  if (bytes === null || bytes.length === 0) return { event: { attributes, data: { kind: 'none' } } }
  const { datacontenttype } = attributes
  const type = typeof datacontenttype === 'string' ? datacontenttype : undefined
  // Without a type it is JSON when it can be (CloudEvents, 3.1.1: the JSON format's default).
  if (type === undefined || isJsonMediaType(type)) {
    const parsed = parseJson(bytes)
    if (parsed) return { event: { attributes, data: { kind: 'json', bytes, value: () => parsed.value } } }
  } else if (/^text\//i.test(type) && decodeUtf8(bytes) !== undefined) return { event: { attributes, data: { kind: 'text', bytes } } }
  return { event: { attributes, data: { kind: 'binary', bytes } } }
}

/** The value of JSON text in UTF-8; undefined when it is none, or nested too deep. */
export function parseJson(bytes: Buffer): ParsedJson | undefined {
  const text = decodeUtf8(bytes)
  return text === undefined ? undefined : parseJsonText(text)
}

interface Header {
  readonly name: string
  readonly value: Buffer | null
}

/** A Kafka record as an event (Kafka protocol binding 1.0): structured where its content type says so, else binary. */
export function kafkaEvent(headers: readonly Header[], value: Buffer | null): ReceivedEvent {
  const attributes: Record<string, string> = {}
  for (const { name, value: text } of headers) {
    const lower = name.toLowerCase()
    if (text === null) continue
    if (lower === 'content-type') attributes.datacontenttype = text.toString()
    else if (lower.startsWith('ce_')) attributes[lower.slice(3)] = text.toString()
  }
  if (!isStructuredMediaType(attributes.datacontenttype ?? '')) return binaryEvent(attributes, value)
  const parsed = value === null ? undefined : parseJson(value)
  return parsed ? structuredEvent(parsed.value, attributeNameLimit, parsed.exact) : wrong('value', 'must be a CloudEvent as JSON, as its content type says')
}

/** As filters look at an event. */
export function filteredEvent({ attributes, data }: CloudEvent): FilteredEvent {
  return {
    attribute: (name) => (Object.hasOwn(attributes, name) ? attributes[name] : undefined),
    data: () => (data.kind === 'json' ? data.value() : data.kind === 'text' ? data.bytes.toString() : undefined),
  }
}
