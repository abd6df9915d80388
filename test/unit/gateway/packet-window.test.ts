import { expect, test } from '@jest/globals'
import { type Flight, PacketWindow } from '../../../gateway/packet-window.ts'
import fc from '../../support/fast-check.ts'

test('ids count from 1, and one that is free is given again only when all others came before it', () => {
  const window = new PacketWindow()
  expect([window.take('puback'), window.take('pubrec'), window.size]).toEqual([1, 2, 2])
  expect([window.free(1), window.free(1), window.free(0), window.free(3), window.size]).toEqual([true, false, false, false, 1])
  expect(window.take('puback')).toBe(3)
  expect([window.flight(0), window.flight(1), window.flight(2), window.flight(3)]).toEqual([null, null, 'pubrec', 'puback'])
  window.set(2, 'pubcomp')
  expect(window.flight(2)).toBe('pubcomp')
})

test('all 65,535 ids can be in flight, each once, and no more [MQTT-2.2.1-4]', () => {
  const window = new PacketWindow()
  const given = new Set(Array.from({ length: 65_535 }, () => window.take('puback')))
  expect([given.size, Math.min(...given), Math.max(...given)]).toEqual([65_535, 1, 65_535])
  expect(() => window.take('puback')).toThrow(RangeError)
  window.free(40_000)
  expect(window.take('pubrec')).toBe(40_000)
})

test('whatever is acknowledged in whatever order, no id in flight is given again and each is known with what it waits for', () => {
  const flight = fc.constantFrom<Flight>('puback', 'pubrec')
  // Taken, freed by its place among those in flight, or received.
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant('take' as const), flight, times: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('free' as const, 'set' as const), at: fc.nat(), times: fc.integer({ min: 1, max: 40 }) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const window = new PacketWindow()
      const known = new Map<number, Flight>()
      for (const each of steps) {
        for (let i = 0; i < each.times; i++) {
          if (each.do === 'take') {
            const id = window.take(each.flight)
            expect(id >= 1 && id <= 65_535 && !known.has(id)).toBe(true)
            known.set(id, each.flight)
            continue
          }
          const id = [...known.keys()][each.at % Math.max(1, known.size)]
          if (id === undefined) break
          if (each.do === 'set') {
            window.set(id, 'pubcomp')
            known.set(id, 'pubcomp')
          } else {
            expect(window.free(id)).toBe(true)
            known.delete(id)
          }
        }
        expect(window.size).toBe(known.size)
      }
      for (const [id, waitsFor] of known) expect(window.flight(id)).toBe(waitsFor)
    }),
  )
})
