/** `npm run check`: types, format and lint, import directions, generated documents, every version of a schema, a test for every limit, the tests that docs/conformance.md names. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { outdated, rows } from './docs.ts'
import { importProblems } from './imports.ts'
import { schemaProblems } from './schema-versions.ts'

const project = dirname(import.meta.dirname)

function run(script: string, args: readonly string[]): readonly string[] {
  // Through the pinned Node: the tools' first lines ask for the machine's own.
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [join(project, script), ...args], { cwd: project, encoding: 'utf8' })
  return status === 0 ? [] : [`${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`.trim()]
}

function testSources(folder: string): string {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    .join('\n')
}

/** Limits that no test names. */
async function untestedLimits(): Promise<readonly string[]> {
  const tests = testSources(join(project, 'test'))
  return (await rows(project))
    .filter(({ variable, setting }) => setting.outcome !== undefined && !new RegExp(`\\b${variable}\\b`).test(tests))
    .map(({ variable, processes }) => `${variable} (${processes[0]}): no test names this limit`)
}

const checks: readonly (readonly [what: string, check: () => readonly string[] | Promise<readonly string[]>])[] = [
  ['types', () => run('node_modules/typescript/bin/tsc', ['-p', '.'])],
  ['format and lint', () => run('node_modules/@biomejs/biome/bin/biome', ['check', '--error-on-warnings'])],
  ['import directions', () => importProblems(project)],
  [
    'generated documents',
    async () => (await outdated(project)).map((path) => `${path} is not what stack/docs.ts writes; run ./node_modules/.bin/loggerhead-node stack/docs.ts`),
  ],
  ['schemas of every version', () => schemaProblems(project)],
  ['a test for every limit', untestedLimits],
  ['tests of the specifications’ statements', () => run('test/conformance/page.ts', ['--check'])],
]

let failed = 0
for (const [what, check] of checks) {
  const problems = await check()
  process.stdout.write(`${problems.length === 0 ? 'ok    ' : 'failed'} ${what}\n${problems.map((problem) => `${problem}\n`).join('')}`)
  if (problems.length > 0) failed++
}
process.exit(failed > 0 ? 1 : 0)
