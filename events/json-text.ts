/**
 * JSON that others wrote. `JSON.parse` takes any nesting, `JSON.stringify` and every reader that recurses give up somewhere: what is nested
 * deeper than all of them can carry is no JSON here, but bytes. Pure.
 */

/** Levels of arrays and objects within each other: far above what anybody needs, and far below what a stack holds. */
export const jsonDepthMax = 256

/** The value of JSON text; undefined when it is none, or is nested deeper than `jsonDepthMax`. Never throws. */
export function parseJsonText(text: string): { readonly value: unknown } | undefined {
  if (isNestedTooDeep(text)) return undefined
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

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
