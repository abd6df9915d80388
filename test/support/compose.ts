import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parse } from 'yaml'

const project = dirname(dirname(import.meta.dirname))

/** What the tests look at; the whole is held by the specification's schema. */
export interface ComposeService {
  readonly image: string
  readonly build?: string
  readonly command?: readonly string[]
  readonly profiles?: readonly string[]
  readonly environment?: Readonly<Record<string, string | number>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly configs?: readonly { readonly source: string; readonly target: string }[]
  readonly stop_grace_period?: string
  readonly depends_on?: Readonly<Record<string, { readonly condition: string; readonly required?: boolean }>>
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>
  readonly volumes: Readonly<Record<string, unknown>>
  readonly configs?: Readonly<Record<string, { readonly file: string }>>
}

/** `${NAME}`, `${NAME:-default}` and `${NAME:+other}`, as Compose fills them in. */
export function interpolate(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$\{(\w+)(?::([-+])([^}]*))?\}/g, (_whole, name: string, operator: string | undefined, other = '') => {
    const value = variables[name] ?? ''
    if (operator === '-') return value === '' ? other : value
    if (operator === '+') return value === '' ? '' : other
    return value
  })
}

/** Variables that a file of them sets. */
export function readVariables(name: string): Record<string, string> {
  const lines = readFileSync(join(project, name), 'utf8').split('\n')
  return Object.fromEntries(lines.filter((line) => /^\w+=/.test(line)).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

export const composeText = readFileSync(join(project, 'docker-compose.yml'), 'utf8')

function fillIn(node: unknown, variables: Readonly<Record<string, string>>): unknown {
  if (typeof node === 'string') return interpolate(node, variables)
  if (Array.isArray(node)) return node.map((one) => fillIn(one, variables))
  if (typeof node === 'object' && node !== null) return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, fillIn(value, variables)]))
  return node
}

/** The file as Compose sees it with these variables, which it fills in after it has read the YAML. */
export function loadCompose(variables: Readonly<Record<string, string>> = {}): ComposeFile & Record<string, unknown> {
  return fillIn(parse(composeText, { merge: true }), variables) as ComposeFile & Record<string, unknown>
}
