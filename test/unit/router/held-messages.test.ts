import { expect, test } from '@jest/globals'
import { HeldMessages } from '../../../router/held-messages.ts'
import { RepeatableKind, readRepeatableId, repeatableId } from '../../../schemas/message-id.ts'
import fc from '../../support/fast-check.ts'

const parts = (session: number, detail: number, use = 0) => ({ kind: RepeatableKind.Publish, shard: 1, session, use, detail })
const id = (session: number, detail: number, use = 0) => repeatableId(parts(session, detail, use))

test('another record with the id is a repeat while it is held, and after it was let go', () => {
  const held = new HeldMessages(10)
  expect(held.isRepeat(id(1, 1), 5)).toBe(false)
  held.hold(id(1, 1), 5, false)
  expect([held.isRepeat(id(1, 1), 6), held.isRepeat(id(1, 1, 1), 6), held.isRepeat(id(2, 1), 6)]).toEqual([true, false, false])
  held.letGo(parts(1, 1))
  expect(held.isRepeat(id(1, 1), 7)).toBe(true)
})

test('the same record read again is no repeat of itself', () => {
  const held = new HeldMessages(10)
  held.hold(id(1, 1), 5, false)
  expect(held.isRepeat(id(1, 1), 5)).toBe(false)
  held.letGo(parts(1, 1))
  expect(held.isRepeat(id(1, 1), 5)).toBe(false)
})

test('what is over when it is first read is remembered with what was let go', () => {
  const held = new HeldMessages(1)
  held.hold(id(1, 1), 5, true)
  held.hold(id(1, 2), 6, true)
  expect([held.isRepeat(id(1, 1), 9), held.isRepeat(id(1, 2), 9), held.size]).toEqual([false, true, 1])
})

test('a session that is over lets go of its own, of every kind', () => {
  const held = new HeldMessages(1)
  held.hold(id(1, 1), 1, false)
  held.hold(repeatableId({ kind: RepeatableKind.Will, shard: 1, session: 1, use: 0, detail: 0 }), 2, false)
  held.hold(id(2, 1), 3, false)
  held.letGoAllOf({ shard: 1, session: 1 })
  expect([held.size, held.isRepeat(id(2, 1), 9), held.isRepeat(id(1, 1), 9)]).toEqual([2, true, false])
})

test('letting go of what is not held does nothing', () => {
  const held = new HeldMessages(10)
  held.letGo(parts(1, 1))
  held.letGoAllOf({ shard: 1, session: 1 })
  expect(held.size).toBe(0)
})

test('settling lets go of what is over', () => {
  const held = new HeldMessages(0)
  held.hold(id(1, 1), 1, false)
  held.hold(id(1, 2), 2, false)
  held.settle(({ detail }) => detail === 1)
  expect([...held.entries()].map((each) => [readRepeatableId(each.id).detail, each.offset])).toEqual([[2, 2]])
})

test('a successor made of the entries knows the same repeats', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('hold' as const), session: fc.nat(3), detail: fc.nat(3), isOver: fc.boolean() }),
    fc.record({ do: fc.constant('letGo' as const), session: fc.nat(3), detail: fc.nat(3), isOver: fc.boolean() }),
    fc.record({ do: fc.constant('end' as const), session: fc.nat(3), detail: fc.nat(3), isOver: fc.boolean() }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const held = new HeldMessages(1_000)
      let offset = 0
      for (const each of steps) {
        offset++
        if (each.do === 'end') held.letGoAllOf({ shard: 1, session: each.session })
        else if (each.do === 'letGo') held.letGo(parts(each.session, each.detail))
        else if (!held.isRepeat(id(each.session, each.detail), offset)) held.hold(id(each.session, each.detail), offset, each.isOver)
      }
      const successor = new HeldMessages(1_000)
      for (const entry of held.entries()) successor.hold(entry.id, entry.offset, false)
      for (let session = 0; session < 4; session++) {
        for (let detail = 0; detail < 4; detail++) {
          for (let at = 0; at <= offset + 1; at++) expect(successor.isRepeat(id(session, detail), at)).toBe(held.isRepeat(id(session, detail), at))
        }
      }
    }),
    { numRuns: 60 },
  )
})
