/** The packet reader of the conformance trials refuses what no server may send: else a trial could pass beside a breach. */
import { expect, test } from '@jest/globals'
import * as mqtt from './bytes.ts'
import { Property } from './bytes.ts'
import { Conduct } from './conduct.ts'
import { Framer, parse } from './reading.ts'

const accepted = mqtt.packet(0x20, Buffer.from([0, 0]), mqtt.properties(5))
const publish = (id: number, more: Partial<mqtt.Publish> = {}) => mqtt.publish({ version: 5, topic: 'a', qos: 1, id, ...more })
const withProperties = (first: number, body: readonly number[], list: mqtt.Properties) => mqtt.packet(first, Buffer.from(body), mqtt.properties(5, list))

/** What the client sends, then what the server sends; the words of the refusal, or null. */
function refusal(sent: readonly Buffer[], received: readonly Buffer[], version: mqtt.Version = 5): string | null {
  const conduct = new Conduct(version)
  const framer = new Framer()
  for (const bytes of sent) conduct.sent(bytes)
  try {
    for (const bytes of received) for (const [first, body, size] of framer.push(bytes)) conduct.received(parse(version, first, body), size)
    return null
  } catch (error) {
    return (error as Error).message
  }
}

const connect = (list: mqtt.Properties = []) => mqtt.connect({ version: 5, clientId: 'c', properties: list })

test.each([
  ['flags on PUBACK', mqtt.packet(0x41, mqtt.u16(1))],
  ['reserved flags in CONNACK', mqtt.packet(0x20, Buffer.from([2, 0]), mqtt.properties(5))],
  ['session present in a refusal', mqtt.packet(0x20, Buffer.from([1, 0x87]), mqtt.properties(5))],
  ['a CONNACK code that CONNACK does not have', mqtt.packet(0x20, Buffer.from([0, 0x8e]), mqtt.properties(5))],
  ['a CONNACK without a property length', mqtt.packet(0x20, Buffer.from([0, 0]))],
  ['a session expiry interval in DISCONNECT', withProperties(0xe0, [0x82], [[Property.sessionExpiryInterval, 1]])],
  [
    'a property twice',
    withProperties(
      0x20,
      [0, 0],
      [
        [Property.serverKeepAlive, 1],
        [Property.serverKeepAlive, 1],
      ],
    ),
  ],
  ['a property of PUBLISH in SUBACK', withProperties(0x90, [0, 1], [[Property.contentType, 'x']])],
  ['a PUBACK code of SUBACK', mqtt.puback(1, 0x8f)],
  ['bytes behind a PINGRESP', mqtt.packet(0xd0, Buffer.from([0]))],
  ['SUBSCRIBE', mqtt.subscribe(5, 1, [['a', 0]])],
  ['QoS 3', publish(1, { qos: 3 })],
  ['DUP at QoS 0', publish(0, { qos: 0, dup: true })],
  ['a wildcard in a topic', publish(1, { topic: 'a/#' })],
  ['a topic that is not UTF-8', publish(1, { topic: Buffer.from([0xed, 0xa0, 0x80]) })],
  ['U+0000 in a topic', publish(1, { topic: 'a\u0000' })],
  ['packet identifier 0', publish(0)],
])('%s is refused', (_what, bytes) => {
  expect(refusal([connect()], [accepted])).toBeNull()
  expect(refusal([connect()], [accepted, bytes])).not.toBeNull()
  expect(refusal([connect()], [bytes])).not.toBeNull()
})

test.each([
  ['a packet before CONNACK', [connect()], [publish(1)], 'MQTT-3.2.0-1'],
  ['a second CONNACK', [connect()], [accepted, accepted], 'MQTT-3.2.0-2'],
  ['a packet after a refusal', [connect()], [mqtt.packet(0x20, Buffer.from([0, 0x87]), mqtt.properties(5)), mqtt.disconnect(5, 0x87)], 'MQTT-3.2.2-7'],
  ['a packet after DISCONNECT', [connect()], [accepted, mqtt.disconnect(5, 0x82), publish(1)], 'MQTT-3.14.4-1'],
  ['an identifier in use', [connect()], [accepted, publish(1), publish(1)], 'MQTT-2.2.1-4'],
  ['a repetition on one connection', [connect()], [accepted, publish(1), publish(1, { dup: true })], 'MQTT-4.4.0-1'],
  ['more than Receive Maximum', [connect([[Property.receiveMaximum, 1]])], [accepted, publish(1), publish(2)], 'MQTT-3.3.4-9'],
  ['more than Maximum Packet Size', [connect([[Property.maximumPacketSize, 20]])], [accepted, publish(1, { payload: 'x'.repeat(20) })], 'MQTT-3.1.2-24'],
  ['a topic alias for who takes none', [connect()], [accepted, publish(1, { properties: [[Property.topicAlias, 1]] })], 'MQTT-3.1.2-26'],
  [
    'an alias that stands for nothing',
    [connect([[Property.topicAliasMaximum, 1]])],
    [accepted, publish(1, { topic: '', properties: [[Property.topicAlias, 1]] })],
    'MQTT-3.3.2-1',
  ],
  ['an answer to nothing', [connect()], [accepted, mqtt.puback(1)], 'MQTT-2.2.1-5'],
  [
    'an answer under another identifier',
    [connect(), mqtt.subscribe(5, 7, [['a', 0]])],
    [accepted, mqtt.packet(0x90, mqtt.u16(8), mqtt.properties(5), Buffer.from([0]))],
    'MQTT-2.2.1-5',
  ],
  [
    'an explanation for who wants none',
    [connect([[Property.requestProblemInformation, 0]]), publish(1)],
    [accepted, withProperties(0x40, [0, 1, 0x87], [[Property.reasonString, 'no']])],
    'MQTT-3.1.2-29',
  ],
  ['response information for who did not ask', [connect()], [withProperties(0x20, [0, 0], [[Property.responseInformation, 'x']])], 'MQTT-3.1.2-28'],
] as const)('%s is refused by name', (_what, sent, received, statement) => {
  expect(refusal(sent, received)).toContain(statement)
})

test('what a server may do passes, however the client cuts what it sends', () => {
  const whole = Buffer.concat([connect([[Property.topicAliasMaximum, 1]]), mqtt.subscribe(5, 1, [['a', 2]]), publish(9), mqtt.puback(1), mqtt.pubrec(2, 0x80)])
  const sent = [whole.subarray(0, 11), whole.subarray(11)]
  const received = [
    accepted,
    mqtt.packet(0x90, mqtt.u16(1), mqtt.properties(5), Buffer.from([2])),
    mqtt.puback(9),
    publish(1, { properties: [[Property.topicAlias, 1]] }),
    publish(2, {
      topic: '',
      qos: 2,
      properties: [
        [Property.topicAlias, 1],
        [Property.subscriptionIdentifier, 1],
        [Property.subscriptionIdentifier, 2],
      ],
    }),
    mqtt.packet(0xd0),
    mqtt.disconnect(5, 0x8b, [[Property.serverReference, 'b']]),
  ]
  expect(refusal(sent, received)).toBeNull()
  expect(
    refusal(
      [mqtt.connect({ version: 4, clientId: 'c' })],
      [mqtt.packet(0x20, Buffer.from([1, 0])), mqtt.publish({ version: 4, topic: 'a', qos: 1, id: 1 })],
      4,
    ),
  ).toBeNull()
})
