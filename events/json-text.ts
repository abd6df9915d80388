/**
 * JSON that others wrote. `JSON.parse` takes any nesting, `JSON.stringify` and every reader that recurses give up somewhere: what is nested
 * deeper than all of them can carry is no JSON here, but bytes. Pure.
 */

/** Levels of arrays and objects within each other: far above what anybody needs, and far below what a stack holds. */
export const jsonDepthMax = 256

export interface ParsedJson {
  readonly value: unknown
  /**
   * The value as it is to be written again: numbers that JavaScript would round, or not know at all, are the text that they were
   * (`JSON.rawJSON`). The value itself where there are none.
   */
  readonly exact: unknown
}

/** The value of JSON text; undefined when it is none, or is nested deeper than `jsonDepthMax`. Never throws. */
export function parseJsonText(text: string): ParsedJson | undefined {
  if (isNestedTooDeep(text)) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return { value, exact: mayBeRounded.test(text) ? parseExactly(text) : value }
  } catch {
    return undefined
  }
}

/** Sixteen digits in a row, or an exponent; in strings, too, where it costs time and does no harm. */
const mayBeRounded = /[\d.]{16}|\d[eE]/

/** As the engine has them, and the language's library does not know yet (proposal JSON.parse source text access). */
const { parse, rawJSON } = JSON as unknown as {
  parse(text: string, reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown): unknown
  rawJSON(text: string): unknown
}

/** Of text that is JSON; throws where it is none. */
export const parseExactly = (text: string): unknown =>
  parse(text, (_, value, { source = '' }) => (typeof value === 'number' && String(value) !== source ? rawJSON(source) : value))

const quote = 0x22
const backslash = 0x5c

/** Whether text is nested deeper than `jsonDepthMax`, if it is JSON at all; brackets in strings are none. */
export function isNestedTooDeep(text: string): boolean {
  // Each level has two brackets.
  if (text.length <= 2 * jsonDepthMax) return false
  let depth = 0
  let isInString = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (isInString) {
      if (code === backslash) at++
      else if (code === quote) isInString = false
    } else if (code === quote) isInString = true
    else if (code === 0x5b || code === 0x7b) {
      depth++
      if (depth > jsonDepthMax) return true
    } else if (code === 0x5d || code === 0x7d) depth--
  }
  return false
}
