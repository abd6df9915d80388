/** A log waits for its brokers for ever, as services must; a command says that nobody answers. */
import type { Log } from '../log/log.ts'
import { Failure } from './failure.ts'

/** What Kafka answers to the first question. Throws Failure, with what the connection came to, when that takes longer than `waitMs`. */
export async function firstAnswer<T>(log: Pick<Log, 'health'>, asked: Promise<T>, where: string, waitMs = 15_000): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Failure(`${where} does not answer: ${log.health().reason ?? `nothing came within ${waitMs} ms`}`)), waitMs)
  })
  try {
    return await Promise.race([asked, late])
  } finally {
    clearTimeout(timer)
  }
}
