import { expect, test } from '@jest/globals'
import type { PublishPacket, PublishProperties } from '../../../mqtt/packet.ts'
import { Parser } from '../../../mqtt/parser.ts'
import { type EncodedPublish, encodePublish as encodeSharedPublish, publishHeader, publishSize, putPublish } from '../../../mqtt/publish-writer.ts'
import { writePacket } from '../../../mqtt/writer.ts'
import { decodeRecord, encodeRecord } from '../../../schemas/codec.ts'
import type { Message } from '../../../schemas/message.ts'
import { type Accepted, DeliveryView, decodeMessage, encodeMessage, encodePublish, MessageView, peekMessage } from '../../../schemas/message-record.ts'
import { RecordError } from '../../../schemas/record-error.ts'
import fc from '../../support/fast-check.ts'

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.constant('x'.repeat(70)),
  fc.constantFrom(20, 22, 32, 64, 2731, 4096).map((length) => 'é'.repeat(length)),
)
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const long = fc.oneof(fc.integer(), fc.integer({ min: -(2 ** 52), max: 2 ** 52 }), fc.constantFrom(0, -1, 63, 64, 2 ** 30 - 1, 2 ** 30, 2 ** 52, -(2 ** 52)))
const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null })

const messages: fc.Arbitrary<Message> = fc.record({
  messageId: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((array) => Buffer.from(array)),
  clientId: text,
  session: long,
  receivedAt: long,
  topic: text,
  qos: int,
  retain: fc.boolean(),
  messageExpiryInterval: optional(long),
  authenticationName: text,
  gateway: text,
  protocolVersion: int,
  payloadFormatIndicator: optional(int),
  contentType: optional(text),
  responseTopic: optional(text),
  correlationData: optional(bytes),
  userProperties: fc.array(fc.record({ name: text, value: text }), { maxLength: 20 }),
  payload: bytes,
})

const sample: Message = {
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
  payloadFormatIndicator: 1,
  contentType: 'application/geo+json',
  responseTopic: 'r',
  correlationData: Buffer.from('c'),
  userProperties: [
    { name: 'a', value: '1' },
    { name: 'a', value: '2' },
  ],
  payload: Buffer.from('{"type":"Point"}'),
}

test('a message written by hand has the bytes that avsc writes', () => {
  fc.assert(fc.property(messages, (message) => expect(encodeMessage(message).equals(encodeRecord('Message', message))).toBe(true)))
})

test('a message written by avsc reads the same by hand and by avsc', () => {
  fc.assert(
    fc.property(messages, (message) => {
      const value = encodeRecord('Message', message)
      expect(decodeMessage(value)).toEqual(message)
      expect(decodeRecord(value)).toEqual({ name: 'Message', value: message })
    }),
  )
})

test('the view shows the early fields as the whole message has them', () => {
  fc.assert(
    fc.property(messages, (message) => {
      const view = peekMessage(encodeRecord('Message', message))
      const { clientId, session, receivedAt, topic, qos, retain, messageExpiryInterval } = view
      const { clientId: c, session: s, receivedAt: r, topic: t, qos: q, retain: re, messageExpiryInterval: m } = message
      expect([clientId, session, receivedAt, topic, qos, retain, messageExpiryInterval]).toEqual([c, s, r, t, q, re, m])
    }),
  )
})

test('a PUBLISH and what its gateway knows become the same record as the message they mean', () => {
  const { topic, payload, qos, retain } = sample
  const accepted: Accepted = sample
  const publish: PublishPacket = {
    type: 'publish',
    topic: '',
    payload,
    qos: 1,
    dup: false,
    retain,
    packetId: 9,
    properties: {
      topicAlias: 3,
      messageExpiryInterval: 60,
      payloadFormatIndicator: 1,
      contentType: 'application/geo+json',
      responseTopic: 'r',
      correlationData: Buffer.from('c'),
      userProperties: [
        ['a', '1'],
        ['a', '2'],
      ],
    },
  }
  expect(qos).toBe(1)
  expect(decodeMessage(Buffer.from(encodePublish(accepted, topic, publish)))).toEqual(sample)
  // And through the wire.
  let parsed: PublishPacket | undefined
  new Parser({ version: 5, maximumPacketSize: 1000 }).parse(writePacket(publish, 5), (packet) => {
    parsed = packet as PublishPacket
  })
  expect(decodeMessage(Buffer.from(encodePublish(accepted, topic, parsed!)))).toEqual(sample)
})

test('a PUBLISH without properties becomes a record without them', () => {
  const publish: PublishPacket = { type: 'publish', topic: 't', payload: Buffer.from('p'), qos: 0, dup: false, retain: true, packetId: 0 }
  const accepted = { ...sample, protocolVersion: 4 }
  const expected: Message = {
    ...accepted,
    topic: 't',
    qos: 0,
    retain: true,
    payload: Buffer.from('p'),
    messageExpiryInterval: null,
    payloadFormatIndicator: null,
    contentType: null,
    responseTopic: null,
    correlationData: null,
    userProperties: [],
  }
  expect(Buffer.from(encodePublish(accepted, 't', publish))).toEqual(encodeRecord('Message', expected))
})

/** As a receiver gets it, written in one piece and with its payload apart. */
function packetOf(encoded: EncodedPublish): Buffer {
  const receiver = { qos: 1, dup: false, retain: true, packetId: 7, topicAlias: 0, topicKnown: false, subscriptionIdentifiers: [3] } as const
  const packet = Buffer.alloc(publishSize(encoded, receiver))
  expect(putPublish(packet, 0, encoded, receiver)).toBe(packet.length)
  expect(Buffer.concat([publishHeader(encoded, receiver), encoded.payload.subarray(encoded.payloadStart)])).toEqual(packet)
  return packet
}

test('the PUBLISH made from a record is the one made from its message', () => {
  const expiry = fc.option(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { nil: null })
  fc.assert(
    fc.property(messages, fc.constantFrom(4 as const, 5 as const), expiry, (message, version, left) => {
      const { topic, payload, contentType, responseTopic, correlationData, userProperties } = message
      const payloadFormatIndicator = message.payloadFormatIndicator === null ? null : ((message.payloadFormatIndicator & 1) as 0 | 1)
      const properties: PublishProperties = {
        ...(payloadFormatIndicator === null ? {} : { payloadFormatIndicator }),
        ...(left === null ? {} : { messageExpiryInterval: left }),
        ...(contentType === null ? {} : { contentType }),
        ...(responseTopic === null ? {} : { responseTopic }),
        ...(correlationData === null ? {} : { correlationData }),
        userProperties: userProperties.map(({ name, value }) => [name, value] as const),
      }
      const view = new DeliveryView(encodeRecord('Message', { ...message, messageExpiryInterval: null, payloadFormatIndicator }))
      expect([view.topic, view.payloadSize]).toEqual([topic, payload.length])
      const expected = encodeSharedPublish({ topic, payload, properties }, version)
      expect(packetOf(view.encode(version, left))).toEqual(packetOf(expected))
      const [first, ...others] = properties.userProperties ?? []
      const marked = encodeSharedPublish({ topic, payload, properties: { ...properties, userProperties: [...others, ['a', 'b']] } }, version)
      if (!first) expect(packetOf(view.encode(version, left, [['a', 'b']]))).toEqual(packetOf(marked))
    }),
  )
})

test('a message larger than the slab is written whole, and the next one too', () => {
  const large = { ...sample, payload: Buffer.alloc(3_000_000, 1) }
  expect(encodeMessage(large).equals(encodeRecord('Message', large))).toBe(true)
  expect(Buffer.from(encodeMessage(sample))).toEqual(encodeRecord('Message', sample))
})

test('every proper prefix of a record is refused', () => {
  const value = encodeRecord('Message', sample)
  for (let length = 0; length < value.length; length++) {
    expect(() => decodeMessage(value.subarray(0, length))).toThrow(RecordError)
    expect(() => new DeliveryView(value.subarray(0, length))).toThrow(RecordError)
    expect(() => decodeRecord(value.subarray(0, length))).toThrow(RecordError)
  }
  expect(() => decodeMessage(Buffer.concat([value, Buffer.alloc(1)]))).toThrow(RecordError)
})

test('a record of another schema is refused by name of its first bytes', () => {
  const other = encodeRecord('TermAnnounced', { shard: 0, term: 1 })
  expect(() => decodeMessage(other)).toThrow(RecordError)
  expect(() => peekMessage(Buffer.concat([other, Buffer.alloc(100)]))).toThrow(/does not begin like a Message/)
})

test('damaged bytes give a message or a RecordError, never another error or a read beyond the record', () => {
  const value = encodeRecord('Message', sample)
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 10, max: value.length - 1 }), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
      (changes) => {
        const damaged = Buffer.from(value)
        for (const [at, byte] of changes) damaged[at] = byte
        for (const decode of [decodeMessage, (bytes: Buffer) => new MessageView(bytes), (bytes: Buffer) => new DeliveryView(bytes).encode(5, null)]) {
          try {
            decode(damaged)
          } catch (error) {
            expect(error).toBeInstanceOf(RecordError)
          }
        }
      },
    ),
    { numRuns: 2000 },
  )
})

test('a message id of the wrong size and a number beyond 2^52 are refused', () => {
  expect(() => encodeMessage({ ...sample, messageId: Buffer.alloc(15) })).toThrow(RangeError)
  expect(() => encodeMessage({ ...sample, session: 2 ** 53 })).toThrow(RangeError)
})

test('a record that no PUBLISH can carry is refused before anything is sent of it', () => {
  const none = { messageExpiryInterval: null }
  for (const unfit of [
    { ...none, topic: 'x'.repeat(65_536) },
    { ...none, userProperties: [{ name: 'a', value: 'x'.repeat(65_536) }] },
    { ...none, correlationData: Buffer.alloc(65_536) },
    { messageExpiryInterval: -1 },
    { messageExpiryInterval: 2 ** 32 },
  ])
    expect(() => new DeliveryView(encodeRecord('Message', { ...sample, ...unfit }))).toThrow(/does not fit into an MQTT packet/)
})
