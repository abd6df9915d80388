/** How far an import is: a bar for people at a terminal, a line now and then for logs. */
import { createReadStream } from 'node:fs'
import { Presets, SingleBar } from 'cli-progress'

export interface ImportCounts {
  readonly lines: number
  readonly created: number
  readonly updated: number
  readonly failed: number
}

export interface ImportProgress {
  at(counts: ImportCounts): void
  /** Says something beside the progress. */
  note(text: string): void
  /** The last counts, when there are any. */
  end(counts: ImportCounts | undefined): void
}

const inWords = ({ lines, created, updated, failed }: ImportCounts): string => `${lines} lines: ${created} created, ${updated} updated, ${failed} failed`

async function countLines(file: string): Promise<number> {
  let lines = 0
  let last = 0x0a
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    for (let at = chunk.indexOf(0x0a); at !== -1; at = chunk.indexOf(0x0a, at + 1)) lines++
    last = chunk.at(-1) ?? last
  }
  return last === 0x0a ? lines : lines + 1
}

/** Progress on standard error. How much there is in all is known of a file only. */
export async function importProgress(note: (text: string) => void, file: string | undefined): Promise<ImportProgress> {
  if (!process.stderr.isTTY || file === undefined) {
    return { at: (counts) => note(inWords(counts)), note, end: () => {} }
  }
  const total = await countLines(file)
  const bar = new SingleBar(
    {
      format: '{bar} {percentage} % | {value} of {total} lines | {created} created, {updated} updated, {failed} failed | {eta_formatted} left',
      stream: process.stderr,
    },
    Presets.shades_classic,
  )
  bar.start(total, 0, { created: 0, updated: 0, failed: 0 })
  return {
    at: ({ lines, created, updated, failed }) => bar.update(lines, { created, updated, failed }),
    note: (text) => {
      process.stderr.write(`\r\u001b[K${text}\n`)
      bar.render()
    },
    end: (counts) => {
      if (counts) bar.update(counts.lines, { ...counts })
      bar.stop()
    },
  }
}
