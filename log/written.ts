import type { Appended } from './log.ts'

/** An append as a promise, as `Appender.write` is one: of the record's offset. */
export function written(append: (done: Appended) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    append((error, offset) => {
      if (error) reject(error)
      else resolve(offset)
    })
  })
}
