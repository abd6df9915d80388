import { expect, test } from '@jest/globals'
import { isRepeatable, RepeatableKind, readRepeatableId, repeatableId } from '../../../schemas/message-id.ts'
import fc from '../../support/fast-check.ts'

const parts = fc.record({
  kind: fc.constantFrom(RepeatableKind.Publish, RepeatableKind.Will),
  session: fc.maxSafeNat(),
  use: fc.nat(0xff_ffff),
  shard: fc.nat(0xffff),
  detail: fc.nat(0xffff),
})

test('a repeatable id holds what it is made of, and nothing else', () => {
  fc.assert(
    fc.property(parts, (id) => {
      const bytes = repeatableId(id)
      expect([bytes.length, isRepeatable(bytes), readRepeatableId(bytes)]).toEqual([16, true, id])
    }),
  )
})

test('a counted id is not repeatable, however high its count', () => {
  const counted = Buffer.alloc(16, 0xff)
  counted.writeBigUInt64BE(2n ** 56n - 1n, 8)
  expect(isRepeatable(counted)).toBe(false)
})
