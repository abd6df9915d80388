import { expect, test } from '@jest/globals'
import { AppendError } from '../../../../log/log.ts'
import { DeadLetterWriter } from '../../../../router/push/dead-letter-writer.ts'

/** The time for a dead letter is over at the third failure. */
function given({ failuresMax = 3 } = {}) {
  const world = { now: 0, written: [] as (readonly object[])[], failures: 0, isAway: false, dropped: [] as Error[], refused: new Map<string, Error>() }
  const writer = new DeadLetterWriter({
    sink: {
      encode: (document) => ({ body: Buffer.from(JSON.stringify(document)), source: undefined }),
      async write(letters) {
        if (world.isAway) throw new Error('the disk is full')
        const texts = letters.map(({ body }) => body.toString())
        world.written.push(texts.filter((text) => !world.refused.has(text)).map((text) => JSON.parse(text) as object))
        return texts.map((text) => world.refused.get(text))
      },
      async *read() {},
    },
    schedule: [1, 2],
    periodMs: 1_000,
    now: () => world.now,
    chance: () => 0,
    onFailed() {
      world.failures++
      if (world.failures === failuresMax) world.now = 1_000
    },
    onDropped: (error) => world.dropped.push(error),
  })
  return { world, writer }
}

test('what is given up in one turn is written at once, in its order', async () => {
  const { world, writer } = given()
  expect(await Promise.all([writer.keep({ id: 1 }), writer.keep({ id: 2 })])).toEqual([true, true])
  expect(world.written).toEqual([[{ id: 1 }, { id: 2 }]])
  expect(writer.waiting).toBe(0)
})

test('PU-12: what cannot be written is tried again, with what came meanwhile', async () => {
  const { world, writer } = given({ failuresMax: Number.POSITIVE_INFINITY })
  world.isAway = true
  const first = writer.keep({ id: 1 })
  while (world.failures === 0) await new Promise((resolve) => setImmediate(resolve))
  expect(writer.waiting).toBe(1)
  world.isAway = false
  expect(await Promise.all([first, writer.keep({ id: 2 })])).toEqual([true, true])
  expect(world.written).toEqual([[{ id: 1 }, { id: 2 }]])
})

test('PU-12: what cannot be written for too long is dropped, and the next one is tried at once', async () => {
  const { world, writer } = given()
  world.isAway = true
  expect(await writer.keep({ id: 1 })).toBe(false)
  expect(world.failures).toBe(3)
  world.isAway = false
  expect(await writer.keep({ id: 2 })).toBe(true)
  expect(world.written).toEqual([[{ id: 2 }]])
})

test('more than a thousand are written one write after the other', async () => {
  const { world, writer } = given()
  await Promise.all(Array.from({ length: 2_500 }, (_, id) => writer.keep({ id })))
  expect(world.written.map((documents) => documents.length)).toEqual([1_000, 1_000, 500])
})

test('a document that nests too deep to be written is dropped by itself, and those with it are kept', async () => {
  const { world, writer } = given()
  const deep = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000)) as object
  expect(await Promise.all([writer.keep({ id: 1 }), writer.keep({ deep }), writer.keep({ id: 2 })])).toEqual([true, false, true])
  expect(world.written).toEqual([[{ id: 1 }, { id: 2 }]])
  expect(world.dropped).toEqual([expect.any(RangeError)])
})

test('PU-12: only what failed is written again', async () => {
  const { world, writer } = given()
  world.refused.set('{"id":2}', new Error('not now'))
  const all = [1, 2, 3].map((id) => writer.keep({ id }))
  expect(await all[0]).toBe(true)
  expect(await all[2]).toBe(true)
  world.refused.clear()
  expect(await all[1]).toBe(true)
  // At once, as others were written, and after a wait.
  expect(world.written).toEqual([[{ id: 1 }, { id: 3 }], [], [{ id: 2 }]])
  expect(world.failures).toBe(2)
})

test('what the log refuses for good as too large is dropped at once', async () => {
  const { world, writer } = given()
  const refused = new AppendError('too large', 'refused', { refusal: 'tooLarge' })
  world.refused.set('{"id":2}', refused)
  expect(await Promise.all([1, 2, 3].map((id) => writer.keep({ id })))).toEqual([true, false, true])
  expect([world.dropped, world.failures]).toEqual([[refused], 0])
})

test('no write has more than 16 MiB beyond its first document', async () => {
  const { world, writer } = given()
  const text = 'x'.repeat(6 * 1024 * 1024)
  await Promise.all([1, 2, 3].map((id) => writer.keep({ id, text })))
  expect(world.written.map((documents) => documents.length)).toEqual([2, 1])
})

test('those that fail make the others behind them wait for nothing', async () => {
  const { world, writer } = given()
  world.refused.set('{"id":0}', new Error('not now'))
  void writer.keep({ id: 0 })
  await Promise.all(Array.from({ length: 2_500 }, (_, index) => writer.keep({ id: index + 1 })))
  expect(world.written.map((documents) => documents.length)).toEqual([999, 1_000, 501, 0])
  writer.close()
})
