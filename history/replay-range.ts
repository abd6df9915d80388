/**
 * What a replay is asked for: from where, up to where, and which topics. `$replay/<from>[..<to>]/<filter>` in a topic filter,
 * the same words in user properties and in the queries of the HTTP API. Knows nothing of MQTT beyond the slash.
 */

/** A place in the log as somebody names it. */
export type Bound =
  /** Milliseconds since the epoch. */
  | { readonly kind: 'time'; readonly at: number }
  /** Milliseconds before now. */
  | { readonly kind: 'ago'; readonly ms: number }
  /** Offsets by partition; partitions that are not named are not meant. */
  | { readonly kind: 'positions'; readonly offsets: ReadonlyMap<number, number> }

/** A place that stays where it is. */
export type FixedBound = Exclude<Bound, { readonly kind: 'ago' }>

export interface ReplayRange {
  readonly from: Bound
  /** Where it ends, not included; null: it goes on with what is published. */
  readonly to: Bound | null
}

export interface ReplayFilter extends ReplayRange {
  /** The topic filter behind the range. */
  readonly filter: string
}

/** Partitions that one bound may name. */
export const positionsMax = 1024

const prefix = '$replay/'
const time = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?Z$/
const duration = /^-P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?=\d)(?:(\d{1,8})H)?(?:(\d{1,8})M)?(?:(\d{1,9})(\.\d{1,3})?S)?)?$/
const position = /^(\d{1,4}):(\d{1,16})$/

/** Whether a filter asks for a replay, in good form or not. */
export function asksForReplay(filter: string): boolean {
  return filter.startsWith(prefix) || filter === '$replay'
}

/** The bound that a text names; why it names none, as the end of a sentence. */
export function parseBound(text: string): Bound | string {
  if (time.test(text)) {
    // Date would take 24:00 and 31 February for other days.
    const at = Date.parse(text.replace(/(\.\d{3})\d*Z$/, '$1Z'))
    if (Number.isNaN(at) || !text.startsWith(new Date(at).toISOString().slice(0, 16))) return `names no time that there is: ${shown(text)}`
    // Nothing is older, and Kafka takes negative times for other questions: -1 is the end of a partition.
    return { kind: 'time', at: Math.max(0, at) }
  }
  const ago = duration.exec(text)
  if (ago && text !== '-P') return { kind: 'ago', ms: durationMs(ago) }
  const named = text.split(',', positionsMax + 1)
  if (!named.every((each) => position.test(each))) {
    return `is neither a time in UTC (2026-01-31T12:00:00Z), nor a duration back from now (-PT1H), nor positions (partition:offset, …): ${shown(text)}`
  }
  if (named.length > positionsMax) return `names more than ${positionsMax} partitions`
  const offsets = new Map(named.map((each) => each.split(':').map(Number) as [number, number]))
  if (offsets.size < named.length) return `names a partition twice: ${shown(text)}`
  if ([...offsets.values()].some((offset) => offset > Number.MAX_SAFE_INTEGER)) return `names an offset above ${Number.MAX_SAFE_INTEGER}`
  return { kind: 'positions', offsets }
}

/** `<from>` or `<from>..<to>`; why it is neither, as the end of a sentence. */
export function parseRange(text: string): ReplayRange | string {
  const dots = text.indexOf('..')
  const from = parseBound(dots === -1 ? text : text.slice(0, dots))
  if (typeof from === 'string') return `has a beginning that ${from}`
  if (dots === -1) return { from, to: null }
  const to = parseBound(text.slice(dots + 2))
  return typeof to === 'string' ? `has an end that ${to}` : { from, to }
}

/** The parts of `$replay/<range>/<filter>`; why there are none, as the end of a sentence. The filter itself is not looked at. */
export function parseReplayFilter(filter: string): ReplayFilter | string {
  const end = filter.indexOf('/', prefix.length)
  if (!filter.startsWith(prefix) || end === -1 || end === filter.length - 1) return 'names a replay without a topic filter: $replay/<from>[..<to>]/<filter>'
  // Whose turn it is means nothing for what is past, and what is past of a replay is its filter's own.
  if (/^\$(?:share|replay)(?:\/|$)/.test(filter.slice(end + 1))) return 'names a replay of a shared subscription or of a replay'
  const range = parseRange(filter.slice(prefix.length, end))
  return typeof range === 'string' ? `names a replay that ${range}` : { ...range, filter: filter.slice(end + 1) }
}

/** The topic filter that is really asked for. */
export function withoutReplay(filter: string): string {
  if (!filter.startsWith(prefix)) return filter
  const end = filter.indexOf('/', prefix.length)
  return end === -1 ? filter : filter.slice(end + 1)
}

/** The same place, wherever `now` has moved to: durations become times. Milliseconds since the epoch. */
export function fixed(bound: Bound, now: number): FixedBound {
  return bound.kind === 'ago' ? { kind: 'time', at: Math.max(0, now - bound.ms) } : bound
}

/**
 * Which end is before its beginning, as a sentence; null when none is, or only the log could tell: of a time and positions. Of positions it is none as long
 * as another partition has something in between: retention may have moved one beyond its end while somebody goes on from cursor to cursor.
 */
export function orderProblem(from: FixedBound, to: FixedBound): string | null {
  if (from.kind === 'time' && to.kind === 'time') return to.at < from.at ? `${boundText(to)} is before ${boundText(from)}` : null
  if (from.kind === 'time' || to.kind === 'time') return null
  let problem: string | null = null
  for (const [partition, end] of to.offsets) {
    const begin = from.offsets.get(partition)
    if (begin === undefined) continue
    if (begin < end) return null
    if (begin > end) problem ??= `${partition}:${end} is before ${partition}:${begin}`
  }
  return problem
}

/** The text of a bound, as `parseBound` reads it. */
export function boundText(bound: FixedBound): string {
  return bound.kind === 'time' ? new Date(bound.at).toISOString() : positionsText(bound.offsets)
}

/** `0:12,1:7`, in the order of the partitions. */
export function positionsText(offsets: Iterable<readonly [partition: number, offset: number]>): string {
  return [...offsets]
    .sort(([a], [b]) => a - b)
    .map(([partition, offset]) => `${partition}:${offset}`)
    .join(',')
}

function durationMs(parts: RegExpExecArray): number {
  const [weeks, days, hours, minutes, seconds, fraction] = parts.slice(1).map((part) => Number(part ?? 0)) as [number, number, number, number, number, number]
  return weeks * 604_800_000 + days * 86_400_000 + hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + Math.round(fraction * 1000)
}

/** Somebody else's text in a message of ours. */
const shown = (text: string): string => `“${text.length > 80 ? `${text.slice(0, 80)}…` : text}”`
