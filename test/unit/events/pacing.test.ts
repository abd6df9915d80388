import { expect, test } from '@jest/globals'
import { Pacing } from '../../../events/pacing.ts'

test('CloudEvents webhook 4.2.2: an allowed rate is never exceeded, also after a quiet time', () => {
  const pacing = new Pacing()
  expect([pacing.take(60, 10_000), pacing.take(60, 10_000), pacing.take(60, 10_400)]).toEqual([0, 1_000, 600])
  expect([pacing.take(60, 11_000), pacing.take(60, 60_000), pacing.take(60, 60_000)]).toEqual([0, 0, 1_000])
})

test('without a rate nothing waits', () => {
  const pacing = new Pacing()
  expect([pacing.take(null, 0), pacing.take(null, 0)]).toEqual([0, 0])
})
