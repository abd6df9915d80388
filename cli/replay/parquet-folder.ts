/** Replayed messages as Parquet: a folder of files that are each complete, as Spark, DuckDB and pyarrow read them. A part has its name when it is whole. */
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type BasicType, parquetWriteBuffer } from 'hyparquet-writer'
import type { HistoryLine } from '../../history/history-line.ts'
import { Failure } from '../failure.ts'
import type { ReplayOutput, Standing } from './output.ts'
import { parquetColumns } from './rows.ts'

/** Of a part at most: it is put together in memory. */
const partRowsMax = 100_000
const partBytesMax = 32 * 1024 * 1024

export const partName = (part: number): string => `part-${String(part).padStart(5, '0')}.parquet`

export class ParquetFolder implements ReplayOutput {
  readonly #folder: string
  #parts: number
  #lines: HistoryLine[] = []
  #bytes = 0

  private constructor(folder: string, parts: number) {
    this.#folder = folder
    this.#parts = parts
  }

  /** Makes the folder, or takes away what stands in it behind the last part that is known. Throws Failure. */
  static async open(folder: string, { parts = 0 }: Standing): Promise<ParquetFolder> {
    try {
      await mkdir(folder, { recursive: true })
      const names = new Set(await readdir(folder))
      for (let part = 0; part < parts; part++)
        if (!names.has(partName(part))) throw new Failure(`${join(folder, partName(part))} is not there any more: it cannot be gone on with`)
      for (const name of names) {
        const number = /^\.?part-(\d{5,})\.parquet(\.unfinished)?$/.exec(name)
        if (number && (Number(number[1]) >= parts || number[2] !== undefined)) await rm(join(folder, name))
      }
      return new ParquetFolder(folder, parts)
    } catch (error) {
      if (error instanceof Failure) throw error
      throw new Failure(`cannot write to “${folder}”: ${(error as Error).message}`, { cause: error })
    }
  }

  async write(lines: readonly HistoryLine[]): Promise<void> {
    for (const line of lines) {
      this.#lines.push(line)
      this.#bytes += line.topic.length + (line.payload ?? line.payloadBase64 ?? '').length
    }
    if (this.#lines.length >= partRowsMax || this.#bytes >= partBytesMax) await this.#finishPart()
  }

  async settle(isLast: boolean): Promise<Standing | undefined> {
    // Nothing at all is a table without rows, which readers know the columns of.
    if (isLast && (this.#lines.length > 0 || this.#parts === 0)) await this.#finishPart()
    return this.#lines.length === 0 ? { parts: this.#parts } : undefined
  }

  async #finishPart(): Promise<void> {
    const name = partName(this.#parts)
    // Readers of folders pass over names with a leading dot.
    const unfinished = join(this.#folder, `.${name}.unfinished`)
    const file = await open(unfinished, 'w')
    await file.writeFile(parquetOf(this.#lines))
    await file.datasync()
    await file.close()
    await rename(unfinished, join(this.#folder, name))
    this.#parts++
    this.#lines = []
    this.#bytes = 0
  }

  async close(): Promise<void> {}
}

/** The rows as a Parquet file, compressed with Snappy. */
export function parquetOf(lines: readonly HistoryLine[]): Uint8Array {
  const columnData = parquetColumns.map(({ name, type, nullable, of }) => ({ name, type: type as BasicType, nullable, data: lines.map(of) }))
  return new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: partRowsMax, createdBy: 'loggerhead' }))
}
