/** Topics: making them and asking how they are set. */
import { TopicMismatch, type TopicSpec } from '../log.ts'
import type { Cluster } from './cluster.ts'
import { errorType, KafkaError, notAuthorized, type TopicSetting } from './kafkajs.ts'
import { type Link, LinkError } from './link.ts'
import { anyBroker, findCoordinator, isCoordinatorRetriable } from './producer-id.ts'
import type { Reads } from './reader.ts'

const topicResource = 2
/** Where a setting comes from: DYNAMIC_TOPIC_CONFIG, the topic itself. */
const topicSource = 1

/** What KafkaJS gathers when some of several topics could not be made. */
function creationErrors(error: unknown): readonly { readonly type: string; readonly topic: string; readonly message: string }[] | null {
  if (typeof error !== 'object' || error === null || !('errors' in error) || !Array.isArray(error.errors)) return null
  return error.errors
}

/** Answers while the controller is moving or the request raced. */
const retriable = new Set(['NOT_CONTROLLER', 'REQUEST_TIMED_OUT', 'LEADER_NOT_AVAILABLE', 'NETWORK_EXCEPTION'])

export class Admin {
  readonly #cluster: Cluster
  readonly #reads: Reads

  constructor(cluster: Cluster, reads: Reads) {
    this.#cluster = cluster
    this.#reads = reads
  }

  async createTopics(specs: readonly TopicSpec[]): Promise<void> {
    const cluster = this.#cluster
    for (const { name } of specs) cluster.watch(name)
    await cluster.persist('metadata', () => cluster.refresh())
    const missing = specs.filter(({ name }) => !cluster.topic(name)?.exists)
    // Nothing is made beside topics that do not fit: it would be made as wrongly.
    await this.#checkPartitions(specs.filter((spec) => !missing.includes(spec)))
    if (missing.length > 0) {
      await cluster.persist(
        'creating topics',
        () => this.#create(missing),
        (error) => error instanceof LinkError || retriable.has(errorType(error) ?? ''),
      )
    }
    // Somebody else may have been faster.
    await this.#checkPartitions(missing)
  }

  async #checkPartitions(specs: readonly TopicSpec[]): Promise<void> {
    for (const { name, partitions } of specs) {
      const found = await this.#reads.partitions(name)
      if (found !== partitions) {
        throw new TopicMismatch(
          `the topic ${name} has ${found} partitions, not ${partitions}: KAFKA_PARTITIONS (of another namespace: its partitions) must say that; the command “loggerhead partitions” changes it`,
        )
      }
    }
  }

  async #create(specs: readonly TopicSpec[]): Promise<void> {
    const link = await anyBroker(this.#cluster)
    try {
      await link.call('creating topics', this.#cluster.requestTimeoutMs * 2, (broker) =>
        broker.createTopics({
          timeout: this.#cluster.requestTimeoutMs,
          topics: specs.map(({ name, partitions, replication, settings }) => ({
            topic: name,
            numPartitions: partitions,
            replicationFactor: replication,
            configEntries: Object.entries(settings).map(([setting, value]) => ({ name: setting, value })),
          })),
        }),
      )
    } catch (error) {
      const errors = creationErrors(error instanceof LinkError ? error.cause : error)
      if (!errors) throw error
      const real = errors.filter(({ type }) => type !== 'TOPIC_ALREADY_EXISTS')
      const first = real[0]
      if (!first) return
      if (retriable.has(first.type)) throw new LinkError(`${first.topic}: ${first.message}`, { cause: error })
      throw new Error(`Kafka refused to create the topic ${first.topic}: ${first.type}: ${first.message}`, { cause: error })
    }
  }

  async addPartitions(topic: string, count: number): Promise<void> {
    const cluster = this.#cluster
    const isWorthTrying = (error: unknown): boolean => error instanceof LinkError || retriable.has(errorType(error) ?? '')
    await cluster.persist(
      `adding partitions to ${topic}`,
      async () => {
        if ((await this.#reads.partitions(topic)) >= count) return
        const link = await anyBroker(cluster)
        await link.call('adding partitions', cluster.requestTimeoutMs * 2, (broker) =>
          broker.createPartitions({ topicPartitions: [{ topic, count }], timeout: cluster.requestTimeoutMs, validateOnly: false }),
        )
      },
      isWorthTrying,
    )
    // Brokers tell of them one after the other.
    await cluster.persist(
      `the new partitions of ${topic}`,
      async () => {
        await cluster.refresh()
        const known = await this.#reads.partitions(topic)
        if (known < count) throw new LinkError(`${topic} has ${known} partitions yet`)
        await this.#reads.listOffsets(topic, -1)
      },
      (error) => isWorthTrying(error) || isCoordinatorRetriable(error),
    )
  }

  async groupMembers(group: string): Promise<number> {
    const cluster = this.#cluster
    return cluster.persist(
      `members of ${group}`,
      async () => {
        const link = await cluster.usableLink(await findCoordinator(cluster, 'group', group), 'rare')
        const { groups } = await link.call('reading a group', cluster.requestTimeoutMs, (broker) => broker.describeGroups({ groupIds: [group] }))
        return groups[0]?.members.length ?? 0
      },
      isCoordinatorRetriable,
    )
  }

  async topicExists(topic: string): Promise<boolean> {
    const cluster = this.#cluster
    let known: ReturnType<Cluster['topic']>
    // Metadata that was on its way already says nothing of it, which does not mean that it is missing.
    while (known === undefined) {
      cluster.watch(topic)
      await cluster.persist('metadata', () => cluster.refresh())
      known = cluster.topic(topic)
    }
    const { exists } = known
    if (!exists) cluster.forget(topic)
    if (known.errorCode === 29) throw notAuthorized(`to tell of ${topic}`)
    return exists
  }

  async deleteTopics(topics: readonly string[]): Promise<void> {
    const cluster = this.#cluster
    // One by one: KafkaJS tells only the first error of several.
    for (const topic of topics) {
      await cluster.persist(
        `deleting ${topic}`,
        () => this.#delete(topic),
        (error) => error instanceof LinkError || retriable.has(errorType(error) ?? ''),
      )
      cluster.forget(topic)
    }
  }

  async #delete(topic: string): Promise<void> {
    if (this.#cluster.nodes().length === 0) await this.#cluster.refresh()
    const link = await anyBroker(this.#cluster)
    try {
      await link.call('deleting topics', this.#cluster.requestTimeoutMs * 2, (broker) =>
        broker.deleteTopics({ topics: [topic], timeout: this.#cluster.requestTimeoutMs }),
      )
    } catch (error) {
      const type = errorType(error instanceof LinkError ? error.cause : error)
      if (type === 'UNKNOWN_TOPIC_OR_PARTITION') return
      if (type === undefined || retriable.has(type)) throw error
      throw new Error(`Kafka refused to delete the topic ${topic}: ${type}`, { cause: error })
    }
  }

  async topicSettings(topic: string): Promise<Readonly<Record<string, string>>> {
    return this.#ofSettings(topic, async (link) => {
      const entries = await this.#settingsOf(link, topic)
      await this.#cluster.learn(topic)
      const settings: Record<string, string> = { 'replication.factor': String(this.#cluster.topic(topic)?.replication ?? 0) }
      for (const { configName, configValue } of entries) if (configValue !== null) settings[configName] = configValue
      return settings
    })
  }

  /** AlterConfigs replaces all of a topic's own settings, so those that it has already go along. */
  async changeTopicSettings(topic: string, settings: Readonly<Record<string, string>>): Promise<void> {
    await this.#ofSettings(topic, async (link) => {
      const own = (await this.#settingsOf(link, topic)).filter(({ configSource, configValue }) => configSource === topicSource && configValue !== null)
      const all = { ...Object.fromEntries(own.map(({ configName, configValue }) => [configName, configValue as string])), ...settings }
      await link.call('changing topic settings', this.#cluster.requestTimeoutMs, (broker) =>
        broker.alterConfigs({
          resources: [{ type: topicResource, name: topic, configEntries: Object.entries(all).map(([name, value]) => ({ name, value })) }],
          validateOnly: false,
        }),
      )
    })
  }

  #ofSettings<T>(topic: string, ask: (link: Link) => Promise<T>): Promise<T> {
    return this.#cluster.persist(
      `settings of ${topic}`,
      async () => {
        if (this.#cluster.nodes().length === 0) await this.#cluster.refresh()
        return ask(await anyBroker(this.#cluster))
      },
      (error) => !(error instanceof KafkaError) && isCoordinatorRetriable(error),
    )
  }

  async #settingsOf(link: Link, topic: string): Promise<readonly TopicSetting[]> {
    const { resources } = await link.call('reading topic settings', this.#cluster.requestTimeoutMs, (broker) =>
      broker.describeConfigs({ resources: [{ type: topicResource, name: topic }] }),
    )
    return resources[0]?.configEntries ?? []
  }

  async commitOffsets(group: string, topic: string, offsets: ReadonlyMap<number, number>): Promise<void> {
    const cluster = this.#cluster
    const partitions = [...offsets].map(([partition, offset]) => ({ partition, offset: String(offset) }))
    await cluster.persist(
      'committing offsets',
      async () => {
        const link = await cluster.usableLink(await findCoordinator(cluster, 'group', group), 'rare')
        await link.call('committing offsets', cluster.requestTimeoutMs, (broker) =>
          // Without a generation and a member: from outside the group (Kafka's “simple” consumer).
          broker.offsetCommit({ groupId: group, groupGenerationId: -1, memberId: '', topics: [{ topic, partitions }] }),
        )
      },
      isCoordinatorRetriable,
    )
  }
}
