/** How far back the topic `registry` holds every change, as its writer notes it there in a marker: compaction takes what is older than the history window. */

/** The marker's name. */
export const historyMarker = 'history'

export interface HistoryKept {
  /** No change since then has been compacted while the window was what it is, milliseconds since the epoch. */
  readonly since: number
  /** Infinity: nothing is compacted. */
  readonly windowMs: number
}

/** The marker's properties; undefined when they are none. */
export function readHistoryKept(properties: string | undefined): HistoryKept | undefined {
  if (properties === undefined) return undefined
  let json: unknown
  try {
    json = JSON.parse(properties)
  } catch {
    return undefined
  }
  const { since, windowMs } = Object(json) as Readonly<Record<string, unknown>>
  if (typeof since !== 'number' || !(typeof windowMs === 'number' || windowMs === null)) return undefined
  return { since, windowMs: windowMs ?? Number.POSITIVE_INFINITY }
}

/** As a view of the topic has it. */
export const keptOf = (view: { markerProperties(name: string): string | undefined }): HistoryKept | undefined =>
  readHistoryKept(view.markerProperties(historyMarker))

export const historyKeptText = ({ since, windowMs }: HistoryKept): string =>
  JSON.stringify({ since, windowMs: windowMs === Number.POSITIVE_INFINITY ? null : windowMs })

/** What is to be noted at `now`, when the window is `windowMs`; undefined when the note stands. A topic that was `isNew` has never been compacted. */
export function historyKept(known: HistoryKept | undefined, windowMs: number, now: number, isNew: boolean): HistoryKept | undefined {
  if (known === undefined) return { since: isNew ? 0 : now, windowMs }
  if (known.windowMs === windowMs) return undefined
  // What the window up to now let go stays gone.
  return { since: Math.max(known.since, now - known.windowMs), windowMs }
}

/** From when on every moment can be had, milliseconds since the epoch. */
export const keptSince = ({ since, windowMs }: HistoryKept, now: number): number => Math.max(since, now - windowMs)
