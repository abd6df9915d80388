import { expect, test } from '@jest/globals'
import { TokenBucket, unlimited } from '../../../log/token-bucket.ts'
import fc from '../../support/fast-check.ts'

test('a second’s worth comes at once, then it owes: the wait is what the debt takes to be paid', () => {
  const bucket = new TokenBucket()
  expect([1, 2, 3, 4].map(() => bucket.take(1, 4, 1000))).toEqual([0, 0, 0, 0])
  expect(bucket.take(1, 4, 1000)).toBe(250)
  expect(bucket.take(2, 4, 1000)).toBe(750)
  expect(bucket.take(0, 4, 1500)).toBe(250)
  expect(bucket.take(0, 4, 1750)).toBe(0)
  expect(bucket.take(1, 4, 1750)).toBe(250)
})

test('what is not used is kept for one second only', () => {
  const bucket = new TokenBucket()
  bucket.take(4, 4, 0)
  expect(bucket.take(4, 4, 3_600_000)).toBe(0)
  expect(bucket.take(1, 4, 3_600_000)).toBe(250)
})

test('tryTake refuses instead of owing', () => {
  const bucket = new TokenBucket()
  expect([0, 0, 0, 499, 500, 500, 10_000, 10_000, 10_000].map((now) => bucket.tryTake(2, 1000 + now))).toEqual([
    true,
    true,
    false,
    false,
    true,
    false,
    true,
    true,
    false,
  ])
})

test('a clock that is set back neither gives nor takes', () => {
  const bucket = new TokenBucket()
  expect(bucket.take(4, 4, 10_000)).toBe(0)
  expect(bucket.take(1, 4, 5_000)).toBe(250)
  expect(bucket.take(0, 4, 5_250)).toBe(0)
})

test('a rate that changes counts from the next question on, and the largest is none at all', () => {
  const bucket = new TokenBucket()
  bucket.take(10, 2, 0)
  expect(bucket.take(0, 2, 0)).toBe(4000)
  expect(bucket.take(0, 8, 0)).toBe(1000)
  expect(bucket.take(1_000_000, unlimited, 0)).toBe(0)
  expect(bucket.tryTake(unlimited, 0)).toBe(true)
})

test('whoever waits as told never has more than the rate in the mean, beyond the first second’s worth and one amount', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 0, max: 100 }))), (rate, steps) => {
      const bucket = new TokenBucket()
      let now = 0
      let taken = 0
      let largest = 0
      for (const [amount, pauseMs] of steps) {
        now += bucket.take(0, rate, now) + pauseMs
        bucket.take(amount, rate, now)
        taken += amount
        largest = Math.max(largest, amount)
        expect(taken).toBeLessThanOrEqual(rate + (rate * now) / 1000 + largest + 1e-6)
      }
    }),
  )
})
