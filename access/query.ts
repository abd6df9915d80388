/**
 * The query language of client groups (CG-03 … CG-09):
 *
 *   query   := or
 *   or      := and ( 'or' and )*
 *   and     := term ( 'and' term )*
 *   term    := '(' or ')' | operand comparison literal | operand 'IN' '[' literal (',' literal)* ']'
 *   operand := 'authenticationName' | 'attributes.' KEY
 *
 * Keywords ignore case. A missing attribute makes every comparison false, `!=` too (CG-09). Equality with a list
 * means that the list contains it (CG-08). Order is for integers only. authenticationName ignores case, as its identity does.
 */
import type { Attributes, AttributeValue } from '../model/registry-resources.ts'

/** What a query is asked about. */
export interface Subject {
  readonly authenticationName: string
  readonly attributes: Attributes
}

export type Predicate = (subject: Subject) => boolean

export interface QueryLimits {
  readonly lengthMax: number
  readonly depthMax: number
}

const queryLimits: QueryLimits = { lengthMax: 16_384, depthMax: 64 }

/** A query cannot be understood: where (characters from the start), and what is allowed there. */
export class QueryError extends Error {
  readonly position: number
  constructor(position: number, message: string) {
    super(`at character ${position + 1}: ${message}`)
    this.name = 'QueryError'
    this.position = position
  }
}

type Literal = string | number
type Operand = { readonly kind: 'name' } | { readonly kind: 'attribute'; readonly key: string }

type Token =
  | { readonly kind: 'word'; readonly text: string; readonly at: number }
  | { readonly kind: 'symbol'; readonly text: string; readonly at: number }
  | { readonly kind: 'literal'; readonly value: Literal; readonly at: number }
  | { readonly kind: 'end'; readonly text: ''; readonly at: number }

const space = /[ \t\r\n]*/y
const word = /[A-Za-z_][A-Za-z0-9_.]*/y
const integer = /[+-]?[0-9]+(?![A-Za-z0-9_.])/y
const symbol = /<>|!=|<=|>=|[=<>()[\],]/y
const quoted = /"[^"]*"|'[^']*'/y

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  for (;;) {
    at += matchAt(space, text, at)?.length ?? 0
    if (at >= text.length) break
    const found = tokenAt(text, at)
    tokens.push(found.token)
    at = found.end
  }
  tokens.push({ kind: 'end', text: '', at })
  return tokens
}

function tokenAt(text: string, at: number): { readonly token: Token; readonly end: number } {
  const string = matchAt(quoted, text, at)
  if (string !== undefined) return { token: { kind: 'literal', value: string.slice(1, -1), at }, end: at + string.length }
  if (text[at] === '"' || text[at] === "'") throw new QueryError(at, 'this string has no closing quote')
  const digits = matchAt(integer, text, at)
  if (digits !== undefined) {
    const value = Number(digits)
    if (!Number.isSafeInteger(value)) throw new QueryError(at, `${digits} is beyond the integers allowed, −(2^53−1) to 2^53−1`)
    return { token: { kind: 'literal', value: value === 0 ? 0 : value, at }, end: at + digits.length }
  }
  const name = matchAt(word, text, at)
  if (name !== undefined) return { token: { kind: 'word', text: name, at }, end: at + name.length }
  const sign = matchAt(symbol, text, at)
  if (sign !== undefined) return { token: { kind: 'symbol', text: sign, at }, end: at + sign.length }
  throw new QueryError(at, `“${[...text.slice(at, at + 2)][0]}” is not part of the query language`)
}

const orders = ['<', '>', '<=', '>=']
const comparisons = ['=', '<>', '!=', ...orders]
const attributeOperand = /^attributes\.([A-Za-z0-9_]+)$/

const equals = (a: AttributeValue, b: Literal): boolean => (typeof a === 'object' ? a.includes(b as string) : a === b)

function reader(operand: Operand): (subject: Subject) => AttributeValue | undefined {
  if (operand.kind === 'name') return (subject) => subject.authenticationName.toLowerCase()
  const { key } = operand
  return (subject) => (Object.hasOwn(subject.attributes, key) ? subject.attributes[key] : undefined)
}

function compare(operand: Operand, comparison: string, right: Literal): Predicate {
  const read = reader(operand)
  const literal = operand.kind === 'name' ? foldLiteral(right) : right
  const present = (test: (value: AttributeValue) => boolean): Predicate => {
    return (subject) => {
      const value = read(subject)
      return value !== undefined && test(value)
    }
  }
  switch (comparison) {
    case '=':
      return present((value) => equals(value, literal))
    case '<':
      return present((value) => typeof value === 'number' && value < (literal as number))
    case '>':
      return present((value) => typeof value === 'number' && value > (literal as number))
    case '<=':
      return present((value) => typeof value === 'number' && value <= (literal as number))
    case '>=':
      return present((value) => typeof value === 'number' && value >= (literal as number))
    default:
      return present((value) => !equals(value, literal))
  }
}

const foldLiteral = (literal: Literal): Literal => (typeof literal === 'string' ? literal.toLowerCase() : literal)

function isOneOf(operand: Operand, literals: readonly Literal[]): Predicate {
  const read = reader(operand)
  const wanted: ReadonlySet<Literal> = new Set(operand.kind === 'name' ? literals.map(foldLiteral) : literals)
  return (subject) => {
    const value = read(subject)
    if (value === undefined) return false
    return typeof value === 'object' ? value.some((item) => wanted.has(item)) : wanted.has(value)
  }
}

class Parser {
  readonly #tokens: readonly Token[]
  readonly #depthMax: number
  #next = 0
  constructor(tokens: readonly Token[], depthMax: number) {
    this.#tokens = tokens
    this.#depthMax = depthMax
  }

  parse(): Predicate {
    const predicate = this.#or(1)
    const rest = this.#peek()
    if (rest.kind !== 'end') throw new QueryError(rest.at, `${shown(rest)} stands where the query should end, or go on with “and” or “or”`)
    return predicate
  }

  #or(depth: number): Predicate {
    const parts = [this.#and(depth)]
    while (this.#keyword('or')) parts.push(this.#and(depth))
    return parts.length === 1 ? parts[0]! : (subject) => parts.some((part) => part(subject))
  }

  #and(depth: number): Predicate {
    const parts = [this.#term(depth)]
    while (this.#keyword('and')) parts.push(this.#term(depth))
    return parts.length === 1 ? parts[0]! : (subject) => parts.every((part) => part(subject))
  }

  #term(depth: number): Predicate {
    const token = this.#peek()
    if (token.kind === 'symbol' && token.text === '(') {
      if (depth >= this.#depthMax) throw new QueryError(token.at, `parentheses are nested deeper than ${this.#depthMax}`)
      this.#next++
      const inner = this.#or(depth + 1)
      this.#expect(')')
      return inner
    }
    const operand = this.#operand()
    if (this.#keyword('in')) return isOneOf(operand, this.#list())
    return this.#comparison(operand)
  }

  #operand(): Operand {
    const token = this.#take()
    const allowed = 'allowed are authenticationName, attributes.<key> with letters, digits and “_”, or “(”'
    if (token.kind !== 'word') throw new QueryError(token.at, `${shown(token)} is no operand; ${allowed}`)
    if (token.text === 'authenticationName') return { kind: 'name' }
    const key = attributeOperand.exec(token.text)?.[1]
    if (key === undefined) throw new QueryError(token.at, `“${token.text}” is no operand; ${allowed}`)
    return { kind: 'attribute', key }
  }

  #comparison(operand: Operand): Predicate {
    const token = this.#take()
    if (token.kind !== 'symbol' || !comparisons.includes(token.text)) {
      throw new QueryError(token.at, `${shown(token)} is no comparison; allowed are ${comparisons.join(' ')} and IN`)
    }
    const isOrder = orders.includes(token.text)
    if (isOrder && operand.kind === 'name') throw new QueryError(token.at, `“${token.text}” compares integers only, and authenticationName is none`)
    const { at } = this.#peek()
    const literal = this.#literal()
    if (isOrder && typeof literal !== 'number') throw new QueryError(at, `“${token.text}” compares integers only`)
    return compare(operand, token.text, literal)
  }

  #list(): readonly Literal[] {
    this.#expect('[')
    const literals = [this.#literal()]
    for (let token = this.#peek(); token.kind === 'symbol' && token.text === ','; token = this.#peek()) {
      this.#next++
      literals.push(this.#literal())
    }
    this.#expect(']')
    return literals
  }

  #literal(): Literal {
    const token = this.#take()
    if (token.kind !== 'literal') throw new QueryError(token.at, `${shown(token)} is no value; allowed are "text", 'text' and integers`)
    return token.value
  }

  #keyword(keyword: string): boolean {
    const token = this.#peek()
    if (token.kind !== 'word' || token.text.toLowerCase() !== keyword) return false
    this.#next++
    return true
  }

  #expect(text: string): void {
    const token = this.#take()
    if (token.kind !== 'symbol' || token.text !== text) throw new QueryError(token.at, `${shown(token)} stands where “${text}” is expected`)
  }

  #peek(): Token {
    return this.#tokens[this.#next]! // the end token is never passed
  }

  #take(): Token {
    const token = this.#peek()
    if (token.kind !== 'end') this.#next++
    return token
  }
}

function shown(token: Token): string {
  if (token.kind === 'end') return 'the end'
  return token.kind === 'literal' ? `the value ${JSON.stringify(token.value)}` : `“${token.text}”`
}

/** Compiles a query. Throws QueryError with the position of what is wrong. */
export function compileQuery(query: string, limits: QueryLimits = queryLimits): Predicate {
  if (query.length > limits.lengthMax) throw new QueryError(limits.lengthMax, `a query has at most ${limits.lengthMax} characters, this one ${query.length}`)
  return new Parser(tokenize(query), limits.depthMax).parse()
}
