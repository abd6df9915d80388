/** The event log on Kafka. */
import type { Registry } from 'prom-client'
import {
  AppendError,
  type Appender,
  type AppenderOptions,
  type Follower,
  type FollowOptions,
  type Log,
  type LogHealth,
  type Membership,
  type MembershipEvents,
  type ReadOptions,
  type Stretch,
  type TopicSpec,
} from '../log.ts'
import { Admin } from './admin.ts'
import { KafkaAppender } from './appender.ts'
import { Cluster, type Logger } from './cluster.ts'
import { KafkaFollower } from './follower.ts'
import { KafkaMembership } from './membership.ts'
import { type LogMetrics, logMetrics } from './metrics.ts'
import { refusalOf } from './produce-outcome.ts'
import { ProducerIds } from './producer-id.ts'
import { Reads } from './reader.ts'

export interface KafkaLogOptions {
  /** host:port of some brokers. */
  readonly brokers: readonly string[]
  /** Shown in Kafka's logs and quotas. */
  readonly clientId: string
  /** Node's TLS options, or true for the system's authorities. */
  readonly ssl?: object | boolean
  /** kafkajs's SASL options: mechanism, username, password. */
  readonly sasl?: object
  readonly logger: Logger
  readonly metrics?: Registry
  /** Milliseconds until a broker that does not answer counts as gone. Default 6000. */
  readonly requestTimeoutMs?: number
  /** Milliseconds to connect, TLS included. Default 3000. */
  readonly connectTimeoutMs?: number
  /** Milliseconds without a heartbeat after which the group gives this process's shards away. Default 6000. */
  readonly sessionTimeoutMs?: number
}

const readBytesMax = 1024 * 1024

export class KafkaLog implements Log {
  readonly #options: KafkaLogOptions
  readonly #cluster: Cluster
  readonly #reads: Reads
  readonly #admin: Admin
  readonly #producerIds: ProducerIds
  readonly #metrics: LogMetrics | null
  readonly #appenders = new Set<KafkaAppender>()
  readonly #followers = new Set<KafkaFollower>()
  readonly #memberships = new Set<KafkaMembership>()
  #made = 0

  constructor(options: KafkaLogOptions) {
    this.#options = options
    this.#cluster = new Cluster({
      ...options,
      requestTimeoutMs: options.requestTimeoutMs ?? 6000,
      connectTimeoutMs: options.connectTimeoutMs ?? 3000,
    })
    this.#reads = new Reads(this.#cluster, (ms) => this.#metrics?.readSeconds.observe(ms / 1000))
    this.#admin = new Admin(this.#cluster, this.#reads)
    this.#producerIds = new ProducerIds(this.#cluster)
    this.#metrics = options.metrics
      ? logMetrics(options.metrics, {
          pendingBytes: () => [...this.#appenders].reduce((sum, appender) => sum + appender.pendingBytes, 0),
          unreachableMs: () => this.health().unreachableMs,
        })
      : null
  }

  async appender(options: AppenderOptions = {}): Promise<Appender> {
    const producer = await this.#producerIds.take(options.transactionalId).catch((error: Error & { readonly code?: number }) => {
      throw new AppendError(error.message, 'refused', { cause: error, refusal: refusalOf(error.code ?? -1) })
    })
    const appender = new KafkaAppender({
      ...options,
      cluster: this.#cluster,
      producerIds: this.#producerIds,
      producer,
      purpose: `append-${this.#made++}`,
      logger: this.#options.logger,
      metrics: this.#metrics,
      onClosed: () => this.#appenders.delete(appender),
    })
    this.#appenders.add(appender)
    return appender
  }

  async follow(options: FollowOptions): Promise<Follower> {
    await this.#cluster.learn(options.topic)
    const follower = new KafkaFollower({
      ...options,
      cluster: this.#cluster,
      purpose: `follow-${this.#made++}`,
      logger: this.#options.logger,
      metrics: this.#metrics,
      onClosed: () => this.#followers.delete(follower),
    })
    this.#followers.add(follower)
    return follower
  }

  async read(topic: string, partition: number, offset: number, maxBytes = readBytesMax, options: ReadOptions = {}): Promise<Stretch> {
    const [stretch] = await this.#reads.readMany(topic, new Map([[partition, offset]]), maxBytes, options)
    return stretch as Stretch
  }

  readMany(topic: string, from: ReadonlyMap<number, number>, maxBytes = readBytesMax): Promise<readonly Stretch[]> {
    return this.#reads.readMany(topic, from, maxBytes)
  }

  endOffsets(topic: string): Promise<ReadonlyMap<number, number>> {
    return this.#reads.listOffsets(topic, -1)
  }

  startOffsets(topic: string): Promise<ReadonlyMap<number, number>> {
    return this.#reads.listOffsets(topic, -2)
  }

  async offsetsAt(topic: string, timestampMs: number): Promise<ReadonlyMap<number, number>> {
    const found = await this.#reads.listOffsets(topic, timestampMs)
    if (![...found.values()].includes(-1)) return found
    const ends = await this.endOffsets(topic)
    return new Map([...found].map(([partition, offset]) => [partition, offset === -1 ? (ends.get(partition) as number) : offset]))
  }

  createTopics(specs: readonly TopicSpec[]): Promise<void> {
    return this.#admin.createTopics(specs)
  }

  addPartitions(topic: string, count: number): Promise<void> {
    return this.#admin.addPartitions(topic, count)
  }

  groupMembers(group: string): Promise<number> {
    return this.#admin.groupMembers(group)
  }

  topicExists(topic: string): Promise<boolean> {
    return this.#admin.topicExists(topic)
  }

  deleteTopics(topics: readonly string[]): Promise<void> {
    return this.#admin.deleteTopics(topics)
  }

  topicSettings(topic: string): Promise<Readonly<Record<string, string>>> {
    return this.#admin.topicSettings(topic)
  }

  changeTopicSettings(topic: string, settings: Readonly<Record<string, string>>): Promise<void> {
    return this.#admin.changeTopicSettings(topic, settings)
  }

  partitions(topic: string): Promise<number> {
    return this.#reads.partitions(topic)
  }

  commitOffsets(group: string, topic: string, offsets: ReadonlyMap<number, number>): Promise<void> {
    return this.#admin.commitOffsets(group, topic, offsets)
  }

  async join(options: { readonly group: string; readonly topic: string; readonly instance: string } & MembershipEvents): Promise<Membership> {
    const membership = new KafkaMembership({
      ...options,
      partitions: await this.partitions(options.topic),
      cluster: this.#cluster,
      sessionTimeoutMs: this.#options.sessionTimeoutMs ?? 6000,
      logger: this.#options.logger,
      onClosed: () => this.#memberships.delete(membership),
    })
    this.#memberships.add(membership)
    await membership.start()
    return membership
  }

  health(): LogHealth {
    return this.#cluster.health()
  }

  async close(): Promise<void> {
    for (const membership of [...this.#memberships]) await membership.close()
    for (const follower of [...this.#followers]) await follower.close()
    for (const appender of [...this.#appenders]) await appender.close()
    this.#cluster.close()
  }
}
