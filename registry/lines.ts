/** Lines out of a stream of bytes, one at a time; a longer one than allowed is passed over and told. */
import type { Readable } from 'node:stream'

/** Media type of lines of JSON. */
export const ndjson = 'application/x-ndjson'

export interface Line {
  /** From 1. */
  readonly number: number
  /** Undefined when the line was too long. */
  readonly text: string | undefined
}

const newline = 0x0a

/** Lines end with LF or CRLF; the last needs no end; empty ones are passed over and counted. */
export async function* readLines(input: Readable, bytesMax: number): AsyncGenerator<Line> {
  let number = 0
  let held: Buffer[] = []
  let size = 0
  const line = (end: Buffer): Line | undefined => {
    number++
    const isTooLong = size + end.length > bytesMax
    const text = isTooLong
      ? undefined
      : Buffer.concat([...held, end])
          .toString('utf8')
          .trim()
    held = []
    size = 0
    return text === '' ? undefined : { number, text }
  }
  for await (const chunk of input as AsyncIterable<Buffer>) {
    let from = 0
    for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, from)) {
      const found = line(chunk.subarray(from, at))
      from = at + 1
      if (found) yield found
    }
    const rest = chunk.subarray(from)
    size += rest.length
    // What is too long already is not kept, only counted.
    if (size > bytesMax) held = []
    else if (rest.length > 0) held.push(Buffer.from(rest))
  }
  if (size > 0) {
    const last = line(Buffer.alloc(0))
    if (last) yield last
  }
}
