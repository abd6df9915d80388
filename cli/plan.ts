/** What an apply would change: pure, from what is, what would be, and what else there is. */
import type { Json } from './api-client.ts'
import type { Kind } from './kinds.ts'

export type Change = 'create' | 'update' | 'delete' | 'unchanged'

export interface Step {
  readonly change: Change
  readonly kind: Kind
  readonly name: string
  /** `- old` and `+ new`, by field. */
  readonly diff: readonly string[]
}

/** A resource's properties that differ, as lines. */
export function diffOf(before: unknown, after: unknown, field = ''): string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return []
  const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
  if (isObject(before) && isObject(after)) {
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) =>
      diffOf(before[key], after[key], field === '' ? key : `${field}.${key}`),
    )
  }
  const line = (sign: string, value: unknown): string => `${sign} ${field}: ${shown(value)}`
  return [...(before === undefined ? [] : [line('-', before)]), ...(after === undefined ? [] : [line('+', after)])]
}

function shown(value: unknown): string {
  const text = JSON.stringify(value)
  return text.length > 200 ? `${text.slice(0, 199)}…` : text
}

/** The step to what is wanted. */
export function stepTo(kind: Kind, name: string, before: Json | undefined, after: Json): Step {
  const diff = diffOf(before ?? {}, after)
  return { change: before === undefined ? 'create' : diff.length > 0 ? 'update' : 'unchanged', kind, name, diff }
}

const signs: Readonly<Record<Change, string>> = { create: '+', update: '~', delete: '-', unchanged: '=' }

/** The plan in words. */
export function planText(steps: readonly Step[]): string {
  const counts = (change: Change): number => steps.filter((step) => step.change === change).length
  const lines = steps
    .filter(({ change }) => change !== 'unchanged')
    .flatMap(({ change, kind, name, diff }) => [`${signs[change]} ${kind.kind}${name === '' ? '' : `/${name}`}`, ...diff.map((line) => `    ${line}`)])
  const sum = `${counts('create')} to create, ${counts('update')} to update, ${counts('delete')} to delete, ${counts('unchanged')} unchanged`
  return [...lines, sum].join('\n')
}
