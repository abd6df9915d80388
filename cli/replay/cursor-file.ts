/** What a replay has come to, in a file: written beside its output as it goes, and read by whoever runs the same command again. */
import { open, readFile, rename, rm } from 'node:fs/promises'
import { Failure } from '../failure.ts'
import type { Standing } from './output.ts'
import type { Selection } from './past.ts'

/** What a replay is of, and where it goes: a cursor is of use for the same only. */
export type Purpose = Selection & { readonly namespace: string; readonly output: string }

export interface Progress {
  readonly purpose: Purpose
  /** Where the next run begins; null before anything was read. */
  readonly cursor: string | null
  /** Where it ends, as positions; null before anything was read. */
  readonly to: string | null
  readonly messages: number
  readonly standing: Standing
  readonly isDone: boolean
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isTextOrNull = (value: unknown): value is string | null => value === null || typeof value === 'string'

/** Why the text is no progress of this purpose, as the end of a sentence; else the progress. */
export function parseProgress(text: string, purpose: Purpose): Progress | string {
  let progress: Progress
  try {
    progress = JSON.parse(text) as Progress
  } catch {
    return 'is not JSON'
  }
  const { cursor, to, messages, standing, isDone } = progress ?? {}
  const counts = Object.values(standing ?? { bytes: -1 })
  if (!isTextOrNull(cursor) || !isTextOrNull(to) || !isCount(messages) || typeof isDone !== 'boolean' || !counts.every(isCount))
    return 'is not that of a replay'
  for (const name of Object.keys(purpose) as (keyof Purpose)[]) {
    // What an earlier version did not know of was not asked for.
    const before = progress.purpose?.[name] ?? null
    if (before !== purpose[name]) return `is that of another replay: its ${name} is ${JSON.stringify(before)}, not ${JSON.stringify(purpose[name])}`
  }
  return progress
}

export class CursorFile {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** Undefined when there is none. Throws Failure when it is of no use. */
  async read(purpose: Purpose): Promise<Progress | undefined> {
    const text = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw new Failure(`cannot read “${this.#path}”: ${error.message}`)
    })
    if (text === undefined) return undefined
    const progress = parseProgress(text, purpose)
    if (typeof progress === 'string') throw new Failure(`the cursor file ${this.#path} ${progress}`)
    return progress
  }

  /** Whole or not at all, whatever happens meanwhile. Throws Failure. */
  async write(progress: Progress): Promise<void> {
    const next = `${this.#path}.next`
    try {
      const file = await open(next, 'w')
      await file.writeFile(`${JSON.stringify(progress)}\n`)
      await file.datasync()
      await file.close()
      await rename(next, this.#path)
    } catch (error) {
      throw new Failure(`cannot write “${this.#path}”: ${(error as Error).message}`, { cause: error })
    }
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true })
  }
}
