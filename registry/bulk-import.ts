/**
 * A bulk import: lines in, results out, a bounded number of changes under way. It never holds more than its window, reads on
 * only as fast as the log takes the changes, and goes on only as long as somebody reads the results.
 */
import type { Line } from './lines.ts'
import { Problem, shown } from './problem.ts'

export interface ImportOptions {
  readonly lines: AsyncIterable<Line>
  /** Carries out one line. Rejects with Problem. */
  readonly carryOut: (text: string | undefined) => Promise<'created' | 'updated'>
  /** Changes under way at one time. */
  readonly window: number
  readonly linesMax: number
  readonly onLinesMax: () => void
}

export interface ImportCounts {
  lines: number
  created: number
  updated: number
  failed: number
}

/** One line of the answer. */
export type ImportResult =
  | { readonly progress: Readonly<ImportCounts> }
  | { readonly error: { readonly line: number; readonly status: number; readonly detail: string; readonly field?: string; readonly value?: unknown } }
  | ({ readonly done: boolean; readonly stopped?: string } & Readonly<ImportCounts>)

/** A progress line after every so many lines. */
const progressEvery = 1000
/** Errors told one by one; further ones are counted. */
export const errorsToldMax = 1000

/** Imports; the last result has `done`, which is false when the import stopped before its end. */
export async function* runImport(options: ImportOptions): AsyncGenerator<ImportResult> {
  const counts: ImportCounts = { lines: 0, created: 0, updated: 0, failed: 0 }
  let results: ImportResult[] = []
  let underWay = 0
  let stopped: string | undefined
  let wake = (): void => {}

  const fail = (line: number, error: unknown): void => {
    counts.failed++
    const problem = error instanceof Problem ? error : new Problem(500, 'the registry failed at this line', { cause: error })
    // Kafka does not take changes now: what comes next would only wait for the same.
    if (problem.status >= 500) stopped ??= problem.message
    if (counts.failed > errorsToldMax) return
    const [violation] = problem.violations
    const about = violation ? { field: violation.field, ...('value' in violation ? { value: shown(violation.value) } : {}) } : {}
    results.push({ error: { line, status: problem.status, detail: problem.message, ...about } })
  }
  const start = (line: Line): void => {
    underWay++
    options
      .carryOut(line.text)
      .then(
        (what) => {
          counts[what]++
        },
        (error: unknown) => fail(line.number, error),
      )
      .finally(() => {
        underWay--
        wake()
      })
  }
  const oneEnds = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve
    })
  const take = (): ImportResult[] => {
    const taken = results
    results = []
    return taken
  }

  for await (const line of options.lines) {
    if (stopped !== undefined) break
    if (counts.lines === options.linesMax) {
      options.onLinesMax()
      stopped = `an import has at most ${options.linesMax} lines (IMPORT_LINES_MAX)`
      break
    }
    counts.lines++
    start(line)
    while (underWay >= options.window) await oneEnds()
    if (counts.lines % progressEvery === 0) results.push({ progress: { ...counts } })
    if (results.length > 0) yield* take()
  }
  while (underWay > 0) await oneEnds()
  yield* take()
  yield { done: stopped === undefined, ...counts, ...(stopped === undefined ? {} : { stopped }) }
}
