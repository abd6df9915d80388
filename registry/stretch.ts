/** From where up to where a question about the past goes, as its query or its body has it. */
import { type FixedBound, fixed, orderProblem, parseBound } from '../history/replay-range.ts'
import { badRequest } from './violations.ts'

export interface Stretch {
  readonly from: FixedBound
  /** Not included. */
  readonly to: FixedBound
}

/** What is published from now on is not the past: the log's ends are where it stops. */
const upToNow: FixedBound = { kind: 'time', at: Number.MAX_SAFE_INTEGER }

/** `fallback`: what `from` is without being said. Throws Problem. */
export function readStretch(asked: { readonly from?: string | undefined; readonly to?: string | undefined }, fallback: string, now: number): Stretch {
  const bound = (field: 'from' | 'to', value: string): FixedBound => {
    const parsed = parseBound(value)
    if (typeof parsed === 'string') throw badRequest([{ field, value, rule: `a place in the log; this one ${parsed}` }])
    return fixed(parsed, now)
  }
  const from = bound('from', asked.from ?? fallback)
  if (asked.to === undefined) return { from, to: upToNow }
  const to = bound('to', asked.to)
  const backwards = orderProblem(from, to)
  const unsaid = asked.from === undefined ? ` (which is ${fallback} when it is not given)` : ''
  if (backwards) throw badRequest([{ field: 'to', value: asked.to, rule: `a place not before from${unsaid}; ${backwards}` }])
  return { from, to }
}
