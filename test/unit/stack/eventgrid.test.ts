/** docs/eventgrid.md against the tests' titles: every row of Event Grid's behaviour has a test that names it, or a written departure. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const project = join(import.meta.dirname, '../../..')
const page = readFileSync(join(project, 'docs/eventgrid.md'), 'utf8')

/** How many rows each family has. */
const families = {
  TR: 5,
  M5: 23,
  M3: 6,
  SE: 9,
  MS: 2,
  NS: 11,
  XA: 4,
  XT: 3,
  EN: 5,
  OJ: 8,
  CL: 6,
  CG: 9,
  TS: 11,
  PB: 7,
  RT: 7,
  PU: 14,
  RE: 8,
  HP: 5,
  NT: 14,
  LC: 7,
}
const ids = Object.entries(families).flatMap(([family, count]) => Array.from({ length: count }, (_, i) => `${family}-${String(i + 1).padStart(2, '0')}`))

const rows = new Map(
  page
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter(([, id]) => id !== undefined && /^[A-Z][A-Z0-9]-\d\d$/.test(id))
    .map(([, id, theirs, ours, proof]) => [id as string, { theirs: theirs ?? '', ours: ours ?? '', proof: proof ?? '' }]),
)

/** What stands in quotes: a test's title, or the row of a table that makes titles. */
function quoted(source: string): string {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  return [...code.matchAll(/(['"`])(?:\\.|(?!\1)[^\\])*\1/g)].map(([text]) => text).join('\n')
}

test('every row is on the page once, and none that is unknown', () => {
  expect([...rows.keys()].toSorted()).toEqual(ids.toSorted())
  expect(page.match(/^\| [A-Z][A-Z0-9]-\d\d \|/gm)).toHaveLength(ids.length)
})

test.each(ids)('%s is named by a test, or its departure is written down', (id) => {
  const { theirs, ours, proof } = rows.get(id) as { theirs: string; ours: string; proof: string }
  expect([theirs, ours]).not.toContain('')
  if (proof === '**departure**') return
  const files = [...proof.matchAll(/`([^`]+)`/g)].map(([, file]) => join(project, 'test', file as string))
  expect(files).not.toEqual([])
  for (const file of files) {
    expect([file, existsSync(file)]).toEqual([file, true])
    expect([file, new RegExp(`\\b${id}\\b`).test(quoted(readFileSync(file, 'utf8')))]).toEqual([file, true])
  }
})
