import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from '@jest/globals'
import { MalformedPacket } from '../../../mqtt/malformed-packet.ts'
import type { Packet, ProtocolVersion } from '../../../mqtt/packet.ts'
import { Parser, type ParserOptions } from '../../../mqtt/parser.ts'
import { writePacket } from '../../../mqtt/writer.ts'
import { Random } from '../../simulation/random.ts'
import { count } from '../../support/available.ts'
import fc from '../../support/fast-check.ts'
import { mutate } from '../../wire/mutants.ts'
import { comparable, foreign, hasSpecialName, readByForeign, regrouped } from './foreign-codec.ts'
import { clientPacket, connectPacket, serverPacket } from './packets.ts'

/**
 * Packets with a few bytes changed, held against three judges: the same bytes cut one by one, our own writer, and
 * mqtt-packet. Seeded: a failure names the bytes and comes again.
 */

const maximumPacketSize = 1_000_000

interface Kind {
  readonly name: string
  readonly version: ProtocolVersion
  readonly sender: 'client' | 'server'
  readonly packets: fc.Arbitrary<Packet>
}

const kinds: readonly Kind[] = ([4, 5] as const).flatMap((version) => [
  { name: `CONNECT of version ${version}`, version, sender: 'client' as const, packets: connectPacket(version) },
  { name: `a client’s packets of version ${version}`, version, sender: 'client' as const, packets: clientPacket(version) },
  { name: `a server’s packets of version ${version}`, version, sender: 'server' as const, packets: serverPacket(version) },
])

interface Outcome {
  readonly packets: readonly Packet[]
  readonly reasonCode?: number
  readonly held: number
}

function outcome(options: ParserOptions, bytes: Buffer, step: number): Outcome {
  const parser = new Parser(options)
  const packets: Packet[] = []
  for (let at = 0; at < bytes.length; at += step) {
    // A copy: payloads are views, and a view into memory that is used again would show here.
    const chunk = Buffer.from(bytes.subarray(at, at + step))
    try {
      parser.parse(chunk, (packet) => packets.push(packet))
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error
      return { packets, reasonCode: error.reasonCode, held: 0 }
    }
    if (parser.heldBytes > bytes.length) throw new Error(`${parser.heldBytes} bytes held of ${bytes.length}`)
  }
  return { packets, held: parser.heldBytes }
}

/** Reading has no beginning state but this: a CONNECT tells the version, everything else is told it. */
const optionsOf = ({ version, sender, name }: Kind): ParserOptions =>
  name.startsWith('CONNECT') ? { maximumPacketSize, sender } : { maximumPacketSize, sender, version }

const versionOf = (packet: Packet, { version }: Kind): ProtocolVersion => (packet.type === 'connect' ? packet.protocolVersion : version)

/** What mqtt-packet makes of one packet; null when it refuses it or reads on past its end. */
function foreignReading(bytes: Buffer, version: ProtocolVersion): unknown {
  try {
    const read = readByForeign(bytes, version)
    return read === undefined ? null : comparable(read)
  } catch {
    return null
  }
}

describe.each(kinds)('$name, mutated', (kind) => {
  test('parse alike however they are cut, fail only as malformed, and what passes is written and understood as it was read', () => {
    const random = new Random(0x10_99)
    const originals = fc.sample(kind.packets, { numRuns: 500, seed: 7 }).map((packet) => writePacket(packet, kind.version))
    const options = optionsOf(kind)
    let passed = 0
    let agreed = 0
    for (let round = count(3_400, 170_000); round > 0; round--) {
      const bytes = mutate(random.pick(originals), random)
      const whole = outcome(options, bytes, bytes.length || 1)
      const where = () => `of ${bytes.toString('hex')}`
      const cut = outcome(options, bytes, 1)
      if (!sameOutcome(whole, cut)) expect([where(), cut]).toEqual([where(), whole])
      const [packet] = whole.packets
      if (packet === undefined || whole.packets.length !== 1 || whole.reasonCode !== undefined || whole.held > 0) continue
      passed++
      const version = versionOf(packet, kind)
      const again = outcome(options, writePacket(packet, version), maximumPacketSize)
      if (!sameOutcome(again, whole)) expect([where(), again]).toEqual([where(), whole])
      if (hasSpecialName(packet)) continue
      const theirs = foreignReading(bytes, version)
      if (theirs === null) continue
      agreed++
      const ours = comparable(foreign(regrouped(packet), version))
      if (JSON.stringify(ours) !== JSON.stringify(theirs)) expect([where(), theirs]).toEqual([where(), ours])
    }
    // The mutants are neither all refused nor all beyond the other reader: the comparisons were made.
    expect(passed).toBeGreaterThan(100)
    expect(agreed).toBeGreaterThan(passed / 2)
  }, 600_000)
})

function sameOutcome(a: Outcome, b: Outcome): boolean {
  return a.reasonCode === b.reasonCode && a.held === b.held && JSON.stringify(a.packets) === JSON.stringify(b.packets)
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

test('what mutants leave behind is nothing: memory after many is what it was after few', () => {
  const random = new Random(42)
  const kind = kinds[4] as Kind
  const originals = fc.sample(kind.packets, { numRuns: 300, seed: 11 }).map((packet) => writePacket(packet, kind.version))
  const run = (rounds: number): number => {
    for (let round = 0; round < rounds; round++) outcome(optionsOf(kind), mutate(random.pick(originals), random), 1 + random.below(40))
    collectGarbage()
    return process.memoryUsage().heapUsed
  }
  run(2_000)
  const few = run(2_000)
  const many = run(count(20_000, 400_000))
  expect(many - few).toBeLessThan(2 * 1024 * 1024)
}, 600_000)
