/** From when on a topic has records: retention removes the oldest of each partition. */
import type { Log } from '../log/log.ts'
import { firstTime } from './moment.ts'
import type { Bound } from './replay-range.ts'

interface Beginning {
  /** The first offset there is; what was below is gone. */
  readonly start: number
  /** Of the record there, milliseconds since the epoch; undefined while there is none. */
  readonly time: number | undefined
}

/** What somebody is told whose `from` is older. `since`: milliseconds since the epoch. */
export const beginningGone = (since: number): string => `history begins at ${new Date(since).toISOString()}: of what was published before, something is gone`

export class LogBeginning {
  readonly #log: Log
  readonly #topic: string
  #known: ReadonlyMap<number, Beginning> = new Map()
  #looking: Promise<void> | undefined

  constructor(log: Log, topic: string) {
    this.#log = log
    this.#topic = topic
  }

  /** Asks the log. Whoever comes while somebody is asking hears the same: however many want to know, one question is on its way. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /**
   * From when on all that the bound names is there, milliseconds since the epoch, as far as the last look tells; undefined when nothing of it is gone.
   * A time is taken for gone where something of the partition is and its first record is later: when the last one before it came nobody knows any more.
   * `now`: the answer where nothing at all is left. `sources`: the partitions that are meant; all of them by default.
   */
  since(from: Exclude<Bound, { readonly kind: 'ago' }>, now: number, sources: Iterable<number> = this.#known.keys()): number | undefined {
    let since: number | undefined
    let isEmpty = false
    for (const source of sources) {
      const { start, time } = this.#known.get(source) ?? { start: 0, time: undefined }
      if (start === 0) continue
      const isGone = from.kind === 'time' ? from.at < (time ?? now) : (from.offsets.get(source) ?? start) < start
      if (!isGone) continue
      if (time === undefined) isEmpty = true
      else since = Math.max(since ?? 0, time)
    }
    return since ?? (isEmpty ? now : undefined)
  }

  async #look(): Promise<void> {
    const starts = await this.#log.startOffsets(this.#topic)
    const beginnings = await Promise.all([...starts].map(async ([partition, start]) => [partition, await this.#beginning(partition, start)] as const))
    this.#known = new Map(beginnings)
  }

  async #beginning(partition: number, start: number): Promise<Beginning> {
    const known = this.#known.get(partition)
    // One that was empty may have something by now.
    if (known?.start === start && (known.time !== undefined || start === 0)) return known
    return { start, time: start === 0 ? undefined : await firstTime(this.#log, this.#topic, partition, start) }
  }
}
