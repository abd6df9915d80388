import { expect, test } from '@jest/globals'
import { assignRanges } from '../../../log/assignment.ts'
import fc from '../../support/fast-check.ts'

test('ranges are contiguous and in the order of the instances, whatever the member ids are', () => {
  const assigned = assignRanges(
    [
      { memberId: 'zz', instance: 'router-1' },
      { memberId: 'aa', instance: 'router-2' },
      { memberId: 'mm', instance: 'router-0' },
    ],
    8,
  )
  expect(Object.fromEntries(assigned)).toEqual({ mm: [0, 1, 2], zz: [3, 4, 5], aa: [6, 7] })
})

test('every partition has one owner, and no two members differ by more than one', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 100 }), (instances, partitions) => {
      const assigned = assignRanges(
        instances.map((instance, i) => ({ memberId: `${i}`, instance })),
        partitions,
      )
      expect([...assigned.values()].flat()).toEqual(Array.from({ length: partitions }, (_, i) => i))
      const sizes = [...assigned.values()].map(({ length }) => length)
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
    }),
  )
})
