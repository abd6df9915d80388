import { describe, expect, test } from '@jest/globals'
import { SessionQueue } from '../../../model/session-queue.ts'
import fc from '../../support/fast-check.ts'

const entry = (offset: number, size = 10) => ({
  source: offset % 5,
  offset,
  size,
  expiresAt: offset % 3 === 0 ? offset * 1000 : 0,
  qos: (offset % 3) as 0 | 1 | 2,
  retain: offset % 2 === 0,
  subscriptionIdentifiers: offset % 4 === 0 ? [offset, 7] : [],
  group: offset % 6 === 0 ? '$share/g/#' : null,
  at: offset * 1000,
})

/** What the queue is meant to do, without a ring. */
class NaiveQueue {
  next = 0
  sent = 0
  open = new Map<number, ReturnType<typeof entry>>()
  push(each: ReturnType<typeof entry>): void {
    this.open.set(this.next++, each)
  }
  finish(number: number): boolean {
    return this.open.delete(number)
  }
  skipTo(next: number): void {
    this.next = Math.max(this.next, next)
  }
  advance(cursor: number, above: readonly number[], sent: number): void {
    for (const number of [...this.open.keys()]) if (number < cursor || above.includes(number)) this.open.delete(number)
    this.skipTo(cursor)
    this.sent = Math.max(this.sent, sent)
  }
  get cursor(): number {
    return Math.min(this.next, ...this.open.keys())
  }
}

function expectSame(queue: SessionQueue, naive: NaiveQueue): void {
  expect([...queue.entries()]).toEqual([...naive.open].map(([number, each]) => ({ number, ...each })))
  expect([queue.next, queue.cursor, queue.sent, queue.length]).toEqual([naive.next, naive.cursor, naive.sent, naive.open.size])
  expect(queue.bytes).toBe([...naive.open.values()].reduce((sum, { size }) => sum + size, 0))
  expect(queue.doneAbove).toEqual(Array.from({ length: naive.next - naive.cursor }, (_, i) => naive.cursor + i).filter((number) => !naive.open.has(number)))
}

const number = fc.nat(60)
const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('push' as const), offset: fc.nat(1000), size: fc.nat(500) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('finish' as const), number }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('advance' as const), cursor: number, above: fc.array(number, { maxLength: 5 }), sent: number }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('skipTo' as const), number }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const), ahead: fc.nat(20), offset: fc.nat(1000) }) },
)

test('does what a map of open numbers does, whatever comes in whatever order', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 120 }), (operations) => {
      const queue = new SessionQueue()
      const naive = new NaiveQueue()
      for (const each of operations) {
        switch (each.kind) {
          case 'push':
            queue.push(entry(each.offset, each.size))
            naive.push(entry(each.offset, each.size))
            break
          case 'finish':
            expect(queue.finish(each.number)).toBe(naive.finish(each.number))
            break
          case 'advance':
            queue.advance(each.cursor, each.above, each.sent)
            naive.advance(each.cursor, each.above, each.sent)
            break
          case 'skipTo':
            queue.skipTo(each.number)
            naive.skipTo(each.number)
            break
          case 'restore': {
            const at = queue.next + each.ahead
            queue.restore({ number: at, ...entry(each.offset) })
            naive.skipTo(at)
            naive.push(entry(each.offset))
          }
        }
        expectSame(queue, naive)
      }
    }),
    { numRuns: 300 },
  )
})

describe('the ring', () => {
  test('grows around a window that has moved on, and keeps what it holds', () => {
    const queue = new SessionQueue()
    for (let i = 0; i < 6; i++) queue.push(entry(i))
    for (let i = 0; i < 5; i++) queue.finish(i)
    for (let i = 6; i < 40; i++) queue.push(entry(i))
    expect([...queue.entries()].map(({ offset }) => offset)).toEqual(Array.from({ length: 35 }, (_, i) => i + 5))
  })

  test('holds on to the oldest entry over a gap wider than itself', () => {
    const queue = new SessionQueue()
    queue.push(entry(1))
    queue.skipTo(1000)
    queue.push(entry(2))
    expect([...queue.entries()].map(({ number: at, offset }) => [at, offset])).toEqual([
      [0, 1],
      [1000, 2],
    ])
    expect(queue.length).toBe(2)
  })

  test('goes on after it ran empty and gave its memory back', () => {
    const queue = new SessionQueue()
    for (let i = 0; i < 3_000; i++) queue.push(entry(i))
    for (let i = 0; i < 3_000; i++) queue.finish(i)
    expect([queue.length, queue.bytes, queue.cursor]).toEqual([0, 0, 3_000])
    queue.push(entry(5))
    expect([...queue.entries()]).toEqual([{ number: 3_000, ...entry(5) }])
  })
})

test('a number that is done, never given out or negative has no entry and is not finished twice', () => {
  const queue = new SessionQueue()
  queue.push(entry(1))
  expect([queue.finish(0), queue.finish(0), queue.finish(1), queue.finish(-1), queue.get(0), queue.get(1)]).toEqual([
    true,
    false,
    false,
    false,
    undefined,
    undefined,
  ])
})

test('journaled progress never moves backwards', () => {
  const queue = new SessionQueue()
  for (let i = 0; i < 5; i++) queue.push(entry(i))
  queue.advance(3, [4], 5)
  queue.advance(1, [], 2)
  expect([queue.cursor, queue.sent, queue.doneAbove, queue.length]).toEqual([3, 5, [4], 1])
})
