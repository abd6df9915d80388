/** Writes the tables of docs/conformance.md; `--check` only compares. Imported by nothing: it imports every test. */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { citationProblems, tables, withTables } from './statement-tables.ts'
import { collectTitles } from './titles.ts'

const project = dirname(dirname(import.meta.dirname))
const path = join(project, 'docs/conformance.md')
const titles = await collectTitles(project)
const page = await readFile(path, 'utf8')
const fresh = withTables(page, tables(titles))
const problems = [...citationProblems(titles)]
if (!process.argv.includes('--check')) await writeFile(path, fresh)
else if (fresh !== page) problems.push('docs/conformance.md is stale; run ./node_modules/.bin/loggerhead-node test/conformance/page.ts')
for (const problem of problems) process.stdout.write(`${problem}\n`)
process.exit(problems.length > 0 ? 1 : 0) // test files may have left something open
