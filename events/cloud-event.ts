/**
 * An MQTT message as a CloudEvent 1.0, mapped as Event Grid does (RT-06): an event of its own with the payload as data, or, when the
 * publisher sent a CloudEvent in its MQTT binding, that one with the publisher's own attributes. Pure.
 */
import type { Message } from '../schemas/message.ts'
import { isNestedTooDeep, parseJsonText } from './json-text.ts'

/** Context attributes by name: text, or a number or boolean where the event's JSON has one. */
export type Attributes = Readonly<Record<string, string | number | boolean>>

/** An event's data. */
export type EventData =
  | { readonly kind: 'none' }
  /** Of any media type; base64 in JSON. */
  | { readonly kind: 'binary'; readonly bytes: Buffer }
  /** JSON text, as the publisher wrote it. `value` parses it. */
  | { readonly kind: 'json'; readonly bytes: Buffer; value(): unknown }
  /** UTF-8 text of a media type that is not JSON; a string in JSON. */
  | { readonly kind: 'text'; readonly bytes: Buffer }

export interface CloudEvent {
  /** `specversion`, `id`, `source` and `type` at least. */
  readonly attributes: Attributes
  readonly data: EventData
}

/** The `type` of events made of messages that are no events themselves. */
export const publishedType = 'MQTT.EventPublished'
/** Characters of an attribute's name in what is published here as an event. */
export const attributeNameMax = 20
/** Of any event, whoever wrote it: what is longer is no attribute to readers either. */
export const attributeNameLimit = 64
/** Whether an event may have an attribute of this name. */
export const isAttributeName = (name: string): boolean => name.length <= attributeNameLimit && /^[a-z0-9]+$/.test(name)
const jsonMediaType = /^(?:application|text)\/(?:[^;\s]+\+)?json\s*(?:;|$)/i
const structuredMediaType = /^application\/cloudevents\+json\s*(?:;|$)/i
const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/
const octets = 'application/octet-stream'

/** True for what declares JSON: `application/json`, `…+json`, with or without parameters. */
export const isJsonMediaType = (contentType: string): boolean => jsonMediaType.test(contentType)

/** True for an event in its JSON format, with or without parameters. */
export const isStructuredMediaType = (contentType: string): boolean => structuredMediaType.test(contentType)

/** The event's id: the same in every repeated append of one publish, so that whoever reads an event twice can tell. */
export const eventIdOf = (messageId: Buffer): string => messageId.toString('hex')

/** The message as an event; `namespace` is the source of those that are none themselves. */
export function cloudEventOf(message: Message, namespace: string): CloudEvent {
  const published = message.protocolVersion === 5 ? publishedEvent(message) : undefined
  if (!published) return wrapped(message, namespace)
  // Readers of events count on a time, though publishers may leave it out.
  return published.attributes.time === undefined ? withAttributes(published, { time: timeOf(message) }) : published
}

const timeOf = ({ receivedAt }: Message): string => new Date(receivedAt).toISOString()

function wrapped(message: Message, namespace: string): CloudEvent {
  const { payload, contentType } = message
  const { data, implied } = isTextual(message) ? textual(payload, contentType) : binary(payload)
  return {
    attributes: {
      specversion: '1.0',
      id: eventIdOf(message.messageId),
      source: namespace,
      type: publishedType,
      time: timeOf(message),
      subject: message.topic,
      datacontenttype: contentType || implied,
    },
    data,
  }
}

const binary = (bytes: Buffer) => ({ data: { kind: 'binary', bytes }, implied: octets }) as const

/** RT-06 (b): the publisher says that it is text. Anything else, an absent indicator included, is bytes (RT-06 (a), RT-07). */
function isTextual({ protocolVersion, payloadFormatIndicator, contentType }: Message): boolean {
  if (protocolVersion !== 5) return false
  return payloadFormatIndicator === 1 || (contentType !== null && /^application\/json\s*;\s*charset="?utf-8"?\s*$/i.test(contentType))
}

function textual(payload: Buffer, contentType: string | null): { readonly data: EventData; readonly implied: string } {
  const text = decodeUtf8(payload)
  // Said to be text and is none, or nested too deep to be written as JSON: bytes are what can be passed on without loss.
  if (text === undefined || isNestedTooDeep(text)) return binary(payload)
  const parsed = parseJsonText(text)
  if (parsed) return { data: { kind: 'json', bytes: payload, value: () => parsed.value }, implied: 'application/json' }
  // Under a JSON type it has to be JSON: a string of it. Under any other it is what it is.
  if (contentType && isJsonMediaType(contentType)) return { data: jsonData(text), implied: 'application/json' }
  return { data: { kind: 'text', bytes: payload }, implied: 'text/plain; charset=utf-8' }
}

/** Data that is a JSON value; `exact` is how it is written. */
export const jsonData = (value: unknown, exact: unknown = value): EventData => ({ kind: 'json', bytes: Buffer.from(JSON.stringify(exact)), value: () => value })

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of bytes that are UTF-8; undefined for what is none. */
export function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** RT-06 (c): a CloudEvent by the MQTT binding; undefined for anything that is not a whole one, which is wrapped like any payload. */
function publishedEvent(message: Message): CloudEvent | undefined {
  const { contentType, userProperties } = message
  if (contentType !== null && isStructuredMediaType(contentType)) return structuredEvent(message.payload)
  if (userProperties.length === 0 || !userProperties.some(({ name }) => name === 'specversion')) return undefined
  return binaryEvent(message)
}

/** Attributes are user properties of their own names, the payload is the data (MQTT binding 1.0, 3.1). */
function binaryEvent({ userProperties, contentType, payload }: Message): CloudEvent | undefined {
  const attributes: Record<string, string> = {}
  for (const { name, value } of userProperties) {
    // The first of several counts. What cannot be an attribute is the publisher's own business and stays behind.
    if (isAttributeName(name) && name !== 'data' && name !== 'datacontenttype' && !Object.hasOwn(attributes, name)) attributes[name] = value
  }
  if (!hasRequired(attributes)) return undefined
  if (contentType !== null) attributes.datacontenttype = contentType
  if (payload.length === 0) return { attributes, data: { kind: 'none' } }
  const text = contentType === null || isJsonMediaType(contentType) ? decodeUtf8(payload) : undefined
  const parsed = text === undefined ? undefined : parseJsonText(text)
  if (parsed) return { attributes, data: { kind: 'json', bytes: payload, value: () => parsed.value } }
  return { attributes, data: { kind: 'binary', bytes: payload } }
}

/** The data in an event's JSON. */
export const dataOf = (json: unknown): unknown => (json as { readonly data?: unknown }).data

/** The payload is the event in its JSON format. */
function structuredEvent(payload: Buffer): CloudEvent | undefined {
  const text = decodeUtf8(payload)
  const parsed = text === undefined ? undefined : parseJsonText(text)
  const event = parsed?.value
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return undefined
  const { data, data_base64: base64, ...rest } = event as Readonly<Record<string, unknown>>
  const attributes: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(rest)) {
    if (value === null) continue // the same as absent (JSON format, 2.2)
    const isValue = typeof value === 'string' || typeof value === 'boolean' || Number.isSafeInteger(value)
    if (!isAttributeName(name) || !isValue) return undefined
    attributes[name] = value as string | number | boolean
  }
  if (!hasRequired(attributes) || (data !== undefined && base64 !== undefined)) return undefined
  const contentType = attributes.datacontenttype
  if (base64 !== undefined) return typeof base64 === 'string' ? { attributes, data: { kind: 'binary', bytes: Buffer.from(base64, 'base64') } } : undefined
  if (data === undefined) return { attributes, data: { kind: 'none' } }
  // A string under another type than JSON is the text itself (JSON format, 3.1).
  if (typeof data === 'string' && typeof contentType === 'string' && !isJsonMediaType(contentType))
    return { attributes, data: { kind: 'text', bytes: Buffer.from(data) } }
  return { attributes: { datacontenttype: 'application/json', ...attributes }, data: jsonData(data, dataOf(parsed?.exact)) }
}

const isTime = (time: unknown): boolean => time === undefined || (typeof time === 'string' && rfc3339.test(time) && !Number.isNaN(Date.parse(time)))

function hasRequired(attributes: Attributes): boolean {
  const isText = (name: string): boolean => typeof attributes[name] === 'string' && attributes[name] !== ''
  return attributes.specversion === '1.0' && isText('id') && isText('source') && isText('type') && isTime(attributes.time)
}

/** The event with these attributes too; what it had of the same names is replaced. */
export function withAttributes(event: CloudEvent, added: Attributes): CloudEvent {
  return { attributes: { ...event.attributes, ...added }, data: event.data }
}

/** The event in its JSON format (structured mode). */
export function jsonEvent({ attributes, data }: CloudEvent): Buffer {
  const head = JSON.stringify(attributes)
  if (data.kind === 'none') return Buffer.from(head)
  const open = head.slice(0, -1)
  switch (data.kind) {
    case 'binary':
      return Buffer.from(`${open},"data_base64":"${data.bytes.toString('base64')}"}`)
    case 'text':
      return Buffer.from(`${open},"data":${JSON.stringify(data.bytes.toString())}}`)
    case 'json':
      // As it was written: numbers beyond JavaScript's stay what they are.
      return Buffer.concat([Buffer.from(`${open},"data":`), data.bytes, Buffer.from('}')])
  }
}
