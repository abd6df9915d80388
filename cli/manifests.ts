/**
 * Files that say what should be: YAML (several documents in one file) or JSON. A document is `{kind, name, properties}`; one without
 * a kind is a body as Azure's tools have it, in a file `<kind>/<name>.yaml`.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { LineCounter, parseAllDocuments } from 'yaml'
import type { Json } from './api-client.ts'
import { Failure } from './failure.ts'
import { type Kind, kindNamed, kinds } from './kinds.ts'

/** One resource as it should be. */
export interface Wanted {
  readonly kind: Kind
  readonly name: string
  readonly body: Json
  /** Where it stands: file and line. */
  readonly source: string
}

const extensions = new Set(['.yaml', '.yml', '.json'])
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** The files below a folder in the order of their names, or the one file. */
function manifestFiles(path: string): readonly string[] {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat) throw new Failure(`there is no file or folder “${path}”`)
  if (stat.isFile()) return [path]
  const files = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && extensions.has(extname(entry.name)))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  if (files.length === 0) throw new Failure(`the folder “${path}” holds no .yaml, .yml or .json file`)
  return files
}

/** `encodedCertificateFile` stands for the text of that file, looked for beside the manifest. */
function withCertificate(body: Json, file: string, source: string): Json {
  const inner = isObject(body.properties) ? body.properties : body
  const { encodedCertificateFile, ...rest } = inner
  if (typeof encodedCertificateFile !== 'string') return body
  const path = join(dirname(file), encodedCertificateFile)
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) throw new Failure(`${source}: encodedCertificateFile: there is no file “${path}”`)
  const properties = { ...rest, encodedCertificate: readFileSync(path, 'utf8') }
  return inner === body ? properties : { ...body, properties }
}

function readDocument(value: unknown, file: string, source: string): Wanted {
  if (!isObject(value)) throw new Failure(`${source}: a resource is an object with kind, name and properties`)
  const { kind: named, ...rest } = value
  const folder = basename(dirname(file))
  const kind = kindNamed(typeof named === 'string' ? named : folder)
  if (!kind) {
    const given = named === undefined ? `there is no kind, and the folder “${folder}” is none` : `“${String(named)}” is no kind`
    throw new Failure(`${source}: ${given}; kinds are ${kinds.map((each) => each.kind).join(', ')}`)
  }
  const name = kind.kind === 'namespace' ? '' : (rest.name ?? (named === undefined ? basename(file, extname(file)) : undefined))
  if (typeof name !== 'string') throw new Failure(`${source}: name is missing`)
  return { kind, name, source, body: withCertificate(rest, file, source) }
}

/** The resources in a file's text. Throws Failure with file and line. */
export function readManifest(file: string, text: string): readonly Wanted[] {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines })
  if (!Array.isArray(documents)) return []
  return documents.flatMap((document): readonly Wanted[] => {
    const [error] = document.errors
    if (error) throw new Failure(`${file}:${lines.linePos(error.pos[0]).line}: ${error.message.split('\n', 1)[0]}`)
    const source = `${file}:${lines.linePos(document.contents?.range?.[0] ?? 0).line}`
    const value: unknown = document.toJS()
    if (value === null) return []
    return (Array.isArray(value) ? value : [value]).map((each) => readDocument(each, file, source))
  })
}

/** All resources in these files and folders, in the order in which they can be written, each once; `-` is what standard input holds. */
export function readManifests(paths: readonly string[], standardInput = ''): readonly Wanted[] {
  const wanted = paths.flatMap((path) =>
    path === '-' ? readManifest('standard input', standardInput) : manifestFiles(path).flatMap((file) => readManifest(file, readFileSync(file, 'utf8'))),
  )
  const seen = new Map<string, Wanted>()
  for (const each of wanted) {
    const key = `${each.kind.kind}/${each.name}`
    const other = seen.get(key)
    if (other) throw new Failure(`${each.source}: ${key} stands in ${other.source} too`)
    seen.set(key, each)
  }
  return kinds.flatMap((kind) => wanted.filter((each) => each.kind === kind))
}
