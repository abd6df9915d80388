import { expect, test } from '@jest/globals'
import type { Upstream } from '../../../door/config.ts'
import { Upstreams } from '../../../door/upstreams.ts'

const [a, b, c] = ['a', 'b', 'c'].map((id): Upstream => ({ id, url: new URL(`http://${id}:1`) })) as [Upstream, Upstream, Upstream]
const ids = (order: Upstream[]): string => order.map(({ id }) => id).join('')

test('services take turns', () => {
  const upstreams = new Upstreams([a, b, c], () => 0)
  expect([ids(upstreams.order()), ids(upstreams.order()), ids(upstreams.order()), ids(upstreams.order())]).toEqual(['abc', 'bca', 'cab', 'abc'])
})

test('one that could not be reached is asked last for a second, and still asked', () => {
  let now = 0
  const upstreams = new Upstreams([a, b], () => now)
  upstreams.failed(a)
  expect([ids(upstreams.order()), ids(upstreams.order())]).toEqual(['ba', 'ba'])
  now = 1001
  expect([ids(upstreams.order()), ids(upstreams.order())]).toEqual(['ab', 'ba'])
})

test('one that answers again rests no longer', () => {
  const upstreams = new Upstreams([a, b], () => 0)
  upstreams.failed(a)
  upstreams.reached(a)
  expect(ids(upstreams.order())).toBe('ab')
})

test('without services there is none to try', () => {
  expect(new Upstreams([], () => 0).order()).toEqual([])
})
