/** One chain of one partition beside its log: hashes what stands between two marks and compares. */
import { type Log, type LogRecord, OffsetOutOfRange } from '../log/log.ts'
import { Chain, genesis, type Head, type Mark } from './chain.ts'
import { headOf, type Link } from './checkpoint.ts'
import type { FindingKind, Proven, Telling } from './finding.ts'

/** Records older than this are to be in a checkpoint, ms. */
const behindMs = 5 * 60_000
/** Clocks of brokers and auditors may differ by this much, ms. */
export const clocksMs = 60_000
const readBytes = 512 * 1024

/** For how long a topic keeps its records at least, ms: Infinity for ever, 0 when size may remove them at any time. */
export function keptForMs(settings: Readonly<Record<string, string>>): number {
  if (Number(settings['retention.bytes'] ?? -1) >= 0) return 0
  const ms = Number(settings['retention.ms'] ?? -1)
  return ms < 0 ? Number.POSITIVE_INFINITY : ms
}

/** One chain: its links in their order, and the records that they are about. */
export class ChainReader {
  readonly #log: Log
  /** Where the log begins: further on once retention has overtaken the reading. */
  #start: number
  readonly #now: number
  readonly #clock: () => number
  readonly #retentionMs: number
  readonly #telling: Telling
  readonly #proven: Proven
  /** Fetched and not handed on. */
  #records: readonly LogRecord[] = []
  #at = 0
  /** Where to fetch next. */
  #next: number
  readonly #end: number
  #head: Head | undefined
  #isRemovalTold = false
  /** A later record may show that the chain has gone on. */
  #readTo: number

  static async open(
    { log, now, clock }: { readonly log: Log; readonly now: number; clock(): number },
    topic: string,
    partition: number,
    telling: Telling,
  ): Promise<ChainReader> {
    const [starts, ends, settings] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic), log.topicSettings(topic)])
    const retentionMs = keptForMs(settings)
    return new ChainReader(log, { topic, partition, start: starts.get(partition) ?? 0, end: ends.get(partition) ?? 0, now, clock, retentionMs }, telling)
  }

  private constructor(
    log: Log,
    of: {
      readonly topic: string
      readonly partition: number
      readonly start: number
      readonly end: number
      readonly now: number
      clock(): number
      readonly retentionMs: number
    },
    telling: Telling,
  ) {
    this.#log = log
    this.#telling = telling
    this.#start = of.start
    this.#next = of.start
    this.#end = of.end
    this.#readTo = of.start
    this.#now = of.now
    this.#clock = of.clock
    this.#retentionMs = of.retentionMs
    this.#proven = { topic: of.topic, partition: of.partition, from: -1, to: of.start, records: 0, waiting: 0, cut: 0 }
  }

  /** How many records were hashed for it. */
  async link(link: Link): Promise<number> {
    const { topic, partition } = this.#proven
    if (link.begins && !link.from.value.equals(genesis(topic, partition, link.from.offset))) {
      this.#about('contradiction', link.from.offset, link.from.offset, 'a chain begins here with a value that is not its first')
    }
    if (this.#head) this.#join(this.#head, link)
    else await this.#uncovered(link.from.offset, 'no checkpoint that is there covers them')
    this.#removal(link)
    let from = link.from
    let hashed = 0
    for (const mark of link.marks) {
      hashed += await this.#mark(from, mark)
      from = { offset: mark.to, value: mark.value }
    }
    this.#removal(link)
    this.#head = headOf(link)
    return hashed
  }

  /** The links that come next are gone: the one behind them is read as if it were the first. */
  restart(): void {
    this.#head = undefined
  }

  async end(): Promise<Proven> {
    const head = this.#head?.offset ?? this.#start
    await this.#skipTo(head)
    let oldest = Number.POSITIVE_INFINITY
    for (let record = await this.#take(this.#end); record; record = await this.#take(this.#end)) {
      this.#proven.waiting++
      oldest = Math.min(oldest, record.timestamp)
    }
    if (this.#now - oldest > behindMs) {
      this.#about('behind', head, this.#end, `${this.#proven.waiting} records are in no checkpoint, the oldest of them since ${new Date(oldest).toISOString()}`)
    }
    if (this.#proven.from < 0) this.#proven.from = this.#proven.to
    return this.#proven
  }

  #join(head: Head, { from, begins }: Link): void {
    if (from.offset === head.offset && from.value.equals(head.value)) return
    if (from.offset > head.offset) {
      const why = begins ? 'they were removed before they were hashed, or the chain was switched off' : 'the checkpoints between are missing'
      this.#about('notCovered', head.offset, from.offset, `nothing proves these records: ${why}`)
    } else this.#about('contradiction', from.offset, head.offset, 'a checkpoint goes on from another value than the one before it came to')
  }

  async #mark(from: Head, { to, records, value }: Mark): Promise<number> {
    if (to <= this.#start || from.offset < this.#start) {
      if (to > this.#start) for (let record = await this.#take(to); record; record = await this.#take(to)) this.#proven.cut++
      this.#proven.to = Math.max(to, this.#start)
      return 0
    }
    await this.#skipTo(from.offset)
    const chain = new Chain(from)
    let expected = from.offset
    const holes: number[] = []
    for (let record = await this.#take(to); record; record = await this.#take(to)) {
      for (; expected < record.offset && holes.length < 4; expected++) holes.push(expected)
      expected = record.offset + 1
      chain.add(record)
    }
    for (; expected < to && holes.length < 4; expected++) holes.push(expected)
    const found = chain.records
    if (from.offset < this.#start) {
      // Overtaken in its middle: what is left of it, and what was read, cannot be compared.
      this.#proven.cut += found
      this.#proven.to = Math.max(to, this.#start)
      return found
    }
    if (this.#proven.from < 0) this.#proven.from = from.offset
    this.#proven.to = to
    if (chain.mark()?.value.equals(value)) {
      this.#proven.records += found
      return found
    }
    const where = holes.length > 0 && found < records ? `; there is nothing at ${holes.join(', ')}` : ''
    if (to > this.#end && found < records) {
      this.#about('truncated', from.offset, to, `${records - found} of ${records} records are gone: the log ends at ${this.#end}`)
    } else if (found < records) this.#about('missing', from.offset, to, `${records - found} of ${records} records are gone${where}`)
    else if (found > records) this.#about('inserted', from.offset, to, `${found} records stand where there were ${records}`)
    else this.#about('changed', from.offset, to, `of ${records} records at least one is not what it was`)
    return found
  }

  /** Retention removes what is older than its time: the newest record of a link that is gone as a whole is older than that. */
  #removal({ from, marks, newest }: Link): void {
    const to = marks.at(-1)?.to ?? Number.POSITIVE_INFINITY
    const until = newest + this.#retentionMs
    if (this.#isRemovalTold || to > this.#start || until <= this.#clock() + clocksMs) return
    this.#isRemovalTold = true
    const kept = Number.isFinite(until) ? `until ${new Date(until).toISOString()}` : 'for ever'
    this.#about('removedEarly', from.offset, this.#start, `the log begins at ${this.#start}: records below it were to be kept ${kept}`)
  }

  async #uncovered(to: number, why: string): Promise<void> {
    const from = this.#readTo
    let count = 0
    for (let record = await this.#take(to); record; record = await this.#take(to)) count++
    if (count > 0) this.#about('notCovered', Math.max(from, this.#start), to, `nothing proves ${count} records: ${why}`)
  }

  async #skipTo(offset: number): Promise<void> {
    if (offset <= this.#readTo) return
    for (let record = await this.#take(offset); record; record = await this.#take(offset));
  }

  /** The next record below an offset; undefined when there is none. */
  async #take(below: number): Promise<LogRecord | undefined> {
    while (this.#at >= this.#records.length) {
      if (this.#next >= below || this.#next >= this.#end) return undefined
      const { topic, partition } = this.#proven
      try {
        const stretch = await this.#log.read(topic, partition, this.#next, readBytes)
        // Views into one fetch, which is let go of with them.
        this.#records = stretch.records.filter(({ offset }) => offset >= this.#readTo)
        this.#at = 0
        this.#next = Math.max(stretch.nextOffset, this.#next + 1)
      } catch (error) {
        if (!(error instanceof OffsetOutOfRange)) throw error
        this.#overtaken((await this.#log.startOffsets(topic)).get(partition) ?? this.#end)
      }
    }
    const record = this.#records[this.#at] as LogRecord
    if (record.offset >= below || record.offset >= this.#end) return undefined
    this.#at++
    this.#readTo = record.offset + 1
    return record
  }

  /** The log does not hold what comes next: retention has moved its beginning, or its end went back, which the marks there tell. */
  #overtaken(start: number): void {
    const from = this.#next
    this.#next = start > from ? start : this.#end
    if (start <= from) return
    this.#start = start
    const { topic, partition } = this.#proven
    this.#telling.removed({ topic, partition, from, to: Math.min(start, this.#end) })
  }

  #about(kind: FindingKind, from: number, to: number, detail: string): void {
    const { topic, partition } = this.#proven
    this.#telling.finding({ kind, topic, partition, from, to, detail })
  }
}
