/**
 * The event log in memory, for pure tests and simulation: the semantic of log/kafka, held by the same contract suite.
 * Several logs on one MemoryStore are several processes on one Kafka.
 */
import { assignRanges } from './assignment.ts'
import {
  type Append,
  AppendError,
  type Appended,
  type Appender,
  type AppenderOptions,
  FencedError,
  type Follower,
  type FollowOptions,
  type Log,
  LogClosed,
  type LogHealth,
  type LogRecord,
  type Membership,
  type MembershipEvents,
  noHeaders,
  OffsetOutOfRange,
  type ReadOptions,
  type RecordHeader,
  type Stretch,
  TopicMismatch,
  type TopicSpec,
} from './log.ts'
import { written } from './written.ts'

interface StoredPartition {
  /** In offset order; compaction leaves gaps. */
  records: LogRecord[]
  startOffset: number
  endOffset: number
  /** The newest epoch that wrote here, by transactional id: older ones are refused from then on, as Kafka does. */
  readonly epochs: Map<string, number>
}

interface StoredTopic {
  readonly spec: TopicSpec
  readonly partitions: StoredPartition[]
}

interface GroupMember {
  readonly memberId: string
  readonly instance: string
  readonly events: MembershipEvents
  owned: readonly number[]
  telling: Promise<void>
}

interface Group {
  readonly topic: string
  members: GroupMember[]
}

export interface MemoryStoreOptions {
  /** When answers are given; a simulation puts its own scheduler here. Default setImmediate. */
  readonly schedule?: (work: () => void) => void
  /** Wakes an idle follower; default setTimeout. Returns how to cancel. */
  readonly timer?: (work: () => void, ms: number) => () => void
  readonly now?: () => number
}

/** What the logs share. */
export class MemoryStore {
  readonly topics = new Map<string, StoredTopic>()
  readonly epochs = new Map<string, number>()
  readonly groups = new Map<string, Group>()
  /** Offsets by `topic/partition`, by the group they were committed for. */
  readonly committed = new Map<string, Map<string, number>>()
  readonly schedule: (work: () => void) => void
  readonly timer: (work: () => void, ms: number) => () => void
  readonly now: () => number
  #watchers = new Set<() => void>()
  #awaySince: number | null = null
  #waiting: (() => void)[] = []
  members = 0

  constructor(options: MemoryStoreOptions = {}) {
    this.schedule = options.schedule ?? setImmediate
    this.timer =
      options.timer ??
      ((work, ms) => {
        const timer = setTimeout(work, ms)
        return () => clearTimeout(timer)
      })
    this.now = options.now ?? Date.now
  }

  /** While away nothing is answered; what was asked is done, in order, once it is back. */
  setAway(isAway: boolean): void {
    this.#awaySince = isAway ? this.now() : null
    if (!isAway) for (const work of this.#waiting.splice(0)) this.whenBack(work)
    this.notify()
  }

  get awaySince(): number | null {
    return this.#awaySince
  }

  whenBack(work: () => void): void {
    if (this.#awaySince === null) work()
    else this.#waiting.push(work)
  }

  partition(topic: string, partition: number): StoredPartition | undefined {
    return this.topics.get(topic)?.partitions[partition]
  }

  /** Keeps the last record of each key, as the log cleaner may at any time. Tombstones stay. */
  compact(topic: string): void {
    for (const partition of this.topics.get(topic)?.partitions ?? []) {
      const last = new Map<string, number>()
      for (const { key, offset } of partition.records) if (key) last.set(key.toString('latin1'), offset)
      partition.records = partition.records.filter(({ key, offset }) => !key || last.get(key.toString('latin1')) === offset)
    }
  }

  /** Drops what stands before the offset, as retention does. */
  truncate(topic: string, partition: number, startOffset: number): void {
    const stored = this.partition(topic, partition)
    if (!stored) return
    stored.startOffset = Math.max(stored.startOffset, Math.min(startOffset, stored.endOffset))
    stored.records = stored.records.filter(({ offset }) => offset >= stored.startOffset)
  }

  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  notify(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }

  /** The records from an offset on, at least one when there is any. Throws OffsetOutOfRange. */
  readFrom(topic: string, partition: number, offset: number, maxBytes: number): Stretch {
    const stored = this.partition(topic, partition)
    if (!stored || offset < stored.startOffset || offset > stored.endOffset) throw new OffsetOutOfRange(topic, partition, offset)
    const records: LogRecord[] = []
    let bytes = 0
    let nextOffset = stored.endOffset
    for (const record of stored.records) {
      if (record.offset < offset) continue
      const size = 32 + bytesOf(record)
      if (records.length > 0 && bytes + size > maxBytes) {
        nextOffset = record.offset
        break
      }
      records.push(record)
      bytes += size
    }
    return { topic, partition, records, nextOffset, endOffset: stored.endOffset }
  }
}

const stretchBytesMax = 1024 * 1024

/** Bytes of a record's key, value and headers. */
function bytesOf({ key, value, headers }: Pick<Append, 'key' | 'value' | 'headers'>): number {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0)
  for (const header of headers ?? noHeaders) bytes += Buffer.byteLength(header.name) + (header.value?.length ?? 0)
  return bytes
}

interface QueuedAppend {
  readonly record: Append
  readonly done: Appended
  readonly bytes: number
  readonly queuedAt: number
}

function copyOf(buffer: Buffer | null): Buffer | null {
  return buffer === null ? null : Buffer.from(buffer)
}

function copyOfHeaders(headers: readonly RecordHeader[] | undefined): readonly RecordHeader[] {
  return headers === undefined ? noHeaders : headers.map(({ name, value }) => ({ name, value: copyOf(value) }))
}

class MemoryAppender implements Appender {
  readonly #store: MemoryStore
  readonly #transactionalId: string | undefined
  readonly #epoch: number
  #queue: QueuedAppend[] = []
  #scheduled = false
  #ended: AppendError | null = null
  #flushed: (() => void)[] = []
  pendingBytes = 0

  constructor(store: MemoryStore, transactionalId: string | undefined) {
    this.#store = store
    this.#transactionalId = transactionalId
    this.#epoch = transactionalId === undefined ? 0 : (store.epochs.get(transactionalId) ?? -1) + 1
    if (transactionalId !== undefined) store.epochs.set(transactionalId, this.#epoch)
  }

  get stalledMs(): number {
    const first = this.#queue[0]
    return first ? Math.max(0, this.#store.now() - first.queuedAt) : 0
  }

  append(record: Append, done: Appended): void {
    const ended = this.#ended
    if (ended) {
      this.#store.schedule(() => done(ended, -1))
      return
    }
    const copy = { ...record, key: copyOf(record.key), value: copyOf(record.value), headers: copyOfHeaders(record.headers) }
    const bytes = 32 + bytesOf(copy)
    this.pendingBytes += bytes
    this.#queue.push({ record: copy, done, bytes, queuedAt: this.#store.now() })
    if (this.#scheduled) return
    this.#scheduled = true
    this.#store.schedule(() => this.#store.whenBack(() => this.#drain()))
  }

  write(record: Append): Promise<number> {
    return written((done) => this.append(record, done))
  }

  async fence(topic: string, partitions: readonly number[]): Promise<void> {
    const id = this.#transactionalId
    if (id === undefined) throw new TypeError('an appender without a transactional id has nobody to fence')
    await new Promise<void>((resolve) => this.#store.schedule(() => this.#store.whenBack(resolve)))
    if (this.#ended) throw this.#ended
    for (const number of partitions) {
      const partition = this.#store.partition(topic, number)
      if (!partition) throw new AppendError(`there is no ${topic}[${number}]`, 'refused', { refusal: 'topicMissing' })
      if ((partition.epochs.get(id) ?? -1) > this.#epoch || (this.#store.epochs.get(id) ?? 0) > this.#epoch) {
        const fenced = new FencedError(`another appender has taken the transactional id ${id}`)
        this.#end(fenced)
        throw fenced
      }
      partition.epochs.set(id, this.#epoch)
    }
  }

  async flush(): Promise<void> {
    if (this.#queue.length === 0) return
    await new Promise<void>((resolve) => {
      this.#flushed.push(resolve)
    })
  }

  async close(): Promise<void> {
    this.#end(new AppendError('the appender was closed here', 'refused'))
  }

  #drain(): void {
    this.#scheduled = false
    const queue = this.#queue
    this.#queue = []
    const answers: (() => void)[] = []
    for (const [i, { record, done, bytes }] of queue.entries()) {
      this.pendingBytes -= bytes
      const answer = this.#put(record)
      if (answer instanceof FencedError) {
        this.#queue = queue.slice(i + 1)
        answers.push(() => done(answer, -1))
        for (const give of answers) give()
        this.#end(answer)
        return
      }
      answers.push(() => (answer instanceof AppendError ? done(answer, -1) : done(null, answer)))
    }
    this.#store.notify()
    for (const give of answers) give()
    for (const flushed of this.#flushed.splice(0)) flushed()
  }

  #put(record: Append): number | AppendError {
    const partition = this.#store.partition(record.topic, record.partition)
    if (!partition) return new AppendError(`there is no ${record.topic}[${record.partition}]`, 'refused', { refusal: 'topicMissing' })
    const settings = this.#store.topics.get(record.topic)?.spec.settings
    const sizeMax = Number(settings?.['max.message.bytes'] ?? 1048588)
    if (bytesOf(record) > sizeMax) {
      return new AppendError(`the record is larger than max.message.bytes of ${record.topic}, ${sizeMax}`, 'refused', { refusal: 'tooLarge' })
    }
    if (record.key === null && settings?.['cleanup.policy'] === 'compact') {
      return new AppendError(`${record.topic} is compacted: its records need a key`, 'refused', { refusal: 'invalid' })
    }
    if (this.#transactionalId !== undefined) {
      const newest = partition.epochs.get(this.#transactionalId) ?? -1
      if (newest > this.#epoch) return new FencedError(`another appender has taken the transactional id ${this.#transactionalId}`)
      partition.epochs.set(this.#transactionalId, this.#epoch)
    }
    const offset = partition.endOffset++
    const { key, value, timestamp, headers = noHeaders } = record
    partition.records.push({ partition: record.partition, offset, timestamp, key, value, headers })
    return offset
  }

  #end(error: AppendError): void {
    this.#ended ??= error
    const queue = this.#queue
    this.#queue = []
    for (const { done, bytes } of queue) {
      this.pendingBytes -= bytes
      done(error, -1)
    }
    for (const flushed of this.#flushed.splice(0)) flushed()
  }
}

interface Cursor {
  readonly partition: number
  offset: number
  endOffset: number
  shownAt: number
}

class MemoryFollower implements Follower {
  readonly #store: MemoryStore
  readonly #topic: string
  readonly #maxWaitMs: number
  readonly #maxBytes: number
  readonly #cursors = new Map<number, Cursor>()
  #wake: (() => void) | null = null
  #closed = false
  #turn = 0
  /** Counts the stretches that moved on. */
  #moved = 0
  readonly #unwatch: () => void

  constructor(store: MemoryStore, options: FollowOptions) {
    this.#store = store
    this.#topic = options.topic
    this.#maxWaitMs = options.maxWaitMs ?? 500
    this.#maxBytes = options.maxBytes ?? stretchBytesMax
    for (const [partition, offset] of options.from) this.#place(partition, offset)
    this.#unwatch = store.watch(() => this.#wake?.())
  }

  #place(partition: number, offset: number): void {
    this.#cursors.set(partition, { partition, offset, endOffset: -1, shownAt: this.#store.now() })
  }

  async *stretches(): AsyncGenerator<Stretch> {
    for await (const turn of this.#turns()) for (const stretch of turn()) yield stretch
  }

  async *together(): AsyncGenerator<readonly Stretch[]> {
    for await (const turn of this.#turns()) {
      const stretches = [...turn()]
      if (stretches.length > 0) yield stretches
    }
  }

  /** Each turn reads as it is iterated. */
  async *#turns(): AsyncGenerator<() => Iterable<Stretch>> {
    for (;;) {
      if (this.#closed) throw new LogClosed()
      const before = this.#moved
      yield () => this.#readAll()
      if (this.#moved === before) await this.#pause()
      else await new Promise<void>((resolve) => this.#store.schedule(resolve))
    }
  }

  *#readAll(): Generator<Stretch> {
    const cursors = [...this.#cursors.values()]
    const first = this.#turn++ % Math.max(1, cursors.length)
    for (const cursor of [...cursors.slice(first), ...cursors.slice(0, first)]) {
      if (this.#closed) throw new LogClosed()
      if (this.#cursors.get(cursor.partition) !== cursor || this.#store.awaySince !== null) continue
      const stretch = this.#store.readFrom(this.#topic, cursor.partition, cursor.offset, this.#maxBytes)
      const now = this.#store.now()
      const isNews = stretch.nextOffset > cursor.offset || stretch.endOffset !== cursor.endOffset
      if (!isNews && now - cursor.shownAt < this.#maxWaitMs) continue
      if (stretch.nextOffset > cursor.offset) this.#moved++
      cursor.offset = stretch.nextOffset
      cursor.endOffset = stretch.endOffset
      cursor.shownAt = now
      yield stretch
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#store.timer(() => this.#wake?.(), this.#maxWaitMs)
      this.#wake = () => {
        this.#wake = null
        cancel()
        this.#store.schedule(resolve)
      }
      const isBehind = [...this.#cursors.values()].some(
        ({ partition, offset }) => this.#store.awaySince === null && (this.#store.partition(this.#topic, partition)?.endOffset ?? 0) > offset,
      )
      if (isBehind || this.#closed) this.#wake()
    })
  }

  seek(partition: number, offset: number): void {
    this.#place(partition, offset)
    this.#wake?.()
  }

  remove(partition: number): void {
    this.#cursors.delete(partition)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#unwatch()
    this.#wake?.()
  }
}

export class MemoryLog implements Log {
  readonly #store: MemoryStore
  readonly #appenders = new Set<Appender>()
  readonly #followers = new Set<Follower>()
  readonly #memberships = new Set<Membership>()
  #closed = false

  constructor(store: MemoryStore = new MemoryStore()) {
    this.#store = store
  }

  get store(): MemoryStore {
    return this.#store
  }

  /** What Kafka would be asked; it waits while the store is away. */
  #ask<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#store.schedule(() =>
        this.#store.whenBack(() => {
          try {
            if (this.#closed) throw new LogClosed()
            resolve(work())
          } catch (error) {
            reject(error)
          }
        }),
      )
    })
  }

  #topic(topic: string): StoredTopic {
    const stored = this.#store.topics.get(topic)
    if (!stored) throw new Error(`the topic ${topic} does not exist`)
    return stored
  }

  appender(options: AppenderOptions = {}): Promise<Appender> {
    return this.#ask(() => {
      const appender = new MemoryAppender(this.#store, options.transactionalId)
      this.#appenders.add(appender)
      return appender
    })
  }

  follow(options: FollowOptions): Promise<Follower> {
    return this.#ask(() => {
      const follower = new MemoryFollower(this.#store, options)
      this.#followers.add(follower)
      return follower
    })
  }

  read(topic: string, partition: number, offset: number, maxBytes = stretchBytesMax, _options?: ReadOptions): Promise<Stretch> {
    return this.#ask(() => this.#store.readFrom(topic, partition, offset, maxBytes))
  }

  readMany(topic: string, from: ReadonlyMap<number, number>, maxBytes = stretchBytesMax): Promise<readonly Stretch[]> {
    return this.#ask(() => [...from].map(([partition, offset]) => this.#store.readFrom(topic, partition, offset, maxBytes)))
  }

  endOffsets(topic: string): Promise<ReadonlyMap<number, number>> {
    return this.#ask(() => new Map(this.#topic(topic).partitions.map(({ endOffset }, partition) => [partition, endOffset])))
  }

  startOffsets(topic: string): Promise<ReadonlyMap<number, number>> {
    return this.#ask(() => new Map(this.#topic(topic).partitions.map(({ startOffset }, partition) => [partition, startOffset])))
  }

  offsetsAt(topic: string, timestampMs: number): Promise<ReadonlyMap<number, number>> {
    return this.#ask(
      () =>
        new Map(
          this.#topic(topic).partitions.map(({ records, endOffset }, partition) => [
            partition,
            records.find(({ timestamp }) => timestamp >= timestampMs)?.offset ?? endOffset,
          ]),
        ),
    )
  }

  createTopics(specs: readonly TopicSpec[]): Promise<void> {
    return this.#ask(() => {
      for (const spec of specs) {
        const found = this.#store.topics.get(spec.name)?.partitions.length
        if (found !== undefined && found !== spec.partitions) {
          throw new TopicMismatch(
            `the topic ${spec.name} has ${found} partitions, not ${spec.partitions}: KAFKA_PARTITIONS (of another namespace: its partitions) must say that; the command “loggerhead partitions” changes it`,
          )
        }
      }
      for (const spec of specs) {
        if (this.#store.topics.has(spec.name)) continue
        const partitions = Array.from({ length: spec.partitions }, () => ({ records: [], startOffset: 0, endOffset: 0, epochs: new Map() }))
        this.#store.topics.set(spec.name, { spec, partitions })
      }
    })
  }

  addPartitions(topic: string, count: number): Promise<void> {
    return this.#ask(() => {
      const { partitions } = this.#topic(topic)
      while (partitions.length < count) partitions.push({ records: [], startOffset: 0, endOffset: 0, epochs: new Map() })
    })
  }

  groupMembers(group: string): Promise<number> {
    return this.#ask(() => this.#store.groups.get(group)?.members.length ?? 0)
  }

  topicExists(topic: string): Promise<boolean> {
    return this.#ask(() => this.#store.topics.has(topic))
  }

  deleteTopics(topics: readonly string[]): Promise<void> {
    return this.#ask(() => {
      for (const topic of topics) this.#store.topics.delete(topic)
    })
  }

  topicSettings(topic: string): Promise<Readonly<Record<string, string>>> {
    return this.#ask(() => {
      const { spec } = this.#topic(topic)
      return { ...spec.settings, 'replication.factor': String(spec.replication) }
    })
  }

  changeTopicSettings(topic: string, settings: Readonly<Record<string, string>>): Promise<void> {
    return this.#ask(() => {
      const stored = this.#topic(topic)
      this.#store.topics.set(topic, { ...stored, spec: { ...stored.spec, settings: { ...stored.spec.settings, ...settings } } })
    })
  }

  partitions(topic: string): Promise<number> {
    return this.#ask(() => this.#topic(topic).partitions.length)
  }

  async join(options: { readonly group: string; readonly topic: string; readonly instance: string } & MembershipEvents): Promise<Membership> {
    const member = await this.#ask(() => {
      const store = this.#store
      let group = store.groups.get(options.group)
      if (!group) {
        group = { topic: options.topic, members: [] }
        store.groups.set(options.group, group)
      }
      const joined: GroupMember = {
        memberId: `${options.instance}-${store.members++}`,
        instance: options.instance,
        events: options,
        owned: [],
        telling: Promise.resolve(),
      }
      group.members = [...group.members.filter(({ instance }) => instance !== options.instance), joined]
      this.#rebalance(group)
      return joined
    })
    await member.telling
    const membership: Membership = {
      memberId: member.memberId,
      close: async () => {
        const group = this.#store.groups.get(options.group)
        this.#memberships.delete(membership)
        if (!group?.members.includes(member)) return
        group.members = group.members.filter((other) => other !== member)
        const { owned } = member
        member.owned = []
        if (owned.length > 0) await member.telling.then(() => options.onRevoked(owned))
        this.#rebalance(group)
      },
    }
    this.#memberships.add(membership)
    return membership
  }

  #rebalance(group: Group): void {
    if (group.members.length === 0) return
    const assigned = assignRanges(group.members, this.#topic(group.topic).partitions.length)
    for (const member of group.members) {
      const owned = assigned.get(member.memberId) ?? []
      const lost = member.owned.filter((partition) => !owned.includes(partition))
      const isSame = lost.length === 0 && owned.length === member.owned.length && owned.length > 0
      member.owned = owned
      if (isSame) continue
      member.telling = member.telling.then(async () => {
        if (lost.length > 0) await member.events.onRevoked(lost)
        await member.events.onAssigned(owned)
      })
    }
  }

  commitOffsets(group: string, topic: string, offsets: ReadonlyMap<number, number>): Promise<void> {
    return this.#ask(() => {
      const committed = this.#store.committed.get(group) ?? new Map<string, number>()
      this.#store.committed.set(group, committed)
      for (const [partition, offset] of offsets) committed.set(`${topic}/${partition}`, offset)
    })
  }

  health(): LogHealth {
    const { awaySince } = this.#store
    if (awaySince === null) return { reachable: true, unreachableMs: 0 }
    return { reachable: false, unreachableMs: Math.max(1, this.#store.now() - awaySince), reason: 'the store is away' }
  }

  async close(): Promise<void> {
    for (const membership of [...this.#memberships]) await membership.close()
    for (const follower of this.#followers) await follower.close()
    for (const appender of this.#appenders) await appender.close()
    this.#closed = true
  }
}
