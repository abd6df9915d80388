import { describe, expect, test } from '@jest/globals'
import { anyAge, isOverLimit, oldestToDrop, type QueueLimits, queueLimitsInForce } from '../../../model/queue-limits.ts'
import { SessionQueue } from '../../../model/session-queue.ts'
import fc from '../../support/fast-check.ts'

const open: QueueLimits = { messages: 100_000, bytes: 1_000_000, seconds: anyAge, whenFull: 'endSession' }

function queueOf(...entries: { readonly size?: number; readonly at?: number; readonly qos?: 1 | 2 }[]): SessionQueue {
  const queue = new SessionQueue()
  entries.forEach(({ size = 10, at = 1_000, qos = 1 }, offset) => {
    queue.push({ source: 0, offset, size, expiresAt: 0, qos, retain: false, subscriptionIdentifiers: [], group: null, at })
  })
  return queue
}

describe('what is in force', () => {
  test('without a namespace’s word the deployment’s limits hold, connected or not', () => {
    expect(queueLimitsInForce(open, undefined)).toEqual({ connected: open, offline: open })
    expect(queueLimitsInForce(open, { preset: 'open' })).toEqual({ connected: open, offline: open })
  })

  test('the preset eventgrid holds 100 messages and 1 MB for sessions without a connection, and ends them [SE-07]', () => {
    const { connected, offline } = queueLimitsInForce({ ...open, bytes: 10_000_000, whenFull: 'dropOldest' }, { preset: 'eventgrid' })
    expect(offline).toEqual({ messages: 100, bytes: 1_048_576, seconds: 28_800, whenFull: 'endSession' })
    expect(connected).toEqual({ ...open, bytes: 10_000_000 })
  })

  test('a namespace chooses what becomes of the session, and narrows but never widens', () => {
    const limits = { preset: 'open', sessionQueueFull: 'dropOldest', sessionQueueMessages: 7, sessionQueueSeconds: 60, sessionQueueBytes: 5_000_000 } as const
    expect(queueLimitsInForce(open, limits).offline).toEqual({ messages: 7, bytes: 1_000_000, seconds: 60, whenFull: 'dropOldest' })
  })
})

test('a queue at its limits is within them, one message, byte or second more is not', () => {
  const queue = queueOf({}, {}, {})
  const isOver = (limits: Partial<QueueLimits>, now = 1_000): boolean => isOverLimit(queue, { ...open, ...limits }, now)
  expect([isOver({ messages: 3 }), isOver({ messages: 2 })]).toEqual([false, true])
  expect([isOver({ bytes: 30 }), isOver({ bytes: 29 })]).toEqual([false, true])
  expect([isOver({ seconds: 5 }, 5_999), isOver({ seconds: 5 }, 6_000)]).toEqual([false, true])
})

test('a message whose time was not noted is never too old', () => {
  expect(isOverLimit(queueOf({ at: 0 }), { ...open, seconds: 1 }, 1e13)).toBe(false)
})

test('the oldest go, each for its reason, until the rest is within the limits', () => {
  const queue = queueOf({ at: 1_000 }, { at: 2_000 }, { at: 50_000 }, { at: 50_000, size: 25 }, { at: 50_000 })
  expect(oldestToDrop(queue, { ...open, messages: 4, bytes: 40, seconds: 10 }, 50_000, () => false)).toEqual({ tooOld: [0, 1], queueFull: [2] })
})

test('what is under way stays, however full or old', () => {
  const queue = queueOf({ qos: 2 }, {}, { qos: 2 }, {}, {})
  expect(oldestToDrop(queue, { ...open, messages: 3 }, 1_000, ({ qos }) => qos === 2)).toEqual({ tooOld: [], queueFull: [1, 3] })
  expect(oldestToDrop(queue, { ...open, messages: 1, seconds: 1 }, 9_000, ({ qos }) => qos === 2)).toEqual({ tooOld: [1, 3, 4], queueFull: [] })
})

test('after any history the rest is within its limits, or nothing that may go is left, and nothing younger went before it', () => {
  const message = fc.record({ size: fc.nat(50), after: fc.nat(5_000), qos: fc.constantFrom(1 as const, 2 as const) })
  const limits = fc.record({ messages: fc.nat(8), bytes: fc.nat(200), seconds: fc.integer({ min: 1, max: 20 }) })
  fc.assert(
    fc.property(fc.array(message, { maxLength: 20 }), fc.array(fc.nat(20)), limits, fc.nat(20), (messages, done, some, kept) => {
      let at = 1_000
      const queue = queueOf(
        ...messages.map(({ size, after, qos }) => {
          at += after
          return { size, qos, at }
        }),
      )
      for (const number of done) queue.finish(number)
      const isKept = ({ number, qos }: { readonly number: number; readonly qos: number }): boolean => qos === 2 && number < kept
      const open = [...queue.entries()].filter((entry) => !isKept(entry)).map(({ number }) => number)
      const inForce: QueueLimits = { ...some, whenFull: 'dropOldest' }
      const { tooOld, queueFull } = oldestToDrop(queue, inForce, at, isKept)
      const dropped = [...tooOld, ...queueFull]
      expect(dropped.toSorted((a, b) => a - b)).toEqual(open.slice(0, dropped.length))
      for (const number of dropped) queue.finish(number)
      const rest = [...queue.entries()].filter((entry) => !isKept(entry))
      if (rest.length > 0) {
        expect(queue.length <= some.messages && queue.bytes <= some.bytes).toBe(true)
        expect(rest[0]?.at).toBeGreaterThan(at - some.seconds * 1_000)
      }
    }),
    { numRuns: 1_000 },
  )
})
