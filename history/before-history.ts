/** Somebody asked for a moment from before what is kept. */
export class BeforeHistory extends Error {
  /** From when on there is history, milliseconds since the epoch; null when there is none yet. */
  readonly since: number | null
  constructor(since: number | null) {
    super(since === null ? 'no history is kept yet' : `history begins at ${new Date(since).toISOString()}`)
    this.name = 'BeforeHistory'
    this.since = since
  }
}
