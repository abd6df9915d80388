/** Answers about the past, as lines of JSON: so many at one time, none silent for long, none that goes on when whoever asked has gone. */
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { BeforeHistory } from '../history/before-history.ts'
import type { Log } from '../log/log.ts'
import { keptAlive, silenceMsMax } from './kept-alive.ts'
import { ndjson } from './lines.ts'
import { Problem } from './problem.ts'

export interface PastStreamsOptions {
  /** Answers under way at one time: each holds a fetch, and the time of this process. */
  readonly max: number
  readonly onLimit: (limit: 'HISTORY_STREAMS_MAX') => void
  /** An empty line comes after so long without one, ms. */
  readonly silenceMs?: number
}

/** Nobody waits for what is read. */
class Unasked extends Error {}

export class PastStreams {
  readonly #options: PastStreamsOptions
  readonly #underWay = new Set<Readable>()

  constructor(options: PastStreamsOptions) {
    this.#options = options
  }

  /**
   * Answers with the lines, made of the log as it is given: it refuses to be asked on once nobody reads them. What they throw is an answer
   * of its own as long as nothing is sent, with status 410 for BeforeHistory; then it is the last line. Throws Problem when there are too many.
   */
  answer(reply: FastifyReply, log: Log, linesOf: (log: Log) => AsyncGenerator<string>): FastifyReply {
    const { max, onLimit, silenceMs = silenceMsMax } = this.#options
    if (this.#underWay.size >= max) {
      onLimit('HISTORY_STREAMS_MAX')
      throw new Problem(503, `${max} streams of the past are under way, which is the most (HISTORY_STREAMS_MAX)`, { retryAfter: 5 })
    }
    // What HEAD asks for is answered when it begins.
    const isOver = (): boolean => stream.destroyed || reply.raw.writableEnded
    const lines = keptAlive(linesOf(logWhile(log, isOver)), silenceMs)
    // Whoever has the last line may ask again at once; one that ends before it begins is only closed.
    const over = (): unknown => this.#underWay.delete(stream)
    const stream: Readable = Readable.from(told(lines, isOver, over), { highWaterMark: 1 }).once('close', over)
    this.#underWay.add(stream)
    return reply.header('content-type', ndjson).send(stream)
  }
}

/** The same log until it is over: a generator hears that it is only when it yields, and may read for long before it does. */
function logWhile(log: Log, isOver: () => boolean): Log {
  return new Proxy(log, {
    get(whole, name) {
      const value: unknown = Reflect.get(whole, name)
      if (typeof value !== 'function') return value
      return (...given: unknown[]): unknown => {
        if (isOver()) throw new Unasked()
        return value.apply(whole, given)
      }
    },
  })
}

async function* told(lines: AsyncGenerator<string>, isOver: () => boolean, over: () => void): AsyncGenerator<string> {
  let isBegun = false
  try {
    for await (const line of lines) {
      if (isOver()) return
      isBegun = true
      yield line
    }
  } catch (error) {
    if (isOver()) return
    if (isBegun) yield `${JSON.stringify({ error: (error as Error).message })}\n`
    else throw error instanceof BeforeHistory ? new Problem(410, `that moment is not kept: ${error.message}`, { cause: error }) : error
  } finally {
    over()
  }
}
