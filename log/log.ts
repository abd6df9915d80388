/**
 * The event log port. Everything that Loggerhead remembers goes through these interfaces; two adapters implement
 * them (log/kafka and log/memory-log.ts) and one contract suite holds both.
 *
 * Positions (Kafka offsets) are JavaScript numbers: 2^53 records a partition are enough.
 */

/** Where a record stands. */
export interface Position {
  readonly partition: number
  readonly offset: number
}

/** One header of a record. Names need not be unique; the order is kept. */
export interface RecordHeader {
  readonly name: string
  readonly value: Buffer | null
}

/** The headers of a record that has none: one list for all of them. */
export const noHeaders: readonly RecordHeader[] = Object.freeze([])

/** One record as read. Buffers are views into the fetched batch: copy what outlives the callback. */
export interface LogRecord {
  readonly partition: number
  readonly offset: number
  /** Milliseconds since the epoch, as the writer gave it (CreateTime). */
  readonly timestamp: number
  readonly key: Buffer | null
  /** Null is a tombstone in a compacted topic. */
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

/** A stretch of one partition, in offset order. `nextOffset` is where to go on (past compaction gaps and control records). */
export interface Stretch {
  readonly topic: string
  readonly partition: number
  readonly records: readonly LogRecord[]
  readonly nextOffset: number
  /** The first offset not yet readable when this was fetched (the high watermark). */
  readonly endOffset: number
  /** Records that were left out, by who asked for `passOverUnreadable`; missing when there are none. */
  readonly passedOver?: number
}

/** Called once per appended record, in append order per partition: the record's offset, or why it is not in the log. */
export type Appended = (error: AppendError | null, offset: number) => void

export interface Append {
  readonly topic: string
  /** Decides by itself; `partitionOf(key, partitions)` gives Kafka's default (murmur2) partition. */
  readonly partition: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  readonly headers?: readonly RecordHeader[]
}

/**
 * Writes records with acks=all and own producer id and sequences. One request in flight per broker: what is appended
 * meanwhile is the next batch. A batch of unknown outcome is repeated unchanged until it is answered; a sequence is
 * never used twice.
 */
export interface Appender {
  /**
   * Queues a record. Key, value and headers are copied before the call returns. Never throws for a full queue:
   * look at `pendingBytes` first and stop reading the source.
   */
  append(record: Append, done: Appended): void
  /** The same, as a promise: for what is rare. */
  write(record: Append): Promise<number>
  /** Bytes queued or in flight and not yet answered. */
  readonly pendingBytes: number
  /** Milliseconds since the oldest unanswered record was queued; 0 when nothing waits. */
  readonly stalledMs: number
  /**
   * Makes the log refuse earlier appenders of the same transactional id in these partitions, once it resolves, without writing a record
   * there: what they have written stands below the end offsets then. Rejects with FencedError when a later one has been there, with
   * AppendError (`refused`) when the topic is not there or not allowed. For appenders with a transactional id.
   */
  fence(topic: string, partitions: readonly number[]): Promise<void>
  /** Resolves once everything appended so far is answered. */
  flush(): Promise<void>
  /** Stops; what is unanswered fails with AppendError. */
  close(): Promise<void>
}

export interface AppenderOptions {
  /** Fences: a later appender with the same id makes Kafka refuse this one (FencedError). Without it, plain. */
  readonly transactionalId?: string
  /**
   * Least time from a request of many records to the next one to that broker, ms: what is appended meanwhile shares it. Without it, a
   * request leaves as soon as the one before it is answered.
   */
  readonly paceMs?: number
  /**
   * After a pause of the whole process for longer than this, ms, records that Kafka was not sent yet are refused: whoever
   * wanted them written may have gone on elsewhere. Without it they are sent.
   */
  readonly pauseMsMax?: number
}

export interface ReadOptions {
  /** Leaves out compressed batches that cannot be read or become too large, which are an error otherwise: for topics that others write to. */
  readonly passOverUnreadable?: boolean
}

export interface FollowOptions extends ReadOptions {
  readonly topic: string
  /** Where to start in each partition, by partition number. */
  readonly from: ReadonlyMap<number, number>
  /** Longest wait of an idle poll, ms. Default 500. */
  readonly maxWaitMs?: number
  /** Upper bound of one fetch, bytes. Default 1 MiB a partition. */
  readonly maxBytes?: number
}

/** Follows partitions without a consumer group. Long polls on a socket of its own. */
export interface Follower {
  /**
   * The next stretches, in the order the log gave them; one fetch ahead at most. Stretches without records are
   * yielded too (`nextOffset` may move over gaps; an empty fetch confirms that the view is current).
   * Throws OffsetOutOfRange (the log no longer holds the position) and LogClosed; connection trouble is retried
   * inside for ever and shown in `Log.health()`.
   */
  stretches(): AsyncIterable<Stretch>
  /** The same, for who shares work among all that one fetch has brought: never an empty list. A follower is read in one of the two ways. */
  together(): AsyncIterable<readonly Stretch[]>
  /** Adds or moves a partition. */
  seek(partition: number, offset: number): void
  /** Drops a partition. */
  remove(partition: number): void
  close(): Promise<void>
}

export interface TopicSpec {
  readonly name: string
  readonly partitions: number
  readonly replication: number
  /** Topic settings as Kafka spells them, e.g. `cleanup.policy`. */
  readonly settings: Readonly<Record<string, string>>
}

/** What happened to this process's share of a group's partitions. */
export interface MembershipEvents {
  /** The partitions this member now owns. Called after `onRevoked` of the ones it lost. */
  onAssigned(partitions: readonly number[]): void | Promise<void>
  /** Stop working on these at once. */
  onRevoked(partitions: readonly number[]): void | Promise<void>
}

/** A membership in a consumer group on one topic: used only to share out the shards (partition i is shard i). */
export interface Membership {
  readonly memberId: string
  close(): Promise<void>
}

export interface LogHealth {
  /** True when the last request to Kafka was answered. */
  readonly reachable: boolean
  /** Milliseconds since Kafka stopped answering; 0 when reachable. */
  readonly unreachableMs: number
  /** The last error's message, when not reachable. */
  readonly reason?: string
}

export interface Log {
  appender(options?: AppenderOptions): Promise<Appender>
  follow(options: FollowOptions): Promise<Follower>
  /** Reads what stands in [offset, …) right now without waiting: one answer, up to maxBytes (at least one batch). */
  read(topic: string, partition: number, offset: number, maxBytes?: number, options?: ReadOptions): Promise<Stretch>
  /** The same for several partitions in one request per broker: the way to catch up to the end before a decision. */
  readMany(topic: string, from: ReadonlyMap<number, number>, maxBytes?: number): Promise<readonly Stretch[]>
  /** High watermarks by partition. */
  endOffsets(topic: string): Promise<ReadonlyMap<number, number>>
  /** Log start offsets by partition. */
  startOffsets(topic: string): Promise<ReadonlyMap<number, number>>
  /** First offset whose record is at or after the time; the end offset when there is none. */
  offsetsAt(topic: string, timestampMs: number): Promise<ReadonlyMap<number, number>>
  /** Makes missing topics; throws TopicMismatch when an existing one differs in partitions. */
  createTopics(specs: readonly TopicSpec[]): Promise<void>
  /** Makes the topic's partitions that many, where it has fewer; which keys belong to which partition changes with it. Never takes any away. */
  addPartitions(topic: string, count: number): Promise<void>
  /** Whether the topic exists now. Rejects with NotAuthorized when this process may not know. */
  topicExists(topic: string): Promise<boolean>
  /** Deletes topics with all they hold; those that do not exist are passed over. */
  deleteTopics(topics: readonly string[]): Promise<void>
  /** Settings of an existing topic as Kafka reports them, and its replicas as `replication.factor`. */
  topicSettings(topic: string): Promise<Readonly<Record<string, string>>>
  /** Changes settings of an existing topic, as Kafka spells them; those not named stay as they are. */
  changeTopicSettings(topic: string, settings: Readonly<Record<string, string>>): Promise<void>
  partitions(topic: string): Promise<number>
  /** Joins the group; `instance` names this process across restarts so that the member it was is removed first. */
  join(options: { readonly group: string; readonly topic: string; readonly instance: string } & MembershipEvents): Promise<Membership>
  /** How many members the group has now; 0 for one that was never there. */
  groupMembers(group: string): Promise<number>
  /** Tells tools that watch lag how far a reader is: commits offsets of a group that nobody joins. Rejects when Kafka does not take them. */
  commitOffsets(group: string, topic: string, offsets: ReadonlyMap<number, number>): Promise<void>
  health(): LogHealth
  close(): Promise<void>
}

/** Why the log refuses for good what stands in one record, or all that is for one topic. */
export type Refusal = 'topicMissing' | 'notAuthorized' | 'tooLarge' | 'invalid'

/** The record is not known to be in the log. `outcome` says whether it may be. */
export class AppendError extends Error {
  readonly outcome: 'refused' | 'unknown'
  /** When refused, and the log has said why. */
  readonly refusal: Refusal | undefined
  constructor(message: string, outcome: 'refused' | 'unknown', options?: ErrorOptions & { readonly refusal?: Refusal | undefined }) {
    super(message, options)
    this.name = 'AppendError'
    this.outcome = outcome
    this.refusal = options?.refusal
  }
}

/** Another writer has taken this transactional id. Final for the appender. The outcome is unknown for what was on its way elsewhere. */
export class FencedError extends AppendError {
  constructor(message: string, options?: ErrorOptions & { readonly outcome?: 'refused' | 'unknown' }) {
    super(message, options?.outcome ?? 'refused', options)
    this.name = 'FencedError'
  }
}

/** The log does not let this process read, or know of, what it asked for. Final until somebody changes its permissions. */
export class NotAuthorized extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'NotAuthorized'
  }
}

/** The log no longer (or not yet) holds the asked position. Never silently skipped. */
export class OffsetOutOfRange extends Error {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  constructor(topic: string, partition: number, offset: number) {
    super(`${topic}[${partition}] does not hold offset ${offset}`)
    this.name = 'OffsetOutOfRange'
    this.topic = topic
    this.partition = partition
    this.offset = offset
  }
}

/** A topic exists with other partitions or settings than asked. */
export class TopicMismatch extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'TopicMismatch'
  }
}

/** The log or follower was closed by this process. */
export class LogClosed extends Error {
  constructor() {
    super('the log is closed')
    this.name = 'LogClosed'
  }
}
