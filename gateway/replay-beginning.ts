/** From when on what a SUBSCRIBE asks to be replayed is there: its client hears it with the SUBACK when retention has removed the beginning. */
import { LogBeginning } from '../history/log-beginning.ts'
import { sourcesOf } from '../history/places.ts'
import { parseBound, withoutReplay } from '../history/replay-range.ts'
import type { Log } from '../log/log.ts'
import type { SubscriptionRequest } from '../schemas/session-records.ts'

export interface ReplayBeginningOptions {
  readonly log: Log
  /** The topic `messages`. */
  readonly topic: string
  readonly partitions: number
  /** How many there were before. */
  formerly(): readonly number[]
  readonly now: () => number
  onFailure(error: unknown): void
}

/** The SUBACK does not wait for longer, ms. */
const lookMsMax = 1_000

export class ReplayBeginning {
  readonly #options: ReplayBeginningOptions
  readonly #beginning: LogBeginning

  constructor(options: ReplayBeginningOptions) {
    this.#options = options
    this.#beginning = new LogBeginning(options.log, options.topic)
  }

  /** The latest of all that are granted, milliseconds since the epoch; undefined when nothing is gone, or the log does not say in time. Never rejects. */
  async since(granted: readonly SubscriptionRequest[]): Promise<number | undefined> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), lookMsMax)
    })
    const looked = this.#beginning.look().then(
      () => true,
      (error: unknown) => {
        this.#options.onFailure(error)
        return false
      },
    )
    const isKnown = await Promise.race([looked, late])
    clearTimeout(timer)
    return isKnown ? this.#latest(granted) : undefined
  }

  #latest(granted: readonly SubscriptionRequest[]): number | undefined {
    const { partitions, formerly, now } = this.#options
    let latest: number | undefined
    for (const { filter, replay } of granted) {
      const from = replay && parseBound(replay.from)
      if (!from || typeof from === 'string' || from.kind === 'ago') continue
      const since = this.#beginning.since(from, now(), sourcesOf(withoutReplay(filter), partitions, formerly()))
      if (since !== undefined) latest = Math.max(latest ?? 0, since)
    }
    return latest
  }
}
