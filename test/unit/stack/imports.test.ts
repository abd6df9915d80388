import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { importedPaths, importProblem, importProblems } from '../../../stack/imports.ts'

test('imports, re-exports and imports on demand are seen, comments and packages are not', () => {
  const source = `
    import { a } from './a.ts'
    import type { B } from "../b/b.ts"
    export { c } from './c.ts'
    import './d.ts'
    const e = await import('../e/e.ts')
    // import './no.ts'
    /* import './no.ts' */
    import fs from 'node:fs'
    import {
      f,
    } from '../f/f.ts'
  `
  expect(importedPaths(source)).toEqual(['./a.ts', '../b/b.ts', './c.ts', './d.ts', '../e/e.ts', '../f/f.ts'])
})

test.each([
  ['gateway/main.ts', 'access/decide.ts'],
  ['gateway/a.ts', 'gateway/b.ts'],
  ['router/a.ts', 'proto/frames.ts'],
  ['mqtt/a.ts', 'settings/setting.ts'],
  ['test/unit/a.test.ts', 'router/a.ts'],
])('%s may import %s', (from, to) => {
  expect(importProblem(from, to)).toBeUndefined()
})

test.each([
  ['gateway/main.ts', 'router/router.ts'],
  ['registry/api.ts', 'gateway/config.ts'],
  ['mqtt/a.ts', 'schemas/records.ts'],
  ['log/log.ts', 'model/fold.ts'],
  ['proto/frames.ts', 'log/log.ts'],
  ['model/fold.ts', 'test/support/stack.ts'],
  ['novel/a.ts', 'mqtt/packet.ts'],
])('%s may not import %s', (from, to) => {
  expect(importProblem(from, to)).toContain(from)
})

test('no import of the project goes the wrong way', () => {
  expect(importProblems(join(import.meta.dirname, '../../..'))).toEqual([])
})
