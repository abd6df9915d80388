/** A message to be published, as an HTTP request spells it (HP-02). Pure. */
import type { PublishPacket, PublishProperties, QoS, UserProperties } from '../../mqtt/packet.ts'
import { topicNameProblem } from '../../mqtt/topic.ts'
import { contextHeaders } from '../../telemetry/trace-context.ts'
import { HttpProblem } from './http-problem.ts'
import { percentDecoded } from './query.ts'

/** Every value of each header, names in lower case: Node's `headersDistinct`. */
export type Headers = Readonly<Record<string, readonly string[] | undefined>>

/** Longest Message Expiry Interval, s: four bytes [MQTT-3.3.2.3.3]. */
const expiryMax = 0xffff_ffff

const wrong = (field: string, value: string, rule: string): HttpProblem => new HttpProblem(400, `${field} must be ${rule}`, { field, value })

/** The value of a header that stands in the request once; undefined when it does not. */
function header(headers: Headers, field: string): string | undefined {
  const values = headers[field] ?? []
  if (values.length > 1) throw new HttpProblem(400, `the header ${field} must be given once`, { field })
  const [value] = values
  if (value !== undefined && !/^[\t\x20-\x7e]*$/.test(value)) throw wrong(field, value, 'ASCII')
  return value
}

function oneOf<T extends string>(field: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value)
  if (found === undefined) throw wrong(field, value, allowed.join(' or '))
  return found
}

/** RFC 4648, 4; nothing but it: what is decoded leniently may be read one way here and another way elsewhere. */
function base64(field: string, value: string): Buffer {
  if (value.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) throw wrong(field, value, 'base64 with its padding')
  return Buffer.from(value, 'base64')
}

/** [MQTT-1.5.4-1], [MQTT-1.5.4-2]. */
const isMqttText = (text: unknown): text is string => typeof text === 'string' && !/\0|\p{Surrogate}/u.test(text)

function userPropertiesOf(field: string, value: string): UserProperties {
  const rule = 'base64 of a JSON array of objects with one name and its text each, such as [{"unit":"C"}]'
  const bytes = base64(field, value)
  let list: unknown
  try {
    list = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw wrong(field, value, rule)
  }
  if (!Array.isArray(list)) throw wrong(field, value, rule)
  return list.map((item: unknown) => {
    const pairs = typeof item === 'object' && item !== null && !Array.isArray(item) ? Object.entries(item) : []
    const [name, text] = pairs[0] ?? []
    if (pairs.length !== 1 || !isMqttText(name) || !isMqttText(text)) throw wrong(field, value, rule)
    return [name, text] as const
  })
}

function responseTopicOf(field: string, value: string): string {
  if (value.includes(' ')) throw wrong(field, value, 'a percent-encoded topic name')
  const topic = percentDecoded(field, value)
  const problem = topicNameProblem(topic) // [MQTT-3.3.2-14]
  if (problem) throw new HttpProblem(400, `${field} ${problem}`, { field, value })
  return topic
}

function expiryOf(field: string, value: string): number {
  if (!/^\d{1,10}$/.test(value) || Number(value) > expiryMax) throw wrong(field, value, `a whole number of seconds from 0 to ${expiryMax}`)
  return Number(value)
}

/** The request's trace goes on in the message, unless the publisher gives it one. */
function withContext(userProperties: UserProperties | undefined, headers: Headers): UserProperties | undefined {
  const context = contextHeaders(headers)
  if (context.length === 0 || userProperties?.some(([name]) => name === 'traceparent')) return userProperties
  return [...(userProperties ?? []), ...context]
}

function propertiesOf(headers: Headers): PublishProperties {
  const read = <T>(field: string, parse: (field: string, value: string) => T): T | undefined => {
    const value = header(headers, field)
    return value === undefined ? undefined : parse(field, value)
  }
  const payloadFormat = read('mqtt-payload-format-indicator', (field, value) => oneOf(field, value, ['0', '1']))
  const messageExpiryInterval = read('mqtt-message-expiry', expiryOf)
  const responseTopic = read('mqtt-response-topic', responseTopicOf)
  const correlationData = read('mqtt-correlation-data', base64)
  const userProperties = withContext(read('mqtt-user-properties', userPropertiesOf), headers)
  const contentType = header(headers, 'content-type')
  return {
    ...(payloadFormat !== undefined && { payloadFormatIndicator: payloadFormat === '1' ? 1 : 0 }),
    ...(messageExpiryInterval !== undefined && { messageExpiryInterval }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationData !== undefined && { correlationData }),
    ...(userProperties !== undefined && { userProperties }),
    ...(contentType !== undefined && { contentType }),
  }
}

/** The parameter `topic`, a topic name. Throws HttpProblem. */
export function topicOf(query: ReadonlyMap<string, string>): string {
  const topic = query.get('topic')
  if (topic === undefined) throw new HttpProblem(400, 'the query parameter topic is missing', { field: 'topic' })
  const problem = topicNameProblem(topic)
  if (problem) throw new HttpProblem(400, `the topic ${problem}`, { field: 'topic', value: topic })
  return topic
}

/** The PUBLISH that a request stands for, its payload still to come. What the query says counts and the header is not looked at. Throws HttpProblem. */
export function readPublishRequest(query: ReadonlyMap<string, string>, headers: Headers): PublishPacket {
  const chosen = (parameter: string, field: string): readonly [string, string] | undefined => {
    const asked = query.get(parameter)
    if (asked !== undefined) return [parameter, asked]
    const value = header(headers, field)
    return value === undefined ? undefined : [field, value]
  }
  const topic = topicOf(query)
  const [qosField, qos] = chosen('qos', 'mqtt-qos') ?? ['qos', '1']
  const [retainField, retain] = chosen('retain', 'mqtt-retain') ?? ['retain', '0']
  const properties = propertiesOf(headers)
  return {
    type: 'publish',
    topic,
    qos: Number(oneOf(qosField, qos, ['0', '1', '2'])) as QoS,
    retain: oneOf(retainField, retain, ['0', '1']) === '1',
    payload: Buffer.alloc(0),
    dup: false,
    packetId: 0,
    ...(Object.keys(properties).length > 0 && { properties }),
  }
}

/** Bytes of a message besides its topic and fixed fields: what MAXIMUM_PACKET_SIZE has to hold. */
export function sizeOf({ payload, properties = {} }: PublishPacket): number {
  const { responseTopic = '', correlationData, contentType = '', userProperties = [] } = properties
  const pairs = userProperties.reduce((sum, [name, value]) => sum + 5 + Buffer.byteLength(name) + Buffer.byteLength(value), 0)
  return payload.length + Buffer.byteLength(responseTopic) + Buffer.byteLength(contentType) + (correlationData?.length ?? 0) + pairs
}
