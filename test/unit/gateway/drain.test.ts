import { expect, test } from '@jest/globals'
import { Drain } from '../../../gateway/drain.ts'
import { seededRandom } from '../../wire/random.ts'

const clients = (count: number) => Array.from({ length: count }, (_, index) => index)

test('a few clients go at once after another, whatever the period', () => {
  const drain = new Drain(clients(3), 10_000, 1_000, () => 0)
  expect([1_000, 1_010, 1_020, 1_030].map((now) => drain.due(now).length)).toEqual([0, 1, 1, 1])
  expect(drain.endsAt).toBe(11_000)
})

test('many share the period evenly, and its end is left for their answers', () => {
  const drain = new Drain(clients(100_000), 10_000, 0, seededRandom(1))
  const turns = Array.from({ length: 10 }, (_, second) => drain.due((second + 1) * 1_000).length)
  expect(turns).toEqual([12_500, 12_500, 12_500, 12_500, 12_500, 12_500, 12_500, 12_500, 0, 0])
})

test('everybody has one turn, in no order of theirs', () => {
  const drain = new Drain(clients(1_000), 5_000, 0, seededRandom(7))
  const gone: number[] = []
  for (let now = 0; now <= 5_000; now += 33) gone.push(...drain.due(now))
  expect(gone).not.toEqual(clients(1_000))
  expect([...gone].sort((a, b) => a - b)).toEqual(clients(1_000))
})

test('without a period all go at once; a clock that goes back sends nobody', () => {
  expect(new Drain(clients(5), 0, 1_000, Math.random).due(1_000)).toHaveLength(5)
  const drain = new Drain(clients(5), 1_000, 1_000, Math.random)
  expect(drain.due(1_030)).toHaveLength(3)
  expect(drain.due(500)).toEqual([])
  expect(drain.due(1_030)).toEqual([])
})

test('nobody to move off is nothing to do', () => {
  expect(new Drain([], 10_000, 0, Math.random).due(0)).toEqual([])
})
