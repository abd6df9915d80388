import { expect, test } from '@jest/globals'
import { keptAlive } from '../../../registry/kept-alive.ts'

test('while a line is long in coming, empty ones come; the lines are the same', async () => {
  const held = Promise.withResolvers<void>()
  async function* lines() {
    yield 'first\n'
    await held.promise
    yield 'second\n'
  }
  const kept = keptAlive(lines(), 1)
  expect([await kept.next(), await kept.next(), await kept.next()].map(({ value }) => value)).toEqual(['first\n', '\n', '\n'])
  held.resolve()
  const rest: string[] = []
  for await (const line of kept) if (line !== '\n') rest.push(line)
  expect(rest).toEqual(['second\n'])
})

test('lines that come in time are alone', async () => {
  async function* lines() {
    yield* ['a\n', 'b\n']
  }
  const all: string[] = []
  for await (const line of keptAlive(lines(), 60_000)) all.push(line)
  expect(all).toEqual(['a\n', 'b\n'])
})

test('who stops reading ends what makes the lines, and an error in there is told', async () => {
  let isEnded = false
  async function* lines() {
    try {
      for (;;) yield 'a\n'
    } finally {
      isEnded = true
    }
  }
  const kept = keptAlive(lines())
  await kept.next()
  await kept.return(undefined)
  expect(isEnded).toBe(true)
  async function* broken(): AsyncGenerator<string> {
    yield 'a\n'
    throw new Error('the log is away')
  }
  const failing = keptAlive(broken())
  await failing.next()
  await expect(failing.next()).rejects.toThrow('the log is away')
})
