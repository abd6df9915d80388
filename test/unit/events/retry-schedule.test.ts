import { expect, test } from '@jest/globals'
import { afterFailure, defaultSchedule, retryWait, whyGivenUp } from '../../../events/retry-schedule.ts'

const policy = { schedule: defaultSchedule, maxDeliveryCount: 10, timeToLiveMs: 60_000 }
const again = { fate: 'retry', retryAfterMs: 0 } as const

test('PU-05: after 10 s, 30 s, 1 min, 5 min, and every 5 min', () => {
  expect([1, 2, 3, 4, 5, 6, 9].map((attempt) => retryWait(defaultSchedule, attempt, 0) / 1000)).toEqual([10, 30, 60, 300, 300, 300, 300])
})

test('PU-05: by chance up to a fifth later, never earlier', () => {
  expect(retryWait(defaultSchedule, 1, 0.5)).toBe(11_000)
  expect(retryWait(defaultSchedule, 1, 1)).toBe(12_000)
})

test('PU-07: the last of the attempts that are allowed is the last', () => {
  expect(afterFailure({ publishedAt: 0, deliveryCount: 9 }, again, policy, 1_000, 0)).toEqual({ retryAt: 301_000 })
  expect(afterFailure({ publishedAt: 0, deliveryCount: 10 }, again, policy, 1_000, 0)).toEqual({ deadLetter: 'Maximum delivery attempts was exceeded' })
})

test('PU-12: what is refused for good is a dead letter at once', () => {
  expect(afterFailure({ publishedAt: 0, deliveryCount: 1 }, { fate: 'undeliverable', retryAfterMs: 0 }, policy, 1_000, 0)).toEqual({
    deadLetter: 'Undeliverable due to client error',
  })
})

test('the longer of two waits counts', () => {
  expect(afterFailure({ publishedAt: 0, deliveryCount: 1 }, { fate: 'retry', retryAfterMs: 45_000 }, policy, 1_000, 0)).toEqual({ retryAt: 46_000 })
  expect(afterFailure({ publishedAt: 0, deliveryCount: 3 }, { fate: 'retry', retryAfterMs: 45_000 }, policy, 1_000, 0)).toEqual({ retryAt: 61_000 })
})

test('PU-07: the time to live is looked at right before an attempt; that the next one would come too late gives nothing up', () => {
  expect(afterFailure({ publishedAt: 0, deliveryCount: 1 }, again, policy, 59_999, 0)).toEqual({ retryAt: 69_999 })
  expect(whyGivenUp({ publishedAt: 0, deliveryCount: 1 }, policy, 59_999)).toBeUndefined()
  expect(whyGivenUp({ publishedAt: 0, deliveryCount: 1 }, policy, 60_000)).toBe('Time to live was exceeded')
  expect(whyGivenUp({ publishedAt: 0, deliveryCount: 10 }, policy, 1_000)).toBe('Maximum delivery attempts was exceeded')
})
