import { afterEach, beforeEach, expect, test } from '@jest/globals'
import Fastify, { type FastifyInstance } from 'fastify'
import { BeforeHistory } from '../../../history/before-history.ts'
import type { Log } from '../../../log/log.ts'
import { MemoryLog, MemoryStore } from '../../../log/memory-log.ts'
import { PastStreams } from '../../../registry/past-streams.ts'
import { Problem } from '../../../registry/problem.ts'

let app: FastifyInstance
let log: MemoryLog
let limits: string[]
let linesOf: (log: Log) => AsyncGenerator<string>

beforeEach(async () => {
  limits = []
  log = new MemoryLog(new MemoryStore())
  await log.createTopics([{ name: 'past', partitions: 1, replication: 1, settings: {} }])
  const streams = new PastStreams({ max: 1, onLimit: (limit) => limits.push(limit), silenceMs: 1 })
  app = Fastify()
  app.setErrorHandler((error, _, reply) => reply.code(error instanceof Problem ? error.status : 500).send({ detail: (error as Error).message }))
  app.get('/', async (_, reply) => streams.answer(reply, log, (asked) => linesOf(asked)))
})
afterEach(async () => {
  await app.close()
  await log.close()
})

const ask = async () => {
  const { statusCode, body } = await app.inject('/')
  return [statusCode, body.replace(/\n+/g, '\n')]
}

async function* failing(error: Error, before: readonly string[] = []): AsyncGenerator<string> {
  yield* before
  throw error
}

test('what fails before anything is sent is an answer of its own, and afterwards the last line', async () => {
  linesOf = () => failing(new BeforeHistory(0))
  expect(await ask()).toEqual([410, expect.stringContaining('that moment is not kept: history begins at 1970-01-01T00:00:00.000Z')])
  linesOf = () => failing(new Error('the log is away'))
  expect(await ask()).toEqual([500, expect.stringContaining('the log is away')])
  linesOf = () => failing(new Error('the log is away'), ['a\n'])
  expect(await ask()).toEqual([200, 'a\n{"error":"the log is away"}\n'])
})

test('while the first line is long in coming, empty ones come; what fails then is a line', async () => {
  const held = Promise.withResolvers<void>()
  linesOf = async function* () {
    await held.promise
    yield* failing(new BeforeHistory(null))
  }
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const { status, body } = await fetch(address)
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader()
  expect([status, (await reader.read()).value]).toEqual([200, expect.stringMatching(/^\n+$/)])
  held.resolve()
  let rest = ''
  for (let next = await reader.read(); !next.done; next = await reader.read()) rest += next.value
  expect(rest.trim()).toBe('{"error":"no history is kept yet"}')
})

test('a turn is for one answer at a time, and none is lost to an answer that fails to begin', async () => {
  linesOf = () => {
    throw new Error('cannot begin')
  }
  expect(await ask()).toEqual([500, expect.stringContaining('cannot begin')])
  linesOf = async function* () {
    yield 'a\n'
  }
  const answers = (await Promise.all([ask(), ask()])).map(([status]) => status)
  expect([answers.sort(), limits]).toEqual([[200, 503], ['HISTORY_STREAMS_MAX']])
  expect(await ask()).toEqual([200, 'a\n'])
})

test('when whoever asked has gone the log is asked nothing more, and the turn is free', async () => {
  const held = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<string>()
  linesOf = async function* (asked) {
    begun.resolve()
    await held.promise
    try {
      await asked.startOffsets('past')
      ended.resolve('went on')
    } catch (error) {
      ended.resolve('refused')
      throw error
    }
    yield 'a\n'
  }
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const leaving = new AbortController()
  const asking = fetch(address, { signal: leaving.signal }).then((answer) => answer.text())
  await begun.promise
  leaving.abort()
  await expect(asking).rejects.toThrow('abort')
  const connections = () => new Promise((resolve) => app.server.getConnections((_, count) => resolve(count)))
  while ((await connections()) !== 0) await new Promise(setImmediate)
  held.resolve()
  expect(await ended.promise).toBe('refused')
  linesOf = async function* () {
    yield 'a\n'
  }
  while ((await ask())[0] !== 200) await new Promise(setImmediate)
})
