import * as mqtt from '../wire/bytes.ts'
import { Property } from '../wire/bytes.ts'
import type { Case, Trial, Version } from './trial.ts'

const malformed = 0x81
const protocolError = 0x82

const surrogate = Buffer.from([0x61, 0xed, 0xa0, 0x80])
const overlong = Buffer.from([0xc0, 0xaf])
const nul = Buffer.from([0x61, 0x00, 0x62])
const badTexts = [surrogate, overlong, nul]

/** What is wrong, what holds it, the bytes, the reason code of MQTT 5. Each ends a connection of its own. */
interface Bad {
  readonly what: string
  readonly clause: string
  readonly versions?: readonly Version[]
  readonly code: number
  readonly bytes: (version: Version) => readonly Buffer[]
}

/** A property whose value is given as bytes, for values that no client should write. */
const raw = (identifier: number, ...value: readonly Buffer[]): Buffer => Buffer.concat([Buffer.from([identifier]), ...value])
const withRaw = (...list: readonly Buffer[]): Buffer => mqtt.binaryProperties(Buffer.concat(list))

/** CONNECT from its connect flags on; MQTT 5 without properties unless they are given. */
function connect(version: Version, flags: number, fields: readonly Buffer[], properties?: Buffer): Buffer {
  const list = version === 5 ? (properties ?? mqtt.properties(5)) : Buffer.alloc(0)
  return mqtt.packet(0x10, mqtt.text('MQTT'), Buffer.from([version, flags]), mqtt.u16(60), list, ...fields)
}
const id = mqtt.text('bad')
const will = (version: Version, topic: Buffer, properties: mqtt.Properties = []): Buffer[] => [
  mqtt.properties(version, properties),
  mqtt.binary(topic),
  mqtt.text('x'),
]
const willTopic = Buffer.from('will')

/** First packets that are no CONNECT as section 3.1 wants it. */
const connects: readonly Bad[] = [
  {
    what: 'flags in the first byte',
    clause: 'MQTT-2.1.3-1',
    code: malformed,
    bytes: (v) => [0x11, 0x12, 0x18].map((first) => mqtt.packet(first, connect(v, 2, [id]).subarray(2))),
  },
  { what: 'will retain without a will', clause: 'MQTT-3.1.2-13', code: malformed, bytes: (v) => [connect(v, 2 | 0x20, [id])] },
  { what: 'no client identifier', clause: 'MQTT-3.1.3-3', code: malformed, bytes: (v) => [connect(v, 2, [])] },
  {
    what: 'a will that is not there',
    clause: 'MQTT-3.1.2-9',
    code: malformed,
    bytes: (v) => [connect(v, 6, [id]), connect(v, 6, [id, mqtt.properties(v), mqtt.text('w')])],
  },
  { what: 'a user name that is not there', clause: 'MQTT-3.1.2-17', code: malformed, bytes: (v) => [connect(v, 0x82, [id])] },
  { what: 'a password that is not there', clause: 'MQTT-3.1.2-19', code: malformed, bytes: (v) => [connect(v, 0xc2, [id, mqtt.text('u')])] },
  { what: 'a user name without its flag', clause: 'MQTT-3.1.2-16', code: malformed, bytes: (v) => [connect(v, 2, [id, mqtt.text('u')])] },
  { what: 'a password without its flag', clause: 'MQTT-3.1.2-18', code: malformed, bytes: (v) => [connect(v, 0x82, [id, mqtt.text('u'), mqtt.text('p')])] },
  { what: 'fields that are longer than the packet', clause: 'MQTT-3.1.4-1', code: malformed, bytes: (v) => [connect(v, 2, [Buffer.from([0, 9, 97])])] },
  {
    what: 'a will topic that is no UTF-8 string',
    clause: 'MQTT-3.1.3-11',
    code: malformed,
    bytes: (v) => badTexts.map((topic) => connect(v, 6, [id, ...will(v, topic)])),
  },
  {
    what: 'a will topic with a wildcard',
    clause: 'MQTT-4.7.0-1',
    code: malformed,
    bytes: (v) => ['a/#', '+'].map((topic) => connect(v, 6, [id, ...will(v, Buffer.from(topic))])),
  },
  { what: 'an empty will topic', clause: 'MQTT-4.7.3-1', code: malformed, bytes: (v) => [connect(v, 6, [id, ...will(v, Buffer.alloc(0))])] },
  {
    what: 'a user name that is no UTF-8 string',
    clause: 'MQTT-3.1.3-12',
    code: malformed,
    bytes: (v) => badTexts.map((name) => connect(v, 0x82, [id, mqtt.binary(name)])),
  },
  { what: 'no property length', clause: 'MQTT-2.2.2-1', versions: [5], code: malformed, bytes: () => [connect(5, 2, [], Buffer.alloc(0))] },
  {
    what: 'a boolean property that is neither 0 nor 1',
    clause: '3.1.2.11.6',
    versions: [5],
    code: protocolError,
    bytes: () => [Property.requestResponseInformation, Property.requestProblemInformation].map((each) => connect(5, 2, [id], mqtt.properties(5, [[each, 2]]))),
  },
  {
    what: 'authentication data without a method',
    clause: '3.1.2.11.10',
    versions: [5],
    code: protocolError,
    bytes: () => [connect(5, 2, [id], mqtt.properties(5, [[Property.authenticationData, Buffer.from('x')]]))],
  },
  {
    what: 'a will payload format that is neither 0 nor 1',
    clause: '3.1.3.2.3',
    versions: [5],
    code: protocolError,
    bytes: () => [connect(5, 6, [id, ...will(5, willTopic, [[Property.payloadFormatIndicator, 2]])])],
  },
  {
    what: 'a will property twice',
    clause: '3.1.3.2.2',
    versions: [5],
    code: protocolError,
    bytes: () => [
      connect(5, 6, [
        id,
        ...will(5, willTopic, [
          [Property.willDelayInterval, 1],
          [Property.willDelayInterval, 1],
        ]),
      ]),
    ],
  },
  {
    what: 'a will with a property of PUBLISH alone',
    clause: '2.2.2.2',
    versions: [5],
    code: malformed,
    bytes: () => [connect(5, 6, [id, ...will(5, willTopic, [[Property.topicAlias, 1]])])],
  },
]

const publish = (version: Version, more: Partial<mqtt.Publish> = {}): Buffer => mqtt.publish({ version, topic: 'bad', qos: 1, id: 1, ...more })
const publishWith = (...list: readonly Buffer[]): Buffer => mqtt.packet(0x32, mqtt.text('bad'), mqtt.u16(1), withRaw(...list))
const twice = (identifier: number, value: mqtt.PropertyValue): Buffer =>
  publish(5, {
    properties: [
      [identifier, value],
      [identifier, value],
    ],
  })
const badPairs = badTexts.flatMap((bad) => [
  [mqtt.binary(bad), mqtt.text('v')],
  [mqtt.text('k'), mqtt.binary(bad)],
])
const acknowledgements = [0x40, 0x50, 0x62, 0x70]

/** What ends a connection that was let in. */
const packets: readonly Bad[] = [
  {
    what: 'flags that are reserved',
    clause: 'MQTT-2.1.3-1',
    code: malformed,
    bytes: (v) => [
      ...[0x41, 0x52, 0x60, 0x61, 0x66, 0x74].map((first) => mqtt.packet(first, mqtt.u16(1))),
      ...[0x81, 0x8a].map((first) => mqtt.packet(first, mqtt.u16(1), mqtt.properties(v), mqtt.text('a'), Buffer.from([0]))),
      ...[0xa0, 0xa3].map((first) => mqtt.packet(first, mqtt.u16(1), mqtt.properties(v), mqtt.text('a'))),
      ...[0xc1, 0xc8, 0xe1, 0xe2].map((first) => mqtt.packet(first)),
    ],
  },
  { what: 'a DISCONNECT with flags', clause: 'MQTT-3.14.1-1', code: malformed, bytes: () => [mqtt.packet(0xe8)] },
  { what: 'an AUTH with flags', clause: 'MQTT-3.15.1-1', versions: [5], code: malformed, bytes: () => [mqtt.packet(0xf1)] },
  {
    what: 'an AUTH without a method in CONNECT',
    clause: 'MQTT-4.12.0-7',
    versions: [5],
    code: protocolError,
    bytes: () => [mqtt.packet(0xf0, Buffer.from([0x19]), mqtt.properties(5, [[Property.authenticationMethod, 'm']]))],
  },
  {
    what: 'an acknowledgement of packet identifier 0',
    clause: 'MQTT-2.2.1-3',
    code: protocolError,
    bytes: () => acknowledgements.map((first) => mqtt.packet(first, mqtt.u16(0))),
  },
  {
    what: 'an acknowledgement of one byte',
    clause: '3.4.2',
    code: malformed,
    bytes: () => acknowledgements.map((first) => mqtt.packet(first, Buffer.from([1]))),
  },
  {
    what: 'a filter that is no UTF-8 string',
    clause: 'MQTT-3.8.3-1',
    code: malformed,
    bytes: (v) => badTexts.map((filter) => mqtt.subscribe(v, 1, [[filter, 0]])),
  },
  {
    what: 'a filter to unsubscribe from that is no UTF-8 string',
    clause: 'MQTT-3.10.3-1',
    code: malformed,
    bytes: (v) => badTexts.map((filter) => mqtt.unsubscribe(v, 1, [filter])),
  },
  { what: 'an empty filter', clause: 'MQTT-4.7.3-1', code: malformed, bytes: (v) => [mqtt.subscribe(v, 1, [['', 0]]), mqtt.unsubscribe(v, 1, [''])] },
  { what: 'U+0000 in a filter', clause: 'MQTT-4.7.3-2', code: malformed, bytes: (v) => [mqtt.subscribe(v, 1, [[nul, 0]]), mqtt.unsubscribe(v, 1, [nul])] },
  {
    what: 'a PUBLISH that ends before its packet identifier',
    clause: '3.3.2.2',
    code: malformed,
    bytes: () => [mqtt.packet(0x32, mqtt.text('bad')), mqtt.packet(0x34, mqtt.text('bad'), Buffer.from([1]))],
  },
  { what: 'a PINGREQ with a body', clause: '3.12.2', code: malformed, bytes: () => [mqtt.packet(0xc0, Buffer.from([0]))] },
  {
    what: 'an acknowledgement with a reason code in 3.1.1',
    clause: '3.1.1 3.4.1',
    versions: [4],
    code: malformed,
    bytes: () => acknowledgements.map((first) => mqtt.packet(first, mqtt.u16(1), Buffer.from([0]))),
  },
  { what: 'a DISCONNECT with a body in 3.1.1', clause: '3.1.1 3.14', versions: [4], code: malformed, bytes: () => [mqtt.packet(0xe0, Buffer.from([0]))] },
  {
    what: 'No Local and its like in 3.1.1',
    clause: '3.1.1 MQTT-3-8.3-4',
    versions: [4],
    code: malformed,
    bytes: () => [3, 4, 8, 0x10, 0x80].map((options) => mqtt.subscribe(4, 1, [['a', options]])),
  },
  {
    what: 'a variable byte integer that is longer than its value needs',
    clause: 'MQTT-1.5.5-1',
    versions: [5],
    code: malformed,
    bytes: () => [
      Buffer.from([0xc0, 0x80, 0x00]),
      mqtt.packet(0x30, mqtt.text('bad'), Buffer.from([0x80, 0x00])),
      mqtt.packet(0x82, mqtt.u16(1), mqtt.binaryProperties(Buffer.from([Property.subscriptionIdentifier, 0x81, 0x00])), mqtt.text('a'), Buffer.from([0])),
    ],
  },
  {
    what: 'a variable byte integer of five bytes',
    clause: '1.5.5',
    versions: [5],
    code: malformed,
    bytes: () => [mqtt.packet(0x30, mqtt.text('bad'), Buffer.from([0x80, 0x80, 0x80, 0x80, 0x01]))],
  },
  {
    what: 'half a string pair that is no UTF-8 string',
    clause: 'MQTT-1.5.7-1',
    versions: [5],
    code: malformed,
    bytes: () => badPairs.map((pair) => publishWith(raw(Property.userProperty, ...pair))),
  },
  {
    what: 'a string pair of one half',
    clause: '3.3.2.3.7',
    versions: [5],
    code: malformed,
    bytes: () => [publishWith(raw(Property.userProperty, mqtt.text('k')))],
  },
  {
    what: 'a content type that is no UTF-8 string',
    clause: 'MQTT-3.3.2-19',
    versions: [5],
    code: malformed,
    bytes: () => badTexts.map((bad) => publishWith(raw(Property.contentType, mqtt.binary(bad)))),
  },
  {
    what: 'a response topic that is no UTF-8 string',
    clause: 'MQTT-3.3.2-13',
    versions: [5],
    code: malformed,
    bytes: () => badTexts.map((bad) => publishWith(raw(Property.responseTopic, mqtt.binary(bad)))),
  },
  {
    what: 'a response topic with a wildcard',
    clause: 'MQTT-3.3.2-14',
    versions: [5],
    code: malformed,
    bytes: () => ['+', 'a/#'].map((topic) => publish(5, { properties: [[Property.responseTopic, topic]] })),
  },
  {
    what: 'a payload format that is neither 0 nor 1',
    clause: '3.3.2.3.2',
    versions: [5],
    code: protocolError,
    bytes: () => [publish(5, { properties: [[Property.payloadFormatIndicator, 2]] })],
  },
  {
    what: 'a payload format indicator twice',
    clause: '3.3.2.3.2',
    versions: [5],
    code: protocolError,
    bytes: () => [twice(Property.payloadFormatIndicator, 1)],
  },
  { what: 'a message expiry interval twice', clause: '3.3.2.3.3', versions: [5], code: protocolError, bytes: () => [twice(Property.messageExpiryInterval, 1)] },
  { what: 'a topic alias twice', clause: '3.3.2.3.4', versions: [5], code: protocolError, bytes: () => [twice(Property.topicAlias, 1)] },
  { what: 'a response topic twice', clause: '3.3.2.3.5', versions: [5], code: protocolError, bytes: () => [twice(Property.responseTopic, 'a')] },
  { what: 'correlation data twice', clause: '3.3.2.3.6', versions: [5], code: protocolError, bytes: () => [twice(Property.correlationData, Buffer.from('a'))] },
  { what: 'a content type twice', clause: '3.3.2.3.9', versions: [5], code: protocolError, bytes: () => [twice(Property.contentType, 'a')] },
  {
    what: 'a subscription identifier twice',
    clause: '3.8.2.1.2',
    versions: [5],
    code: protocolError,
    bytes: () => [
      mqtt.subscribe(
        5,
        1,
        [['a', 0]],
        [
          [Property.subscriptionIdentifier, 1],
          [Property.subscriptionIdentifier, 2],
        ],
      ),
    ],
  },
  {
    what: 'a property in a packet where it does not belong',
    clause: '2.2.2.2',
    versions: [5],
    code: malformed,
    bytes: () => [
      publish(5, { properties: [[Property.sessionExpiryInterval, 1]] }),
      mqtt.subscribe(5, 1, [['a', 0]], [[Property.contentType, 'a']]),
      mqtt.packet(0xa2, mqtt.u16(1), mqtt.properties(5, [[Property.subscriptionIdentifier, 1]]), mqtt.text('a')),
      mqtt.packet(0x40, mqtt.u16(1), Buffer.from([0]), mqtt.properties(5, [[Property.topicAlias, 1]])),
      mqtt.packet(0xe0, Buffer.from([0]), mqtt.properties(5, [[Property.receiveMaximum, 1]])),
    ],
  },
  {
    what: 'a property that nobody knows',
    clause: '2.2.2.2',
    versions: [5],
    code: malformed,
    bytes: () => [publishWith(Buffer.from([0x05, 0])), publishWith(Buffer.from([0x7f, 0]))],
  },
  {
    what: 'properties that are longer than the packet',
    clause: '2.2.2.1',
    versions: [5],
    code: malformed,
    bytes: () => [mqtt.packet(0x30, mqtt.text('bad'), Buffer.from([9, 1, 0]))],
  },
  {
    what: 'a reason code that its packet does not have',
    clause: 'MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1, MQTT-3.14.2-1',
    versions: [5],
    code: protocolError,
    bytes: () => [...acknowledgements.map((first) => mqtt.packet(first, mqtt.u16(1), Buffer.from([0x8e]))), mqtt.packet(0xe0, Buffer.from([0x8e]))],
  },
  {
    what: 'an AUTH with a reason code it does not have',
    clause: 'MQTT-3.15.2-1',
    versions: [5],
    code: protocolError,
    bytes: () => [mqtt.packet(0xf0, Buffer.from([0x87]), mqtt.properties(5, [[Property.authenticationMethod, 'm']]))],
  },
  {
    what: 'a DISCONNECT with a server reference',
    clause: '3.14.2.2.5',
    versions: [5],
    code: protocolError,
    bytes: () => [mqtt.disconnect(5, 0, [[Property.serverReference, 'a']])],
  },
  {
    what: 'a subscription at QoS 3, or with Retain Handling 3',
    clause: '3.8.3.1',
    versions: [5],
    code: protocolError,
    bytes: () => [3, 0x30].map((options) => mqtt.subscribe(5, 1, [['a', options]])),
  },
  {
    what: 'No Local on a shared subscription',
    clause: 'MQTT-3.8.3-4',
    versions: [5],
    code: protocolError,
    bytes: () => [mqtt.subscribe(5, 1, [['$share/g/a', 4]])],
  },
  { what: 'an empty topic without an alias', clause: '3.3.2.1', versions: [5], code: protocolError, bytes: () => [publish(5, { topic: '' })] },
]

const trial = (bad: Bad, ends: (t: Trial, bytes: Buffer) => Promise<void>): Case => ({
  clause: bad.clause,
  title: bad.what,
  ...(bad.versions && { versions: bad.versions }),
  async run(t) {
    for (const bytes of bad.bytes(t.version)) await ends(t, bytes)
  },
})

/** Section 3.1.4: in MQTT 5 our own broker says why in CONNACK; in 3.1.1 the connection is closed without one [3.1.1 MQTT-3.1.4-1]. */
export const malformedConnectCases: readonly Case[] = connects.map((bad) =>
  trial(bad, async (t, bytes) => {
    const wire = await t.open()
    wire.send(bytes)
    if (bytes.readUInt8(0) === 0x10) await t.refused(wire, t.version === 5 ? [bad.code] : [])
    else await wire.closed() // not even a CONNECT: nobody knows the version
  }),
)

/** Section 4.13: DISCONNECT with the reason in MQTT 5, a plain close in 3.1.1. */
export const malformedPacketCases: readonly Case[] = packets.map((bad) =>
  trial(bad, async (t, bytes) => {
    const wire = await t.session()
    wire.send(bytes)
    await t.refused(wire, [bad.code])
  }),
)
