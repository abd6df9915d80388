import { expect, test } from '@jest/globals'
import { Withheld } from '../../../router/withheld.ts'

const group = '$share/g/#'
const covered = (withheld: Withheld, to: number): number[] => Array.from({ length: to }, (_, offset) => offset).filter((offset) => withheld.covers(offset))

test('a group is withheld what is published from where it falls behind to where it catches up', () => {
  const withheld = new Withheld(group)
  expect([withheld.isEmpty, withheld.isOpen, withheld.end]).toEqual([true, false, 0])
  withheld.open(3)
  expect([withheld.isOpen, withheld.end, covered(withheld, 8)]).toEqual([true, Number.POSITIVE_INFINITY, [3, 4, 5, 6, 7]])
  withheld.close(5)
  withheld.open(7)
  expect([withheld.isOpen, covered(withheld, 10)]).toEqual([true, [3, 4, 7, 8, 9]])
})

test('its place is told span by span, and goes from one to the next', () => {
  const withheld = new Withheld(group)
  withheld.open(3)
  withheld.close(5)
  withheld.open(7)
  expect([0, 4, 5, 6, 9].map((offset) => withheld.next(offset))).toEqual([
    { from: 3, to: 5 },
    { from: 4, to: 5 },
    { from: 7, to: null },
    { from: 7, to: null },
    { from: 9, to: null },
  ])
  expect(withheld.told(4)).toEqual([
    { group, from: 3, to: 5, position: 4 },
    { group, from: 7, to: null, position: 7 },
  ])
  expect(withheld.told(9)).toEqual([
    { group, from: 3, to: 5, position: 5 },
    { group, from: 7, to: null, position: 9 },
  ])
})

test('a span that is over is told until it is seen through and progress has passed it', () => {
  const withheld = new Withheld(group)
  withheld.open(3)
  withheld.close(5)
  expect([withheld.prune(4, 9), withheld.prune(9, 4), withheld.isEmpty]).toEqual([false, false, false])
  expect([withheld.prune(5, 5), withheld.isEmpty]).toEqual([true, true])
  withheld.open(9)
  expect([withheld.prune(99, 99), withheld.isOpen]).toEqual([false, true])
})

test('what the journal told comes back, in whatever order', () => {
  const withheld = new Withheld(group, [
    { group, from: 7, to: null, position: 8 },
    { group, from: 3, to: 5, position: 4 },
  ])
  expect(withheld.told(4)).toEqual([
    { group, from: 3, to: 5, position: 4 },
    { group, from: 7, to: null, position: 7 },
  ])
})

test('a group cannot fall behind before what was withheld earlier, nor catch up before it fell behind', () => {
  const withheld = new Withheld(group)
  withheld.open(3)
  expect(() => withheld.open(4)).toThrow(RangeError)
  expect(() => withheld.close(2)).toThrow(RangeError)
  withheld.close(5)
  expect(() => withheld.open(4)).toThrow(RangeError)
  expect(() => withheld.close(6)).toThrow(RangeError)
})
