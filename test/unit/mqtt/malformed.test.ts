import { describe, expect, test } from '@jest/globals'
import { MalformedPacket } from '../../../mqtt/malformed-packet.ts'
import { Parser, type ParserOptions } from '../../../mqtt/parser.ts'

/** Bytes that must not pass: what is wrong, the clause that says so (of MQTT 5 unless marked), the bytes, the reason code. */
type Row = readonly [wrong: string, clause: string, bytes: Buffer, reasonCode: number]

const malformed = 0x81
const protocol = 0x82

const text = (value: string | Buffer) => {
  const bytes = Buffer.from(value as string)
  return [bytes.length >> 8, bytes.length & 0xff, ...bytes]
}
const packet = (first: number, ...body: (number | readonly number[])[]) => {
  const bytes = body.flat()
  if (bytes.length > 127) return Buffer.from([first, (bytes.length & 0x7f) | 0x80, bytes.length >> 7, ...bytes])
  return Buffer.from([first, bytes.length, ...bytes])
}
const properties = (...body: (number | readonly number[])[]) => [body.flat().length, ...body.flat()]
const connect = (level: number, flags: number, ...rest: (number | readonly number[])[]) => packet(0x10, text('MQTT'), level, flags, 0, 60, ...rest)
const connect5 = (...body: (number | readonly number[])[]) => connect(5, 2, properties(...body), text('c'))
const publish5 = (...body: (number | readonly number[])[]) => packet(0x30, text('t'), properties(...body), 0x78)
const one = (identifier: number, ...value: (number | readonly number[])[]) => [identifier, ...value.flat()]
const user = [0x26, ...text('k'), ...text('v')]
const twice = (body: readonly number[]) => [...body, ...body]

const lone = Buffer.from([0xed, 0xa0, 0x80]) // U+D800
const overlong = Buffer.from([0xc0, 0xaf])
const nul = Buffer.from([0x61, 0x00])

const connects: readonly Row[] = [
  ['a reserved flag', 'MQTT-3.1.2-3', connect(4, 0x03, text('c')), malformed],
  ['will QoS 3', 'MQTT-3.1.2-12', connect(4, 0x1e, text('c'), text('w'), text('p')), malformed],
  ['will QoS without will', 'MQTT-3.1.2-11', connect(4, 0x0a, text('c')), malformed],
  ['will retain without will', 'MQTT-3.1.2-13', connect(4, 0x22, text('c')), malformed],
  ['a password without a user name in 3.1.1', '3.1.1 MQTT-3.1.2-22', connect(4, 0x42, text('c'), text('p')), malformed],
  ['an empty client id without clean session in 3.1.1', '3.1.1 MQTT-3.1.3-8', connect(4, 0x00, text('')), 0x85],
  ['another protocol name', 'MQTT-3.1.2-1', packet(0x10, text('MQTX'), 4, 2, 0, 60, text('c')), 0x84],
  ['MQTT 3.1', '3.1.1 MQTT-3.1.2-2', packet(0x10, text('MQIsdp'), 3, 2, 0, 60, text('c')), 0x84],
  ['version 6', 'MQTT-3.1.2-2', connect(6, 2, properties(), text('c')), 0x84],
  ['version 3 under the name MQTT', 'MQTT-3.1.2-2', connect(3, 2, text('c')), 0x84],
  ['reserved bits in the first byte', 'MQTT-2.1.3-1', Buffer.from([0x11, 0]), malformed],
  ['no body', '3.1.2', packet(0x10), malformed],
  ['an end inside the client id', '3.1.3', packet(0x10, text('MQTT'), 4, 2, 0, 60, 0, 5, 0x61), malformed],
  ['an end before the will', 'MQTT-3.1.2-9', connect(4, 0x06, text('c')), malformed],
  ['an end before the user name', 'MQTT-3.1.2-17', connect(4, 0x82, text('c')), malformed],
  ['an end before the password', 'MQTT-3.1.2-19', connect(4, 0xc2, text('c'), text('u')), malformed],
  ['bytes after the payload', '3.1.3', connect(4, 2, text('c'), 0), malformed],
  ['a will topic with +', 'MQTT-4.7.1-1', connect(4, 0x06, text('c'), text('a/+'), text('p')), malformed],
  ['a will topic with #', 'MQTT-4.7.1-1', connect(5, 0x06, properties(), text('c'), properties(), text('#'), text('p')), malformed],
  ['an empty will topic', 'MQTT-4.7.3-1', connect(4, 0x06, text('c'), text(''), text('p')), malformed],
  ['a lone surrogate in the client id', 'MQTT-1.5.4-1', connect(4, 2, text(lone)), malformed],
  ['U+0000 in the client id', 'MQTT-1.5.4-2', connect(4, 2, text(nul)), malformed],
  ['U+0000 after other text in the user name', 'MQTT-1.5.4-2', connect(4, 0x82, text('c'), text('é\u0000')), malformed],
  ['an overlong form in the will topic', 'MQTT-1.5.4-1', connect(4, 0x06, text('c'), text(overlong), text('p')), malformed],
  ['receive maximum 0', '3.1.2.11.3', connect5(one(0x21, 0, 0)), protocol],
  ['receive maximum twice', '3.1.2.11.3', connect5(twice(one(0x21, 0, 1))), protocol],
  ['maximum packet size 0', '3.1.2.11.4', connect5(one(0x27, 0, 0, 0, 0)), protocol],
  ['maximum packet size twice', '3.1.2.11.4', connect5(twice(one(0x27, 0, 0, 1, 0))), protocol],
  ['session expiry interval twice', '3.1.2.11.2', connect5(twice(one(0x11, 0, 0, 0, 0))), protocol],
  ['topic alias maximum twice', '3.1.2.11.5', connect5(twice(one(0x22, 0, 0))), protocol],
  ['request response information 2', '3.1.2.11.6', connect5(one(0x19, 2)), protocol],
  ['request response information twice', '3.1.2.11.6', connect5(twice(one(0x19, 0))), protocol],
  ['request problem information 2', '3.1.2.11.7', connect5(one(0x17, 2)), protocol],
  ['request problem information twice', '3.1.2.11.7', connect5(twice(one(0x17, 1))), protocol],
  ['authentication data without a method', '3.1.2.11.10', connect5(one(0x16, text('d'))), protocol],
  ['authentication method twice', '3.1.2.11.9', connect5(twice(one(0x15, text('m')))), protocol],
  ['authentication data twice', '3.1.2.11.10', connect5(one(0x15, text('m')), twice(one(0x16, text('d')))), protocol],
  ['a property of PUBLISH', '2.2.2.2', connect5(one(0x23, 0, 1)), malformed],
  ['an unknown property', '2.2.2.2', connect5(one(0x7e, 0)), malformed],
  ['an unknown property of two bytes', '2.2.2.2', connect5(one(0x80, 0x01, 0)), malformed],
  ['properties longer than the packet', '2.2.2.1', connect(5, 2, 100, text('c')), malformed],
  ['a last property longer than the properties', '2.2.2.1', connect(5, 2, 2, 0x21, 0, 5, text('c')), malformed],
  ['will delay twice', '3.1.3.2.2', connect(5, 0x06, properties(), text('c'), properties(twice(one(0x18, 0, 0, 0, 1))), text('w'), text('p')), protocol],
  ['a will payload format of 2', '3.1.3.2.3', connect(5, 0x06, properties(), text('c'), properties(one(0x01, 2)), text('w'), text('p')), protocol],
  [
    'a will response topic with a wildcard',
    'MQTT-3.3.2-14',
    connect(5, 0x06, properties(), text('c'), properties(one(0x08, text('a/#'))), text('w'), text('p')),
    malformed,
  ],
  ['a topic alias in a will', '2.2.2.2', connect(5, 0x06, properties(), text('c'), properties(one(0x23, 0, 1)), text('w'), text('p')), malformed],
  ['will delay outside the will', '2.2.2.2', connect5(one(0x18, 0, 0, 0, 1)), malformed],
  ['U+0000 in a user property', 'MQTT-1.5.4-2', connect5(one(0x26, text(nul), text('v'))), malformed],
]

const first: readonly Row[] = [
  ['PINGREQ before CONNECT', 'MQTT-3.1.0-1', Buffer.from([0xc0, 0]), protocol],
  ['PUBLISH before CONNECT, before its body', 'MQTT-3.1.0-1', Buffer.from([0x30]), protocol],
  ['AUTH before CONNECT', 'MQTT-3.1.0-1', Buffer.from([0xf0, 0]), protocol],
  ['an HTTP request', '2.1.2', Buffer.from('GET / HTTP/1.1\r\n\r\n'), malformed],
  ['a TLS hello', '2.1.3', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]), malformed],
  ['a second CONNECT', 'MQTT-3.1.0-2', Buffer.concat([connect(4, 2, text('c')), connect(4, 2, text('c'))]), protocol],
]

const anyVersion: readonly Row[] = [
  ['packet type 0', '2.1.2', Buffer.from([0x00, 0]), malformed],
  ['a remaining length of five bytes', '2.1.4', Buffer.from([0xc0, 0x80, 0x80, 0x80, 0x80, 0x01]), malformed],
  ['CONNACK from a client', '2.1.2', Buffer.from([0x20, 2, 0, 0]), protocol],
  ['SUBACK from a client', '2.1.2', Buffer.from([0x90, 3, 0, 1, 0]), protocol],
  ['UNSUBACK from a client', '2.1.2', Buffer.from([0xb0, 2, 0, 1]), protocol],
  ['PINGRESP from a client', '2.1.2', Buffer.from([0xd0, 0]), protocol],
  ['PUBACK with flags', 'MQTT-2.1.3-1', Buffer.from([0x41, 2, 0, 1]), malformed],
  ['PUBREC with flags', 'MQTT-2.1.3-1', Buffer.from([0x52, 2, 0, 1]), malformed],
  ['PUBREL without its flag', 'MQTT-3.6.1-1', Buffer.from([0x60, 2, 0, 1]), malformed],
  ['PUBCOMP with flags', 'MQTT-2.1.3-1', Buffer.from([0x72, 2, 0, 1]), malformed],
  ['SUBSCRIBE without its flag', 'MQTT-3.8.1-1', packet(0x80, 0, 1, text('a'), 0), malformed],
  ['UNSUBSCRIBE without its flag', 'MQTT-3.10.1-1', packet(0xa0, 0, 1, text('a')), malformed],
  ['PINGREQ with flags', 'MQTT-2.1.3-1', Buffer.from([0xc1, 0]), malformed],
  ['PINGREQ with a body', '3.12.2', packet(0xc0, 0), malformed],
  ['DISCONNECT with flags', 'MQTT-3.14.1-1', Buffer.from([0xe1, 0]), malformed],
  ['PUBLISH of QoS 3', 'MQTT-3.3.1-4', packet(0x36, text('t'), 0, 1, 0), malformed],
  ['PUBLISH of QoS 0 with DUP', 'MQTT-3.3.1-2', packet(0x38, text('t'), 0), malformed],
  ['PUBLISH with packet id 0', 'MQTT-2.2.1-3', packet(0x32, text('t'), 0, 0, 0), protocol],
  ['PUBLISH to a topic with +', 'MQTT-3.3.2-2', packet(0x30, text('a/+'), 0), malformed],
  ['PUBLISH to a topic with #', 'MQTT-3.3.2-2', packet(0x30, text('#'), 0), malformed],
  ['PUBLISH to a topic that is not UTF-8', 'MQTT-1.5.4-1', packet(0x30, text(lone), 0), malformed],
  ['PUBLISH to a topic with U+0000', 'MQTT-1.5.4-2', packet(0x30, text(nul), 0), malformed],
  ['PUBLISH without a topic length', '3.3.2.1', packet(0x30, 0), malformed],
  ['PUBLISH whose topic is longer than it', '3.3.2.1', packet(0x30, 0, 9, 0x61), malformed],
  ['PUBLISH without its packet id', '3.3.2.2', packet(0x32, text('t'), 1), malformed],
  ['PUBACK with packet id 0', 'MQTT-2.2.1-3', packet(0x40, 0, 0), protocol],
  ['PUBREC with packet id 0', 'MQTT-2.2.1-3', packet(0x50, 0, 0), protocol],
  ['PUBREL with packet id 0', 'MQTT-2.2.1-3', packet(0x62, 0, 0), protocol],
  ['PUBCOMP with packet id 0', 'MQTT-2.2.1-3', packet(0x70, 0, 0), protocol],
  ['PUBACK of one byte', '3.4.2', packet(0x40, 1), malformed],
  ['PUBACK without a body', '3.4.2', packet(0x40), malformed],
  ['SUBSCRIBE without a body', '3.8.2', packet(0x82), malformed],
]

const version4: readonly Row[] = [
  ['PUBLISH to an empty topic', '3.1.1 MQTT-4.7.3-1', packet(0x30, text(''), 1), malformed],
  ['PUBACK with a reason code', '3.1.1 3.4.1', packet(0x40, 0, 1, 0), malformed],
  ['DISCONNECT with a body', '3.1.1 3.14', packet(0xe0, 0), malformed],
  ['AUTH', '3.1.1 2.2.1', Buffer.from([0xf0, 0]), malformed],
  ['SUBSCRIBE with packet id 0', '3.1.1 MQTT-2.3.1-1', packet(0x82, 0, 0, text('a'), 0), protocol],
  ['SUBSCRIBE without a filter', '3.1.1 MQTT-3.8.3-3', packet(0x82, 0, 1), protocol],
  ['SUBSCRIBE of QoS 3', '3.1.1 MQTT-3-8.3-4', packet(0x82, 0, 1, text('a'), 3), malformed],
  ['SUBSCRIBE with options of MQTT 5', '3.1.1 MQTT-3-8.3-4', packet(0x82, 0, 1, text('a'), 4), malformed],
  ['SUBSCRIBE with an empty filter', '3.1.1 MQTT-4.7.3-1', packet(0x82, 0, 1, text(''), 0), malformed],
  ['SUBSCRIBE that ends before the QoS', '3.1.1 3.8.3', packet(0x82, 0, 1, text('a')), malformed],
  ['UNSUBSCRIBE without a filter', '3.1.1 MQTT-3.10.3-2', packet(0xa2, 0, 1), protocol],
  ['UNSUBSCRIBE with a bad filter', '3.1.1 MQTT-4.7.1-2', packet(0xa2, 0, 1, text('a#')), malformed],
]

const subscribe5 = (filter: string | Buffer, options: number) => packet(0x82, 0, 1, properties(), text(filter), options)

const version5: readonly Row[] = [
  ['a remaining length longer than needed', 'MQTT-1.5.5-1', Buffer.from([0xc0, 0x80, 0x00]), malformed],
  ['PUBLISH to an empty topic without an alias', '3.3.2.1', packet(0x30, text(''), properties(), 0), protocol],
  ['PUBLISH to an empty topic with other properties', '3.3.2.1', packet(0x30, text(''), properties(user)), protocol],
  ['PUBLISH without a property length', '3.3.2.3.1', packet(0x30, text('t')), malformed],
  ['PUBLISH with a property length longer than needed', 'MQTT-1.5.5-1', packet(0x30, text('t'), 0x80, 0x00), malformed],
  ['PUBLISH with a property length of five bytes', 'MQTT-1.5.5-1', packet(0x30, text('t'), 0x80, 0x80, 0x80, 0x80, 0x01), malformed],
  ['PUBLISH with topic alias 0', 'MQTT-3.3.2-8', publish5(one(0x23, 0, 0)), 0x94],
  ['PUBLISH with topic alias twice', '3.3.2.3.4', publish5(twice(one(0x23, 0, 1))), protocol],
  ['PUBLISH with payload format 2', '3.3.2.3.2', publish5(one(0x01, 2)), protocol],
  ['PUBLISH with payload format twice', '3.3.2.3.2', publish5(twice(one(0x01, 1))), protocol],
  ['PUBLISH with message expiry twice', '3.3.2.3.3', publish5(twice(one(0x02, 0, 0, 0, 1))), protocol],
  ['PUBLISH with content type twice', '3.3.2.3.9', publish5(twice(one(0x03, text('x')))), protocol],
  ['PUBLISH with response topic twice', '3.3.2.3.5', publish5(twice(one(0x08, text('x')))), protocol],
  ['PUBLISH with an empty response topic', 'MQTT-4.7.3-1', publish5(one(0x08, text(''))), malformed],
  ['PUBLISH with a wildcard in the response topic', 'MQTT-3.3.2-14', publish5(one(0x08, text('+'))), malformed],
  ['PUBLISH with a response topic that is not UTF-8', 'MQTT-3.3.2-13', publish5(one(0x08, text(overlong))), malformed],
  ['PUBLISH with correlation data twice', '3.3.2.3.6', publish5(twice(one(0x09, text('x')))), protocol],
  ['PUBLISH with a subscription identifier from a client', 'MQTT-3.3.4-6', publish5(one(0x0b, 1)), protocol],
  ['PUBLISH with a property of CONNECT', '2.2.2.2', publish5(one(0x21, 0, 1)), malformed],
  ['PUBLISH with an unknown property', '2.2.2.2', publish5(one(0x04, 0)), malformed],
  ['PUBLISH whose content type is not UTF-8', 'MQTT-3.3.2-19', publish5(one(0x03, text(lone))), malformed],
  ['PUBLISH with half a user property', '3.3.2.3.7', publish5(one(0x26, text('k'))), malformed],
  [
    'PUBLISH whose property is longer than the properties',
    '2.2.2.1',
    packet(0x30, text('t'), 3, 0x03, 0, 5, Buffer.from('abcdefgh') as unknown as number[]),
    malformed,
  ],
  ['PUBACK with a reason code of another packet', 'MQTT-3.4.2-1', packet(0x40, 0, 1, 0x8e), protocol],
  ['PUBREL with a reason code of another packet', 'MQTT-3.6.2-1', packet(0x62, 0, 1, 0x80), protocol],
  ['PUBACK with bytes after the properties', '3.4.2', packet(0x40, 0, 1, 0, properties(), 0), malformed],
  ['PUBACK with reason string twice', '3.4.2.2.2', packet(0x40, 0, 1, 0, properties(twice(one(0x1f, text('r'))))), protocol],
  ['PUBACK with a property of PUBLISH', '2.2.2.2', packet(0x40, 0, 1, 0, properties(one(0x03, text('r')))), malformed],
  ['SUBSCRIBE with packet id 0', 'MQTT-2.2.1-3', packet(0x82, 0, 0, properties(), text('a'), 0), protocol],
  ['SUBSCRIBE without a filter', 'MQTT-3.8.3-2', packet(0x82, 0, 1, properties()), protocol],
  ['SUBSCRIBE with reserved options', 'MQTT-3.8.3-5', subscribe5('a', 0x40), malformed],
  ['SUBSCRIBE with the other reserved option', 'MQTT-3.8.3-5', subscribe5('a', 0x80), malformed],
  ['SUBSCRIBE of QoS 3', '3.8.3.1', subscribe5('a', 0x03), protocol],
  ['SUBSCRIBE with retain handling 3', '3.8.3.1', subscribe5('a', 0x30), protocol],
  ['SUBSCRIBE with no local on a shared subscription', 'MQTT-3.8.3-4', subscribe5('$share/g/a', 0x04), protocol],
  ['SUBSCRIBE to a share without a name', 'MQTT-4.8.2-1', subscribe5('$share//a', 0), malformed],
  ['SUBSCRIBE to a share without a filter', 'MQTT-4.8.2-2', subscribe5('$share/g', 0), malformed],
  ['SUBSCRIBE to a share with an empty filter', 'MQTT-4.8.2-2', subscribe5('$share/g/', 0), malformed],
  ['SUBSCRIBE to a share with a wildcard in its name', 'MQTT-4.8.2-2', subscribe5('$share/+/a', 0), malformed],
  ['SUBSCRIBE with an empty filter', 'MQTT-4.7.3-1', subscribe5('', 0), malformed],
  ['SUBSCRIBE with # before the end', 'MQTT-4.7.1-1', subscribe5('a/#/b', 0), malformed],
  ['SUBSCRIBE with # inside a level', 'MQTT-4.7.1-1', subscribe5('a#', 0), malformed],
  ['SUBSCRIBE with + inside a level', 'MQTT-4.7.1-2', subscribe5('a/b+', 0), malformed],
  ['SUBSCRIBE with a filter that is not UTF-8', 'MQTT-3.8.3-1', subscribe5(lone, 0), malformed],
  ['SUBSCRIBE with U+0000 in a filter', 'MQTT-4.7.3-2', subscribe5(nul, 0), malformed],
  ['SUBSCRIBE with subscription identifier 0', '3.8.2.1.2', packet(0x82, 0, 1, properties(one(0x0b, 0)), text('a'), 0), protocol],
  ['SUBSCRIBE with subscription identifier twice', '3.8.2.1.2', packet(0x82, 0, 1, properties(twice(one(0x0b, 1))), text('a'), 0), protocol],
  ['UNSUBSCRIBE without a filter', 'MQTT-3.10.3-2', packet(0xa2, 0, 1, properties()), protocol],
  ['UNSUBSCRIBE with packet id 0', 'MQTT-2.2.1-3', packet(0xa2, 0, 0, properties(), text('a')), protocol],
  ['UNSUBSCRIBE with a bad filter', 'MQTT-4.7.1-1', packet(0xa2, 0, 1, properties(), text('a/#/b')), malformed],
  ['DISCONNECT with a code of servers only', '3.14.2.1', packet(0xe0, 0x8e), protocol],
  ['DISCONNECT with an unknown code', 'MQTT-3.14.2-1', packet(0xe0, 0x01), protocol],
  ['DISCONNECT with a server reference', '3.14.2.2.5', packet(0xe0, 0, properties(one(0x1c, text('x')))), protocol],
  ['DISCONNECT with session expiry twice', '3.14.2.2.2', packet(0xe0, 0, properties(twice(one(0x11, 0, 0, 0, 1)))), protocol],
  ['DISCONNECT with bytes after the properties', '3.14.2', packet(0xe0, 0, properties(), 0), malformed],
  ['AUTH without a method', '3.15.2.2.2', packet(0xf0, 0x18, properties()), protocol],
  ['AUTH with success from a client', '3.15.2.1', packet(0xf0, 0x00, properties(one(0x15, text('m')))), protocol],
  ['AUTH with flags', 'MQTT-3.15.1-1', Buffer.from([0xf1, 0]), malformed],
]

const fromServer5: readonly Row[] = [
  ['CONNECT from a server', '2.1.2', connect(5, 2, properties(), text('c')), protocol],
  ['SUBSCRIBE from a server', '2.1.2', subscribe5('a', 0), protocol],
  ['UNSUBSCRIBE from a server', '2.1.2', packet(0xa2, 0, 1, properties(), text('a')), protocol],
  ['PINGREQ from a server', '2.1.2', Buffer.from([0xc0, 0]), protocol],
  ['CONNACK with reserved flags', 'MQTT-3.2.2-1', packet(0x20, 2, 0, properties()), malformed],
  ['CONNACK with session present and a refusal', 'MQTT-3.2.2-6', packet(0x20, 1, 0x87, properties()), protocol],
  ['CONNACK with an unknown reason code', 'MQTT-3.2.2-8', packet(0x20, 0, 0x03, properties()), protocol],
  ['CONNACK with maximum QoS 2', '3.2.2.3.4', packet(0x20, 0, 0, properties(one(0x24, 2))), protocol],
  ['CONNACK with retain available 2', '3.2.2.3.5', packet(0x20, 0, 0, properties(one(0x25, 2))), protocol],
  ['CONNACK with receive maximum 0', '3.2.2.3.3', packet(0x20, 0, 0, properties(one(0x21, 0, 0))), protocol],
  ['CONNACK without properties', '3.2.2.3', packet(0x20, 0, 0), malformed],
  ['PUBLISH with subscription identifier 0', '3.3.2.3.8', publish5(one(0x0b, 0)), protocol],
  ['SUBACK without a reason code', '3.9.3', packet(0x90, 0, 1, properties()), protocol],
  ['SUBACK with an unknown reason code', 'MQTT-3.9.3-2', packet(0x90, 0, 1, properties(), 0x03), protocol],
  ['UNSUBACK without a reason code', '3.11.3', packet(0xb0, 0, 1, properties()), protocol],
  ['DISCONNECT with a session expiry interval', 'MQTT-3.14.2-2', packet(0xe0, 0, properties(one(0x11, 0, 0, 0, 1))), protocol],
  ['DISCONNECT with a code of clients only', '3.14.2.1', packet(0xe0, 0x04), protocol],
]

const fromServer4: readonly Row[] = [
  ['CONNACK with return code 6', '3.1.1 table 3.1', packet(0x20, 0, 6), malformed],
  ['CONNACK with a third byte', '3.1.1 3.2', packet(0x20, 0, 0, 0), malformed],
  ['SUBACK with code 3', '3.1.1 MQTT-3.9.3-2', packet(0x90, 0, 1, 3), protocol],
  ['UNSUBACK with a payload', '3.1.1 3.11.3', packet(0xb0, 0, 1, 0), malformed],
]

function reasonCode(options: Partial<ParserOptions>, chunks: readonly Buffer[]): number | string {
  const parser = new Parser({ maximumPacketSize: 1000, ...options })
  try {
    for (const chunk of chunks) parser.parse(chunk, () => {})
    return 'no error'
  } catch (error) {
    if (error instanceof MalformedPacket) return error.reasonCode
    throw error
  }
}

const bytewise = (bytes: Buffer) => Array.from(bytes, (byte) => Buffer.from([byte]))

function refuses(options: Partial<ParserOptions>, rows: readonly Row[]): void {
  test.each(rows)('%s is refused [%s]', (_wrong, _clause, bytes, code) => {
    expect([reasonCode(options, [bytes]), reasonCode(options, bytewise(bytes))]).toEqual([code, code])
  })
}

describe('CONNECT', () => refuses({}, connects))
describe('the first packets', () => refuses({}, first))
describe('version 4, rules of both', () => refuses({ version: 4 }, anyVersion))
describe('version 5, rules of both', () => refuses({ version: 5 }, anyVersion))
describe('version 4', () => refuses({ version: 4 }, version4))
describe('version 5', () => refuses({ version: 5 }, version5))
describe('version 5, from a server', () => refuses({ version: 5, sender: 'server' }, fromServer5))
describe('version 4, from a server', () => refuses({ version: 4, sender: 'server' }, fromServer4))

describe('what looks wrong and is not', () => {
  const fine: readonly (readonly [string, Partial<ParserOptions>, Buffer])[] = [
    ['a mosquitto bridge’s version byte', {}, connect(0x84, 2, text('c'))],
    ['a password without a user name in version 5', {}, connect(5, 0x42, properties(), text('c'), text('p'))],
    ['an empty client id without clean start in version 5', {}, connect(5, 0, properties(), text(''))],
    ['a remaining length longer than needed in 3.1.1', { version: 4 }, Buffer.from([0xc0, 0x80, 0x00])],
    ['PUBACK with a reason code and no properties', { version: 5 }, packet(0x40, 0, 1, 0x10)],
    ['DISCONNECT with a reason code and no properties', { version: 5 }, packet(0xe0, 0x04)],
    ['an empty topic with an alias', { version: 5 }, packet(0x30, text(''), properties(one(0x23, 0, 1)))],
    ['U+FEFF at the start of a topic', { version: 5 }, packet(0x30, text('\ufefft'), properties())],
    ['control characters and non-characters in a topic', { version: 5 }, packet(0x30, text('\u0001\u007f\uffff'), properties())],
    ['a filter of # alone', { version: 5 }, subscribe5('#', 0)],
    ['a filter with empty levels', { version: 5 }, subscribe5('/+//#', 0)],
    ['a user property twice', { version: 5 }, publish5(twice(user))],
  ]
  test.each(fine)('%s passes', (_what, options, bytes) => {
    expect([reasonCode(options, [bytes]), reasonCode(options, bytewise(bytes))]).toEqual(['no error', 'no error'])
  })
})
