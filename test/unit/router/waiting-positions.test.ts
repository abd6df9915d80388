import { expect, test } from '@jest/globals'
import { WaitingPositions } from '../../../router/waiting-positions.ts'
import { seededRandom } from '../../wire/random.ts'

function given(...positions: readonly number[]) {
  const waiting = new WaitingPositions()
  const told: number[] = []
  for (const position of positions) waiting.add(position, () => told.push(position))
  return { waiting, told }
}

test('the lowest is known, and nobody waits for the lowest of none', () => {
  expect([given(5, 3, 9).waiting.lowest, given().waiting.lowest]).toEqual([3, Number.POSITIVE_INFINITY])
})

test('everybody who waits for a position of the range is told, in order, and each position is seen once', () => {
  const { waiting, told } = given(7, 3, 9, 3, 12)
  const seen: number[] = []
  waiting.settle(3, 12, (position) => seen.push(position))
  expect({ told, seen, size: waiting.size, lowest: waiting.lowest }).toEqual({ told: [3, 3, 7, 9], seen: [3, 7, 9], size: 1, lowest: 12 })
})

test('who waits for an earlier position goes on waiting', () => {
  const { waiting, told } = given(8, 2, 9)
  waiting.settle(8, 10)
  expect({ told, lowest: waiting.lowest, size: waiting.size }).toEqual({ told: [8, 9], lowest: 2, size: 1 })
})

test('who is told may wait again for the same position at once', () => {
  const waiting = new WaitingPositions()
  let times = 0
  const ask = (): void => {
    times++
    waiting.add(4, ask)
  }
  waiting.add(4, ask)
  waiting.settle(0, 10)
  expect([times, waiting.lowest]).toEqual([1, 4])
})

test('any order of asking and settling gives the lowest first', () => {
  const random = seededRandom(7)
  const waiting = new WaitingPositions()
  const model = new Set<number>()
  for (let round = 0; round < 2_000; round++) {
    const position = Math.floor(random() * 500)
    waiting.add(position, () => model.delete(position))
    model.add(position)
    if (random() < 0.3) {
      const from = waiting.lowest
      expect(from).toBe(Math.min(...model))
      waiting.settle(from, from + Math.floor(random() * 60))
    }
    expect(waiting.size).toBe(model.size)
  }
})
