/**
 * Which events a subscription or a route wants: included event types and the nineteen operators of Event Grid (NT-10 to
 * NT-14). A configuration is compiled once; what is compiled allocates little and never throws, whatever an event holds.
 */
import { type EventFilter, type FiltersConfiguration, type NumberRange, type OperatorType, operatorTypes } from '../model/event-subscriptions.ts'

/** What filters look at in an event. */
export interface FilteredEvent {
  /** A context attribute or extension by its lower-case name; undefined when the event has none of that name. */
  attribute(name: string): unknown
  /** The data as a JSON value; undefined when there is none or it is binary. Asked only by filters whose key begins with `data`. */
  data(): unknown
}

type Scalar = number | string | boolean

/** What each operator is given: one value, a list of them (any of which may hold), or nothing. */
const operandShapes = {
  NumberIn: 'numbers',
  NumberNotIn: 'numbers',
  NumberLessThan: 'number',
  NumberGreaterThan: 'number',
  NumberLessThanOrEquals: 'number',
  NumberGreaterThanOrEquals: 'number',
  NumberInRange: 'ranges',
  NumberNotInRange: 'ranges',
  BoolEquals: 'boolean',
  StringContains: 'strings',
  StringNotContains: 'strings',
  StringBeginsWith: 'strings',
  StringNotBeginsWith: 'strings',
  StringEndsWith: 'strings',
  StringNotEndsWith: 'strings',
  StringIn: 'strings',
  StringNotIn: 'strings',
  IsNullOrUndefined: 'none',
  IsNotNull: 'none',
} as const satisfies Record<OperatorType, string>

/** Filters of one configuration, and their values in all (NT-13). */
export const filtersMax = 25
export const filterValuesMax = 25
/** Characters of a value, a key and an event type. */
export const filterTextMax = 512
export const includedEventTypesMax = 100

/** True when the event is wanted. */
export type CompiledFilters = (event: FilteredEvent) => boolean

/** Compiles a configuration that `filterViolations` found nothing in. */
export function compileFilters(configuration: FiltersConfiguration = {}): CompiledFilters {
  const { includedEventTypes = [], filters = [], enableAdvancedFilteringOnArrays: areArraysRead = false } = configuration
  const tests = filters.map((filter) => compileFilter(filter, areArraysRead))
  if (includedEventTypes.length > 0) {
    const types = new Set(includedEventTypes.map(foldCase))
    tests.unshift((event) => types.has(foldCase(String(event.attribute('type')))))
  }
  return (event) => tests.every((test) => test(event))
}

function compileFilter(filter: EventFilter, areArraysRead: boolean): CompiledFilters {
  const find = compileKey(filter.key)
  if (filter.operatorType === 'IsNullOrUndefined') return (event) => (find(event) ?? null) === null
  if (filter.operatorType === 'IsNotNull') return (event) => (find(event) ?? null) !== null
  const { read, isHit, isNegated, isMissingWanted } = compileOperator(filter, isDataKey(filter.key))
  const judge = (value: Scalar | undefined): boolean => (value === undefined ? isMissingWanted : isHit(value) !== isNegated)
  return (event) => {
    const found = find(event)
    if (!Array.isArray(found)) return judge(read(found))
    if (!areArraysRead || found.some((element) => typeof element === 'object' && element !== null)) return judge(undefined)
    const values = found.map(read).filter((value) => value !== undefined)
    if (values.length === 0) return judge(undefined)
    return values.some(isHit) !== isNegated
  }
}

interface CompiledOperator {
  /** The value in the operator's type; what is of another type is like a missing key. */
  readonly read: (found: unknown) => Scalar | undefined
  /** Whether the value is one of those that the operator names. */
  readonly isHit: (value: Scalar) => boolean
  /** The operators with Not: no value may be a hit. */
  readonly isNegated: boolean
  /** NumberNotIn and StringNotIn match when the key is missing, all others do not (NT-12). */
  readonly isMissingWanted: boolean
}

function compileOperator({ operatorType, value, values = [] }: EventFilter, isTyped: boolean): CompiledOperator {
  const isNegated = operatorType.includes('Not')
  const isMissingWanted = operatorType === 'NumberNotIn' || operatorType === 'StringNotIn'
  const of = (read: CompiledOperator['read'], isHit: CompiledOperator['isHit']): CompiledOperator => ({ read, isHit, isNegated, isMissingWanted })
  const number = isTyped ? readNumber : readNumberAttribute
  const string = isTyped ? readString : readStringAttribute
  const bound = Number(value)
  switch (operatorType) {
    case 'NumberIn':
    case 'NumberNotIn': {
      const numbers = new Set<unknown>(values)
      return of(number, (found) => numbers.has(found))
    }
    case 'NumberLessThan':
      return of(number, (found) => (found as number) < bound)
    case 'NumberGreaterThan':
      return of(number, (found) => (found as number) > bound)
    case 'NumberLessThanOrEquals':
      return of(number, (found) => (found as number) <= bound)
    case 'NumberGreaterThanOrEquals':
      return of(number, (found) => (found as number) >= bound)
    case 'NumberInRange':
    case 'NumberNotInRange': {
      const ranges = values as readonly NumberRange[]
      return of(number, (found) => ranges.some(([from, to]) => (found as number) >= from && (found as number) <= to))
    }
    case 'BoolEquals':
      return of(isTyped ? readBoolean : readBooleanAttribute, (found) => found === value)
    case 'StringIn':
    case 'StringNotIn': {
      const texts = new Set(values.map((each) => foldCase(String(each))))
      return of(string, (found) => texts.has(found as string))
    }
    default: {
      const texts = values.map((each) => foldCase(String(each)))
      const holds = textTests[operatorType.endsWith('Contains') ? 'contains' : operatorType.endsWith('BeginsWith') ? 'beginsWith' : 'endsWith']
      return of(string, (found) => texts.some((text) => holds(found as string, text)))
    }
  }
}

const textTests = {
  contains: (found: string, text: string) => found.includes(text),
  beginsWith: (found: string, text: string) => found.startsWith(text),
  endsWith: (found: string, text: string) => found.endsWith(text),
}

/** Strings are compared without regard to case (NT-12), the same in every locale. */
const foldCase = (text: string): string => text.toLowerCase()

const readNumber = (found: unknown): number | undefined => (typeof found === 'number' ? found : undefined)
const readString = (found: unknown): string | undefined => (typeof found === 'string' ? foldCase(found) : undefined)
const readBoolean = (found: unknown): boolean | undefined => (typeof found === 'boolean' ? found : undefined)

// Attributes lose their types on the way through headers (CloudEvents 1.0, 3.1): "5" and 5 are the same attribute there.
const readNumberAttribute = (found: unknown): number | undefined =>
  typeof found === 'string' && /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(found) ? Number(found) : readNumber(found)
const readStringAttribute = (found: unknown): string | undefined =>
  typeof found === 'number' || typeof found === 'boolean' ? String(found) : readString(found)
const readBooleanAttribute = (found: unknown): boolean | undefined => (found === 'true' ? true : found === 'false' ? false : readBoolean(found))

const isDataKey = (key: string): boolean => key === 'data' || key.startsWith('data.')

/** Names that Event Grid's documents use for attributes that CloudEvents calls otherwise (NT-14). */
const attributeAliases: Readonly<Record<string, string>> = { eventid: 'id', eventtype: 'type' }

function compileKey(key: string): (event: FilteredEvent) => unknown {
  if (isDataKey(key)) {
    const path = key.split('.').slice(1)
    return (event) => path.reduce<unknown>(step, event.data())
  }
  const name = foldCase(key)
  const alias = attributeAliases[name]
  if (alias === undefined) return (event) => event.attribute(name)
  return (event) => event.attribute(name) ?? event.attribute(alias)
}

/** Into an object, never into an array or what JavaScript adds to an object. */
function step(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) return undefined
  return (value as Readonly<Record<string, unknown>>)[name]
}

/** What is wrong with a configuration: the field, its value and what is allowed. */
export interface FilterViolation {
  readonly field: string
  readonly value?: unknown
  readonly rule: string
}

/** Everything that stands against a configuration, fields named below `at`; none when it can be compiled. */
export function filterViolations(configuration: unknown, at = 'filtersConfiguration'): readonly FilterViolation[] {
  if (!isObject(configuration)) return [{ field: at, value: configuration, rule: 'must be an object' }]
  const { includedEventTypes, filters, enableAdvancedFilteringOnArrays, ...others } = configuration
  const violations: FilterViolation[] = Object.keys(others).map((name) => ({ field: `${at}.${name}`, rule: 'is no field of filtersConfiguration' }))
  if (includedEventTypes !== undefined) violations.push(...typeViolations(includedEventTypes, `${at}.includedEventTypes`))
  if (enableAdvancedFilteringOnArrays !== undefined && typeof enableAdvancedFilteringOnArrays !== 'boolean') {
    violations.push({ field: `${at}.enableAdvancedFilteringOnArrays`, value: enableAdvancedFilteringOnArrays, rule: 'must be true or false' })
  }
  if (filters !== undefined) violations.push(...eventFilterViolations(filters, `${at}.filters`))
  return violations
}

/** The same for a list of filters alone. */
export function eventFilterViolations(filters: unknown, at: string): readonly FilterViolation[] {
  if (!Array.isArray(filters)) return [{ field: at, value: filters, rule: 'must be an array of filters' }]
  if (filters.length > filtersMax) return [{ field: at, rule: `at most ${filtersMax} filters; these are ${filters.length}` }]
  const violations = filters.flatMap((filter, index) => oneFilterViolations(filter, `${at}[${index}]`))
  const values = filters.reduce<number>((sum, filter) => sum + valuesIn(filter), 0)
  if (values > filterValuesMax) violations.push({ field: at, rule: `at most ${filterValuesMax} values in all filters together; these are ${values}` })
  return violations
}

function typeViolations(types: unknown, at: string): readonly FilterViolation[] {
  if (!Array.isArray(types)) return [{ field: at, value: types, rule: 'must be an array of event types' }]
  if (types.length > includedEventTypesMax) return [{ field: at, rule: `at most ${includedEventTypesMax} event types; these are ${types.length}` }]
  return types.flatMap((type, index) =>
    isText(type) && type !== '' ? [] : [{ field: `${at}[${index}]`, value: type, rule: `must be 1 to ${filterTextMax} characters` }],
  )
}

function valuesIn(filter: unknown): number {
  if (!isObject(filter)) return 0
  return Array.isArray(filter.values) ? filter.values.length : filter.value === undefined ? 0 : 1
}

function oneFilterViolations(filter: unknown, at: string): readonly FilterViolation[] {
  if (!isObject(filter)) return [{ field: at, value: filter, rule: 'must be an object with operatorType and key' }]
  const { operatorType, key, value, values, ...others } = filter
  const violations: FilterViolation[] = Object.keys(others).map((name) => ({ field: `${at}.${name}`, rule: 'is no field of a filter' }))
  const wrongKey = keyRule(key)
  if (wrongKey !== undefined) violations.push({ field: `${at}.key`, value: key, rule: wrongKey })
  const shape = typeof operatorType === 'string' && Object.hasOwn(operandShapes, operatorType) ? operandShapes[operatorType as OperatorType] : undefined
  if (shape === undefined) return [...violations, { field: `${at}.operatorType`, value: operatorType, rule: `must be one of ${operatorTypes.join(', ')}` }]
  const isSingle = shape === 'number' || shape === 'boolean'
  if (values !== undefined && (isSingle || shape === 'none')) {
    violations.push({ field: `${at}.values`, rule: isSingle ? `${operatorType} takes one value, in “value”` : `${operatorType} takes no values` })
  }
  if (value !== undefined && !isSingle)
    violations.push({ field: `${at}.value`, rule: `${operatorType} takes ${shape === 'none' ? 'no value' : 'its values in “values”'}` })
  if (isSingle && typeof value !== shape) violations.push({ field: `${at}.value`, value, rule: `must be a ${shape}` })
  if (!isSingle && shape !== 'none') violations.push(...valuesViolations(values, shape, `${at}.values`))
  return violations
}

const valueRules = {
  numbers: { isRight: (value: unknown) => typeof value === 'number', rule: 'must be a number' },
  strings: { isRight: (value: unknown) => isText(value), rule: `must be text of at most ${filterTextMax} characters` },
  ranges: { isRight: (value: unknown) => isRange(value), rule: 'must be a pair of numbers, the lower one first; both belong to the range' },
}

function valuesViolations(values: unknown, shape: keyof typeof valueRules, at: string): readonly FilterViolation[] {
  if (!Array.isArray(values) || values.length === 0) return [{ field: at, value: values, rule: `must be an array of ${shape}, at least one` }]
  const { isRight, rule } = valueRules[shape]
  return values.slice(0, filterValuesMax).flatMap((value, index) => (isRight(value) ? [] : [{ field: `${at}[${index}]`, value, rule }]))
}

function keyRule(key: unknown): string | undefined {
  if (!isText(key) || key === '') return `must be 1 to ${filterTextMax} characters`
  if (isDataKey(key)) return key.split('.').some((part) => part === '') ? 'a path into data must not have empty names' : undefined
  return /^[A-Za-z0-9]+$/.test(key)
    ? undefined
    : 'must be a context attribute, an extension (letters and digits), data, or a path into it such as data.door.open'
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)
const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= filterTextMax
const isRange = (value: unknown): value is NumberRange => {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [from, to] = value as readonly unknown[]
  return typeof from === 'number' && typeof to === 'number' && from <= to
}
