/**
 * The chains of one shard and their checkpoints, made by its owner (docs/audit.md). It reads behind the others and beside them: what it is
 * late with, nobody waits for.
 */
import type { KeyObject } from 'node:crypto'
import { Chain, genesis, type Mark } from '../audit/chain.ts'
import { type Checkpoint, hashOf, headOf, type Link, publicBytes, type ReadCheckpoint, type SignedStatement, signCheckpoint } from '../audit/checkpoint.ts'
import { readLastCheckpoint } from '../audit/last-checkpoint.ts'
import { type Appender, FencedError, type Log, LogClosed, OffsetOutOfRange, type Stretch } from '../log/log.ts'
import { encodeRecord } from '../schemas/codec.ts'

/** Records between two marks: as close as a change can be told where it is. */
export const recordsPerMark = 32
/** Records after which a checkpoint is made, and how long the first of them waits for it, ms. */
const recordsPerCheckpoint = 1_000
export const checkpointMs = 10_000

/** Marks of one chain that wait for a checkpoint; above it the log is read later. */
const marksMax = 512
const readBytes = 512 * 1024
/** After a failure it is tried again this much later, ms. */
const retryMs = 5_000
/** With a key that another has succeeded: keys are read at the start, and only what stands in the log may have changed. */
const retiredMs = 5 * 60_000

export interface ShardAuditOptions {
  readonly shard: number
  readonly term: number
  readonly log: Log
  /** The topic `audit`. */
  readonly topic: string
  /** Topics that have chains. */
  readonly covered: readonly string[]
  /** The first signs; another signs once more when it did last: that the first goes on. */
  readonly keys: readonly [KeyObject, ...KeyObject[]]
  /** With the shard's transactional id: Kafka refuses an earlier owner's. */
  readonly appender: Appender
  readonly counters: {
    hashed(topic: string, records: number): void
    checkpoint(): void
    /** Records that were gone before they were hashed. */
    gone(topic: string, records: number): void
  }
  readonly now: () => number
  /** So many bytes of what had been in the log before were read: resolves once more of it may be. */
  rest(bytes: number): Promise<void>
  onTrouble(error: Error): void
}

interface Covered {
  readonly topic: string
  chain: Chain
  from: Link['from']
  begins: boolean
  marks: Mark[]
  newest: number
}

type Said = Pick<ReadCheckpoint, 'sequence' | 'hash' | 'key'>

/** Whoever has the next key goes on. */
class KeyRetired extends Error {}

export class ShardAudit {
  readonly #options: ShardAuditOptions
  /** Undefined until what the predecessor left is read. */
  #covered: readonly Covered[] | undefined
  /** Where chains stand that are switched off: said again each time, so that they go on from there. */
  #resting: readonly Link[] = []
  #last: Said | undefined
  /** Built and not in the log for all that is known: it is said before anything else. */
  #unsaid: { readonly signed: SignedStatement; readonly said: Said } | undefined
  /** Since the last checkpoint that was built. */
  #records = 0
  /** When the oldest of them was hashed; undefined when there is none. */
  #since: number | undefined
  #isBusy = false
  #isClosed = false
  #notBefore = 0

  constructor(options: ShardAuditOptions) {
    this.#options = options
  }

  /** Records hashed and in no checkpoint yet. */
  get pending(): number {
    return this.#records
  }

  /** A stretch that this router has read anyway, from the offset on. Passed over when the chain is elsewhere. */
  offer(from: number, stretch: Stretch): void {
    const covered = this.#covered?.find(({ topic }) => topic === stretch.topic)
    if (this.#isClosed || !covered || from > covered.chain.offset || covered.marks.length >= marksMax) return
    this.#take(covered, stretch)
    if (this.#records >= recordsPerCheckpoint) this.#start(() => this.#say())
  }

  /** Once a second: reads what nobody offered, and makes a checkpoint when it is time. */
  tick(): void {
    if (this.#options.now() >= this.#notBefore) this.#start(() => this.#goOn())
  }

  close(): void {
    this.#isClosed = true
  }

  #start(work: () => Promise<void>): void {
    if (this.#isBusy || this.#isClosed) return
    this.#isBusy = true
    work()
      .catch((error: Error) => this.#failed(error))
      .finally(() => {
        this.#isBusy = false
      })
  }

  #failed(error: Error): void {
    // Whoever has the shard now goes on from the last checkpoint.
    if (error instanceof FencedError || error instanceof LogClosed) this.#isClosed = true
    else if (!this.#isClosed) this.#options.onTrouble(error)
    this.#notBefore = this.#options.now() + (error instanceof KeyRetired ? retiredMs : retryMs)
  }

  async #goOn(): Promise<void> {
    this.#covered ??= await this.#begin()
    await this.#catchUp(this.#covered)
    const isDue = this.#since !== undefined && this.#options.now() - this.#since >= checkpointMs
    // The first says where the chains begin, so that a shard without records has one too.
    if (this.#unsaid || isDue || this.#records >= recordsPerCheckpoint || !this.#last) await this.#say()
  }

  /** Fences the owner before, whose last checkpoint is the last then, and takes up its chains. */
  async #begin(): Promise<readonly Covered[]> {
    const { appender, topic, shard, log, covered, keys } = this.#options
    await appender.fence(topic, [shard])
    const found = await readLastCheckpoint(log, topic, shard, keys.map(publicBytes))
    const last = found?.checkpoint
    const signer = last && (last.nextKey ?? last.key)
    if (signer && found.isBelieved && !keys.some((key) => publicBytes(key).equals(signer))) {
      throw new KeyRetired(
        `AUDIT_KEY lacks the key that signs shard ${shard} now: the one that is there has named ${signer.toString('base64')} as its successor`,
      )
    }
    this.#last = last
    this.#resting = await this.#restingOf((last?.links ?? []).filter((link) => !covered.includes(link.topic)))
    return Promise.all(
      covered.map(async (name) => {
        const start = (await log.startOffsets(name)).get(shard) ?? 0
        const link = last?.links.find((each) => each.topic === name)
        if (!link) return this.#anew(name, start)
        const head = headOf(link)
        if (head.offset < start) {
          this.#options.counters.gone(name, start - head.offset)
          return this.#anew(name, start)
        }
        return { topic: name, chain: new Chain(head), from: head, begins: false, marks: [], newest: 0 }
      }),
    )
  }

  /** Those that can go on: behind where the others stand, retention has removed what comes next. */
  async #restingOf(links: readonly Link[]): Promise<readonly Link[]> {
    const { log, shard } = this.#options
    const resting: Link[] = []
    for (const link of links) {
      const { topic } = link
      const from = headOf(link)
      const start = (await log.topicExists(topic)) ? (await log.startOffsets(topic)).get(shard) : undefined
      if (start !== undefined && from.offset >= start) resting.push({ topic, from, begins: false, marks: [], newest: 0 })
    }
    return resting
  }

  #anew(topic: string, offset: number): Covered {
    const from = { offset, value: genesis(topic, this.#options.shard, offset) }
    return { topic, chain: new Chain(from), from, begins: true, marks: [], newest: 0 }
  }

  /** In turn, so that a short log does not wait for the end of a long one. */
  async #catchUp(all: readonly Covered[]): Promise<void> {
    for (let behind = all; behind.length > 0; ) {
      const still: Covered[] = []
      for (const covered of behind) if (!this.#isClosed && (await this.#readOn(covered))) still.push(covered)
      behind = still
    }
  }

  /** False when there is no more. */
  async #readOn(covered: Covered): Promise<boolean> {
    const { log, shard, counters, rest } = this.#options
    const from = covered.chain.offset
    let isBehind = true
    try {
      const stretch = await log.read(covered.topic, shard, from, readBytes)
      if (covered.marks.length < marksMax) this.#take(covered, stretch)
      isBehind = stretch.records.length > 0 && stretch.nextOffset < stretch.endOffset
      if (isBehind) await rest(sizeOf(stretch))
    } catch (error) {
      const start = error instanceof OffsetOutOfRange ? ((await log.startOffsets(covered.topic)).get(shard) ?? 0) : 0
      if (start <= from) throw error
      // What was hashed is said before the chain breaks off.
      if (this.#records > 0) await this.#say()
      counters.gone(covered.topic, start - from)
      Object.assign(covered, this.#anew(covered.topic, start))
    }
    if (this.#records >= recordsPerCheckpoint) await this.#say()
    return isBehind
  }

  #take(covered: Covered, { records }: Stretch): void {
    const { chain } = covered
    let taken = 0
    for (const record of records) {
      if (record.offset < chain.offset) continue
      chain.add(record)
      taken++
      if (record.timestamp > covered.newest) covered.newest = record.timestamp
      if (chain.records >= recordsPerMark) covered.marks.push(chain.mark() as Mark)
    }
    if (taken === 0) return
    this.#records += taken
    this.#since ??= this.#options.now()
    this.#options.counters.hashed(covered.topic, taken)
  }

  /** Appends a checkpoint of what is hashed, or once more the one that Kafka has not taken. */
  async #say(): Promise<void> {
    const { appender, topic, shard, now, counters } = this.#options
    if (!this.#covered) return
    this.#unsaid ??= this.#build(this.#covered)
    const { signed, said } = this.#unsaid
    await appender.write({ topic, partition: shard, key: null, value: encodeRecord('AuditCheckpoint', signed), timestamp: now() })
    this.#last = said
    this.#unsaid = undefined
    counters.checkpoint()
  }

  #build(all: readonly Covered[]): { readonly signed: SignedStatement; readonly said: Said } {
    const { shard, term, now, keys } = this.#options
    const [current] = keys
    // Signed once more by the key that signed last, this one names its successor.
    const leaving = keys.slice(1).find((key) => this.#last && publicBytes(key).equals(this.#last.key))
    const links = all.map((covered): Link => {
      const rest = covered.chain.mark()
      if (rest) covered.marks.push(rest)
      const { topic, from, begins, marks, newest } = covered
      const link = { topic, from, begins, marks, newest }
      Object.assign(covered, { from: headOf(link), begins: false, marks: [], newest: 0 })
      return link
    })
    const sequence = this.#last ? this.#last.sequence + 1 : 0
    const nextKey = leaving ? publicBytes(current) : undefined
    const checkpoint: Checkpoint = { shard, sequence, previous: this.#last?.hash ?? null, term, at: now(), links: [...links, ...this.#resting], nextKey }
    const signed = signCheckpoint(checkpoint, leaving ?? current)
    this.#records = 0
    this.#since = undefined
    return { signed, said: { sequence, hash: hashOf(signed.statement), key: nextKey ?? publicBytes(current) } }
  }
}

function sizeOf({ records }: Stretch): number {
  let bytes = 0
  for (const { key, value } of records) bytes += (key?.length ?? 0) + (value?.length ?? 0)
  return bytes
}
