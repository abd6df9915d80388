import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { endOfLogs, fallsSilent, lastWords, speaks } from '../../support/last-words.ts'

test('a failure shows the end of every log of what still runs, and says so where there is none', () => {
  const folder = mkdtempSync(join(tmpdir(), 'loggerhead-last-words-'))
  const [stack, ended] = [{}, {}]
  try {
    writeFileSync(join(folder, 'gateway.log'), 'first\nsecond\nthird\n')
    writeFileSync(join(folder, 'processes.json'), '{}')
    speaks(stack, () => endOfLogs(folder, 2))
    speaks(ended, () => 'nobody asks')
    fallsSilent(ended)
    expect(lastWords(globalThis)).toBe('--- gateway.log\nsecond\nthird\n')
    expect(endOfLogs(join(folder, 'nowhere'))).toMatch(/^--- no logs: ENOENT/)
  } finally {
    fallsSilent(stack)
    rmSync(folder, { recursive: true })
  }
  expect(lastWords(globalThis)).toBe('')
})
