import * as mqtt from '../wire/bytes.ts'
import { type ClientOptions, ReturningClient } from './client.ts'

interface Outgoing {
  readonly topic: string
  readonly sequence: number
  readonly id: number
  readonly firstSentAt: number
  /** QoS 2: PUBREC came, so it goes on with PUBREL. */
  received: boolean
}

export interface PublisherOptions extends ClientOptions {
  readonly topics: readonly string[]
  readonly qos: 1 | 2
  /** Unacknowledged messages at most. */
  readonly window: number
  readonly payloadBytes: number
  /** A PUBACK or PUBCOMP came for a message first sent at this time. */
  readonly acknowledged: (publisher: Publisher, firstSentAt: number) => void
}

/** The payload carries its sequence number and when it was first sent (performance.now() of this process). */
export function payloadOf(sequence: number, sentAt: number, bytes: number): string {
  return `${sequence} ${sentAt.toFixed(3)} `.padEnd(bytes, '.')
}

export function readPayload(payload: Buffer): { readonly sequence: number; readonly sentAt: number } {
  const [sequence, sentAt] = payload.toString('latin1').split(' ', 2)
  return { sequence: Number(sequence), sentAt: Number(sentAt) }
}

/** Publishes to its topics in turn; sends again what was not acknowledged when a connection was lost: PUBLISH with DUP, or PUBREL. */
export class Publisher extends ReturningClient {
  readonly topics: readonly string[]
  /** Sequence numbers acknowledged, by topic. */
  readonly acknowledged = new Map<string, number[]>()
  readonly #sent = new Map<string, number[]>()
  readonly #options: PublisherOptions
  readonly #inFlight = new Map<number, Outgoing>()
  #answers: Buffer[] = []
  #turn = 0
  #id = 0
  #allowance = 0
  #stopped = false
  resends = 0

  constructor(options: PublisherOptions) {
    super(options)
    this.#options = options
    this.topics = options.topics
    for (const topic of options.topics) {
      this.acknowledged.set(topic, [])
      this.#sent.set(topic, [])
    }
  }

  get unacknowledged(): number {
    return this.#inFlight.size
  }

  timesSent(topic: string, sequence: number): number {
    return this.#sent.get(topic)?.[sequence] ?? 0
  }

  /** No new messages; what is in flight is still seen through. */
  stop(): void {
    this.#stopped = true
  }

  /** Lets so many more messages go, as far as the window has room; what it has no room for is not saved up. */
  allow(messages: number): void {
    this.#allowance = Math.min(this.#allowance + messages, this.#options.window)
    this.#pump()
  }

  #pump(): void {
    if (!this.ready || this.#stopped) return
    const packets: Buffer[] = []
    while (this.#allowance >= 1 && this.#inFlight.size < this.#options.window) {
      this.#allowance--
      const topic = this.topics[this.#turn++ % this.topics.length] as string
      const sent = this.#sent.get(topic) as number[]
      do this.#id = (this.#id % 65_535) + 1
      while (this.#inFlight.has(this.#id))
      const outgoing: Outgoing = { topic, sequence: sent.length, id: this.#id, firstSentAt: performance.now(), received: false }
      sent.push(0)
      this.#inFlight.set(outgoing.id, outgoing)
      packets.push(this.#packet(outgoing, false))
    }
    if (packets.length > 0) this.write(Buffer.concat(packets))
  }

  #packet(outgoing: Outgoing, dup: boolean): Buffer {
    if (outgoing.received) return mqtt.pubrel(outgoing.id)
    const sent = this.#sent.get(outgoing.topic) as number[]
    sent[outgoing.sequence] = (sent[outgoing.sequence] ?? 0) + 1
    const payload = payloadOf(outgoing.sequence, outgoing.firstSentAt, this.#options.payloadBytes)
    return mqtt.publish({ version: this.version, topic: outgoing.topic, payload, qos: this.#options.qos, dup, id: outgoing.id })
  }

  protected override onConnected(): void {
    // [MQTT-4.4.0-1] in the order they were first sent: a Map keeps it.
    const packets = [...this.#inFlight.values()].map((each) => this.#packet(each, true))
    this.resends += packets.length
    if (packets.length > 0) this.write(Buffer.concat(packets))
    this.#pump()
  }

  protected override onPacket(packet: mqtt.Received): void {
    if (packet.type !== 'puback' && packet.type !== 'pubrec' && packet.type !== 'pubcomp') return
    const outgoing = this.#inFlight.get(packet.id)
    const expected = this.#options.qos === 1 ? 'puback' : outgoing?.received ? 'pubcomp' : 'pubrec'
    if (!outgoing || packet.type !== expected) {
      this.complain(`a ${packet.type} for ${packet.id}, which ${outgoing ? `waits for ${expected}` : 'is not in flight'}`)
      return
    }
    if (packet.type === 'pubrec' && packet.code < 0x80) {
      outgoing.received = true
      this.#answers.push(mqtt.pubrel(packet.id))
      return
    }
    this.#inFlight.delete(packet.id)
    if (packet.code >= 0x80) {
      this.complain(`PUBLISH to ${outgoing.topic} was refused with 0x${packet.code.toString(16)}`)
      return
    }
    this.acknowledged.get(outgoing.topic)?.push(outgoing.sequence)
    this.#options.acknowledged(this, outgoing.firstSentAt)
  }

  protected override onRead(): void {
    if (this.#answers.length > 0) this.write(Buffer.concat(this.#answers))
    this.#answers = []
    this.#pump()
  }
}
