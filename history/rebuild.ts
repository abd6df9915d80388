/**
 * Copies what a namespace was at a moment into topics of another Kafka, at the same offsets: records name each other by them. Where the log has no
 * record – before its start, in gaps of compaction – the copy has one that says nothing. `snapshots` and `retained`, which tell the newest only, are made
 * of the state of the moment.
 */
import type { Append, Appender, Log } from '../log/log.ts'
import { readBetween } from '../log/read-between.ts'
import { type TopicNames, topicSpecs } from '../log/topics.ts'
import { chunkKey, closedKey, joined, sharedChunks, stateChunks } from '../model/snapshot.ts'
import { decodeRecord, encodeRecord } from '../schemas/codec.ts'
import { BeforeHistory } from './before-history.ts'
import { checkpointFor, contentsOfCheckpoint } from './checkpoint.ts'
import type { Moment } from './moment.ts'
import { registryAt } from './past-registry.ts'
import { shardAt } from './past-shard.ts'

/** The copy's topics hold something. */
export class NotEmpty extends Error {
  constructor(topic: string) {
    super(`the topic ${topic} holds records already: a copy begins in topics of its own`)
    this.name = 'NotEmpty'
  }
}

/** Somebody else writes to the copy's topics: its records do not stand where others say that they are. */
export class NotAlone extends Error {
  constructor(topic: string) {
    super(`somebody else has written to ${topic}: the copy is of no use. Nothing may run there until it is whole`)
    this.name = 'NotAlone'
  }
}

export interface RebuildOptions {
  readonly from: { readonly log: Log; readonly topics: TopicNames }
  readonly to: { readonly log: Log; readonly prefix: string; readonly topics: TopicNames }
  readonly shards: number
  readonly moment: Moment
  /** Milliseconds since the epoch. */
  readonly now: number
  onCopied?(topic: string, records: number): void
}

export interface Rebuilt {
  /** Records copied, by topic. */
  readonly copied: Readonly<Record<string, number>>
  /** Retained messages, and those whose message the log no longer holds. */
  readonly retained: number
  readonly retainedGone: number
  /** What would reach others from the copy, and so is not in it: `kind/name`. */
  readonly leftOut: readonly string[]
}

/** Bytes on their way to the copy above which it is waited for. */
const pendingMax = 8 * 1024 * 1024
const chunkSizeMax = 512 * 1024
/** A key of the compacted topics that says nothing: no topic, no kind, no part of a snapshot. */
const fillerKey = Buffer.from('\u0000filler')
const day = 24 * 3_600_000

/**
 * Makes the topics and copies. Rejects with BeforeHistory, before anything is made; with NotEmpty, NotAlone, or what the logs reject with: what was copied
 * until then stays.
 */
export async function rebuild(options: RebuildOptions): Promise<Rebuilt> {
  const { from, to, shards, moment, now } = options
  const { view } = await registryAt(from.log, from.topics, moment, { now })
  // Each shard is folded once for nothing: what the log does not hold is told before the copy's topics hold a part.
  for (let shard = 0; shard < shards; shard++) await shardAt({ ...from, shard, shards, moment })
  const copy = await Copy.begin(options)
  try {
    const copied: Record<string, number> = {}
    const checkpoints = await from.log.offsetsAt(from.topics.checkpoints, moment.at + 1)
    const until = { registry: new Map([[0, moment.registry]]), sessions: moment.sessions, inbox: moment.inbox, messages: moment.messages, checkpoints }
    for (const kind of ['registry', 'sessions', 'inbox', 'messages', 'checkpoints'] as const) copied[kind] = await copy.topic(kind, until[kind])
    let [retained, retainedGone] = [0, 0]
    for (let shard = 0; shard < shards; shard++) {
      await copy.snapshot(shard)
      const held = await copy.retained(shard)
      retained += held.there
      retainedGone += held.gone
    }
    // What pushes to others, and namespaces that are not copied.
    const leftOut = [
      ...[...view.routes.keys()].map((name) => `routes/${name}`),
      ...[...view.eventSubscriptions.keys()].map((name) => `eventSubscriptions/${name}`),
      ...[...view.namespaces.keys()].map((name) => `namespaces/${name}`),
    ]
    await Promise.all(leftOut.map((key) => copy.write({ topic: to.topics.registry, partition: 0, key: Buffer.from(key), value: null, timestamp: now })))
    return { copied, retained, retainedGone, leftOut }
  } finally {
    await copy.end()
  }
}

class Copy {
  readonly #options: RebuildOptions
  readonly #appender: Appender
  #failure: Error | undefined

  static async begin(options: RebuildOptions): Promise<Copy> {
    const { to, shards } = options
    const plan = {
      prefix: to.prefix,
      names: to.topics,
      partitions: shards,
      replication: 1,
      historyWindowMs: Number.POSITIVE_INFINITY,
      auditWindowMs: Number.POSITIVE_INFINITY,
    }
    await to.log.createTopics(topicSpecs(plan))
    for (const topic of Object.values(to.topics)) for (const end of (await to.log.endOffsets(topic)).values()) if (end > 0) throw new NotEmpty(topic)
    return new Copy(options, await to.log.appender())
  }

  private constructor(options: RebuildOptions, appender: Appender) {
    this.#options = options
    this.#appender = appender
  }

  write(record: Append): Promise<number> {
    return this.#appender.write(record)
  }

  async end(): Promise<void> {
    await this.#appender.close()
  }

  /** Every record below these offsets, by partition. Returns how many there were. */
  async topic(kind: keyof TopicNames, until: ReadonlyMap<number, number>): Promise<number> {
    const { from, to, onCopied } = this.#options
    const [topic, target] = [from.topics[kind], to.topics[kind]]
    const starts = await from.log.startOffsets(topic)
    const key = kind === 'registry' ? fillerKey : null
    let count = 0
    for (const [partition, end] of until) {
      let next = 0
      for await (const records of readBetween(from.log, topic, partition, { from: starts.get(partition) ?? 0, to: end })) {
        for (const record of records) {
          next = await this.#fill(target, partition, next, record.offset, key)
          await this.#append({ ...record, topic: target, partition })
          next++
          count++
        }
      }
      await this.#fill(target, partition, next, end, key)
    }
    await this.#settled()
    const ends = await to.log.endOffsets(target)
    for (const [partition, end] of until) if (ends.get(partition) !== end) throw new NotAlone(target)
    onCopied?.(topic, count)
    return count
  }

  /** The state that the journals are folded on from. */
  async snapshot(shard: number): Promise<void> {
    const { from, to, moment, now } = this.#options
    const reach = { at: moment.at, sessions: moment.sessions.get(shard) ?? 0, inbox: moment.inbox.get(shard) ?? 0 }
    const checkpoint = await checkpointFor(from.log, from.topics.checkpoints, shard, reach)
    const contents = checkpoint && (await contentsOfCheckpoint(from.log, from.topics.checkpoints, shard, checkpoint))
    if (!checkpoint || !contents) throw new BeforeHistory(null)
    const { closed } = checkpoint
    const { term, generation } = closed
    const write = (key: Buffer, value: Buffer): Promise<void> => this.#append({ topic: to.topics.snapshots, partition: shard, key, value, timestamp: now })
    let chunk = 0
    for (const sessions of [...stateChunks(joined(contents.states), chunkSizeMax), ...sharedChunks(shard, term, contents, chunkSizeMax)]) {
      await write(Buffer.from(chunkKey(generation, chunk)), encodeRecord('SnapshotChunk', { shard, term, generation, chunk, sessions }))
      chunk++
    }
    await write(closedKey, encodeRecord('SnapshotClosed', { ...closed, chunks: chunk }))
    await this.#settled()
  }

  async retained(shard: number): Promise<{ readonly there: number; readonly gone: number }> {
    const { from, to, shards, moment, now } = this.#options
    const { log, topics } = from
    const past = await shardAt({ log, topics, shard, shards, moment })
    const older = new Map<number, Buffer>()
    const start = (await log.startOffsets(topics.messages)).get(shard) ?? 0
    const end = (await log.endOffsets(topics.retained)).get(shard) ?? 0
    // Queues may name positions here: they find nothing, which is told, and not another message.
    await this.#fill(to.topics.retained, shard, 0, end, fillerKey)
    const retainedFrom = (await log.startOffsets(topics.retained)).get(shard) ?? 0
    for await (const records of readBetween(log, topics.retained, shard, { from: retainedFrom, to: end })) {
      for (const { value } of records) {
        const record = value && decodeRecord(value)
        if (record?.name === 'Retained' && record.value.offset < start) older.set(record.value.offset, Buffer.from(record.value.message))
      }
    }
    let [there, gone] = [0, 0]
    for (const { topic, offset, expiresAt } of past.retained.at(moment.at)) {
      const message = offset < start ? older.get(offset) : await this.#message(shard, offset)
      if (!message) {
        gone++
        continue
      }
      there++
      const value = encodeRecord('Retained', { offset, expiresAt, message })
      await this.#append({ topic: to.topics.retained, partition: shard, key: Buffer.from(topic), value, timestamp: now })
    }
    await this.#settled()
    return { there, gone }
  }

  async #message(shard: number, offset: number): Promise<Buffer | undefined> {
    const { log, topics } = this.#options.from
    return (await log.read(topics.messages, shard, offset, 1)).records.find((record) => record.offset === offset)?.value ?? undefined
  }

  async #fill(topic: string, partition: number, from: number, to: number, key: Buffer | null): Promise<number> {
    // Young enough for every retention there is.
    const timestamp = this.#options.now - day
    for (let offset = from; offset < to; offset++) await this.#append({ topic, partition, key, value: null, timestamp })
    return Math.max(from, to)
  }

  async #append(record: Append): Promise<void> {
    if (this.#failure) throw this.#failure
    this.#appender.append(record, (error) => {
      if (error) this.#failure ??= error
    })
    if (this.#appender.pendingBytes > pendingMax) await this.#settled()
  }

  async #settled(): Promise<void> {
    await this.#appender.flush()
    if (this.#failure) throw this.#failure
  }
}
