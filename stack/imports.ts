/** Holds the direction of imports: the design's tree as a table, and a reader of import lines. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/** What each folder may import besides itself. Anything may import settings and telemetry; what is not named here imports nothing of ours. */
const allowedImports: Readonly<Record<string, readonly string[]>> = {
  settings: [],
  telemetry: [],
  mqtt: [],
  schemas: ['mqtt'],
  history: ['model', 'log', 'schemas', 'mqtt'],
  audit: ['log', 'schemas', 'mqtt'],
  proto: ['mqtt', 'schemas'],
  log: ['schemas', 'mqtt'],
  model: ['log', 'schemas', 'mqtt'],
  access: ['history', 'model', 'log', 'schemas', 'mqtt'],
  inquiry: ['history', 'access', 'model', 'log', 'schemas', 'mqtt'],
  outgoing: ['access', 'model', 'log', 'schemas', 'mqtt'],
  events: ['access', 'model', 'schemas', 'mqtt'],
  // The three services never import one another: they meet in the log and in proto/.
  gateway: ['audit', 'history', 'events', 'outgoing', 'access', 'model', 'log', 'proto', 'schemas', 'mqtt'],
  router: ['audit', 'history', 'events', 'outgoing', 'access', 'model', 'log', 'proto', 'schemas', 'mqtt'],
  registry: ['audit', 'inquiry', 'history', 'events', 'outgoing', 'access', 'model', 'log', 'proto', 'schemas', 'mqtt'],
  door: ['access', 'model', 'log', 'schemas', 'mqtt'],
  stack: ['access', 'model', 'log', 'schemas', 'mqtt'],
  cli: ['audit', 'history', 'events', 'access', 'model', 'log', 'schemas', 'mqtt'],
}

/** Folders that anything may import. */
const everybodys = ['settings', 'telemetry']

/** Folders that nothing of the product imports; they may import everything. */
const outside = ['test', 'bench', 'docs']

/** Relative paths that a source file imports, exports from, or imports on demand. */
export function importedPaths(source: string): readonly string[] {
  const withoutComments = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  return [...withoutComments.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g)].map(([, path]) => path as string)
}

/** A sentence when the import is not allowed. Paths from the project's folder. */
export function importProblem(from: string, to: string): string | undefined {
  const [source = ''] = from.split('/')
  const [target = ''] = to.split('/')
  if (source === target || outside.includes(source) || everybodys.includes(target)) return undefined
  const allowed = allowedImports[source]
  if (allowed === undefined) return `${from}: the folder ${source} is not in the table of stack/imports.ts`
  if (allowed.includes(target)) return undefined
  return `${from} imports ${to}: ${source} may import ${[...allowed, ...everybodys].join(', ')} only`
}

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name.startsWith('.') || entry.name === 'node_modules') return []
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return sources(path)
    return /\.m?[tj]s$/.test(entry.name) ? [path] : []
  })
}

/** Every import that goes the wrong way. */
export function importProblems(project: string): readonly string[] {
  return sources(project).flatMap((file) => {
    const from = relative(project, file)
    if (!from.includes('/')) return [] // configuration in the project's folder
    return importedPaths(readFileSync(file, 'utf8')).flatMap((path) => importProblem(from, relative(project, join(dirname(file), path))) ?? [])
  })
}
