import { expect, test } from '@jest/globals'
import { growingPercent } from '../../../telemetry/heap-growth.ts'

test('a small heap may grow to four times of what lives, a large one as V8 reckons', () => {
  expect(growingPercent(30 * 1_048_576)).toBe(300)
  expect(growingPercent(193 * 1_048_576)).toBe(0)
})
