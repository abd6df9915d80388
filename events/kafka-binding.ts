/** What a routed message is as a Kafka record: a CloudEvent in the Kafka protocol binding 1.0, binary or structured, or the device's bytes with headers. Pure. */
import type { Message } from '../schemas/message.ts'
import { type Attributes, type CloudEvent, eventIdOf, jsonEvent } from './cloud-event.ts'

/** A Kafka record's header. */
export interface Header {
  readonly name: string
  readonly value: Buffer
}

/** A Kafka record without its place. */
export interface RecordContent {
  readonly value: Buffer
  readonly headers: readonly Header[]
}

const empty = Buffer.alloc(0)
const header = (name: string, value: string | number | boolean): Header => ({ name, value: Buffer.from(String(value)) })

/** Attributes as headers `ce_…`, the data as value (3.2). Without data the value is empty, and not the tombstone that a compacted topic would delete by. */
export function binaryRecord({ attributes, data }: CloudEvent): RecordContent {
  const headers: Header[] = []
  for (const name in attributes) {
    const value = attributes[name]
    if (value !== undefined) headers.push(header(name === 'datacontenttype' ? 'content-type' : `ce_${name}`, value))
  }
  return { value: data.kind === 'none' ? empty : data.bytes, headers }
}

/** An event as a record that every reader takes for the same: binary, unless its data calls itself an event, as what Azure's SDK sends does. */
export function eventRecord(event: CloudEvent): RecordContent {
  const { datacontenttype } = event.attributes
  return typeof datacontenttype === 'string' && /^application\/cloudevents/i.test(datacontenttype) ? structuredRecord(event) : binaryRecord(event)
}

const structuredType = header('content-type', 'application/cloudevents+json; charset=utf-8')

/** The whole event as JSON in the value (3.3). */
export function structuredRecord(event: CloudEvent): RecordContent {
  return { value: jsonEvent(event), headers: [structuredType] }
}

/** The payload as it came, and all that MQTT said of it in headers `mqtt_…`; enrichments under their own names. */
export function rawRecord(message: Message, enrichments: Attributes): RecordContent {
  const headers = [
    header('mqtt_topic', message.topic),
    header('mqtt_qos', message.qos),
    header('mqtt_retain', message.retain),
    header('mqtt_client_id', message.clientId),
    header('mqtt_authentication_name', message.authenticationName),
    header('mqtt_message_id', eventIdOf(message.messageId)),
    header('mqtt_received_at', new Date(message.receivedAt).toISOString()),
  ]
  if (message.contentType !== null) headers.push(header('content-type', message.contentType))
  if (message.payloadFormatIndicator !== null) headers.push(header('mqtt_payload_format_indicator', message.payloadFormatIndicator))
  if (message.messageExpiryInterval !== null) headers.push(header('mqtt_message_expiry_interval', message.messageExpiryInterval))
  if (message.responseTopic !== null) headers.push(header('mqtt_response_topic', message.responseTopic))
  if (message.correlationData !== null) headers.push({ name: 'mqtt_correlation_data', value: message.correlationData })
  for (const { name, value } of message.userProperties) headers.push(header(`mqtt_user_property_${name}`, value))
  for (const name in enrichments) headers.push(header(name, enrichments[name] as string))
  return { value: message.payload, headers }
}
