import * as mqtt from '../wire/bytes.ts'
import { type ClientOptions, ReturningClient } from './client.ts'
import { readPayload } from './publisher.ts'
import type { Seen } from './verdict.ts'

export interface SubscriberOptions extends ClientOptions {
  readonly qos: 1 | 2
  readonly filters: readonly string[]
  /** What the filters match. */
  readonly topics: readonly string[]
  readonly delivered: (subscriber: Subscriber, topic: string, sentAt: number) => void
}

/** Holds a session, notes everything that comes and acknowledges it; at QoS 2 what comes again before its PUBREL is the same message. */
export class Subscriber extends ReturningClient {
  readonly topics: readonly string[]
  readonly deliveries: Seen[] = []
  /** The same, by the session that brought them. */
  readonly bySession: Seen[][] = []
  readonly #options: SubscriberOptions
  readonly #seen = new Map<string, Set<number>>()
  #acknowledgements: Buffer[] = []
  /** QoS 2 packet ids between PUBLISH and PUBREL, and what they brought. */
  readonly #received = new Map<number, string>()
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
      this.#received.clear() // packet ids are the session's
      this.bySession.push([])
      this.write(
        mqtt.subscribe(
          this.version,
          1,
          this.#options.filters.map((filter) => [filter, this.#options.qos]),
        ),
      )
    }
  }

  protected override onPacket(packet: mqtt.Received): void {
    if (packet.type === 'suback') {
      if (packet.codes.some((code) => code !== this.#options.qos)) this.complain(`SUBACK ${packet.codes}`)
      this.subscribed = true
      return
    }
    // A server may say that it cannot reach its log (0x88), is too busy (0x89) or stops (0x8b).
    if (packet.type === 'disconnect' && ![0x88, 0x89, 0x8b].includes(packet.code) && !(packet.code === 0x8e && this.abandoned-- > 0))
      this.complain(`DISCONNECT 0x${packet.code.toString(16)}`)
    if (packet.type === 'pubrel') {
      this.#received.delete(packet.id)
      this.#acknowledgements.push(mqtt.pubcomp(packet.id))
    }
    if (packet.type !== 'publish') return
    this.#acknowledgements.push(packet.qos === 1 ? mqtt.puback(packet.id) : mqtt.pubrec(packet.id))
    const { sequence, sentAt } = readPayload(packet.payload)
    if (packet.qos === 2 && this.#isKnown(packet, `${packet.topic} ${sequence}`)) return
    const seen = { topic: packet.topic, sequence, dup: packet.dup }
    this.deliveries.push(seen)
    this.bySession.at(-1)?.push(seen)
    this.#seen.get(packet.topic)?.add(sequence)
    this.#options.delivered(this, packet.topic, sentAt)
  }

  /** [MQTT-4.3.3-10] and, of the sender, [MQTT-2.2.1-4]: a packet id in use brings the same message. */
  #isKnown(packet: mqtt.Delivery, what: string): boolean {
    const before = this.#received.get(packet.id)
    this.#received.set(packet.id, what)
    if (before === undefined) return false
    if (before !== what) this.complain(`packet id ${packet.id} brings ${what} while ${before} waits for PUBREL`)
    else if (!packet.dup) this.complain(`${what} came again without DUP`)
    return true
  }

  protected override onRead(): void {
    if (this.#acknowledgements.length === 0) return
    this.write(Buffer.concat(this.#acknowledgements))
    this.#acknowledgements = []
  }
}
