/** What the commands print: a table for people, JSON or YAML for programs. */
import { stringify } from 'yaml'

export const formats = ['table', 'json', 'yaml'] as const
export type Format = (typeof formats)[number]

export interface Column<T> {
  readonly title: string
  readonly of: (row: T) => unknown
}

const cell = (value: unknown): string => {
  if (value === undefined || value === null) return ''
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  const line = text.replaceAll(/\s*\n\s*/g, ' ')
  return line.length > 80 ? `${line.slice(0, 79)}…` : line
}

/** Columns as wide as their widest cell. */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ of }) => cell(of(row))))]
  // There may be more rows than a call takes arguments.
  const widths = columns.map((_, index) => cells.reduce((widest, line) => Math.max(widest, line[index]!.length), 0))
  return cells
    .map((line) =>
      line
        .map((text, index) => text.padEnd(widths[index]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** One value, or a list with its columns. */
export function show<T>(format: Format, value: T | readonly T[], columns: readonly Column<T>[]): string {
  switch (format) {
    case 'json':
      return JSON.stringify(value, null, 2)
    case 'yaml':
      return stringify(value).trimEnd()
    case 'table':
      return Array.isArray(value) ? table(value as readonly T[], columns) : stringify(value).trimEnd()
  }
}

/** One of many values that come one after the other: a line of JSON, or a document of YAML. */
export function showNext(format: Format, value: unknown): string {
  return format === 'yaml' ? `---\n${stringify(value).trimEnd()}` : JSON.stringify(value)
}
