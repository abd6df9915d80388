/** The Kafka topics of one namespace's topics: made, kept as long as their resources say, and deleted on demand. */
import { randomBytes } from 'node:crypto'
import { type Log, TopicMismatch } from '../log/log.ts'
import { isOwnedTopic, namespaceTopicName, namespaceTopicSpec, type TopicPlan } from '../log/topics.ts'
import type { SubscriptionStart } from '../model/event-subscriptions.ts'
import { RegistryFollower } from '../model/registry-follower.ts'
import { Problem } from './problem.ts'
import { kafkaTopicViolations } from './route-rules.ts'
import { badRequest } from './violations.ts'

/** The Kafka topics of all topics of a namespace that nobody serves any more, as its registry has them. */
export async function namespaceTopicsOf(log: Log, plan: TopicPlan): Promise<readonly string[]> {
  if (!(await log.topicExists(plan.names.registry))) return []
  const follower = await RegistryFollower.start({ log, topic: plan.names.registry, clock: { now: Date.now } })
  const names = [...follower.view.topics.keys()].map((topic) => namespaceTopicName(plan, topic))
  await follower.close()
  return names
}

const away = (detail: string, cause: unknown): Problem => new Problem(503, detail, { retryAfter: 2, cause })

export class EventTopics {
  readonly #log: Log
  readonly #plan: TopicPlan
  readonly #allowed: string

  /** `allowed`: patterns of the Kafka topics besides the namespace's own that may be written to. */
  constructor(log: Log, plan: TopicPlan, allowed: string) {
    this.#log = log
    this.#plan = plan
    this.#allowed = allowed
  }

  /** Partitions of the Kafka topic when it exists; else what was asked for, or as many as the namespace has shards. */
  async partitionsOf(topic: string, asked: number | undefined): Promise<number> {
    const name = this.#name(topic)
    return this.#asking(async () => ((await this.#log.topicExists(name)) ? this.#log.partitions(name) : (asked ?? this.#plan.partitions)))
  }

  /** Makes the Kafka topic when it is missing, and sets how long it keeps events. Rejects with Problem. */
  async ensure(topic: string, partitions: number, retentionDays: number): Promise<void> {
    const spec = namespaceTopicSpec(this.#plan, topic, partitions, retentionDays)
    await this.#asking(async () => {
      await this.#log.createTopics([spec])
      const { 'retention.ms': retention } = await this.#log.topicSettings(spec.name)
      const wanted = spec.settings['retention.ms'] as string
      if (retention !== wanted) await this.#log.changeTopicSettings(spec.name, { 'retention.ms': wanted })
    })
  }

  /** Where a subscription begins that is made now: with whatever is published after this was called. Rejects with Problem. */
  async startHere(topic: string): Promise<SubscriptionStart> {
    const ends = await this.#asking(() => this.#log.endOffsets(this.#name(topic)))
    return { id: randomBytes(9).toString('base64url'), offsets: Array.from({ length: ends.size }, (_, partition) => ends.get(partition) ?? 0) }
  }

  /** Throws Problem unless dead letters may be written to this Kafka topic: one that exists, none of those that the broker lives on, and one that is allowed. */
  async checkDeadLetters(topicName: string, topic: string): Promise<void> {
    const field = 'deadLetterDestination.properties.topicName'
    const refuse = (rule: string): Problem => badRequest([{ field, value: topicName, rule }])
    if (topicName === this.#name(topic)) throw refuse('must not be the topic whose dead letters they are')
    if (isOwnedTopic(this.#plan, topicName)) throw refuse(`must be a namespace topic (${this.#name('<topic>')}), or not begin with ${this.#plan.prefix}.`)
    const violations = topicName.startsWith(this.#name('')) ? [] : kafkaTopicViolations(field, topicName, this.#allowed)
    if (violations.length > 0) throw badRequest(violations)
    if (!(await this.#asking(() => this.#log.topicExists(topicName)))) throw refuse('must be an existing Kafka topic')
  }

  /** Where the namespace's messages end, by shard: whatever is published after this was called stands behind. Rejects with Problem. */
  async messagesEnd(): Promise<readonly number[]> {
    const ends = await this.#asking(() => this.#log.endOffsets(this.#plan.names.messages))
    return Array.from({ length: ends.size }, (_, shard) => ends.get(shard) ?? 0)
  }

  /** Throws Problem for a Kafka topic that the broker lives on: a route would break it. */
  checkRouteTarget(kafkaTopic: string): void {
    if (!isOwnedTopic(this.#plan, kafkaTopic)) return
    const rule = `must be a namespace topic, or not begin with ${this.#plan.prefix}.`
    throw badRequest([{ field: 'properties.target.kafkaTopic', value: kafkaTopic, rule }])
  }

  /** Deletes the Kafka topic with all it holds. Rejects with Problem. */
  async remove(topic: string): Promise<void> {
    await this.#asking(() => this.#log.deleteTopics([this.#name(topic)]))
  }

  #name(topic: string): string {
    return namespaceTopicName(this.#plan, topic)
  }

  async #asking<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof TopicMismatch) throw new Problem(409, `the Kafka topic cannot be used: ${error.message}`, { cause: error })
      throw away(`Kafka did not see to the topic: ${(error as Error).message}`, error)
    }
  }
}
