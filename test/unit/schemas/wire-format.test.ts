import { afterAll, describe, expect, test } from '@jest/globals'
import {
  decodePublished,
  decodeRecord,
  encodeRecord,
  framingOf,
  inSingleObject,
  learnSchemaId,
  recordHeader,
  schemaIdsMax,
  schemaOf,
  writeUnderId,
} from '../../../schemas/codec.ts'
import type { Schema } from '../../../schemas/fingerprint.ts'
import type { Message } from '../../../schemas/message.ts'
import { DeliveryView, decodeMessage, encodeMessage, encodePublish, messageIdOf, peekMessage } from '../../../schemas/message-record.ts'
import { RecordError, UnknownSchemaId } from '../../../schemas/record-error.ts'

/** The wire format of Confluent's clients: 0, the schema's id in four bytes, the body. */

const message: Message = {
  messageId: Buffer.alloc(16, 7),
  clientId: 'client-1',
  session: 1234,
  receivedAt: 1_760_000_000_000,
  topic: 'vehicles/1/position',
  qos: 1,
  retain: false,
  messageExpiryInterval: 60,
  authenticationName: 'name',
  gateway: 'gateway-1',
  protocolVersion: 5,
  payloadFormatIndicator: null,
  contentType: 'text/plain',
  responseTopic: null,
  correlationData: null,
  userProperties: [{ name: 'a', value: '1' }],
  payload: Buffer.from('hello'),
}
const single = encodeRecord('Message', message)
const framed = (id: number, value: Buffer): Buffer => {
  const header = Buffer.alloc(5)
  header.writeUInt32BE(id, 1)
  return Buffer.concat([header, value.subarray(10)])
}

afterAll(() => {
  framingOf('Message').written = recordHeader('Message')
})

describe('records in the wire format of a schema registry', () => {
  test('under an id that nobody has told are an error of their own, which names the setting, and never pass for damaged', () => {
    const value = framed(70_000, single)
    for (const read of [decodePublished, decodeMessage, peekMessage, messageIdOf, inSingleObject, (bytes: Buffer) => new DeliveryView(bytes)]) {
      expect(() => read(value)).toThrow(UnknownSchemaId)
      expect(() => read(value)).toThrow(/70000.*SCHEMA_REGISTRY_URL/)
      expect(() => read(value)).not.toThrow(RecordError)
    }
  })

  test('are damage in a journal, where none is ever written', () => {
    expect(() => decodeRecord(framed(70_000, single))).toThrow(RecordError)
  })

  test('are read like those in single-object encoding, by every reader, once the id is known', () => {
    expect(learnSchemaId(70_001, schemaOf('Message'))).toEqual({ name: 'Message', isCurrent: true })
    const value = framed(70_001, single)
    expect(decodeRecord(value)).toEqual(decodeRecord(single))
    expect(decodeMessage(value)).toEqual(message)
    expect(peekMessage(value)).toMatchObject({ topic: message.topic, clientId: message.clientId, messageExpiryInterval: 60 })
    expect(messageIdOf(value)).toEqual(message.messageId)
    expect(new DeliveryView(value).topic).toBe(message.topic)
    expect(new DeliveryView(value).encode(5, 3).properties).toEqual(new DeliveryView(single).encode(5, 3).properties)
    expect(inSingleObject(value)).toEqual(single)
    expect(inSingleObject(single)).toBe(single)
  })

  test('that are cut short or followed by something are damaged', () => {
    const value = framed(70_001, single)
    for (let length = 0; length < value.length; length++) {
      expect(() => decodeRecord(value.subarray(0, length))).toThrow(RecordError)
      expect(() => decodeMessage(value.subarray(0, length))).toThrow(RecordError)
    }
    expect(() => decodeMessage(Buffer.concat([value, Buffer.from([0])]))).toThrow(RecordError)
    expect(messageIdOf(value.subarray(0, 20))).toBeUndefined()
  })

  test('of another record are no Message', () => {
    learnSchemaId(70_002, schemaOf('LifecycleEvent'))
    expect(() => decodeMessage(framed(70_002, single))).toThrow(RecordError)
  })

  test('are written from when it is said, the same bytes by hand and by the generic codec', () => {
    expect(encodeMessage(message)).toEqual(single)
    writeUnderId('Message', 70_001)
    const value = framed(70_001, single)
    expect(Buffer.from(encodeMessage(message))).toEqual(value)
    expect(encodeRecord('Message', message)).toEqual(value)
    const { contentType, userProperties, payload, topic, retain, messageExpiryInterval, ...accepted } = message
    const properties = { messageExpiryInterval: 60, contentType: 'text/plain', userProperties: [['a', '1'] as const] }
    const published = encodePublish(accepted, topic, { type: 'publish', topic, payload, qos: 1, dup: false, retain, packetId: 1, properties } as never)
    expect(Buffer.from(published)).toEqual(value)
    expect(encodeRecord('TermAnnounced', { shard: 0, term: 1 }).subarray(0, 2)).toEqual(Buffer.from([0xc3, 0x01]))
    expect(decodeMessage(single)).toEqual(message)
  })
})

describe('an id', () => {
  test('stands for one schema, whichever text it has, a former version included', () => {
    const { doc: _, ...undocumented } = schemaOf('Message') as { readonly doc?: string; readonly type: Schema }
    expect(learnSchemaId(70_003, undocumented)).toEqual({ name: 'Message', isCurrent: true })
    expect(() => learnSchemaId(70_003, schemaOf('LifecycleEvent'))).toThrow('the id 70003 stands for Message and for LifecycleEvent')
    expect(learnSchemaId(70_004, 'string')).toBeUndefined()
    expect(() => decodePublished(framed(70_004, single))).toThrow(UnknownSchemaId)
  })

  test('is a number from 1 to 2^31 - 1', () => {
    for (const id of [0, -1, 1.5, 2 ** 31, Number.NaN]) expect(() => learnSchemaId(id, schemaOf('Message'))).toThrow(RangeError)
    expect(() => writeUnderId('Message', 70_999)).toThrow(RangeError)
  })

  test(`is remembered with at most ${schemaIdsMax} others`, () => {
    const fill = (): void => {
      for (let id = 1; id <= schemaIdsMax + 1; id++) learnSchemaId(id, schemaOf('Message'))
    }
    expect(fill).toThrow(`more than ${schemaIdsMax} ids`)
    expect(learnSchemaId(70_001, schemaOf('Message'))).toBeDefined()
  })
})
