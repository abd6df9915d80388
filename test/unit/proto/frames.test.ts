import { expect, test } from '@jest/globals'
import { FrameError, FrameWriter, readFrames } from '../../../proto/frame-codec.ts'
import type { Frame } from '../../../proto/frames.ts'
import fc from '../../support/fast-check.ts'

const number = fc.maxSafeNat()
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const receiver = fc.record({
  connection: number,
  qos: fc.constantFrom(0, 1, 2) as fc.Arbitrary<0 | 1 | 2>,
  dup: fc.boolean(),
  retain: fc.boolean(),
  number: fc.oneof(fc.constant(-1), number),
  subscriptionIdentifiers: fc.array(number, { maxLength: 3 }),
})
const message = fc.record({ source: number, offset: number, value: bytes, receivers: fc.array(receiver, { maxLength: 4 }) })
const shardTerm = { shard: fc.nat(1000), term: number }
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ kind: fc.constant('hello' as const), router: fc.string({ unit: 'grapheme' }), incarnation: number }),
  fc.record({ kind: fc.constantFrom('own' as const, 'disown' as const), ...shardTerm }),
  fc.record({
    kind: fc.constant('attachAnswer' as const),
    ...shardTerm,
    connection: number,
    connectionId: bytes,
    reasonCode: fc.nat(255),
    session: number,
    epoch: number,
    sessionPresent: fc.boolean(),
    uses: bytes,
    filters: fc.oneof(fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 4 }), number),
  }),
  fc.record({ kind: fc.constant('release' as const), ...shardTerm, releases: fc.array(fc.record({ connection: number, number }), { maxLength: 4 }) }),
  fc.record({ kind: fc.constant('close' as const), ...shardTerm, connection: number, reasonCode: fc.nat(255), reason: fc.string() }),
  fc.record({ kind: fc.constant('direct' as const), ...shardTerm, from: number, to: number, messages: fc.array(message, { maxLength: 4 }) }),
  fc.record({
    kind: fc.constant('retained' as const),
    ...shardTerm,
    sequence: number,
    connection: number,
    request: number,
    last: fc.boolean(),
    messages: fc.array(message, { maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('retainedTaken' as const), ...shardTerm, sequence: number }),
  fc.record({ kind: fc.constant('owed' as const), ...shardTerm, messages: fc.array(message, { maxLength: 4 }) }),
  fc.record({ kind: fc.constantFrom('ping' as const, 'pong' as const), nonce: number }),
  fc.record({ kind: fc.constant('ping' as const), nonce: number, reconciled: fc.array(number, { maxLength: 4 }) }),
  fc.record({ kind: fc.constant('welcome' as const), gateway: fc.string(), incarnation: number }),
  fc.record({
    kind: fc.constant('shardState' as const),
    ...shardTerm,
    receivedTo: fc.integer({ min: -1, max: 2 ** 40 }),
    sessions: fc.array(
      fc.record({
        connection: number,
        session: number,
        sent: fc.integer({ min: -1, max: 2 ** 40 }),
        unacknowledged: fc.array(number, { maxLength: 4 }),
        received: fc.array(number, { maxLength: 4 }),
      }),
      { maxLength: 3 },
    ),
  }),
  fc.record({ kind: fc.constant('received' as const), ...shardTerm, to: number }),
  fc.record({
    kind: fc.constant('acks' as const),
    shard: fc.nat(1000),
    acks: fc.array(fc.record({ connection: number, number, outcome: fc.constantFrom(0, 1, 2, 3, 4) as fc.Arbitrary<0 | 1 | 2 | 3 | 4> }), { maxLength: 4 }),
  }),
)

test('frames come out of a batch as they went in, in order', () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 20 }), (frames) => {
      const writer = new FrameWriter()
      for (const each of frames) writer.write(each)
      expect([...readFrames(writer.take())]).toEqual(frames)
      expect(writer.isEmpty).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('a batch cut short or of random bytes ends in a FrameError or in fewer frames, never in another error', () => {
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 5 }), fc.nat(), bytes, (frames, cut, noise) => {
      const writer = new FrameWriter()
      for (const each of frames) writer.write(each)
      const whole = writer.take()
      for (const hostile of [whole.subarray(0, cut % whole.length), Buffer.concat([Buffer.from([0x0a, 5]), noise])]) {
        try {
          for (const _ of readFrames(hostile));
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError)
        }
      }
    }),
    { numRuns: 300 },
  )
})

test('a batch that is given back serves the next ones, and those that are still out stay as they are', () => {
  const writer = new FrameWriter()
  const batchOf = (nonce: number): Buffer => {
    writer.write({ kind: 'ping', nonce })
    return writer.take()
  }
  const [first, second] = [batchOf(1), batchOf(2)]
  const memory = first.buffer
  writer.giveBack(first)
  const [third, fourth] = [batchOf(3), batchOf(4)]
  // The one that was being written to when the first came back is in between.
  expect([third.buffer === memory, fourth.buffer === memory]).toEqual([false, true])
  expect([second, third, fourth].flatMap((batch) => [...readFrames(batch)])).toEqual([2, 3, 4].map((nonce) => ({ kind: 'ping', nonce })))
})

test('a batch that has become very large is not kept', () => {
  const writer = new FrameWriter()
  const value = Buffer.alloc(1 << 20)
  writer.write({ kind: 'owed', shard: 0, term: 1, messages: [{ source: 0, offset: 0, value, receivers: [] }] })
  const large = writer.take()
  writer.giveBack(large)
  writer.take()
  writer.write({ kind: 'ping', nonce: 1 })
  expect(writer.take().buffer).not.toBe(large.buffer)
})
