/** What JSON schema found, in the words of the API. */
import { Problem, type Violation } from './problem.ts'

export interface SchemaError {
  readonly instancePath: string
  readonly keyword: string
  readonly message?: string
  readonly params: Readonly<Record<string, unknown>>
  readonly data?: unknown
  readonly propertyName?: string
}

const fieldOf = (root: string, path: string): string => `${root}${path.replaceAll(/\/(\d+)(?=\/|$)/g, '[$1]').replaceAll('/', '.')}`.replace(/^\./, '')
const inside = (field: string, name: unknown): string => (field === '' ? String(name) : `${field}.${String(name)}`)

/** `root` names what was validated: the properties of a resource, or a whole body. */
export function toViolations(errors: readonly SchemaError[], root: 'properties' | '' = 'properties'): readonly Violation[] {
  return errors
    .filter(({ keyword }) => keyword !== 'anyOf' && keyword !== 'propertyNames')
    .map(({ instancePath, keyword, message = 'is not allowed', params, data, propertyName }) => {
      const field = fieldOf(root, instancePath)
      if (keyword === 'required') return { field: inside(field, params.missingProperty), rule: 'is required' }
      if (keyword === 'additionalProperties') return { field: inside(field, params.additionalProperty), rule: 'is no field of this resource' }
      if (keyword === 'enum') return { field, value: data, rule: `must be one of ${(params.allowedValues as readonly unknown[]).join(', ')}` }
      if (propertyName !== undefined) return { field: inside(field, propertyName), rule: `keys hold letters, digits and “_” only: ${message}` }
      // What was meant as a password is not sent back.
      return /(?:^|\.)password$/.test(field) ? { field, rule: message } : { field, value: data, rule: message }
    })
}

/** Violations as the problem that answers a request with them. */
export function badRequest(violations: readonly Violation[]): Problem {
  return new Problem(400, violations.map(({ field, rule }) => `${field}: ${rule}`).join('; '), { violations })
}
