import { expect, test } from '@jest/globals'
import { Rejudging } from '../../../gateway/rejudging.ts'

function world(everybody: readonly string[], perTurn: number, judgements = 1) {
  const judged: string[] = []
  const turns: (() => void)[] = []
  const rejudging = new Rejudging(
    () => everybody,
    (one) => {
      judged.push(one)
      return judgements
    },
    perTurn,
    (turn) => turns.push(turn),
  )
  return { judged, rejudging, turn: () => turns.shift()?.(), waits: () => turns.length > 0 }
}

test('everybody is judged once after a change, so many in a turn', () => {
  const { judged, rejudging, turn, waits } = world(['a', 'b', 'c', 'd', 'e'], 2)
  rejudging.changed()
  expect(judged).toEqual(['a', 'b'])
  turn()
  expect(judged).toEqual(['a', 'b', 'c', 'd'])
  turn()
  expect(judged).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(waits()).toBe(false)
})

test('who takes many judgements takes the turns of many', () => {
  const { judged, rejudging, turn } = world(['a', 'b', 'c'], 10, 6)
  rejudging.changed()
  expect(judged).toEqual(['a', 'b'])
  turn()
  expect(judged).toEqual(['a', 'b', 'c'])
})

test('changes without end do not keep the last from being judged: each round comes to its end', () => {
  const { judged, rejudging, turn } = world(['a', 'b', 'c', 'd'], 1)
  rejudging.changed()
  for (let i = 0; i < 7; i++) {
    rejudging.changed()
    turn()
  }
  expect(judged).toEqual(['a', 'b', 'c', 'd', 'a', 'b', 'c', 'd'])
})

test('with nobody there, a change is over at once', () => {
  const { rejudging, waits } = world([], 3)
  rejudging.changed()
  expect(waits()).toBe(false)
})
