import { expect, test } from '@jest/globals'
import { CloudEvent, Kafka, type KafkaMessage, ValidationError } from 'cloudevents'
import { cloudEventOf, eventIdOf, withAttributes } from '../../../events/cloud-event.ts'
import { binaryRecord, type RecordContent, rawRecord, structuredRecord } from '../../../events/kafka-binding.ts'
import type { Message } from '../../../schemas/message.ts'
import { message } from './messages.ts'

const id = '000102030405060708090a0b0c0d0e0f'
const time = '2026-01-02T03:04:05.006Z'
const own = { specversion: '1.0', id, source: 'default', type: 'MQTT.EventPublished', time, subject: 'plant/line1/temperature' }
const json = (record: RecordContent): object => JSON.parse(record.value.toString())
const structured = (more: Partial<Message>): object => json(structuredRecord(cloudEventOf(message(more), 'default')))
const headers = (record: RecordContent): object => Object.fromEntries(record.headers.map(({ name, value }) => [name, value.toString()]))
/** As the SDK reads it: with headers as text, as its Kafka clients hand them on. */
function parsed(record: RecordContent): CloudEvent {
  const asText = Object.fromEntries(record.headers.map(({ name, value }) => [name, value.toString()]))
  const event = Kafka.toEvent({ key: '', timestamp: '', headers: asText, body: record.value, value: record.value } as unknown as KafkaMessage)
  if (!(event instanceof CloudEvent)) throw new ValidationError('several events')
  event.validate()
  return event
}

test('RT-06 the envelope of a message: id, time, type, source, subject and the content type', () => {
  expect(structured({ contentType: 'application/vnd.example' })).toEqual({
    ...own,
    datacontenttype: 'application/vnd.example',
    data_base64: Buffer.from('{"celsius":21.5}').toString('base64'),
  })
  expect(eventIdOf(message().messageId)).toBe(id)
})

test('RT-06 (a) a message of MQTT 3.1.1, or with payload format indicator 0, is bytes', () => {
  const bytes = { ...own, datacontenttype: 'application/octet-stream', data_base64: 'eyJjZWxzaXVzIjoyMS41fQ==' }
  expect(structured({ protocolVersion: 4 })).toEqual(bytes)
  expect(structured({ payloadFormatIndicator: 0 })).toEqual(bytes)
  expect(structured({ payload: Buffer.alloc(0), protocolVersion: 4 })).toEqual({ ...bytes, data_base64: '' })
})

test('RT-07 without an indicator a message of another content type is bytes, application/json without a charset too', () => {
  for (const contentType of [null, 'text/plain', 'application/json', 'application/json; charset=latin1'])
    expect(structured({ contentType })).toMatchObject({ data_base64: 'eyJjZWxzaXVzIjoyMS41fQ==' })
})

test('RT-06 (b) application/json; charset=utf-8 or indicator 1 is JSON, and a string when the payload is none', () => {
  for (const contentType of ['application/json; charset=utf-8', 'application/json;charset=UTF-8', 'Application/JSON; charset="utf-8"'])
    expect(structured({ contentType })).toEqual({ ...own, datacontenttype: contentType, data: { celsius: 21.5 } })
  expect(structured({ payloadFormatIndicator: 1 })).toEqual({ ...own, datacontenttype: 'application/json', data: { celsius: 21.5 } })
  expect(structured({ payloadFormatIndicator: 1, payload: Buffer.from('hot “today”') })).toEqual({
    ...own,
    datacontenttype: 'text/plain; charset=utf-8',
    data: 'hot “today”',
  })
  expect(structured({ contentType: 'application/json; charset=utf-8', payload: Buffer.from('{hot') })).toMatchObject({ data: '{hot' })
  expect(structured({ payloadFormatIndicator: 1, contentType: 'text/csv', payload: Buffer.from('a,b') })).toMatchObject({
    datacontenttype: 'text/csv',
    data: 'a,b',
  })
})

test('RT-06 (b) numbers beyond JavaScript’s pass as they were written, and text that is no UTF-8 as bytes', () => {
  const payload = Buffer.from('{"big":12345678901234567890.123}')
  const record = structuredRecord(cloudEventOf(message({ payloadFormatIndicator: 1, payload }), 'default'))
  expect(record.value.toString()).toContain('"data":{"big":12345678901234567890.123}}')
  expect(structured({ payloadFormatIndicator: 1, payload: Buffer.from([0xff, 0xfe]) })).toMatchObject({ data_base64: '//4=' })
})

const published = { id: 'own-1', source: '/sensors/1', type: 'com.example.temperature', specversion: '1.0', celsius: '21' }
const userProperties = Object.entries(published).map(([name, value]) => ({ name, value }))

test('RT-06 (c) an event in the binary MQTT binding is passed on with the client’s own attributes', () => {
  const more = {
    userProperties: [...userProperties, { name: 'Not-An-Attribute', value: 'x' }, { name: 'id', value: 'second' }],
    contentType: 'application/json',
  }
  expect(structured(more)).toEqual({ ...published, time, datacontenttype: 'application/json', data: { celsius: 21.5 } })
  expect(structured({ userProperties, payload: Buffer.from([1, 2]), contentType: 'image/png' })).toEqual({
    ...published,
    time,
    datacontenttype: 'image/png',
    data_base64: 'AQI=',
  })
})

test('RT-06 (c) an event in the structured MQTT binding too', () => {
  const event = { ...published, time: '2020-01-01T00:00:00+01:00', subject: null, count: 3, data: { celsius: 21.5 } }
  const { subject: _, ...passed } = event
  const contentType = 'application/cloudevents+json; charset=utf-8'
  expect(structured({ contentType, payload: Buffer.from(JSON.stringify(event)) })).toEqual({ ...passed, datacontenttype: 'application/json' })
  const bytes = { ...published, time, data_base64: 'AQI=' }
  expect(structured({ contentType, payload: Buffer.from(JSON.stringify(bytes)) })).toEqual(bytes)
  expect(structured({ contentType, payload: Buffer.from(JSON.stringify(published)) })).toEqual({ ...published, time })
})

test.each([
  ['of MQTT 3.1.1', { userProperties, protocolVersion: 4 }],
  ['without a type', { userProperties: userProperties.filter(({ name }) => name !== 'type') }],
  ['of another version', { userProperties: userProperties.map(({ name, value }) => ({ name, value: name === 'specversion' ? '0.3' : value })) }],
  ['with an empty id', { userProperties: userProperties.map(({ name, value }) => ({ name, value: name === 'id' ? '' : value })) }],
  ['with a time that is none', { userProperties: [...userProperties, { name: 'time', value: 'now' }] }],
  ['that is no JSON', { contentType: 'application/cloudevents+json', payload: Buffer.from('{') }],
  ['that is no object', { contentType: 'application/cloudevents+json', payload: Buffer.from('[]') }],
  ['with an attribute that is an object', { contentType: 'application/cloudevents+json', payload: Buffer.from(JSON.stringify({ ...published, nested: {} })) }],
  ['with data twice', { contentType: 'application/cloudevents+json', payload: Buffer.from(JSON.stringify({ ...published, data: 1, data_base64: 'AA==' })) }],
  ['of a batch', { contentType: 'application/cloudevents-batch+json', payload: Buffer.from(JSON.stringify([published])) }],
])('RT-06 what looks like an event %s is wrapped like any payload', (_, more) => {
  expect(structured(more)).toMatchObject(own)
})

test('enrichments replace attributes of the client’s own', () => {
  const event = withAttributes(cloudEventOf(message({ userProperties }), 'default'), { celsius: 'enriched', site: '' })
  expect(json(structuredRecord(event))).toMatchObject({ celsius: 'enriched', site: '', id: 'own-1' })
})

test('in binary mode attributes are headers and the value is the device’s bytes', () => {
  const record = binaryRecord(withAttributes(cloudEventOf(message({ contentType: 'text/plain' }), 'default'), { pfi: 1 }))
  expect(headers(record)).toEqual({
    ce_specversion: '1.0',
    ce_id: id,
    ce_source: 'default',
    ce_type: 'MQTT.EventPublished',
    ce_time: time,
    ce_subject: 'plant/line1/temperature',
    'content-type': 'text/plain',
    ce_pfi: '1',
  })
  expect(record.value).toEqual(message().payload)
  const withoutData = binaryRecord(cloudEventOf(message({ userProperties, payload: Buffer.alloc(0) }), 'default'))
  expect(withoutData.value).toEqual(Buffer.alloc(0)) // no tombstone
})

test('as raw payload the record has all that MQTT said of it in headers, user properties in their order', () => {
  const record = rawRecord(
    message({
      contentType: 'text/plain',
      payloadFormatIndicator: 1,
      messageExpiryInterval: 60,
      responseTopic: 'answers',
      correlationData: Buffer.from([0, 255]),
      userProperties: [
        { name: 'unit', value: 'C' },
        { name: 'unit', value: 'K' },
      ],
    }),
    { site: 'north' },
  )
  expect(record.value).toEqual(message().payload)
  expect(record.headers.map(({ name, value }) => [name, value.toString('latin1')])).toEqual([
    ['mqtt_topic', 'plant/line1/temperature'],
    ['mqtt_qos', '1'],
    ['mqtt_retain', 'false'],
    ['mqtt_client_id', 'sensor-1'],
    ['mqtt_authentication_name', 'sensor-1.example.com'],
    ['mqtt_message_id', id],
    ['mqtt_received_at', time],
    ['content-type', 'text/plain'],
    ['mqtt_payload_format_indicator', '1'],
    ['mqtt_message_expiry_interval', '60'],
    ['mqtt_response_topic', 'answers'],
    ['mqtt_correlation_data', '\u0000\u00ff'],
    ['mqtt_user_property_unit', 'C'],
    ['mqtt_user_property_unit', 'K'],
    ['site', 'north'],
  ])
})

const everything: readonly (readonly [string, Partial<Message>])[] = [
  ['bytes', { payload: Buffer.from([0, 1, 255]) }],
  ['nothing', { payload: Buffer.alloc(0) }],
  ['JSON', { payloadFormatIndicator: 1 }],
  ['a JSON type and no JSON', { contentType: 'application/json; charset=utf-8', payload: Buffer.from('hot') }],
  ['text', { payloadFormatIndicator: 1, payload: Buffer.from('hot') }],
  ['an event in binary mode', { userProperties, contentType: 'application/json' }],
  ['an event without data', { userProperties, payload: Buffer.alloc(0) }],
  ['an event in structured mode', { contentType: 'application/cloudevents+json', payload: Buffer.from(JSON.stringify({ ...published, data: [1, 2] })) }],
]

test.each(everything)('the cloudevents SDK reads both forms of %s as a valid event', (_, more) => {
  const event = withAttributes(cloudEventOf(message(more), 'default'), { site: 'north' })
  for (const record of [binaryRecord(event), structuredRecord(event)]) {
    const read = parsed(record)
    expect({ id: read.id, source: read.source, type: read.type, site: read.site }).toEqual({
      id: event.attributes.id,
      source: event.attributes.source,
      type: event.attributes.type,
      site: 'north',
    })
  }
})
