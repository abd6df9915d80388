/** What was published, read over the HTTP API: a stream that breaks off is gone on with where it was, so that nothing is missing and nothing comes twice. */
import type { HistoryLine } from '../../history/history-line.ts'
import { beginningGone } from '../../history/log-beginning.ts'
import { type Json, Refused } from '../api-client.ts'
import { Failure } from '../failure.ts'

/** Which messages. Places are words of docs/replay.md. */
export interface Selection {
  readonly filter: string
  readonly from: string
  readonly to: string | null
  /** Only what this MQTT client id has published. */
  readonly client: string | null
  /** Only what the client with this authentication name may subscribe to, now or when it came (`then`). */
  readonly as: string | null
  readonly access: string | null
  /** Most messages. */
  readonly limit: number | null
}

/** Where to begin instead of the selection's own places: what an earlier run had come to. */
export interface Resumption {
  readonly cursor: string | null
  readonly to: string | null
  /** Messages that it had. */
  readonly messages: number
}

/** What of the HTTP API it takes. */
export interface HistoryApi {
  path(...segments: readonly string[]): string
  pieces(path: string, signal: AbortSignal): AsyncIterable<readonly Json[]>
}

export interface PastOptions {
  readonly signal: AbortSignal
  /** Waits before another attempt; over when the signal is. */
  wait(ms: number): Promise<void>
}

/** A piece of the past. */
export interface Stretch {
  readonly lines: readonly HistoryLine[]
  /** Everything before it was told. */
  readonly cursor: string
  /** Where it ends, once that is known: a `to` that stays the same. */
  readonly to?: string
  /** Something that is to be told beside it. */
  readonly note?: string
}

/** Attempts that bring nothing before it is given up. */
const attemptsMax = 6
const waitMs = 500

/** Throws Refused and Failure: at once for what cannot be read at all, later when several attempts have brought nothing. */
export async function* past(api: HistoryApi, selection: Selection, resumed: Resumption, { signal, wait }: PastOptions): AsyncGenerator<Stretch> {
  let { cursor, to, messages } = resumed
  let hasBegun = false
  for (let attempt = 1; ; attempt++) {
    const query = new URLSearchParams({ topicFilter: selection.filter, from: cursor ?? selection.from, progress: 'true' })
    const end = to ?? selection.to
    if (end !== null) query.set('to', end)
    if (selection.client !== null) query.set('client', selection.client)
    if (selection.as !== null) query.set('as', selection.as)
    if (selection.access !== null) query.set('access', selection.access)
    if (selection.limit !== null) {
      if (messages >= selection.limit) return
      query.set('limit', String(selection.limit - messages))
    }
    let why = 'the stream broke off'
    try {
      for await (const rows of api.pieces(`${api.path('history')}?${query}`, signal)) {
        const stretch = stretchOf(rows)
        // No partition that the range names is one of the filter's.
        if (stretch.cursor === '') return
        if (stretch.cursor !== cursor && hasBegun) attempt = 0
        hasBegun = true
        messages += stretch.lines.length
        cursor = stretch.cursor
        to ??= stretch.to ?? null
        yield stretch
        if (stretch.isEnd) return
        if (stretch.error !== undefined) why = stretch.error
      }
    } catch (error) {
      if (signal.aborted) return
      if (!hasBegun || (error instanceof Refused && error.status < 500)) throw error
      why = (error as Error).message
    }
    if (attempt >= attemptsMax) throw new Failure(`the past cannot be read on: ${why}`)
    await wait(waitMs * 2 ** attempt)
    if (signal.aborted) return
  }
}

interface Read extends Stretch {
  readonly isEnd: boolean
  readonly error?: string
}

/** Lines of one piece of an answer. */
function stretchOf(rows: readonly Json[]): Read {
  const lines = rows.filter((row) => typeof row.topic === 'string') as unknown as readonly HistoryLine[]
  const { cursor } = rows.at(-1) as Json
  if (typeof cursor !== 'string') throw new Failure('the HTTP API has answered a line without a cursor')
  const row = (name: string): Json | undefined => rows.find((each) => each[name] !== undefined && each.topic === undefined)
  const [range, error, end, since] = [row('to'), row('error'), row('end'), row('since')]
  const notes = [
    ...(since && since !== end ? [beginningGone(Date.parse(String(since.since)))] : []),
    ...(error ? [`what stands before ${error.cursor} cannot be read: ${error.error}`] : []),
    ...(end?.gone === undefined ? [] : [`${end.gone} positions were removed by retention before they were read`]),
  ]
  return {
    lines,
    cursor,
    isEnd: end !== undefined,
    ...(range ? { to: String(range.to) } : {}),
    ...(error ? { error: String(error.error) } : {}),
    ...(notes.length > 0 ? { note: notes.join('; ') } : {}),
  }
}
