import { expect, test } from '@jest/globals'
import { DeadLetterWriter } from '../../../../router/push/dead-letter-writer.ts'

function given() {
  const world = { now: 0, written: [] as (readonly object[])[], failures: 0, isAway: false }
  const writer = new DeadLetterWriter({
    sink: {
      async write(documents) {
        if (world.isAway) throw new Error('the disk is full')
        world.written.push(documents)
      },
      async *read() {},
    },
    schedule: [1, 2],
    periodMs: 1_000,
    now: () => world.now,
    chance: () => 0,
    onFailed() {
      world.failures++
      if (world.failures === 3) world.now = 1_000
    },
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
  const { world, writer } = given()
  world.isAway = true
  const first = writer.keep({ id: 1 })
  await new Promise((resolve) => setImmediate(resolve))
  expect([world.failures, writer.waiting]).toEqual([1, 1])
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
