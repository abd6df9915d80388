import { expect, test } from '@jest/globals'
import { HandshakeTurns } from '../../../gateway/handshake-turns.ts'
import fc from '../../support/fast-check.ts'

function world(max: number) {
  const turns = new HandshakeTurns(max)
  const begun: string[] = []
  return { turns, begun, take: (address: string, name = address) => turns.take(address, () => begun.push(name)) }
}

test('as many at a time as may be; the next begins when one ends', () => {
  const { begun, take } = world(2)
  const first = take('a')
  take('b')
  expect(take('c').waits).toBe(true)
  expect(begun).toEqual(['a', 'b'])
  first.end()
  first.end()
  expect(begun).toEqual(['a', 'b', 'c'])
})

test('one address has a quarter at most, and does not keep another waiting', () => {
  const { begun, take, turns } = world(8)
  for (let i = 0; i < 100; i++) take('crowd', `crowd ${i}`)
  expect(begun).toEqual(['crowd 0', 'crowd 1'])
  expect(take('single').waits).toBe(false)
  expect(turns.underWay).toBe(3)
})

test('addresses that wait are served in turn, each in its order', () => {
  const { begun, take } = world(1)
  const turns = new Map([['first', take('x', 'first')]])
  for (const name of ['a1', 'a2', 'a3', 'b1', 'b2']) turns.set(name, take(name[0] as string, name))
  for (let i = 0; i < 6; i++) turns.get(begun.at(-1) as string)?.end()
  expect(begun).toEqual(['first', 'a1', 'b1', 'a2', 'b2', 'a3'])
})

test('one that gives up while it waits is not begun', () => {
  const { begun, take } = world(1)
  const first = take('a')
  take('b').end()
  take('c')
  first.end()
  expect(begun).toEqual(['a', 'c'])
})

test('whatever is taken and ended, the bounds hold and nobody is forgotten', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.array(fc.tuple(fc.nat(3), fc.boolean(), fc.nat(20))), (max, steps) => {
      const turns = new HandshakeTurns(max)
      const open: { address: string; begun: boolean; end(): void }[] = []
      for (const [who, ends, which] of steps) {
        if (ends) open.splice(which, 1)[0]?.end()
        else {
          const each = { address: String(who), begun: false, end: () => {} }
          open.push(each)
          each.end = turns.take(each.address, () => (each.begun = true)).end
        }
        const begun = open.filter((each) => each.begun)
        expect(turns.underWay).toBe(begun.length)
        expect(begun.length).toBeLessThanOrEqual(max)
        for (const { address } of open) expect(begun.filter((each) => each.address === address).length).toBeLessThanOrEqual(Math.max(1, Math.floor(max / 4)))
      }
      for (let each = open.find(({ begun }) => begun); each; each = open.find(({ begun }) => begun)) open.splice(open.indexOf(each), 1)[0]?.end()
      expect(open).toEqual([])
    }),
  )
})
