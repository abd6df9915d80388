/** Replayed messages in a file of lines: NDJSON or CSV. What was written behind the last place that is known is cut off when it is gone on with. */
import { type FileHandle, open } from 'node:fs/promises'
import type { HistoryLine } from '../../history/history-line.ts'
import { Failure } from '../failure.ts'
import type { ReplayOutput, Standing } from './output.ts'
import { csvHeader, csvRow, jsonRow } from './rows.ts'

export type LineFormat = 'ndjson' | 'csv'

const forms = { ndjson: { header: '', row: jsonRow }, csv: { header: csvHeader, row: csvRow } } as const

export class LineFile implements ReplayOutput {
  readonly #file: FileHandle
  readonly #row: (line: HistoryLine) => string
  #bytes: number

  private constructor(file: FileHandle, row: (line: HistoryLine) => string, bytes: number) {
    this.#file = file
    this.#row = row
    this.#bytes = bytes
  }

  /** Makes the file, or cuts it to where it is gone on with. Throws Failure. */
  static async open(path: string, format: LineFormat, { bytes = 0 }: Standing): Promise<LineFile> {
    const { header, row } = forms[format]
    try {
      const file = await open(path, bytes === 0 ? 'w' : 'r+')
      const { size } = await file.stat()
      if (size < bytes) {
        await file.close()
        throw new Failure(`${path} has ${size} bytes, but ${bytes} were written: it cannot be gone on with`)
      }
      await file.truncate(bytes)
      const made = new LineFile(file, row, bytes)
      if (bytes === 0) await made.#append(header)
      return made
    } catch (error) {
      if (error instanceof Failure) throw error
      throw new Failure(`cannot write “${path}”: ${(error as Error).message}`, { cause: error })
    }
  }

  async write(lines: readonly HistoryLine[]): Promise<void> {
    await this.#append(lines.map(this.#row).join(''))
  }

  async #append(text: string): Promise<void> {
    const bytes = Buffer.from(text)
    for (let written = 0; written < bytes.length; )
      written += (await this.#file.write(bytes, written, bytes.length - written, this.#bytes + written)).bytesWritten
    this.#bytes += bytes.length
  }

  async settle(): Promise<Standing> {
    await this.#file.datasync()
    return { bytes: this.#bytes }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}
