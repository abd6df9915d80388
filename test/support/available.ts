import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { test } from '@jest/globals'

/** Whether a program is on the path. */
export function has(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** `test` where the foreign programs are installed; else the test is skipped, and its title says why (test/run.ts prints it). */
export function testWith(...programs: readonly string[]): (title: string, run: () => Promise<void>, timeoutMs?: number) => void {
  const missing = programs.filter((program) => !has(program))
  return missing.length === 0 ? test : (title, run) => test.skip(`${title} [skipped: ${missing.join(', ')} not installed]`, run)
}

/** A count for `npm test`, and the full one that an issue asks for, taken by `npm run test:long`. */
export function count(reduced: number, full: number): number {
  return process.env.LOGGERHEAD_TEST_LONG ? full : reduced
}
