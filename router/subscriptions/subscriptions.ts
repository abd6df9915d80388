/**
 * The event subscriptions of the shards that this router owns. Which subscriptions there are says the registry, what each
 * owes the topic `deliveries`; the shard's fenced producer writes there, so that a former owner's writes are refused by Kafka.
 */
import type { Logger } from 'pino'
import type { Append, Appender, Log } from '../../log/log.ts'
import { partitionOf } from '../../log/partitioner.ts'
import { lifecycleTopic, namespaceTopicName, type TopicNames } from '../../log/topics.ts'
import { deliveryPolicyOf, splitSubscriptionName, subscribedTopic } from '../../model/event-subscriptions.ts'
import type { RegistryFollower } from '../../model/registry-follower.ts'
import type { Resource } from '../../model/registry-resources.ts'
import { decodeRecord, encodeRecord } from '../../schemas/codec.ts'
import type { DeadLetterKeeper } from './giving-up.ts'
import { fromRecord, Ledger, type LedgerChange, toRecord } from './ledger.ts'
import { LifecycleReader } from './lifecycle-reader.ts'
import { Subscription, type SubscriptionCounters, type SubscriptionLimits } from './subscription.ts'
import { type EventReader, TopicReader } from './topic-reader.ts'
import { UnmatchedEvents } from './unmatched-events.ts'

export interface SubscriptionsOptions {
  readonly log: Log
  readonly topics: TopicNames
  readonly registry: RegistryFollower
  /** Shards of the namespace. */
  readonly shards: number
  readonly fetchBytesMax: number
  readonly limits: SubscriptionLimits
  readonly counters: SubscriptionCounters
  readonly logger: Logger
  readonly now: () => number
  /** The source of life cycle events. */
  readonly lifecycleSource: string
  /** Where a subscription's dead letters go; undefined when it names no place. */
  deadLettersOf(resource: Resource<'eventSubscriptions'>): DeadLetterKeeper | undefined
  /** An append was refused: this router must let go of the shard. */
  onRefused(shard: number, error: Error): void
  /** The subscription begins to go on at another place of its topic, or does: Subscription.isMoving tells. */
  onMoving(): void
}

/** A shard in this router's hands. */
interface OwnedDeliveries {
  readonly shard: number
  readonly fenced: Appender
  /** As the log had it when the shard was taken, by full name; each is handed to its subscription once. */
  readonly found: Map<string, Found>
  readonly subscriptions: Map<string, Subscription>
}

/** The state of a subscription as the log has it. */
interface Found {
  /** By the id of the subscription that wrote them: there may be some of an earlier one of the name. */
  readonly changes: Map<string, LedgerChange[]>
  readonly keys: Map<string, string>
}

/** Ticks, and so seconds, between two commits. */
const commitEvery = 5

const fenceKey = Buffer.from('fence')
export const deliveriesFenceKey = (): Buffer => fenceKey

const keyOf = (name: string, change: LedgerChange): string => {
  if (change.kind === 'position') return `${name}/${change.partition}`
  const { partition, offset } = change.kind === 'settled' ? change.place : change.event
  return `${name}/${partition}/${offset}`
}

export class Subscriptions {
  readonly #options: SubscriptionsOptions
  readonly #owned = new Map<number, OwnedDeliveries>()
  readonly #readers = new Map<string, EventReader>()
  /** What was committed last, by group. */
  readonly #committed = new Map<string, string>()
  readonly #committing = new Set<string>()
  readonly #unmatched: UnmatchedEvents
  #ticks = 0
  /** The registry as the shards that were owned then were matched with it last. */
  #matchedAt = -1

  constructor(options: SubscriptionsOptions) {
    this.#options = options
    this.#unmatched = new UnmatchedEvents({ view: options.registry.view, now: options.now })
  }

  /** The shard whose owner has the subscription. */
  shardOf(topic: string, name: string): number {
    return partitionOf(`${topic}/${name}`, this.#options.shards)
  }

  /** Whether this router owns the subscription's shard now. */
  owns(topic: string, name: string): boolean {
    return this.#owned.has(this.shardOf(topic, name))
  }

  /** The subscription in this router's hands; undefined when there is none. */
  find(topic: string, name: string): Subscription | undefined {
    return this.#owned.get(this.shardOf(topic, name))?.subscriptions.get(`${topic}/${name}`)
  }

  all(): readonly Subscription[] {
    return [...this.#owned.values()].flatMap(({ subscriptions }) => [...subscriptions.values()])
  }

  /** Takes a shard; its fence stands in `deliveries`. */
  async own(shard: number, fenced: Appender): Promise<void> {
    const { log, topics, registry } = this.#options
    // What a former owner knew of the registry when it wrote is known here too: else its state would pass for that of no subscription.
    const end = (await log.endOffsets(topics.registry)).get(0) ?? 0
    await registry.reached(end - 1)
    const owned: OwnedDeliveries = { shard, fenced, found: await readDeliveries(log, topics.deliveries, shard), subscriptions: new Map() }
    this.#owned.set(shard, owned)
    this.#match(owned)
  }

  /** Lets go of a shard. */
  disown(shard: number): void {
    const owned = this.#owned.get(shard)
    if (!owned) return
    this.#owned.delete(shard)
    for (const subscription of owned.subscriptions.values()) subscription.close()
    this.#closeReaders()
  }

  /** The registry has changed. */
  registryChanged(): void {
    const { eventsPosition } = this.#options.registry.view
    if (eventsPosition === this.#matchedAt) return
    this.#matchedAt = eventsPosition
    for (const owned of this.#owned.values()) this.#match(owned)
    this.#closeReaders()
  }

  /** Once a second. */
  tick(): void {
    for (const subscription of this.all()) subscription.tick()
    if (++this.#ticks % commitEvery === 0) for (const subscription of this.all()) void this.#commit(subscription)
  }

  /** For tools that watch lag: what counts stands in `deliveries`. */
  async #commit({ topic, name, ledger }: Subscription): Promise<void> {
    const { log, topics, logger } = this.#options
    const kafkaTopic = namespaceTopicName({ names: topics }, topic)
    const group = `${kafkaTopic}.${name}`
    const offsets = new Map(ledger.partitions.map((partition) => [partition, ledger.position(partition)]))
    const told = JSON.stringify([...offsets])
    if (this.#committed.get(group) === told || this.#committing.has(group)) return
    this.#committing.add(group)
    try {
      await log.commitOffsets(group, kafkaTopic, offsets)
      this.#committed.set(group, told)
    } catch (error) {
      logger.debug({ err: error, group }, 'how far an event subscription is could not be told')
    } finally {
      this.#committing.delete(group)
    }
  }

  async close(): Promise<void> {
    for (const shard of [...this.#owned.keys()]) this.disown(shard)
    await Promise.all([...this.#readers.values()].map((reader) => reader.close()))
  }

  /** Begins, changes and ends the shard's subscriptions as the registry says. */
  #match(owned: OwnedDeliveries): void {
    const { view } = this.#options.registry
    const wanted = [...view.eventSubscriptions.values()].filter(({ name }) => {
      const { topic, subscription } = splitSubscriptionName(name)
      return this.shardOf(topic, subscription) === owned.shard && subscribedTopic(view, topic) !== undefined
    })
    const names = new Set(wanted.map(({ name }) => name))
    for (const name of owned.subscriptions.keys()) if (!names.has(name)) this.#end(owned, name)
    for (const resource of wanted) this.#matchOne(owned, resource)
    // What stands in the log for subscriptions that are no more.
    for (const { keys } of owned.found.values()) this.#forget(owned, keys.keys())
    owned.found.clear()
  }

  #matchOne(owned: OwnedDeliveries, resource: Resource<'eventSubscriptions'>): void {
    const { name, properties } = resource
    const before = owned.subscriptions.get(name)
    if (before?.properties === properties) return
    if (before && before.properties.start.id === properties.start.id && sameDeadLetters(before, resource)) {
      before.change(properties)
      return
    }
    const ledger = new Ledger(properties.start.offsets)
    if (before) {
      before.close()
      if (before.properties.start.id === properties.start.id) {
        for (const change of before.ledger.state()) ledger.apply(change)
      } else this.#forget(owned, keysOf(name, before.ledger))
    }
    const found = owned.found.get(name)
    owned.found.delete(name)
    const { id } = properties.start
    for (const change of found?.changes.get(id) ?? []) ledger.apply(change)
    this.#forget(
      owned,
      [...(found?.keys ?? [])].filter(([, of]) => of !== id).map(([key]) => key),
    )
    owned.subscriptions.set(name, this.#begin(owned, resource, ledger))
  }

  #begin(owned: OwnedDeliveries, resource: Resource<'eventSubscriptions'>, ledger: Ledger): Subscription {
    const { limits, counters, logger, now, deadLettersOf, onMoving } = this.#options
    const { topic, subscription: name } = splitSubscriptionName(resource.name)
    return new Subscription({
      topic,
      name,
      properties: resource.properties,
      ledger,
      reader: this.#reader(topic),
      deadLetters: deadLettersOf(resource),
      limits,
      counters,
      now,
      write: (changes) => this.#write(owned, resource.name, resource.properties.start.id, changes),
      onTrouble: (error) => logger.warn({ err: error, topic, subscription: name }, 'events could not be read; trying on'),
      onMoving,
      isUnmatched: (event) => this.#unmatched.isUnmatched(topic, name, event),
    })
  }

  /** The subscription is no more: nothing of it stays, and a later one of its name begins anew. */
  #end(owned: OwnedDeliveries, name: string): void {
    const subscription = owned.subscriptions.get(name)
    if (!subscription) return
    subscription.close()
    owned.subscriptions.delete(name)
    this.#committed.delete(`${namespaceTopicName({ names: this.#options.topics }, subscription.topic)}.${subscription.name}`)
    this.#forget(owned, keysOf(name, subscription.ledger))
  }

  #forget(owned: OwnedDeliveries, keys: Iterable<string>): void {
    for (const key of keys) this.#append(owned, key, null).catch(() => {})
  }

  async #write(owned: OwnedDeliveries, name: string, id: string, changes: readonly LedgerChange[]): Promise<void> {
    await Promise.all(changes.map((change) => this.#append(owned, keyOf(name, change), recordOf(id, change, this.#options.now()))))
  }

  async #append({ shard, fenced }: OwnedDeliveries, key: string, value: Buffer | null): Promise<void> {
    const { topics, now, onRefused } = this.#options
    const record: Append = { topic: topics.deliveries, partition: shard, key: Buffer.from(key), value, timestamp: now() }
    try {
      await fenced.write(record)
    } catch (error) {
      if (this.#owned.get(shard)?.fenced === fenced) onRefused(shard, error as Error)
      throw error
    }
  }

  #reader(topic: string): EventReader {
    const { log, topics, fetchBytesMax, logger, now, lifecycleSource } = this.#options
    const kafkaTopic = namespaceTopicName({ names: topics }, topic)
    const known = this.#readers.get(topic)
    if (known) return known
    const onTrouble = (error: Error): void => logger.warn({ err: error, topic: kafkaTopic }, 'a namespace topic cannot be followed; trying on')
    const records = new TopicReader({ log, topic: kafkaTopic, fetchBytesMax, onTrouble })
    const reader = topic === lifecycleTopic ? new LifecycleReader({ records, source: lifecycleSource, now }) : records
    this.#readers.set(topic, reader)
    return reader
  }

  /** Of topics without a subscription here. */
  #closeReaders(): void {
    const used = new Set(this.all().map(({ topic }) => topic))
    for (const [topic, reader] of this.#readers) {
      if (used.has(topic)) continue
      this.#readers.delete(topic)
      void reader.close()
    }
  }
}

function recordOf(id: string, change: LedgerChange, at: number): Buffer | null {
  switch (change.kind) {
    case 'position':
      return encodeRecord('SubscriptionCursor', { id, position: change.position, at })
    case 'unsettled':
      return encodeRecord('UnsettledEvent', toRecord(id, change.event))
    case 'settled':
      return null
  }
}

const keysOf = (name: string, ledger: Ledger): readonly string[] => ledger.state().map((change) => keyOf(name, change))

const sameDeadLetters = (before: Subscription, { properties }: Resource<'eventSubscriptions'>): boolean =>
  JSON.stringify(deliveryPolicyOf(before.properties.deliveryConfiguration).deadLetterDestinationWithResourceIdentity) ===
  JSON.stringify(deliveryPolicyOf(properties.deliveryConfiguration).deadLetterDestinationWithResourceIdentity)

/** What stands in a partition of `deliveries`, by subscription. The fence must stand. */
export async function readDeliveries(log: Log, topic: string, shard: number): Promise<Map<string, Found>> {
  const latest = new Map<string, Buffer>()
  let offset = (await log.startOffsets(topic)).get(shard) ?? 0
  const end = (await log.endOffsets(topic)).get(shard) ?? 0
  while (offset < end) {
    const stretch = await log.read(topic, shard, offset)
    for (const { key, value } of stretch.records) {
      if (!key || key.equals(fenceKey)) continue
      if (value) latest.set(key.toString(), Buffer.from(value))
      else latest.delete(key.toString())
    }
    if (stretch.nextOffset === offset) throw new Error(`${topic}[${shard}] has nothing at ${offset}, although it reaches to ${end}`)
    offset = stretch.nextOffset
  }
  const found = new Map<string, Found>()
  for (const [key, value] of latest) {
    const [subscriptionTopic = '', name = '', partition = '', eventOffset] = key.split('/')
    const record = decodeRecord(value)
    if (record.name !== 'SubscriptionCursor' && record.name !== 'UnsettledEvent') continue
    const full = `${subscriptionTopic}/${name}`
    const { id } = record.value
    const of: Found = found.get(full) ?? { changes: new Map(), keys: new Map() }
    found.set(full, of)
    of.keys.set(key, id)
    const changes = of.changes.get(id) ?? []
    of.changes.set(id, changes)
    changes.push(
      record.name === 'SubscriptionCursor'
        ? { kind: 'position', partition: Number(partition), position: record.value.position }
        : { kind: 'unsettled', event: fromRecord({ partition: Number(partition), offset: Number(eventOffset) }, record.value) },
    )
  }
  return found
}
