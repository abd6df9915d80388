/**
 * The titles of all test cases without running one: the test files are imported with a stand-in for jest's globals that
 * only writes down what they declare.
 */
import { readdirSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { format } from 'node:util'

export interface Title {
  /** From the project's folder. */
  readonly file: string
  /** Of the blocks around it, outermost first, and the test's own last. */
  readonly path: readonly string[]
}

const collected: Title[] = []
let file = ''
let path: readonly string[] = []

type Body = (...args: unknown[]) => unknown

function declare(title: string): void {
  // What a machine lacks is no part of a title.
  collected.push({ file, path: [...path, title.replace(/ \[skipped: [^\]]*\]$/, '')] })
}

function within(title: string, body: Body, args: readonly unknown[] = []): void {
  const outer = path
  path = [...outer, title]
  body(...args)
  path = outer
}

/** As jest writes the titles of tables: printf for rows that are lists, $name for rows that are objects. */
export function tableTitle(title: string, row: unknown): string {
  if (Array.isArray(row)) {
    const used = title.match(/%[sdifjoOp#]/g)?.length ?? 0
    return format(title.replaceAll('%p', '%j'), ...row.slice(0, used))
  }
  if (typeof row !== 'object' || row === null) return format(title, row)
  return title.replace(/\$([\w.]+)/g, (all, name: string) => {
    const value = name.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], row)
    return value === undefined ? all : String(value)
  })
}

const rowsOf = (table: Iterable<unknown>): [unknown, readonly unknown[]][] => Array.from(table, (row) => [row, Array.isArray(row) ? row : [row]])
const testEach = (table: Iterable<unknown>) => (title: string) => {
  for (const [row] of rowsOf(table)) declare(tableTitle(title, row))
}
const describeEach = (table: Iterable<unknown>) => (title: string, body: Body) => {
  for (const [row, args] of rowsOf(table)) within(tableTitle(title, row), body, args)
}
const test = Object.assign(declare, { each: testEach })
const describe = Object.assign((title: string, body: Body) => within(title, body), { each: describeEach })
for (const each of ['skip', 'only', 'failing', 'todo', 'concurrent']) Object.assign(test, { [each]: test })
for (const each of ['skip', 'only']) Object.assign(describe, { [each]: describe })

const nothing = () => {}
const globals = {
  test,
  it: test,
  describe,
  beforeAll: nothing,
  beforeEach: nothing,
  afterAll: nothing,
  afterEach: nothing,
  expect: nothing,
  jest: { setTimeout: nothing },
}
const key = Symbol.for('loggerhead.titles')
const standIn = `const globals = globalThis[Symbol.for('loggerhead.titles')]\n${Object.keys(globals)
  .map((name) => `export const ${name} = globals.${name}`)
  .join('\n')}`

/** Every title below test/, in the order of files and of declaration. Once per process: a module is imported only once. */
export async function collectTitles(project: string): Promise<readonly Title[]> {
  Object.assign(globalThis, { [key]: globals })
  const url = 'loggerhead:jest-globals'
  registerHooks({
    resolve: (specifier, context, next) => (specifier === '@jest/globals' ? { url, shortCircuit: true } : next(specifier, context)),
    load: (from, context, next) => (from === url ? { format: 'module', source: standIn, shortCircuit: true } : next(from, context)),
  })
  const files = readdirSync(join(project, 'test'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  for (const each of files) {
    file = relative(project, each)
    path = []
    await import(pathToFileURL(each).href)
  }
  return collected
}
