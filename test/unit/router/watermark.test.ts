import { expect, test } from '@jest/globals'
import { Watermark } from '../../../router/watermark.ts'
import fc from '../../support/fast-check.ts'

test('moves to the end of what is done without a gap, in whatever order it ends', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3), { maxLength: 20 }), fc.array(fc.nat(1000)), (waits, order) => {
      let moves = 0
      const mark = new Watermark(0, () => moves++)
      const left = [...waits]
      const open = waits.flatMap((count, i) => {
        const done = mark.begin(i + 1, count, 10)
        return Array.from({ length: count }, () => ({ i, done }))
      })
      for (let round = 0; ; round++) {
        const firstOpen = left.findIndex((count) => count > 0)
        expect(mark.position).toBe(firstOpen < 0 ? waits.length : firstOpen)
        expect(mark.weight).toBe(firstOpen < 0 ? 0 : (waits.length - firstOpen) * 10)
        if (open.length === 0) break
        const [each] = open.splice((order[round] ?? 0) % open.length, 1)
        each?.done()
        if (each) left[each.i] = (left[each.i] as number) - 1
      }
      expect(moves).toBeLessThanOrEqual(waits.length)
    }),
  )
})

test('starts where it is told and tells each move once', () => {
  const seen: number[] = []
  const mark: Watermark = new Watermark(50, () => seen.push(mark.position))
  const first = mark.begin(60, 1)
  mark.begin(70, 0)
  expect(mark.position).toBe(50)
  first()
  expect([mark.position, seen]).toEqual([70, [70]])
})
