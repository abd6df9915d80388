import { describe, expect, test } from '@jest/globals'
import mqttPacket, { type Packet as ForeignPacket } from 'mqtt-packet'
import type { Packet } from '../../../mqtt/packet.ts'
import { Parser } from '../../../mqtt/parser.ts'
import { writePacket } from '../../../mqtt/writer.ts'
import fc from '../../support/fast-check.ts'
import { comparable, foreign, hasSpecialName, isBeyondForeignWriter, readByForeign, regrouped } from './foreign-codec.ts'
import { clientPacket, connectPacket, serverPacket } from './packets.ts'

describe.each([4, 5] as const)('MQTT version %i', (version) => {
  const packets: fc.Arbitrary<readonly [Packet, 'client' | 'server']> = fc.oneof(
    connectPacket(version).map((packet) => [packet, 'client'] as const),
    clientPacket(version).map((packet) => [packet, 'client'] as const),
    serverPacket(version).map((packet) => [packet, 'server'] as const),
  )

  test('mqtt-packet understands what this writer writes', () => {
    fc.assert(
      fc.property(packets, ([packet]) => {
        fc.pre(!hasSpecialName(packet))
        expect(comparable(readByForeign(writePacket(packet, version), version))).toEqual(comparable(foreign(packet, version)))
      }),
      { numRuns: 1500 },
    )
  })

  test('this parser understands what mqtt-packet writes', () => {
    fc.assert(
      fc.property(packets, ([packet, sender]) => {
        fc.pre(!hasSpecialName(packet) && !isBeyondForeignWriter(packet))
        const bytes = mqttPacket.generate(foreign(packet, version) as unknown as ForeignPacket, { protocolVersion: version })
        const seen: Packet[] = []
        const options = { maximumPacketSize: 1_000_000, sender }
        new Parser(packet.type === 'connect' ? options : { ...options, version }).parse(bytes, (found) => seen.push(found))
        expect(seen.map((found) => comparable(foreign(found, version)))).toEqual([comparable(foreign(regrouped(packet), version))])
      }),
      { numRuns: 1500 },
    )
  })
})
