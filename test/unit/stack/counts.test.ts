import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from '@jest/globals'
import { addUp, countsOf, finalLine, noCounts } from '../../support/counts.ts'
import Sequencer, { longest } from '../../support/sequencer.ts'
import { stages } from '../../support/stages.ts'

test('tests are counted by their outcome, failed ones with their cause, skipped ones with their reason', () => {
  const counts = countsOf({
    testResults: [
      {
        name: 'a.test.ts',
        status: 'failed',
        message: 'x',
        assertionResults: [
          { status: 'passed', fullName: 'one' },
          { status: 'failed', fullName: 'two', failureMessages: ['Error: \u001b[31mnot so\u001b[39m\n    at a.test.ts:1:1\n    at node_modules/jest'] },
          { status: 'pending', fullName: 'three [skipped: mosquitto_pub not installed]' },
        ],
      },
    ],
  })
  const failures = ['two\n  Error: not so\n      at a.test.ts:1:1']
  expect(counts).toEqual({ passed: 1, failed: 1, skipped: 1, failures, skips: [{ title: expect.any(String), reason: 'mosquitto_pub not installed' }] })
  expect(finalLine(counts)).toBe('1 passed, 1 failed, 1 skipped')
})

test('a file that could not be run is a failure', () => {
  const counts = countsOf({ testResults: [{ name: 'a.test.ts', status: 'failed', message: 'SyntaxError\nmore', assertionResults: [] }] })
  expect(counts.failed).toBe(1)
  expect(finalLine(addUp(counts, noCounts))).toBe('0 passed, 1 failed')
})

test('a folder of tests that no stage names still runs', () => {
  expect(stages('test', () => ['unit', 'support', 'novel']).at(-1)?.folders).toEqual(['novel'])
})

test('the longest files of tests begin first, and are there', () => {
  const tests = dirname(dirname(import.meta.dirname))
  const files = longest.map((name) => ({ path: join(tests, `${name}.test.ts`) }))
  expect(files.filter(({ path }) => !existsSync(path))).toEqual([])
  const other = { path: import.meta.filename }
  expect(new Sequencer().sort([other, ...files])).toEqual([...files, other])
})
