import { describe, expect, test } from '@jest/globals'
import type { Session } from '../../../model/session.ts'
import type { DeliveredMessage } from '../../../proto/frames.ts'
import { directFrames, emptyPlan, indexParts, type PublishedRecord, planRecord } from '../../../router/stretch-plan.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import type { IndexEntry } from '../../../schemas/inbox-records.ts'
import fc from '../../support/fast-check.ts'
import { entry, receiver, subscription } from '../model/session-records.ts'
import { attachment, sessionOf } from './sessions.ts'

const qos1: PublishedRecord = { clientId: 'p', qos: 1, retain: false, expiresAt: 0, receivedAt: 1_000, isBacklog: false }
const record = { source: 3, offset: 40, value: Buffer.from('value') }
const match = (session: ReturnType<typeof sessionOf>, qos = 1) => ({ session, subscriptions: [subscription('a', { qos })] })

describe('planRecord', () => {
  test('names a gateway’s payload once, for all of its receivers', () => {
    const plan = emptyPlan()
    const transient = (name: string, connection: number, incarnation: number) =>
      sessionOf(name, { expiryInterval: 0, attached: attachment(connection, incarnation) })
    planRecord(plan, record, qos1, [match(transient('a', 1, 7)), match(transient('b', 1, 8)), match(transient('c', 2, 7), 0)])
    const to = (connection: number, qos: number) => ({ connection, qos, dup: false, retain: false, number: -1, subscriptionIdentifiers: [] })
    expect([...plan.direct]).toEqual([
      [7, { gateway: { id: 'g7', incarnation: 7 }, messages: [{ ...record, receivers: [to(1, 1), to(2, 0)] }] }],
      [8, { gateway: { id: 'g8', incarnation: 8 }, messages: [{ ...record, receivers: [to(1, 1)] }] }],
    ])
    expect(plan.indexed.size).toBe(0)
  })

  test('SE-09: owes a persistent session by its shard, connected or not, and keeps no QoS 0 for who is away', () => {
    const plan = emptyPlan()
    const away = sessionOf('away', { shard: 1, id: 5, attached: null })
    planRecord(plan, record, { ...qos1, expiresAt: 9_000 }, [
      match(sessionOf('here', { shard: 1, id: 4 })),
      match(away),
      match(sessionOf('far', { shard: 2 })),
      match(away, 0),
    ])
    expect([...plan.indexed]).toEqual([
      [1, [{ offset: 40, size: 5, expiresAt: 9_000, receivers: [receiver('here', 4), receiver('away', 5)] }]],
      [2, [{ offset: 40, size: 5, expiresAt: 9_000, receivers: [receiver('far', 0)] }]],
    ])
    expect([plan.direct.size, plan.unkept]).toEqual([0, 1])
  })

  test('QoS 0 goes directly to a connected persistent session', () => {
    const plan = emptyPlan()
    planRecord(plan, record, { ...qos1, qos: 0 }, [match(sessionOf('here'))])
    expect([plan.direct.size, plan.indexed.size]).toEqual([1, 0])
  })
})

test('QoS 0 that an owner before may have sent does not go to a connection that came after it', () => {
  const [older, younger] = [999, 1_000].map((at, i) => sessionOf(`c${i}`, { attached: { ...attachment(i), at } })) as [Session, Session]
  const both = [match(older, 0), match(younger, 0)]
  const to = (message: PublishedRecord): number[] => {
    const plan = emptyPlan()
    planRecord(plan, record, message, both)
    return [...plan.direct.values()].flatMap(({ messages }) => messages.flatMap(({ receivers }) => receivers.map(({ connection }) => connection)))
  }
  expect([to(qos1), to({ ...qos1, isBacklog: true })]).toEqual([[0, 1], [0]])
})

describe('indexParts', () => {
  const sized = (parts: readonly IndexEntry[][]) =>
    parts.map(
      (entries) =>
        encodeRecord('Indexed', { shard: 1000, term: 2 ** 40, from: 0, to: 2 ** 40, part: 0, parts: 9, sessionsOffset: 2 ** 40, entries, at: 2 ** 41 }).length,
    )
  const names = (entries: readonly IndexEntry[]) =>
    entries.flatMap(({ offset, receivers }) => receivers.map(({ clientId, subscriptionIdentifiers }) => `${offset} ${clientId} ${subscriptionIdentifiers}`))
  const receivers = fc.array(
    fc
      .tuple(fc.string({ maxLength: 30, unit: 'grapheme' }), fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 20 }))
      .map(([clientId, ids]) => receiver(clientId, 2 ** 40, { subscriptionIdentifiers: ids })),
    { minLength: 1, maxLength: 20 },
  )

  test('names every receiver of every entry once, in order, in parts within the bound as encoded', () => {
    fc.assert(
      fc.property(fc.array(receivers, { maxLength: 20 }), (lists) => {
        const entries = lists.map((each, i) => ({ ...entry(2 ** 40 + i, ...each), expiresAt: 2 ** 42 }))
        const parts = [...indexParts(entries, 1_000)]
        expect(parts.flatMap(names)).toEqual(names(entries))
        for (const size of sized(parts)) expect(size).toBeLessThanOrEqual(1_100)
        for (const part of parts) expect(part.length).toBeGreaterThan(0)
      }),
    )
  })

  test('keeps in one part what fits, untouched', () => {
    const entries = [entry(1, receiver('a', 1)), entry(2, receiver('b', 1))]
    expect([...indexParts(entries, 10_000)]).toEqual([entries])
    expect([...indexParts([], 10_000)]).toEqual([])
  })
})

describe('directFrames', () => {
  const message = (offset: number, size: number): DeliveredMessage => ({ source: 0, offset, value: Buffer.alloc(size), receivers: [] })

  test('cuts between messages; each frame reaches to the end of its last, the last one to the stretch’s', () => {
    const frames = [...directFrames([message(1, 60), message(4, 60), message(5, 30), message(9, 500)], 20, 100)]
    expect(frames.map(({ to, messages }) => [to, messages.map(({ offset }) => offset)])).toEqual([
      [2, [1]],
      [6, [4, 5]],
      [20, [9]],
    ])
  })

  test('counts receivers, not only payloads', () => {
    const receivers = Array.from({ length: 1_000 }, (_, connection) => ({
      connection,
      qos: 0 as const,
      dup: false,
      retain: false,
      number: -1,
      subscriptionIdentifiers: [],
    }))
    const messages = Array.from({ length: 100 }, (_, offset) => ({ ...message(offset, 1), receivers }))
    expect([...directFrames(messages, 100, 100_000)].length).toBeGreaterThan(10)
  })
})
