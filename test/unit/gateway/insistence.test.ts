import { expect, test } from '@jest/globals'
import { insist } from '../../../gateway/insistence.ts'
import { AppendError } from '../../../log/log.ts'

/** The log fails `failures` times; the gateway stops after `stopsAfter` attempts. Answers how often was appended, and what was heard. */
function appended(failures: number, stopsAfter = Number.POSITIVE_INFINITY): readonly [number, readonly (string | null)[]] {
  let count = 0
  const heard: (string | null)[] = []
  insist(
    (done) => done(++count > failures ? null : new AppendError(`no ${count}`, 'unknown')),
    () => count >= stopsAfter,
    (error) => heard.push(error?.message ?? null),
  )
  return [count, heard]
}

test.each([
  ['the first', 0, [1, [null]]],
  ['the second', 1, [2, [null]]],
  ['the third', 2, [3, [null]]],
  ['none', 3, [3, ['no 3']]],
] as const)('a record that has to be in the log is appended until it is, three times at most: %s attempt is stored', (_, failures, expected) => {
  expect(appended(failures)).toEqual(expected)
})

test('a gateway that stops does not try again', () => {
  expect(appended(3, 1)).toEqual([1, ['no 1']])
})
