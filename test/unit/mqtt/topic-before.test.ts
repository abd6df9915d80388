import { expect, test } from '@jest/globals'
import type { PublishPacket } from '../../../mqtt/packet.ts'
import { Parser } from '../../../mqtt/parser.ts'
import fc from '../../support/fast-check.ts'
import * as mqtt from '../../wire/bytes.ts'

const payload = Buffer.from('x')
const publish = (topic: string, version: 4 | 5 = 4): Buffer => mqtt.publish({ version, topic, payload, qos: 0, id: 0 })

test('whatever topics follow each other on a connection, each PUBLISH is read with its own', () => {
  // Alike in length, in their beginnings and in their ends.
  const topic = fc.constantFrom('a', 'b', 'ab', 'cb', 'a/b', 'a/c', 'é', 'è', '\ufeffa', 'long/'.repeat(100))
  fc.assert(
    fc.property(fc.array(topic, { maxLength: 40 }), fc.constantFrom<4 | 5>(4, 5), (topics, version) => {
      const parser = new Parser({ version, maximumPacketSize: 1_000 })
      const read: string[] = []
      for (const each of topics) parser.parse(publish(each, version), (packet) => read.push((packet as PublishPacket).topic))
      expect(read).toEqual(topics)
    }),
  )
})

test.each([
  ['a wildcard', 'a/+'],
  ['no UTF-8', Buffer.from([0x61, 0x2f, 0xff])],
  ['U+0000', 'a/\0'],
])('a topic with %s is malformed behind any number of good ones of its length', (_what, topic) => {
  const parser = new Parser({ version: 4, maximumPacketSize: 1_000 })
  const read: string[] = []
  const take = (bytes: Buffer): void => parser.parse(bytes, (packet) => read.push((packet as PublishPacket).topic))
  for (let i = 0; i < 3; i++) take(publish('a/b'))
  const bad = publish('a/b')
  Buffer.from(topic).copy(bad, bad.indexOf('a/b'))
  expect(() => take(bad)).toThrow(expect.objectContaining({ name: 'MalformedPacket' }))
  expect(read).toEqual(['a/b', 'a/b', 'a/b'])
})

test('a topic that is longer than its packet is malformed although the one before begins alike', () => {
  const parser = new Parser({ version: 4, maximumPacketSize: 1_000 })
  for (let i = 0; i < 3; i++) parser.parse(publish('a/b'), () => {})
  expect(() => parser.parse(Buffer.from([0x30, 0x04, 0x00, 0x03, 0x61, 0x2f]), () => {})).toThrow(expect.objectContaining({ name: 'MalformedPacket' }))
})
