/** What a command is told in a file, or by `-` on standard input. */
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { Failure } from './failure.ts'

/** Throws Failure. */
export async function readText(file: string): Promise<string> {
  if (file === '-') return text(process.stdin)
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new Failure(`cannot read “${file}”: ${(error as Error).message}`)
  }
}
