import { expect, test } from '@jest/globals'
import { ReplayTurns } from '../../../router/replay-turns.ts'

test('each session has its turn, however many replays another has; one that has left has none', async () => {
  const turns = new ReplayTurns({ messagesPerSecond: 1, messagesPerSecondMin: 1, bytesPerSecond: 1, openMax: 1 })
  const taken: string[] = []
  await new Promise<void>((resolve) => {
    const step = (name: string) => async (): Promise<void> => {
      taken.push(name)
      if (name === 'many 4') resolve()
    }
    const [first, many, one, other] = [{}, {}, {}, {}]
    turns.want(first, step('first'))
    const gone = step('gone')
    turns.want(many, gone)
    for (const name of ['many 1', 'many 2', 'many 3', 'many 4']) turns.want(many, step(name))
    turns.want(one, step('one'))
    turns.want(other, step('other'))
    turns.leave(many, gone)
  })
  expect(taken).toEqual(['first', 'many 1', 'one', 'other', 'many 2', 'many 3', 'many 4'])
})

test('of those that hold something the one that was used longest ago lets go', () => {
  const turns = new ReplayTurns({ messagesPerSecond: 1, messagesPerSecondMin: 1, bytesPerSecond: 1, openMax: 2 })
  const closed: string[] = []
  const [a, b, c] = ['a', 'b', 'c'].map((name) => () => void closed.push(name)) as [() => void, () => void, () => void]
  turns.used(a)
  turns.used(b)
  turns.used(a)
  turns.used(c)
  expect(closed).toEqual(['b'])
  turns.closed(a)
  turns.used(b)
  expect(closed).toEqual(['b'])
})
