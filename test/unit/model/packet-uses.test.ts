import { expect, test } from '@jest/globals'
import { PacketUses, UsesError } from '../../../model/packet-uses.ts'
import { usesModulus } from '../../../schemas/message-id.ts'
import fc from '../../support/fast-check.ts'

const counts = fc.dictionary(fc.integer({ min: 1, max: 65_535 }).map(String), fc.constantFrom(1, 2, 255, 256, 65_536, usesModulus - 1), { maxKeys: 40 })

function usesOf(released: Readonly<Record<string, number>>): PacketUses {
  // Runs as the encoding has them: gap, length, count.
  const bytes: number[] = []
  const put = (value: number): void => {
    for (let rest = value; ; rest >>>= 7) {
      bytes.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80)
      if (rest < 0x80) return
    }
  }
  let end = 0
  for (const [packetId, count] of Object.entries(released).sort(([a], [b]) => Number(a) - Number(b))) {
    put(Number(packetId) - end)
    put(1)
    put(count)
    end = Number(packetId) + 1
  }
  return PacketUses.decode(Buffer.from(bytes))
}

test('uses come back from their bytes as they were, whatever page and width they are in', () => {
  fc.assert(
    fc.property(counts, (released) => {
      const uses = PacketUses.decode(usesOf(released).encode())
      for (const [packetId, count] of Object.entries(released)) expect(uses.of(Number(packetId))).toBe(count)
      for (const packetId of [1, 65_535, 256]) expect(uses.of(packetId)).toBe(released[packetId] ?? 0)
    }),
  )
})

test('each release is one use more, past what a byte and two bytes hold', () => {
  const uses = new PacketUses()
  expect([uses.isEmpty, uses.of(1)]).toEqual([true, 0])
  for (let i = 0; i < 70_000; i++) uses.release(1)
  uses.release(2)
  expect([uses.isEmpty, uses.of(1), uses.of(2), uses.of(3)]).toEqual([false, 70_000, 1, 0])
})

test('a client that goes round all packet ids tells it in a few bytes', () => {
  const uses = new PacketUses()
  for (let round = 0; round < 3; round++) for (let packetId = 1; packetId <= 65_535; packetId++) uses.release(packetId)
  for (let packetId = 1; packetId <= 1_000; packetId++) uses.release(packetId)
  expect(uses.encode().length).toBeLessThan(12)
  expect(PacketUses.decode(uses.encode()).of(1_000)).toBe(4)
})

test('the number of a use goes round where the message id ends', () => {
  const uses = usesOf({ 7: usesModulus - 1 })
  uses.release(7)
  expect(uses.of(7)).toBe(0)
})

test.each([[[0x80]], [[1]], [[1, 1]], [[1, 0xff, 0xff, 0xff, 0xff, 1]]])('damaged bytes are refused: %p', (bytes) => {
  expect(() => PacketUses.decode(Buffer.from(bytes))).toThrow(UsesError)
})

test('more packet ids than there are are refused', () => {
  expect(() => PacketUses.decode(Buffer.from([0, 0x81, 0x80, 0x04, 1]))).toThrow('there is no packet id 65536')
})
