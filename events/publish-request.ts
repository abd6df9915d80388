/** A request to publish CloudEvents over HTTP (NT-02, NT-05, NT-06): one event or a batch in JSON, or one in binary mode. Pure. */
import { attributeNameMax, type CloudEvent, isStructuredMediaType } from './cloud-event.ts'
import { jsonDepthMax, type ParsedJson } from './json-text.ts'
import { binaryEvent, type EventProblem, parseJson, type ReceivedEvent, structuredEvent } from './received-event.ts'

/** Events of one request, and bytes of one event (NT-05). */
const eventsPerRequestMax = 1_000
export const eventBytesMax = 1_048_576
/** Attributes of one event: far above what anybody needs. */
const attributesMax = 100
/** Characters of an attribute's value. */
const attributeLengthMax = 4096

/** Why a request is refused: 400 for what is no event, 403 for too much of it (NT-04). */
export class PublishProblem extends Error {
  readonly status: 400 | 403
  readonly field: string | undefined
  constructor(status: 400 | 403, message: string, field?: string) {
    super(message)
    this.name = 'PublishProblem'
    this.status = status
    this.field = field
  }
}

const batchMediaType = /^application\/cloudevents-batch\+json\s*(?:;|$)/i

/** Request headers by lower-case name. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** The events of a request, at least one. Throws PublishProblem. */
export function readPublish(headers: RequestHeaders, body: Buffer): readonly CloudEvent[] {
  const contentType = headers['content-type']
  const type = typeof contentType === 'string' ? contentType : ''
  if (isStructuredMediaType(type)) return [accepted(oneEvent(jsonOf(body)), body.length, '')]
  if (batchMediaType.test(type)) return batch(jsonOf(body))
  if (typeof headers['ce-specversion'] === 'string') return [accepted(binaryEvent(attributesOf(headers), body, attributeNameMax), body.length, 'ce-')]
  throw new PublishProblem(
    400,
    'Content-Type must be application/cloudevents+json or application/cloudevents-batch+json, or the headers ce-specversion, ce-id, ce-source and ce-type must be there',
    'content-type',
  )
}

function jsonOf(body: Buffer): ParsedJson {
  const parsed = parseJson(body)
  if (!parsed) throw new PublishProblem(400, `the body must be JSON in UTF-8, nested at most ${jsonDepthMax} deep`)
  return parsed
}

const oneEvent = ({ value, exact }: ParsedJson): ReceivedEvent => structuredEvent(value, attributeNameMax, exact)

function batch({ value: json, exact }: ParsedJson): readonly CloudEvent[] {
  if (!Array.isArray(json) || json.length === 0) throw new PublishProblem(400, 'a batch is an array of one or more events')
  if (json.length > eventsPerRequestMax) throw new PublishProblem(403, `at most ${eventsPerRequestMax} events in a request, these are ${json.length}`)
  return json.map((value, index) => accepted(oneEvent({ value, exact: (exact as readonly unknown[])[index] }), 0, `[${index}].`))
}

function accepted(received: ReceivedEvent, bytes: number, at: string): CloudEvent {
  const refuse = ({ field, rule }: EventProblem): never => {
    throw new PublishProblem(400, `${at}${field}: ${rule}`, `${at}${field}`)
  }
  if ('problem' in received) return refuse(received.problem)
  const attributes = Object.entries(received.event.attributes)
  if (attributes.length > attributesMax) throw new PublishProblem(400, `${at}: an event has at most ${attributesMax} attributes`)
  const long = attributes.find(([, value]) => typeof value === 'string' && value.length > attributeLengthMax)
  if (long) return refuse({ field: long[0], rule: `must have at most ${attributeLengthMax} characters` })
  if (bytes > eventBytesMax) throw new PublishProblem(403, `an event has at most ${eventBytesMax} bytes, this one has ${bytes}`)
  return received.event
}

/** Attributes are headers `ce-…`, percent-encoded where they are not ASCII (HTTP binding 1.0, 3.1.3). */
function attributesOf(headers: RequestHeaders): Readonly<Record<string, string>> {
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('ce-') || typeof value !== 'string') continue
    if (name === 'ce-datacontenttype') throw new PublishProblem(400, 'ce-datacontenttype: the type of the data is the header Content-Type', name)
    attributes[name.slice(3)] = decode(name, value)
  }
  const contentType = headers['content-type']
  return typeof contentType === 'string' ? { ...attributes, datacontenttype: contentType } : attributes
}

function decode(name: string, value: string): string {
  try {
    return decodeURIComponent(value.replaceAll(/%(?![0-9A-Fa-f]{2})/g, '%25'))
  } catch {
    throw new PublishProblem(400, `${name}: percent-encoding must be of UTF-8`, name)
  }
}

/** What the events of one subject, or of one partition key, stay in order by. */
export function partitionKeyOf({ attributes }: CloudEvent): string | undefined {
  const { partitionkey, subject } = attributes
  return typeof partitionkey === 'string' ? partitionkey : typeof subject === 'string' ? subject : undefined
}
