import { expect, test } from '@jest/globals'
import { afterDeath, initialBackoff } from '../../../stack/backoff.ts'

function delays(lives: readonly number[]): number[] {
  let backoff = initialBackoff
  return lives.map((ranMs) => {
    const next = afterDeath(backoff, ranMs)
    backoff = next.backoff
    return next.delayMs
  })
}

test('the first restart is at once, then the wait doubles from 100 ms up to 1 s', () => {
  expect(delays([50, 50, 50, 50, 50, 50, 50, 50, 50])).toEqual([0, 100, 200, 400, 800, 1000, 1000, 1000, 1000])
})

test('a process that ran for ten seconds is restarted at once again', () => {
  expect(delays([50, 50, 50, 10_000, 50])).toEqual([0, 100, 200, 0, 100])
})
