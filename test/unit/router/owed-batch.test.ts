import { expect, test } from '@jest/globals'
import type { RouterFrame } from '../../../proto/frames.ts'
import type { Gateway } from '../../../router/gateway.ts'
import { OwedBatch } from '../../../router/owed-batch.ts'
import fc from '../../support/fast-check.ts'

type Owed = Extract<RouterFrame, { kind: 'owed' }>

function fakeGateway() {
  const frames: Owed[] = []
  return { frames, gateway: { send: (frame: Owed) => frames.push(frame) } as unknown as Gateway }
}

const receiver = (connection: number, number: number) => ({ connection, qos: 1 as const, dup: false, retain: false, number, subscriptionIdentifiers: [] })

/** What one connection gets, in the order the gateway hands it on. */
const delivered = (frames: readonly Owed[], connection: number) =>
  frames.flatMap(({ messages }) =>
    messages.flatMap(({ offset, receivers }) => receivers.filter((each) => each.connection === connection).map(({ number }) => [offset, number])),
  )

test('each connection gets its messages in the order they were added, although payloads are shared', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(4)), { maxLength: 60 }), fc.constantFrom(10, 100_000), (adds, size) => {
      const { frames, gateway } = fakeGateway()
      const batch = new OwedBatch(1, 2)
      const expected = new Map<number, number[][]>()
      adds.forEach(([connection, offset], number) => {
        batch.add(gateway, 0, offset, Buffer.alloc(size), receiver(connection, number))
        expected.set(connection, [...(expected.get(connection) ?? []), [offset, number]])
      })
      batch.flush()
      for (const [connection, messages] of expected) expect(delivered(frames, connection)).toEqual(messages)
    }),
  )
})

test('a payload for many goes out once, under the shard’s term', () => {
  const { frames, gateway } = fakeGateway()
  const batch = new OwedBatch(1, 2)
  for (let connection = 0; connection < 3; connection++)
    for (const offset of [7, 8]) batch.add(gateway, 0, offset, Buffer.from('x'), receiver(connection, offset))
  batch.flush()
  expect(frames.map(({ shard, term, messages }) => [shard, term, messages.map(({ offset, receivers }) => [offset, receivers.length])])).toEqual([
    [
      1,
      2,
      [
        [7, 3],
        [8, 3],
      ],
    ],
  ])
})

test('the same offset of two sources is two messages', () => {
  const { frames, gateway } = fakeGateway()
  const batch = new OwedBatch(1, 2)
  batch.add(gateway, 0, 7, Buffer.from('x'), receiver(1, 0))
  batch.add(gateway, 3, 7, Buffer.from('y'), receiver(2, 0))
  batch.flush()
  expect(frames[0]?.messages.map(({ source, value }) => [source, value.toString()])).toEqual([
    [0, 'x'],
    [3, 'y'],
  ])
})

test('frames are cut by payloads and by receivers', () => {
  const { frames, gateway } = fakeGateway()
  const batch = new OwedBatch(1, 2)
  for (let connection = 0; connection < 40_000; connection++) batch.add(gateway, 0, 7, Buffer.from('x'), receiver(connection, 0))
  expect(frames.length).toBeGreaterThan(1)
  batch.flush()
  expect(frames.reduce((sum, { messages }) => sum + (messages[0]?.receivers.length ?? 0), 0)).toBe(40_000)
})
