/**
 * The records of `messages` that deliveries need: the tail as it was fetched for matching, and what was read again for
 * sessions that come back. A herd of them shares each read.
 */
import { type Log, type LogRecord, OffsetOutOfRange, type Stretch } from '../log/log.ts'
import { isMarker, retainedShard, shardOfSource } from '../model/session-queue.ts'
import { decodeRecord } from '../schemas/codec.ts'
import { markerOf } from './replay-marker.ts'
import { WaitingPositions } from './waiting-positions.ts'

/** The log no longer holds it. */
export const gone = Symbol('gone')

interface Run {
  readonly records: readonly LogRecord[]
  readonly first: number
  readonly last: number
  readonly bytes: number
}

/** Bytes of one read for those who come back. */
const readSize = 512 * 1024
const retryMs = 200
/** A fetch of more than so many times what is kept of it is not held for it. */
const smallPart = 4
/** Positions of a partition that are remembered as gone: one that is forgotten is read again by who asks again. */
const goneMax = 10_000

class Partition {
  readonly tail: Run[] = []
  tailBytes = 0
  readonly reread: Run[] = []
  rereadBytes = 0
  /** Retention removed everything below, as far as is known. */
  start = 0
  /** From there on: positions without a value. */
  readonly gone = new Set<number>()
  readonly waiting = new WaitingPositions()
  isReading = false
}

/** What a position of a queue means: of `messages`, of `retained` for `retainedSource`, of `inbox` for `markerSource`. */
export function bySource(messages: Payloads, retained: Payloads, inbox: Payloads): Pick<Payloads, 'get'> {
  return {
    get: (source, offset, whenRead) => {
      if (isMarker(source)) {
        const value = inbox.get(shardOfSource(source), offset, whenRead)
        if (value === undefined || value === gone) return value
        const record = decodeRecord(value)
        return record.name === 'Replayed' ? markerOf(record.value) : gone
      }
      const shard = retainedShard(source)
      if (shard === undefined) return messages.get(shardOfSource(source), offset, whenRead)
      const value = retained.get(shard, offset, whenRead)
      if (value === undefined || value === gone) return value
      const record = decodeRecord(value)
      return record.name === 'Retained' ? record.value.message : gone
    },
  }
}

export class Payloads {
  readonly #log: Log
  readonly #topic: string
  readonly #bytesMax: number
  readonly #partitions = new Map<number, Partition>()
  readonly #onFailure: (error: Error) => void

  /** `bytesMax` bounds the tail and, once more, what was read again, of each partition. */
  constructor(options: { readonly log: Log; readonly topic: string; readonly bytesMax: number; onFailure(error: Error): void }) {
    this.#log = options.log
    this.#topic = options.topic
    this.#bytesMax = options.bytesMax
    this.#onFailure = options.onFailure
  }

  /** Keeps a stretch that was just fetched, and of which somebody is owed something. Copies what is a small part of its fetch. */
  keep(stretch: Stretch): void {
    const fetched = runOf(stretch.records)
    if (!fetched) return
    const held = stretch.records[0]?.value?.buffer.byteLength ?? 0
    const run = held > fetched.bytes * smallPart ? { ...fetched, records: copied(stretch.records) } : fetched
    const partition = this.#partition(stretch.partition)
    // The shard was away, or is read again from further back: runs must ascend.
    if (run.first <= (partition.tail.at(-1)?.last ?? -1)) {
      partition.tail.length = 0
      partition.tailBytes = 0
    }
    partition.tail.push(run)
    partition.tailBytes += run.bytes
    while (partition.tailBytes > this.#bytesMax && partition.tail.length > 1) partition.tailBytes -= (partition.tail.shift() as Run).bytes
  }

  /** Keeps some records of a partition that were read for somebody and will be sent soon; ascending. Copies what is a small part of its fetch. */
  remember(partitionNumber: number, records: readonly LogRecord[]): void {
    const run = runOf(copied(records))
    if (run) this.#addReread(this.#partition(partitionNumber), run)
  }

  /** The record's value; `gone` when the log no longer holds it; undefined when it must be read first: then `whenRead` is called once. */
  get(partitionNumber: number, offset: number, whenRead: () => void): Buffer | typeof gone | undefined {
    const partition = this.#partition(partitionNumber)
    const value = findSorted(partition.tail, offset) ?? find(partition.reread, offset)
    if (value) return value
    if (offset < partition.start || partition.gone.has(offset)) return gone
    partition.waiting.add(offset, whenRead)
    if (!partition.isReading) void this.#read(partitionNumber, partition)
    return undefined
  }

  async #read(partitionNumber: number, partition: Partition): Promise<void> {
    partition.isReading = true
    // Everybody who asks within this turn of the loop is served by the same reads, lowest position first.
    await new Promise((resolve) => setImmediate(resolve))
    while (partition.waiting.size > 0) {
      const { lowest } = partition.waiting
      try {
        const stretch = await this.#log.read(this.#topic, partitionNumber, lowest, readSize)
        // Beyond the end is not gone, but not to be had yet: what is owed was read once.
        if (Math.max(stretch.nextOffset, stretch.endOffset) > lowest) this.#serve(partition, lowest, stretch)
        else await new Promise((resolve) => setTimeout(resolve, retryMs))
      } catch (error) {
        await this.#notRead(partitionNumber, partition, lowest, error as Error)
      }
    }
    partition.isReading = false
  }

  /** Retention removes the beginning of a partition: one look at where it begins now tells of all that was there. */
  async #notRead(partitionNumber: number, partition: Partition, lowest: number, error: Error): Promise<void> {
    try {
      if (!(error instanceof OffsetOutOfRange)) throw error
      const start = (await this.#log.startOffsets(this.#topic)).get(partitionNumber) ?? 0
      partition.start = Math.max(partition.start, start)
      partition.waiting.settle(0, start)
      if (lowest >= start) rememberGone(partition, lowest)
      partition.waiting.settle(lowest, lowest + 1)
    } catch (failure) {
      this.#onFailure(failure as Error)
      await new Promise((resolve) => setTimeout(resolve, retryMs))
    }
  }

  #serve(partition: Partition, lowest: number, stretch: Stretch): void {
    const run = runOf(stretch.records)
    if (run) this.#addReread(partition, run)
    // Somebody may have asked for an earlier one meanwhile: this read says nothing of it.
    partition.waiting.settle(lowest, Math.max(stretch.nextOffset, lowest + 1), (offset) => {
      if (!valueIn(run, offset)) rememberGone(partition, offset)
    })
  }

  #addReread(partition: Partition, run: Run): void {
    partition.reread.push(run)
    partition.rereadBytes += run.bytes
    while (partition.rereadBytes > this.#bytesMax && partition.reread.length > 1) partition.rereadBytes -= (partition.reread.shift() as Run).bytes
  }

  #partition(number: number): Partition {
    let partition = this.#partitions.get(number)
    if (!partition) {
      partition = new Partition()
      this.#partitions.set(number, partition)
    }
    return partition
  }
}

/** Whoever asked may have left, or others may ask for the same: it stays until newer ones take its place. */
function rememberGone({ gone }: Partition, offset: number): void {
  gone.add(offset)
  if (gone.size > goneMax) gone.delete(gone.values().next().value as number)
}

/** Views would keep all that was fetched with them. */
const copied = (records: readonly LogRecord[]): readonly LogRecord[] =>
  records.map((record) => ({ ...record, key: null, value: record.value && Buffer.from(record.value) }))

function runOf(records: readonly LogRecord[]): Run | undefined {
  const first = records[0]
  const last = records.at(-1)
  if (!first || !last) return undefined
  let bytes = 0
  for (const record of records) bytes += (record.value?.length ?? 0) + 100
  return { records, first: first.offset, last: last.offset, bytes }
}

function valueIn(run: Run | undefined, offset: number): Buffer | undefined {
  if (!run || offset < run.first || offset > run.last) return undefined
  const direct = run.records[offset - run.first]
  if (direct?.offset === offset) return direct.value ?? undefined
  let low = 0
  let high = run.records.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const record = run.records[middle] as LogRecord
    if (record.offset === offset) return record.value ?? undefined
    if (record.offset < offset) low = middle + 1
    else high = middle - 1
  }
  return undefined
}

/** In runs read for different askers, in any order: few and large. */
function find(runs: readonly Run[], offset: number): Buffer | undefined {
  for (let i = runs.length - 1; i >= 0; i--) {
    const value = valueIn(runs[i], offset)
    if (value) return value
  }
  return undefined
}

/** In the tail, whose runs ascend: many and small. */
function findSorted(runs: readonly Run[], offset: number): Buffer | undefined {
  let low = 0
  let high = runs.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const run = runs[middle] as Run
    if (offset < run.first) high = middle - 1
    else if (offset > run.last) low = middle + 1
    else return valueIn(run, offset)
  }
  return undefined
}
