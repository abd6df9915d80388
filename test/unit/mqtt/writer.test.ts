import { expect, test } from '@jest/globals'
import type { Packet, PublishPacket } from '../../../mqtt/packet.ts'
import { Parser } from '../../../mqtt/parser.ts'
import { encodePublish, type PublishReceiver, publishHeader, publishSize } from '../../../mqtt/publish-writer.ts'
import { ack, puback, putAck, writePacket } from '../../../mqtt/writer.ts'
import fc from '../../support/fast-check.ts'
import { explainedPackets } from './packets.ts'

const anyone: PublishReceiver = { qos: 0, dup: false, retain: false, packetId: 0, topicAlias: 0, topicKnown: false, subscriptionIdentifiers: [] }

function readByClient(bytes: Buffer, version: 4 | 5): Packet {
  const seen: Packet[] = []
  new Parser({ version, sender: 'server', maximumPacketSize: 2 ** 28 }).parse(bytes, (packet) => seen.push(packet))
  expect(seen).toHaveLength(1)
  return seen[0]!
}

test('acknowledgements of success take four bytes', () => {
  expect(puback(0x1234)).toEqual(Buffer.from([0x40, 2, 0x12, 0x34]))
  expect(ack('pubrec', 1)).toEqual(Buffer.from([0x50, 2, 0, 1]))
  expect(ack('pubrel', 1)).toEqual(Buffer.from([0x62, 2, 0, 1]))
  expect(ack('pubcomp', 65_535)).toEqual(Buffer.from([0x70, 2, 0xff, 0xff]))
  for (const version of [4, 5] as const) expect(writePacket({ type: 'puback', packetId: 0x1234, reasonCode: 0 }, version)).toEqual(puback(0x1234))
})

test('many acknowledgements go into one buffer', () => {
  const target = Buffer.alloc(8)
  expect(putAck(target, putAck(target, 0, 'puback', 1), 'pubcomp', 2)).toBe(8)
  expect(target).toEqual(Buffer.concat([puback(1), ack('pubcomp', 2)]))
})

test('3.1.1 gets return codes and no reasons [3.1.1 MQTT-3.9.3-2]', () => {
  expect(writePacket({ type: 'connack', sessionPresent: false, reasonCode: 0x87 }, 4)).toEqual(Buffer.from([0x20, 2, 0, 5]))
  expect(writePacket({ type: 'connack', sessionPresent: true, reasonCode: 0, properties: { receiveMaximum: 3 } }, 4)).toEqual(Buffer.from([0x20, 2, 1, 0]))
  expect(writePacket({ type: 'puback', packetId: 1, reasonCode: 0x87, properties: { reasonString: 'no' } }, 4)).toEqual(Buffer.from([0x40, 2, 0, 1]))
  expect(writePacket({ type: 'suback', packetId: 1, reasonCodes: [1, 0x87, 0x8f] }, 4)).toEqual(Buffer.from([0x90, 5, 0, 1, 1, 0x80, 0x80]))
  expect(writePacket({ type: 'unsuback', packetId: 1, reasonCodes: [0, 0x11] }, 4)).toEqual(Buffer.from([0xb0, 2, 0, 1]))
})

test('what 3.1.1 cannot say is nothing [3.1.1 MQTT-3.2.2-6]', () => {
  expect(writePacket({ type: 'connack', sessionPresent: false, reasonCode: 0x81 }, 4)).toHaveLength(0)
  expect(writePacket({ type: 'disconnect', reasonCode: 0x8e }, 4)).toHaveLength(0)
  expect(writePacket({ type: 'auth', reasonCode: 0x18, properties: {} }, 4)).toHaveLength(0)
})

test('reason codes and properties are left out where they say nothing', () => {
  expect(writePacket({ type: 'disconnect', reasonCode: 0 }, 5)).toEqual(Buffer.from([0xe0, 0]))
  expect(writePacket({ type: 'disconnect', reasonCode: 0x8e }, 5)).toEqual(Buffer.from([0xe0, 1, 0x8e]))
  expect(writePacket({ type: 'puback', packetId: 1, reasonCode: 0x10 }, 5)).toEqual(Buffer.from([0x40, 3, 0, 1, 0x10]))
})

test('user properties go first and the reason string next when the receiver takes no larger packet', () => {
  const properties = { reasonString: 'r'.repeat(50), userProperties: [['n'.repeat(100), 'v']] as const }
  const packet: Packet = { type: 'puback', packetId: 1, reasonCode: 0x87, properties }
  const whole = writePacket(packet, 5)
  const sizes = (max: number) => writePacket(packet, 5, max).length
  expect(sizes(whole.length)).toBe(whole.length)
  expect(readByClient(writePacket(packet, 5, whole.length - 1), 5)).toEqual({ ...packet, properties: { reasonString: properties.reasonString } })
  expect(readByClient(writePacket(packet, 5, 20), 5)).toEqual({ type: 'puback', packetId: 1, reasonCode: 0x87 })
  expect(sizes(2)).toBe(5)
})

test.each([
  ['connack', 'MQTT-3.2.2-19, -20'],
  ['puback', 'MQTT-3.4.2-2, -3'],
  ['pubrec', 'MQTT-3.5.2-2, -3'],
  ['pubrel', 'MQTT-3.6.2-2, -3'],
  ['pubcomp', 'MQTT-3.7.2-2, -3'],
  ['suback', 'MQTT-3.9.2-1, -2'],
  ['unsuback', 'MQTT-3.11.2-1, -2'],
  ['disconnect', 'MQTT-3.14.2-3, -4'],
  ['auth', 'MQTT-3.15.2-2, -3'],
] as const)('reason strings and user properties never make a %s larger than its receiver takes [%s]', (type, _statements) => {
  fc.assert(
    fc.property(explainedPackets[type], fc.integer({ min: 2, max: 600 }), (packet, maximumPacketSize) => {
      const whole = writePacket(packet, 5)
      const bytes = writePacket(packet, 5, maximumPacketSize)
      if (whole.length <= maximumPacketSize) expect(bytes).toEqual(whole)
      else if (bytes.length > maximumPacketSize) {
        const properties = { ...(readByClient(bytes, 5) as { properties?: object }).properties }
        expect('userProperties' in properties || 'reasonString' in properties).toBe(false)
      }
    }),
  )
})

test('one encoded message serves receivers of any QoS, alias and subscription identifiers', () => {
  const payload = Buffer.from('payload')
  const properties = { contentType: 'text/plain', userProperties: [['a', 'b']] as const }
  const encoded = encodePublish({ topic: 'a/b', payload, properties }, 5)
  const read = (receiver: Partial<PublishReceiver>) => {
    const header = publishHeader(encoded, { ...anyone, ...receiver })
    expect(publishSize(encoded, { ...anyone, ...receiver })).toBe(header.length + payload.length)
    return readByClient(Buffer.concat([header, encoded.payload]), 5)
  }
  const base = { type: 'publish', topic: 'a/b', payload, qos: 0, dup: false, retain: false, packetId: 0, properties }
  expect(encoded.payload).toBe(payload)
  expect(read({})).toEqual(base)
  expect(read({ qos: 1, packetId: 7, dup: true, retain: true })).toEqual({ ...base, qos: 1, packetId: 7, dup: true, retain: true })
  expect(read({ qos: 2, packetId: 65_535 })).toEqual({ ...base, qos: 2, packetId: 65_535 })
  expect(read({ subscriptionIdentifiers: [1, 300, 268_435_455] })).toEqual({
    ...base,
    properties: { ...properties, subscriptionIdentifiers: [1, 300, 268_435_455] },
  })
  expect(read({ topicAlias: 258 })).toEqual({ ...base, properties: { ...properties, topicAlias: 258 } })
  expect(read({ topicAlias: 258, topicKnown: true })).toEqual({ ...base, topic: '', properties: { ...properties, topicAlias: 258 } })
  expect(read({ topicKnown: true })).toEqual(base)
})

test('DUP is never set at QoS 0', () => {
  const encoded = encodePublish({ topic: 't', payload: Buffer.alloc(0) }, 4)
  expect(publishHeader(encoded, { ...anyone, dup: true })[0]).toBe(0x30) // [MQTT-3.3.1-2]
})

test('a 3.1.1 receiver gets neither properties nor an alias', () => {
  const encoded = encodePublish({ topic: 't', payload: Buffer.from('x'), properties: { contentType: 'c' } }, 4)
  const receiver = { ...anyone, qos: 1, packetId: 3, topicAlias: 4, topicKnown: true, subscriptionIdentifiers: [1] } as const
  expect(Buffer.concat([publishHeader(encoded, receiver), encoded.payload])).toEqual(Buffer.from([0x32, 6, 0, 1, 0x74, 0, 3, 0x78]))
  expect(publishSize(encoded, receiver)).toBe(8)
})

test('lengths are right around every size of the length field', () => {
  for (const size of [0, 1, 124, 125, 126, 16_379, 16_380, 16_381, 2_097_146, 2_097_147, 2_097_150]) {
    const payload = Buffer.alloc(size)
    const packet: PublishPacket = { type: 'publish', topic: 't', payload, qos: 0, dup: false, retain: false, packetId: 0 }
    const bytes = writePacket(packet, 5)
    const read = readByClient(bytes, 5)
    expect(read.type === 'publish' && read.payload.equals(payload)).toBe(true)
  }
})

test('strings and lengths that do not fit are a programmer’s error', () => {
  const packet = { type: 'publish', payload: Buffer.alloc(0), qos: 0, dup: false, retain: false, packetId: 0 } as const
  expect(() => writePacket({ ...packet, topic: 'x'.repeat(65_536) }, 4)).toThrow(RangeError)
  expect(() => writePacket({ ...packet, topic: 't', properties: { subscriptionIdentifiers: [268_435_456] } }, 5)).toThrow(RangeError)
})
