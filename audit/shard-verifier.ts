/** The checkpoints of one shard in their row: who signed them, whether they are all there, and what the log beside them says. */
import type { Log, LogRecord } from '../log/log.ts'
import { decodeRecord } from '../schemas/codec.ts'
import { RecordError } from '../schemas/record-error.ts'
import { ChainReader, clocksMs, keptForMs } from './chain-reader.ts'
import { isSigned, type ReadCheckpoint, readStatement, StatementError } from './checkpoint.ts'
import type { FindingKind, Proven, Telling } from './finding.ts'
import { Signers } from './signers.ts'

export interface ShardVerifierOptions {
  readonly log: Log
  /** The topic `audit`. */
  readonly topic: string
  /** Public keys that are believed from the start (SubjectPublicKeyInfo, DER). */
  readonly trusted: readonly Buffer[]
  /** Checkpoints that were kept elsewhere: each must be among those that are there now. */
  readonly expected?: readonly ReadCheckpoint[]
  /** Only these topics; all that have chains when not given. */
  readonly topics?: ReadonlySet<string>
  /** When the reading began, ms: what came later waits for nothing yet. */
  readonly now: number
  /** The time, ms: retention goes on removing while the log is read. */
  clock(): number
}

export class ShardVerifier {
  readonly #partition: number
  readonly #options: ShardVerifierOptions
  readonly #telling: Telling
  readonly #signers: Signers
  readonly #readers = new Map<string, ChainReader>()
  readonly #expected: Map<number, ReadCheckpoint>
  #first: number | undefined
  #last: ReadCheckpoint | undefined
  /** Between which checkpoints retention has removed those that were to be read next. */
  readonly #gaps: { readonly after: number; before: number }[] = []
  #isOvertaken = false
  records = 0

  constructor(partition: number, options: ShardVerifierOptions, telling: Telling) {
    this.#partition = partition
    this.#options = options
    this.#telling = telling
    this.#signers = new Signers(options.trusted)
    this.#expected = new Map((options.expected ?? []).filter(({ shard }) => shard === partition).map((each) => [each.sequence, each]))
  }

  /** The next record of the shard's partition of `audit`. */
  async checkpoint(record: LogRecord): Promise<void> {
    const checkpoint = this.#believed(record)
    if (!checkpoint || !this.#follows(checkpoint, record.offset)) return
    this.#signers.passed(checkpoint)
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

  /** Retention has removed the checkpoints that came next: what stands behind them is read as if it were the first. */
  overtaken({ from, to }: { readonly from: number; readonly to: number }): void {
    this.#telling.removed({ topic: this.#options.topic, partition: this.#partition, from, to })
    this.#gaps.push({ after: this.#last?.sequence ?? -1, before: Number.POSITIVE_INFINITY })
    this.#isOvertaken = true
    for (const reader of this.#readers.values()) reader.restart()
  }

  /** Behind the last checkpoint. */
  async end(): Promise<readonly Proven[]> {
    if (!this.#last) {
      this.#telling.finding({
        kind: 'noCheckpoints',
        topic: this.#options.topic,
        partition: this.#partition,
        detail: 'there is no checkpoint that could be believed',
      })
    }
    const { log, topic, topics, clock } = this.#options
    // Who asks about one topic is not to hear that nothing is wrong with it when nothing was looked at.
    for (const asked of this.#last && topics ? topics : []) {
      if (this.#readers.has(asked)) continue
      this.#telling.finding({ kind: 'notCovered', topic: asked, partition: this.#partition, detail: 'no checkpoint has a chain of it' })
    }
    const keptMs = this.#expected.size > 0 ? keptForMs(await log.topicSettings(topic)) : 0
    for (const { sequence, at } of this.#expected.values()) {
      // Retention removes the oldest ones, those whose time is over, and only those.
      if (this.#isRemoved(sequence) && at + keptMs <= clock() + clocksMs) continue
      const detail = `checkpoint ${sequence}, which was kept elsewhere, is not there: there are those from ${this.#first ?? 'none'} to ${this.#last?.sequence ?? 'none'}`
      this.#telling.finding({ kind: 'expectedMissing', topic: this.#options.topic, partition: this.#partition, detail })
    }
    const proven: Proven[] = []
    for (const reader of this.#readers.values()) proven.push(await reader.end())
    return proven
  }

  /** Whether the log began behind this checkpoint, before or while it was read. */
  #isRemoved(sequence: number): boolean {
    if (this.#first !== undefined && sequence < this.#first) return true
    return this.#gaps.some(({ after, before }) => sequence > after && sequence < before)
  }

  #about(kind: FindingKind, offset: number, detail: string): void {
    this.#telling.finding({ kind, topic: this.#options.topic, partition: this.#partition, from: offset, to: offset + 1, detail })
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
      const standing = this.#signers.standing(checkpoint)
      if (standing !== 'believed') {
        const why = standing === 'retired' ? 'has named its successor before' : 'is not believed'
        const detail = `checkpoint ${checkpoint.sequence} is signed by a key that ${why}: ${checkpoint.key.toString('base64')}`
        this.#about(standing === 'retired' ? 'retiredKey' : 'unknownKey', offset, detail)
        return undefined
      }
      if (checkpoint.shard !== this.#partition) throw new StatementError(`it is of shard ${checkpoint.shard}`)
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
    if (this.#isOvertaken) {
      this.#isOvertaken = false
      for (const gap of this.#gaps) gap.before = Math.min(gap.before, sequence)
    } else if (sequence > last.sequence + 1) {
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
    const reader = await ChainReader.open(this.#options, topic, this.#partition, this.#telling)
    this.#readers.set(topic, reader)
    return reader
  }
}
