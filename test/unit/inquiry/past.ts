/** A log in memory that tests write the past into. */
import { explainDelivery } from '../../../inquiry/explain-delivery.ts'
import { MemoryLog, MemoryStore } from '../../../log/memory-log.ts'
import { planTopics, type TopicKind, topicSettings, topicSpecs } from '../../../log/topics.ts'
import { RegistryView } from '../../../model/registry-view.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import type { Progress } from '../../../schemas/inbox-records.ts'
import type { Message } from '../../../schemas/message.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import { readSettings } from '../../../settings/setting.ts'
import { loggedMessage } from '../../support/logged-message.ts'
import { shardOwned } from '../model/session-records.ts'

const plan = planTopics(readSettings(topicSettings, { KAFKA_PARTITIONS: '1' }), 'default', 'development')
export const { names } = plan
const start = Date.parse('2026-11-26T10:00:00Z')

/** A log that is written a record a second; offsets are counted as Kafka counts them. */
export class Past {
  readonly store = new MemoryStore()
  readonly log = new MemoryLog(this.store)
  /** As the registry has folded it. */
  readonly registry = new RegistryView()
  now = start
  readonly #next = new Map<TopicKind, number>()

  async begin(): Promise<this> {
    await this.log.createTopics(topicSpecs(plan))
    await this.write('inbox', shardOwned(0))
    return this
  }

  /** The offset of the record, which is of this second. */
  async write(kind: TopicKind, { name, value }: AnyRecord): Promise<number> {
    return this.append(kind, encodeRecord(name, value))
  }

  async publish(but: Partial<Message> = {}): Promise<number> {
    this.now += 1_000
    const message = loggedMessage({
      messageId: Buffer.alloc(16, 1 + (this.#next.get('messages') ?? 0)),
      clientId: 'pump',
      receivedAt: this.now,
      topic: 'plant/1',
      authenticationName: 'pump',
      payload: Buffer.from('x'),
      ...but,
    })
    return this.append('messages', Buffer.from(encodeMessage(message)), message.topic)
  }

  async register(key: string, properties: object): Promise<void> {
    const [kind = '', name = ''] = key.split('/')
    const entry = { kind, name, properties: JSON.stringify(properties), etag: '', createdAt: this.now, updatedAt: this.now, by: 'test' }
    this.registry.apply({ offset: await this.append('registry', encodeRecord('RegistryEntry', entry), key), key, entry })
  }

  /** The shard's owner is through with everything below. */
  async matched(position: number, sessionsOffset?: number): Promise<void> {
    const value: Progress = {
      shard: 0,
      term: 0,
      position,
      sessionsOffsets: [sessionsOffset ?? this.#next.get('sessions') ?? 0],
      registryOffset: 0,
      lifecyclePosition: 0,
      retainedOffsets: [0],
    }
    await this.write('inbox', { name: 'Progress', value })
  }

  async append(kind: TopicKind, value: Buffer, key = ''): Promise<number> {
    this.now += 1_000
    const appender = await this.log.appender()
    const offset = await appender.write({ topic: names[kind], partition: 0, key: Buffer.from(key), value, timestamp: this.now })
    await appender.close()
    this.#next.set(kind, offset + 1)
    return offset
  }

  async ask(offset: number, clientId = 'screen') {
    const options = { log: this.log, topics: names, partitions: 1, registry: this.registry, clientId, onRead: () => {}, now: () => this.now }
    return explainDelivery({ ...options, message: { kind: 'position', partition: 0, offset } })
  }
}
