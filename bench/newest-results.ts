import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** The file of the newest run of the bench that was completed; undefined for none. */
export function newestResults(folder: string = join(import.meta.dirname, 'results')): string | undefined {
  if (!existsSync(folder)) return undefined
  const name = readdirSync(folder)
    .filter((each) => /^\d{4}-.*Z\.json$/.test(each))
    .sort()
    .at(-1)
  return name && join(folder, name)
}
