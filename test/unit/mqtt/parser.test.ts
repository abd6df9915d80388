import { describe, expect, test } from '@jest/globals'
import { MalformedPacket } from '../../../mqtt/malformed-packet.ts'
import type { Packet, ProtocolVersion } from '../../../mqtt/packet.ts'
import { Parser, type ParserOptions } from '../../../mqtt/parser.ts'
import { writePacket } from '../../../mqtt/writer.ts'
import fc from '../../support/fast-check.ts'
import { clientPacket, connectPacket, serverPacket } from './packets.ts'

/** What a parser makes of chunks: packets (their views copied) and the reason code it failed with. */
function outcome(
  options: ParserOptions,
  chunks: readonly Buffer[],
): { readonly packets: readonly Packet[]; readonly reasonCode?: number; readonly held: number } {
  const parser = new Parser(options)
  const packets: Packet[] = []
  for (const chunk of chunks) {
    try {
      parser.parse(chunk, (packet) => packets.push(packet.type === 'publish' ? { ...packet, payload: Buffer.from(packet.payload) } : packet))
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error
      return { packets, reasonCode: error.reasonCode, held: 0 }
    }
  }
  return { packets, held: parser.heldBytes }
}

const roomy = { maximumPacketSize: 1_000_000 }
const versions = [4, 5] as const

/** Cuts bytes where the list says. */
function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let at = 0
  for (let index = 0; at < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1
    chunks.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  return chunks
}

/** A client's whole stream. */
const clientStream = (version: ProtocolVersion) =>
  fc.tuple(connectPacket(version), fc.array(clientPacket(version), { maxLength: 8 })).map(([connect, packets]) => [connect, ...packets])

describe.each(versions)('MQTT version %i', (version) => {
  test('a client’s packets come back as they were written', () => {
    fc.assert(
      fc.property(clientStream(version), (packets) => {
        expect(outcome(roomy, [Buffer.concat(packets.map((packet) => writePacket(packet, version)))])).toEqual({ packets, held: 0 })
      }),
      { numRuns: 500 },
    )
  })

  test('a server’s packets come back as they were written', () => {
    fc.assert(
      fc.property(fc.array(serverPacket(version), { maxLength: 8 }), (packets) => {
        const bytes = Buffer.concat(packets.map((packet) => writePacket(packet, version)))
        expect(outcome({ ...roomy, version, sender: 'server' }, [bytes])).toEqual({ packets, held: 0 })
      }),
      { numRuns: 500 },
    )
  })

  test('however the bytes are cut, the same packets come', () => {
    fc.assert(
      fc.property(clientStream(version), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 }), (packets, sizes) => {
        const bytes = Buffer.concat(packets.map((packet) => writePacket(packet, version)))
        const whole = outcome(roomy, [bytes])
        expect(outcome(roomy, cut(bytes, sizes))).toEqual(whole)
        expect(outcome(roomy, cut(bytes, [1]))).toEqual(whole)
      }),
      { numRuns: 200 },
    )
  })

  test('damaged streams fail the same way however they are cut, and only with MalformedPacket', () => {
    fc.assert(
      fc.property(
        clientStream(version),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 20 }),
        (packets, changes, size) => {
          const bytes = Buffer.concat(packets.map((packet) => writePacket(packet, version)))
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte
          const whole = outcome(roomy, [bytes])
          expect(outcome(roomy, cut(bytes, [1]))).toEqual(whole)
          expect(outcome(roomy, cut(bytes, [size]))).toEqual(whole)
        },
      ),
      { numRuns: 1000 },
    )
  })

  test.each(['client', 'server'] as const)('any bytes at all from a %s give packets or MalformedPacket', (sender) => {
    const anyBytes = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
    // Half of them with a header that fits, so that the bodies are reached.
    const framed = fc
      .tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 120 }))
      .map(([first, body]) => Buffer.from([first, body.length, ...body]))
    fc.assert(
      fc.property(
        fc.oneof(
          anyBytes,
          framed,
          fc.array(framed, { maxLength: 4 }).map((list) => Buffer.concat(list)),
        ),
        (bytes) => {
          const whole = outcome({ ...roomy, version, sender }, [bytes])
          expect(outcome({ ...roomy, version, sender }, cut(bytes, [1]))).toEqual(whole)
        },
      ),
      { numRuns: 3000 },
    )
  })
})

test.each([
  [4, Buffer.alloc(0), Buffer.alloc(0), {}, {}],
  [5, Buffer.from([3, 0x21, 0, 9]), Buffer.from([5, 0x18, 0, 0, 0, 7]), { receiveMaximum: 9 }, { willDelayInterval: 7 }],
] as const)(
  'MQTT version %i: the payload of CONNECT is client id, will, user name and password, each in its place [MQTT-3.1.3-1]',
  (version, connectProperties, willProperties, properties, willRead) => {
    const field = (text: string) => Buffer.from(`\0${String.fromCharCode(text.length)}${text}`, 'latin1')
    const body = Buffer.concat([
      field('MQTT'),
      Buffer.from([version, 0xee, 0, 60]), // every flag, the will at QoS 1
      connectProperties,
      field('the client'),
      willProperties,
      field('will/topic'),
      field('will payload'),
      field('the user'),
      field('the password'),
    ])
    const will = { topic: 'will/topic', payload: Buffer.from('will payload'), qos: 1, retain: true, properties: willRead }
    const read = { type: 'connect', clientId: 'the client', cleanStart: true, will, username: 'the user', password: Buffer.from('the password'), properties }
    expect(outcome(roomy, [Buffer.from([0x10, body.length]), body]).packets).toEqual([{ ...read, protocolVersion: version, bridge: false, keepAlive: 60 }])
  },
)

test('several packets in one chunk come in order, and the unfinished one waits', () => {
  const ping = Buffer.from([0xc0, 0])
  const publish = writePacket({ type: 'publish', topic: 't', payload: Buffer.from('x'), qos: 0, dup: false, retain: false, packetId: 0 }, 4)
  const { packets, held } = outcome({ ...roomy, version: 4 }, [Buffer.concat([ping, publish, ping, publish.subarray(0, 3)])])
  expect(packets.map((packet) => packet.type)).toEqual(['pingreq', 'publish', 'pingreq'])
  expect(held).toBe(3)
})

test('a payload cut by chunks is intact while the packet is handled and after', () => {
  const payload = Buffer.from(Array.from({ length: 5000 }, (_, index) => index & 0xff))
  const bytes = writePacket({ type: 'publish', topic: 't', payload, qos: 0, dup: false, retain: false, packetId: 0 }, 4)
  const seen: Buffer[] = []
  const parser = new Parser({ ...roomy, version: 4 })
  for (const chunk of cut(Buffer.concat([bytes, bytes, bytes]), [700])) parser.parse(chunk, (packet) => packet.type === 'publish' && seen.push(packet.payload))
  expect(seen.map((view) => view.equals(payload))).toEqual([true, true, true])
})

test('a declared length above the maximum fails before the bytes arrive', () => {
  const options = { version: 5, maximumPacketSize: 100 } as const
  expect(outcome(options, [Buffer.from([0x30, 98])])).toEqual({ packets: [], held: 2 })
  expect(outcome(options, [Buffer.from([0x30, 99])])).toEqual({ packets: [], reasonCode: 0x95, held: 0 })
})

test('the first packet has a limit of its own, which ends with it', () => {
  const connect = writePacket({ type: 'connect', protocolVersion: 4, bridge: false, clientId: 'c', cleanStart: true, keepAlive: 0, properties: {} }, 4)
  const publish = writePacket({ type: 'publish', topic: 't', payload: Buffer.alloc(500), qos: 0, dup: false, retain: false, packetId: 0 }, 4)
  const options = { maximumPacketSize: 1000, firstPacketSizeMax: connect.length }
  expect(outcome(options, [Buffer.concat([connect, publish])]).packets).toHaveLength(2)
  expect(outcome({ ...options, firstPacketSizeMax: connect.length - 1 }, [connect])).toEqual({ packets: [], reasonCode: 0x95, held: 0 })
})

test('a declared length costs its sender the bytes, not the receiver the memory', () => {
  const parser = new Parser({ version: 4, maximumPacketSize: 300_000_000 })
  const before = process.memoryUsage().external
  const parsers = Array.from({ length: 200 }, () => new Parser({ version: 4, maximumPacketSize: 300_000_000 }))
  for (const one of [parser, ...parsers]) one.parse(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1]), () => {})
  expect(process.memoryUsage().external - before).toBeLessThan(10_000_000)
  expect(parser.heldBytes).toBe(7)
})

test('a large packet in single bytes takes time in proportion', () => {
  const bytes = writePacket({ type: 'publish', topic: 't', payload: Buffer.alloc(512_000), qos: 0, dup: false, retain: false, packetId: 0 }, 4)
  let count = 0
  const parser = new Parser({ ...roomy, version: 4 })
  for (let at = 0; at < bytes.length; at++) parser.parse(bytes.subarray(at, at + 1), () => count++)
  expect(count).toBe(1)
}, 10_000)

test('after a malformed packet the parser goes on failing, with the same reason', () => {
  const parser = new Parser({ version: 4, maximumPacketSize: 100 })
  const seen: string[] = []
  const feed = (bytes: number[]) => parser.parse(Buffer.from(bytes), (packet) => seen.push(packet.type))
  expect(() => feed([0xc0, 0, 0xc1, 0, 0xc0, 0])).toThrow(MalformedPacket)
  expect(() => feed([0xc0, 0])).toThrow(MalformedPacket)
  expect(seen).toEqual(['pingreq'])
})

test('a parser whose callback starts another parser is not confused by it', () => {
  const bytes = writePacket({ type: 'publish', topic: 'outer', payload: Buffer.from('x'), qos: 1, dup: false, retain: false, packetId: 1 }, 5)
  const seen: string[] = []
  new Parser({ ...roomy, version: 5 }).parse(Buffer.concat([bytes, bytes]), (packet) => {
    new Parser({ ...roomy, version: 4 }).parse(Buffer.from([0xc0, 0]), (inner) => seen.push(inner.type))
    seen.push(packet.type)
  })
  expect(seen).toEqual(['pingreq', 'publish', 'pingreq', 'publish'])
})

test('the version is known as soon as the CONNECT was understood so far, for the form of a refusal', () => {
  const connect = (name: string, level: number) => Buffer.from([0x10, 8 + name.length, 0, name.length, ...Buffer.from(name), level, 2, 0, 0, 0, 0])
  const versionAfter = (bytes: Buffer) => {
    const parser = new Parser(roomy)
    try {
      parser.parse(bytes, () => {})
    } catch {}
    return parser.version
  }
  expect(new Parser(roomy).version).toBeUndefined()
  expect(versionAfter(connect('MQTT', 4))).toBe(4)
  expect(versionAfter(connect('MQIsdp', 3))).toBe(4)
  expect(versionAfter(connect('MQTT', 6))).toBe(5)
  expect(versionAfter(Buffer.from([0xc0, 0]))).toBeUndefined()
})
