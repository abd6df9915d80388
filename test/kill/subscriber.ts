import * as mqtt from '../wire/bytes.ts'
import { type ClientOptions, PersistentClient } from './client.ts'
import { readPayload } from './publisher.ts'
import type { Seen } from './verdict.ts'

export interface SubscriberOptions extends ClientOptions {
  readonly filters: readonly string[]
  /** What the filters match. */
  readonly topics: readonly string[]
  readonly delivered: (subscriber: Subscriber, topic: string, sentAt: number) => void
}

/** Holds a persistent session at QoS 1, notes everything that comes and acknowledges it. */
export class Subscriber extends PersistentClient {
  readonly topics: readonly string[]
  readonly deliveries: Seen[] = []
  readonly #options: SubscriberOptions
  readonly #seen = new Map<string, Set<number>>()
  #acknowledgements: Buffer[] = []
  subscribed = false

  constructor(options: SubscriberOptions) {
    super(options)
    this.#options = options
    this.topics = options.topics
    for (const topic of options.topics) this.#seen.set(topic, new Set())
  }

  /** How many of these it has not got yet. */
  missing(acknowledged: ReadonlyMap<string, readonly number[]>): number {
    let count = 0
    for (const topic of this.topics) {
      const seen = this.#seen.get(topic)
      for (const sequence of acknowledged.get(topic) ?? []) if (!seen?.has(sequence)) count++
    }
    return count
  }

  protected override onConnected(begin: boolean): void {
    if (begin) {
      this.write(
        mqtt.subscribe(
          this.version,
          1,
          this.#options.filters.map((filter) => [filter, 1]),
        ),
      )
    }
  }

  protected override onPacket(packet: mqtt.Received): void {
    if (packet.type === 'suback') {
      if (packet.codes.some((code) => code !== 1)) this.complain(`SUBACK ${packet.codes}`)
      this.subscribed = true
      return
    }
    // A server may say that it cannot reach its log (0x88), is too busy (0x89) or stops (0x8b).
    if (packet.type === 'disconnect' && ![0x88, 0x89, 0x8b].includes(packet.code)) this.complain(`DISCONNECT 0x${packet.code.toString(16)}`)
    if (packet.type !== 'publish') return
    if (packet.qos === 1) this.#acknowledgements.push(mqtt.puback(packet.id))
    const { sequence, sentAt } = readPayload(packet.payload)
    this.deliveries.push({ topic: packet.topic, sequence, dup: packet.dup })
    this.#seen.get(packet.topic)?.add(sequence)
    this.#options.delivered(this, packet.topic, sentAt)
  }

  protected override onRead(): void {
    if (this.#acknowledgements.length === 0) return
    this.write(Buffer.concat(this.#acknowledgements))
    this.#acknowledgements = []
  }
}
