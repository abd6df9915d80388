/**
 * Reads a log beside its checkpoints and says where it is not what it was: what an auditor runs, with nothing but a Kafka client's
 * permission to read and the public key. docs/audit.md says what each finding means.
 */
import { type Log, type LogRecord, OffsetOutOfRange } from '../log/log.ts'
import { decodeRecord } from '../schemas/codec.ts'
import { RecordError } from '../schemas/record-error.ts'
import { Chain, genesis, type Head, type Mark } from './chain.ts'
import { headOf, isSigned, type Link, type ReadCheckpoint, readStatement, StatementError } from './checkpoint.ts'

/** What is wrong. Of a mark: something between two offsets is not what it was; of checkpoints: they are not all, or not one row. */
export const findingKinds = [
  'changed',
  'missing',
  'inserted',
  'truncated',
  'removedEarly',
  'notCovered',
  'behind',
  'badSignature',
  'unknownKey',
  'notACheckpoint',
  'checkpointsMissing',
  'fork',
  'contradiction',
  'olderTerm',
  'noCheckpoints',
  'expectedMissing',
] as const
export type FindingKind = (typeof findingKinds)[number]

export interface Finding {
  readonly kind: FindingKind
  readonly topic: string
  readonly partition: number
  /** Offsets in the topic that it is about, the last one not included, where it is about some. */
  readonly from?: number
  readonly to?: number
  /** A sentence for people. */
  readonly detail: string
}

/** What was found of one chain. */
export interface Proven {
  readonly topic: string
  readonly partition: number
  /** Where proof begins: the log's start, or the first mark behind it. */
  from: number
  /** Where it ends: the last mark. */
  to: number
  /** Records between the two that were hashed. */
  records: number
  /** Records behind the last mark: they wait for a checkpoint. */
  waiting: number
  /** Records before the first mark behind the log's start: retention has cut a stretch between two marks. */
  cut: number
}

export interface VerifyReport {
  readonly ok: boolean
  readonly checkpoints: number
  readonly proven: readonly Proven[]
  /** At most `findingsMax`. */
  readonly findings: readonly Finding[]
  /** Findings beyond those told. */
  readonly more: number
}

export interface VerifyOptions {
  readonly log: Log
  /** The topic `audit`. */
  readonly topic: string
  /** Public keys that are believed from the start (SubjectPublicKeyInfo, DER). */
  readonly trusted: readonly Buffer[]
  /** Checkpoints that were kept elsewhere: each must be among those that are there now. */
  readonly expected?: readonly ReadCheckpoint[]
  /** Only these topics; all that have chains when not given. */
  readonly topics?: ReadonlySet<string>
  readonly now: number
  /** Told now and then. */
  onProgress?(progress: { readonly partition: number; readonly partitions: number; readonly checkpoints: number; readonly records: number }): void
}

/** Findings that are told one by one. */
export const findingsMax = 1_000
/** Records older than this are to be in a checkpoint, ms. */
export const behindMs = 5 * 60_000
/** Clocks of brokers and auditors may differ by this much, ms. */
const clocksMs = 60_000
const readBytes = 512 * 1024
const progressEvery = 200

export async function verifyLog(options: VerifyOptions): Promise<VerifyReport> {
  const { log, topic } = options
  const [starts, ends] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic)])
  const told: Finding[] = []
  let more = 0
  const tell = (finding: Finding): void => {
    if (told.length < findingsMax) told.push(finding)
    else more++
  }
  const proven: Proven[] = []
  let checkpoints = 0
  let records = 0
  for (const [partition, end] of [...ends].sort(([a], [b]) => a - b)) {
    const progress = (): void => options.onProgress?.({ partition, partitions: ends.size, checkpoints, records: records + shard.records })
    const shard = new ShardVerifier(partition, options, tell)
    for (let offset = starts.get(partition) ?? 0; offset < end; ) {
      const stretch = await log.read(topic, partition, offset, readBytes)
      for (const record of stretch.records) {
        if (record.offset >= end) break
        await shard.checkpoint(record)
        if (++checkpoints % progressEvery === 0) progress()
      }
      if (stretch.nextOffset === offset) break
      offset = stretch.nextOffset
    }
    proven.push(...(await shard.end()))
    records += shard.records
    progress()
  }
  return { ok: told.length === 0, checkpoints, proven, findings: told, more }
}

/** One shard: its checkpoints in their order, and the log of each of its chains beside them. */
class ShardVerifier {
  readonly #partition: number
  readonly #options: VerifyOptions
  readonly #tell: (finding: Finding) => void
  readonly #trusted: Buffer[]
  readonly #readers = new Map<string, ChainReader>()
  readonly #expected: Map<number, ReadCheckpoint>
  #first: number | undefined
  #last: ReadCheckpoint | undefined
  records = 0

  constructor(partition: number, options: VerifyOptions, tell: (finding: Finding) => void) {
    this.#partition = partition
    this.#options = options
    this.#tell = tell
    this.#trusted = [...options.trusted]
    this.#expected = new Map((options.expected ?? []).filter(({ shard }) => shard === partition).map((each) => [each.sequence, each]))
  }

  /** The next record of the shard's partition of `audit`. */
  async checkpoint(record: LogRecord): Promise<void> {
    const checkpoint = this.#believed(record)
    if (!checkpoint || !this.#follows(checkpoint, record.offset)) return
    this.#first ??= checkpoint.sequence
    const expected = this.#expected.get(checkpoint.sequence)
    if (expected && !expected.hash.equals(checkpoint.hash)) {
      this.#about('fork', record.offset, `checkpoint ${checkpoint.sequence} is another one than was kept elsewhere`)
    }
    this.#expected.delete(checkpoint.sequence)
    for (const link of checkpoint.links) {
      if (this.#options.topics && !this.#options.topics.has(link.topic)) continue
      const reader = await this.#reader(link.topic)
      this.records += await reader.link(link)
    }
    this.#last = checkpoint
  }

  /** Behind the last checkpoint. */
  async end(): Promise<readonly Proven[]> {
    if (!this.#last) {
      this.#tell({ kind: 'noCheckpoints', topic: this.#options.topic, partition: this.#partition, detail: 'there is no checkpoint that could be believed' })
    }
    for (const { sequence } of this.#expected.values()) {
      // Retention removes the oldest ones, and only those.
      if (this.#first !== undefined && sequence < this.#first) continue
      const detail = `checkpoint ${sequence}, which was kept elsewhere, is not there: the last one is ${this.#last?.sequence ?? 'none'}`
      this.#tell({ kind: 'expectedMissing', topic: this.#options.topic, partition: this.#partition, detail })
    }
    const proven: Proven[] = []
    for (const reader of this.#readers.values()) proven.push(await reader.end())
    return proven
  }

  #about(kind: FindingKind, offset: number, detail: string): void {
    this.#tell({ kind, topic: this.#options.topic, partition: this.#partition, from: offset, to: offset + 1, detail })
  }

  /** The checkpoint that a record holds, when a key that is believed has signed it. */
  #believed({ offset, value }: LogRecord): ReadCheckpoint | undefined {
    try {
      const record = value && decodeRecord(value)
      if (record?.name !== 'AuditCheckpoint') throw new StatementError(record ? `it is ${record.name}` : 'it is empty')
      const checkpoint = readStatement(record.value.statement)
      if (!isSigned(record.value, checkpoint.key)) {
        this.#about('badSignature', offset, `the signature is not that of the key which checkpoint ${checkpoint.sequence} names`)
        return undefined
      }
      if (!this.#trusted.some((key) => key.equals(checkpoint.key))) {
        const detail = `checkpoint ${checkpoint.sequence} is signed by a key that is not believed: ${checkpoint.key.toString('base64')}`
        this.#about('unknownKey', offset, detail)
        return undefined
      }
      if (checkpoint.shard !== this.#partition) throw new StatementError(`it is of shard ${checkpoint.shard}`)
      if (checkpoint.nextKey) this.#trusted.push(checkpoint.nextKey)
      return checkpoint
    } catch (error) {
      if (!(error instanceof StatementError || error instanceof RecordError)) throw error
      this.#about('notACheckpoint', offset, `the record is no checkpoint of this shard: ${error.message}`)
      return undefined
    }
  }

  /** Whether it goes on from the last one, or at least from a later one. */
  #follows({ sequence, previous, term, hash }: ReadCheckpoint, offset: number): boolean {
    const last = this.#last
    if (!last) return true
    if (sequence <= last.sequence) {
      // An append of unknown outcome is repeated unchanged; Kafka drops the repeat, and a copy of it would say nothing else.
      const detail = `checkpoint ${sequence} comes behind checkpoint ${last.sequence}: two rows of checkpoints, or one of them moved or copied`
      if (sequence < last.sequence || !hash.equals(last.hash)) this.#about('fork', offset, detail)
      return false
    }
    if (sequence > last.sequence + 1) {
      this.#about('checkpointsMissing', offset, `checkpoints ${last.sequence + 1} to ${sequence - 1} are missing`)
    } else if (!previous?.equals(last.hash)) {
      this.#about('fork', offset, `checkpoint ${sequence} goes on from another checkpoint ${last.sequence} than the one that is there`)
    }
    if (term < last.term) this.#about('olderTerm', offset, `checkpoint ${sequence} is of term ${term}, behind one of term ${last.term}`)
    return true
  }

  async #reader(topic: string): Promise<ChainReader> {
    const known = this.#readers.get(topic)
    if (known) return known
    const reader = await ChainReader.open(this.#options, topic, this.#partition, this.#tell)
    this.#readers.set(topic, reader)
    return reader
  }
}

/** One chain: its links in their order, and the records that they are about. */
class ChainReader {
  readonly #log: Log
  readonly #start: number
  readonly #now: number
  readonly #retentionMs: number
  readonly #tell: (finding: Finding) => void
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

  static async open({ log, now }: VerifyOptions, topic: string, partition: number, tell: (finding: Finding) => void): Promise<ChainReader> {
    const [starts, ends, settings] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic), log.topicSettings(topic)])
    const retentionMs = Number(settings['retention.ms'] ?? -1)
    return new ChainReader(log, { topic, partition, start: starts.get(partition) ?? 0, end: ends.get(partition) ?? 0, now, retentionMs }, tell)
  }

  private constructor(
    log: Log,
    of: {
      readonly topic: string
      readonly partition: number
      readonly start: number
      readonly end: number
      readonly now: number
      readonly retentionMs: number
    },
    tell: (finding: Finding) => void,
  ) {
    this.#log = log
    this.#tell = tell
    this.#start = of.start
    this.#next = of.start
    this.#end = of.end
    this.#readTo = of.start
    this.#now = of.now
    this.#retentionMs = of.retentionMs < 0 ? Number.POSITIVE_INFINITY : of.retentionMs
    this.#proven = { topic: of.topic, partition: of.partition, from: -1, to: of.start, records: 0, waiting: 0, cut: 0 }
  }

  /** How many records were hashed for it. */
  async link(link: Link): Promise<number> {
    const { topic, partition } = this.#proven
    if (link.begins && !link.from.value.equals(genesis(topic, partition, link.from.offset))) {
      this.#about('contradiction', link.from.offset, link.from.offset, 'a chain begins here with a value that is not its first')
    }
    if (this.#head) this.#join(this.#head, link)
    else if (link.from.offset > this.#start) await this.#uncovered(link.from.offset, 'no checkpoint that is there covers them')
    this.#removal(link)
    let from = link.from
    let hashed = 0
    for (const mark of link.marks) {
      hashed += await this.#mark(from, mark)
      from = { offset: mark.to, value: mark.value }
    }
    this.#head = headOf(link)
    return hashed
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
    if (this.#isRemovalTold || to > this.#start || until <= this.#now + clocksMs) return
    this.#isRemovalTold = true
    const kept = Number.isFinite(until) ? `until ${new Date(until).toISOString()}` : 'for ever'
    this.#about('removedEarly', from.offset, this.#start, `the log begins at ${this.#start}: records below it were to be kept ${kept}`)
  }

  async #uncovered(to: number, why: string): Promise<void> {
    let count = 0
    for (let record = await this.#take(to); record; record = await this.#take(to)) count++
    if (count > 0) this.#about('notCovered', this.#start, to, `nothing proves ${count} records: ${why}`)
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
        // Retention moved on while this was read: what it took is missing, and is told so.
        this.#next = Math.max(this.#next + 1, (await this.#log.startOffsets(topic)).get(partition) ?? this.#end)
      }
    }
    const record = this.#records[this.#at] as LogRecord
    if (record.offset >= below || record.offset >= this.#end) return undefined
    this.#at++
    this.#readTo = record.offset + 1
    return record
  }

  #about(kind: FindingKind, from: number, to: number, detail: string): void {
    const { topic, partition } = this.#proven
    this.#tell({ kind, topic, partition, from, to, detail })
  }
}
