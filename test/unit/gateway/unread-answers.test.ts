import { expect, test } from '@jest/globals'
import { UnreadAnswers } from '../../../gateway/unread-answers.ts'

test('answers count while the socket has not taken them, and messages do not', () => {
  const unread = new UnreadAnswers(80)
  expect(unread.written(100, 100, 0)).toBe(0)
  expect(unread.written(30, 30, 30)).toBe(30)
  expect(unread.written(1_000, 0, 1_030)).toBe(30)
  expect(unread.written(20, 5, 1_050)).toBe(35)
  // The first 30 are taken, and all of the messages but one byte.
  expect(unread.written(0, 0, 21)).toBe(5)
  expect(unread.written(0, 0, 20)).toBe(5)
  expect(unread.written(0, 0, 0)).toBe(0)
})

test('nothing is left of what was taken', () => {
  const unread = new UnreadAnswers(80)
  expect(unread.written(50, 50, 50)).toBe(50)
  unread.taken()
  expect(unread.written(7, 7, 7)).toBe(7)
})

test('a client that is slow and takes all in the end is thought to have unread what it has, and an eighth of the limit more at most', () => {
  const max = 8_000
  const unread = new UnreadAnswers(max)
  const waits: { bytes: number; isAnswer: boolean }[] = []
  let [random, least, most] = [7, 0, 0]
  const next = (below: number) => {
    random = (random * 1_103_515_245 + 12_345) % 2_147_483_648
    return random % below
  }
  for (let round = 0; round < 3_000; round++) {
    const answers = next(40)
    const messages = next(400)
    if (messages > 0) waits.push({ bytes: messages, isAnswer: false })
    if (answers > 0) waits.push({ bytes: answers, isAnswer: true })
    for (let takes = next(460), first = waits[0]; takes > 0 && first; first = waits[0]) {
      const taken = Math.min(takes, first.bytes)
      first.bytes -= taken
      takes -= taken
      if (first.bytes === 0) waits.shift()
    }
    const sum = (list: typeof waits) => list.reduce((bytes, each) => bytes + each.bytes, 0)
    const said = unread.written(messages + answers, answers, sum(waits))
    const exact = sum(waits.filter(({ isAnswer }) => isAnswer))
    least = Math.min(least, said - exact)
    most = Math.max(most, said - exact)
  }
  expect(least).toBeGreaterThanOrEqual(0)
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(max / 8 + 2 * 40)
})
