/** Event subscriptions of one router, on a log in memory and with a registry of their own. */
import type { Logger } from 'pino'
import type { Appender } from '../../../../log/log.ts'
import type { WrittenDeadLetters } from '../../../../router/push/dead-letter-writer.ts'
import type { DeadLetterKeeper } from '../../../../router/subscriptions/giving-up.ts'
import type { Subscription } from '../../../../router/subscriptions/subscription.ts'
import { deliveriesFenceKey, Subscriptions } from '../../../../router/subscriptions/subscriptions.ts'
import { encodeRecord } from '../../../../schemas/codec.ts'
import { ApiHarness } from '../../registry/harness.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Logger

export interface WorldOptions {
  readonly unsettledMax?: number
  readonly aheadBytesMax?: number
}

export class SubscriptionWorld {
  readonly api: ApiHarness
  /** Milliseconds; tests move it. */
  time = 1_800_000_000_000
  readonly deadLetters: object[] = []
  /** What it has of earlier ones. */
  reads: readonly WrittenDeadLetters[] = []
  /** What the keeper of dead letters answers; undefined: none is configured. */
  keeps: boolean | undefined = true
  /** It answers no sooner than that. */
  keeping: Promise<void> | undefined
  /** The log takes no change of a subscription sooner than that. */
  writing: Promise<void> | undefined
  readonly counts: Record<string, number> = {}
  subscriptions: Subscriptions
  readonly refused: Error[] = []
  /** A subscription begins to go on elsewhere, or does. */
  onMoving: () => void = () => {}
  readonly #options: WorldOptions
  #appender: Appender | undefined

  static async open(options: WorldOptions = {}): Promise<SubscriptionWorld> {
    const api = await ApiHarness.open({ KAFKA_PARTITIONS: '1' })
    await api.send('PUT', 'topics/doors', { body: { partitions: 2 } })
    const world = new SubscriptionWorld(api, options)
    await world.begin()
    return world
  }

  private constructor(api: ApiHarness, options: WorldOptions) {
    this.api = api
    this.#options = options
    this.subscriptions = this.#make()
  }

  /** A router begins, or the next one after a crash: what was in memory is gone. */
  async begin(): Promise<void> {
    const { log, topics } = this.api
    this.subscriptions = this.#make()
    const fenced = await log.appender({ transactionalId: 'shard-0' })
    const fence = encodeRecord('ShardOwned', { shard: 0, router: 'router', at: 0 })
    await fenced.write({ topic: topics.deliveries, partition: 0, key: deliveriesFenceKey(), value: fence, timestamp: 0 })
    const write: Appender['write'] = async (record) => {
      await this.writing
      return fenced.write(record)
    }
    await this.subscriptions.own(0, new Proxy(fenced, { get: (of, name) => (name === 'write' ? write : Reflect.get(of, name)) }))
  }

  #make(): Subscriptions {
    const { unsettledMax = 1_000, aheadBytesMax = 1_048_576 } = this.#options
    const count = (what: string, by = 1): void => {
      this.counts[what] = (this.counts[what] ?? 0) + by
    }
    const keeper: DeadLetterKeeper = {
      keep: async (document) => {
        this.deadLetters.push(document)
        await this.keeping
        return this.keeps === true
      },
      read: () => toStream(this.reads),
      close: () => {},
    }
    const subscriptions = new Subscriptions({
      log: this.api.log,
      topics: this.api.topics,
      registry: this.api.registry.follower,
      shards: 1,
      fetchBytesMax: 1_048_576,
      limits: { unsettledMax, aheadBytesMax },
      counters: {
        givenUp: (reason, isDropped) => count(`${isDropped ? 'dropped' : 'dead'}: ${reason}`),
        lost: (reason, by) => count(reason, by),
        read: ({ matched, filtered, unmatched }) => {
          count('matched', matched)
          count('filtered', filtered)
          count('unmatched', unmatched)
        },
        received: (by) => count('received', by),
        limitReached: (limit) => count(limit),
      },
      logger: silent,
      now: () => this.time,
      lifecycleSource: '/namespaces/default',
      deadLettersOf: () => (this.keeps === undefined ? undefined : keeper),
      onRefused: (_shard, error) => this.refused.push(error),
      onMoving: () => this.onMoving(),
    })
    this.api.registry.follower.onChange(() => subscriptions.registryChanged())
    return subscriptions
  }

  async subscribe(name: string, queue: object = {}, more: object = {}): Promise<Subscription> {
    const body = { deliveryConfiguration: { deliveryMode: 'Queue', queue }, ...more }
    const { status, text } = await this.api.send('PUT', `topics/doors/eventSubscriptions/${name}`, { body })
    if (status >= 300) throw new Error(text)
    return this.find(name)
  }

  find(name: string): Subscription {
    const found = this.subscriptions.find('doors', name)
    if (!found) throw new Error(`there is no subscription ${name}`)
    return found
  }

  async publish(
    id: string,
    { partition = 0, type = 'opened', data = '{}', time = this.time }: { partition?: number; type?: string; data?: string; time?: number } = {},
  ): Promise<void> {
    this.#appender ??= await this.api.log.appender()
    const header = (name: string, value: string) => ({ name, value: Buffer.from(value) })
    const headers = [
      header('ce_specversion', '1.0'),
      header('ce_id', id),
      header('ce_source', 'test'),
      header('ce_type', type),
      header('content-type', 'application/json'),
    ]
    await this.#appender.write({ topic: 'loggerhead.default.topic.doors', partition, key: null, value: Buffer.from(data), timestamp: time, headers })
  }

  async publishRaw(value: string, contentType?: string): Promise<void> {
    this.#appender ??= await this.api.log.appender()
    const headers = contentType === undefined ? [] : [{ name: 'content-type', value: Buffer.from(contentType) }]
    await this.#appender.write({ topic: 'loggerhead.default.topic.doors', partition: 0, key: null, value: Buffer.from(value), timestamp: this.time, headers })
  }

  /** Receives what there is now. */
  async receive(subscription: Subscription, eventsMax = 10): Promise<readonly { id: unknown; count: number; token: string }[]> {
    const received = await subscription.receive(eventsMax, 0, new AbortController().signal)
    return received.map(({ event, deliveryCount, lockToken }) => ({ id: event.attributes.id, count: deliveryCount, token: lockToken }))
  }

  async close(): Promise<void> {
    await this.subscriptions.close()
    await this.api.close()
  }
}

async function* toStream<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items
}

export async function until<T>(what: () => T | Promise<T>, isEnough: (value: T) => boolean): Promise<T> {
  const end = Date.now() + 60_000
  for (;;) {
    const value = await what()
    if (isEnough(value)) return value
    if (Date.now() > end) throw new Error(`not in time: ${JSON.stringify(value)}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
