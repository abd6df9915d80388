import type { ProtocolVersion, PublishProperties, UserProperties } from '../mqtt/packet.ts'
import { type EncodedPublish, encodePublish, publishHeader, publishSize } from '../mqtt/publish-writer.ts'
import type { Receiver } from '../proto/frames.ts'
import type { Message } from '../schemas/records.ts'
import type { TracedDelivery } from '../telemetry/tracing.ts'
import type { Output } from './output.ts'
import { provenanceMarks } from './provenance.ts'
import type { AliasUse } from './topic-aliases.ts'

/** Up to here a packet is copied whole for each QoS 1 receiver; a larger payload is shared by reference. Bytes. */
const copiedMax = 4096

/** Heap that a user property takes besides its text, bytes: its place, its object and the heads of two strings. */
const userPropertyOverhead = 80

const noMarks: UserProperties = []
const noAlias: AliasUse = { topicAlias: 0, topicKnown: false }

/** A complete packet that serves every receiver of the same form; the packet id is filled in per receiver. */
interface Form {
  readonly key: number
  readonly packet: Buffer
  readonly packetIdAt: number
}

/** One message of the log on its way out: encoded once per form, however many receive it. */
export class Outgoing {
  readonly topic: string
  /** Milliseconds since the epoch; null for never. */
  readonly expiresAt: number | null
  /** Bytes that it holds, properties too: what it costs to wait. */
  readonly size: number
  /** How its deliveries are traced; null when they are not. */
  readonly trace: TracedDelivery | null
  readonly #message: Message
  readonly #marks: UserProperties
  readonly #isPast: boolean
  /** As it was published: its buffers are those of `#message`. */
  readonly #published: Message
  /** Where it stands in `messages`; -1 where that is not known. */
  readonly partition: number
  readonly offset: number
  #told: Outgoing | null = null
  readonly #encoded: [EncodedPublish | null, EncodedPublish | null] = [null, null]
  #forms: Form[] = []
  /** Seconds left that the encoded bytes tell; encoded again when that changes. */
  #expiryTold = -1

  /** Copies what it needs: `message` may be a view into a batch. `marks` follow its user properties. `isPast`: it does not expire. */
  constructor(message: Message, trace: TracedDelivery | null = null, marks: UserProperties = noMarks, isPast = false, partition = -1, offset = -1) {
    this.trace = trace
    this.#marks = marks
    this.#isPast = isPast
    this.partition = partition
    this.offset = offset
    this.topic = message.topic
    // The interval says how long a message is news: who asked for the past has it all.
    this.expiresAt = message.messageExpiryInterval === null || isPast ? null : message.receivedAt + message.messageExpiryInterval * 1000
    this.size = sizeOf(message)
    const { payload, correlationData } = message
    this.#published = { ...message, payload: Buffer.from(payload), correlationData: correlationData && Buffer.from(correlationData) }
    const added = trace?.traceparent ? [...marks, ['traceparent', trace.traceparent] as const] : marks
    this.#message =
      added.length === 0
        ? this.#published
        : { ...this.#published, userProperties: [...message.userProperties, ...added.map(([name, value]) => ({ name, value }))] }
  }

  /** The same for receivers that are told where it comes from. */
  get told(): Outgoing {
    this.#told ??= new Outgoing(
      this.#published,
      this.trace,
      [...this.#marks, ...provenanceMarks(this.#published, this.partition, this.offset)],
      this.#isPast,
      this.partition,
      this.offset,
    )
    return this.#told
  }

  /** Of the publish. */
  get messageId(): Buffer {
    return this.#published.messageId
  }

  isExpired(nowMs: number): boolean {
    return this.expiresAt !== null && nowMs >= this.expiresAt
  }

  /** Size of the packet as `receiver` would get it. */
  sizeFor(version: ProtocolVersion, receiver: Receiver, nowMs: number): number {
    return publishSize(this.#encode(version, nowMs), form(receiver, 0))
  }

  /** Adds the PUBLISH to what goes out. */
  write(output: Output, version: ProtocolVersion, receiver: Receiver, packetId: number, nowMs: number, alias: AliasUse = noAlias): void {
    const encoded = this.#encode(version, nowMs)
    if (receiver.subscriptionIdentifiers.length > 0 || encoded.payload.length > copiedMax || alias.topicAlias > 0) {
      output.push(publishHeader(encoded, form(receiver, packetId, alias)))
      if (encoded.payload.length > 0) output.append(encoded.payload)
      return
    }
    const { packet, packetIdAt } = this.#formOf(encoded, receiver)
    if (receiver.qos === 0) {
      output.push(packet)
      return
    }
    const own = Buffer.allocUnsafe(packet.length)
    packet.copy(own)
    own[packetIdAt] = packetId >>> 8
    own[packetIdAt + 1] = packetId
    output.push(own)
  }

  #formOf(encoded: EncodedPublish, receiver: Receiver): Form {
    const key = encoded.version | (receiver.qos << 4) | (receiver.retain ? 64 : 0) | (receiver.dup ? 128 : 0)
    for (const known of this.#forms) if (known.key === key) return known
    const header = publishHeader(encoded, form(receiver, 0))
    let topicAt = 1
    while ((header[topicAt++] as number) >= 0x80);
    const made = { key, packet: Buffer.concat([header, encoded.payload]), packetIdAt: topicAt + encoded.topic.length }
    this.#forms.push(made)
    return made
  }

  #encode(version: ProtocolVersion, nowMs: number): EncodedPublish {
    const left = this.expiresAt === null || version === 4 ? -1 : Math.max(0, Math.ceil((this.expiresAt - nowMs) / 1000))
    if (version === 5 && left !== this.#expiryTold) {
      this.#expiryTold = left
      this.#encoded[1] = null
      this.#forms = this.#forms.filter(({ key }) => (key & 7) === 4)
    }
    const index = version === 5 ? 1 : 0
    const known = this.#encoded[index]
    if (known) return known
    const message = this.#message
    const made = encodePublish({ topic: message.topic, payload: message.payload, properties: version === 5 ? propertiesOf(message, left) : {} }, version)
    this.#encoded[index] = made
    return made
  }
}

function sizeOf({ topic, payload, contentType, responseTopic, correlationData, userProperties }: Message): number {
  let size = topic.length + payload.length + (contentType?.length ?? 0) + (responseTopic?.length ?? 0) + (correlationData?.length ?? 0)
  for (const { name, value } of userProperties) size += userPropertyOverhead + name.length + value.length
  return size
}

const form = (receiver: Receiver, packetId: number, { topicAlias, topicKnown }: AliasUse = noAlias) => ({
  qos: receiver.qos,
  dup: receiver.dup,
  retain: receiver.retain,
  packetId,
  topicAlias,
  topicKnown,
  subscriptionIdentifiers: receiver.subscriptionIdentifiers,
})

function propertiesOf(message: Message, expiryLeft: number): Omit<PublishProperties, 'topicAlias' | 'subscriptionIdentifiers'> {
  const userProperties: UserProperties = message.userProperties.map(({ name, value }) => [name, value] as const)
  return {
    ...(message.payloadFormatIndicator !== null && { payloadFormatIndicator: message.payloadFormatIndicator as 0 | 1 }),
    ...(expiryLeft >= 0 && { messageExpiryInterval: expiryLeft }), // [MQTT-3.3.2-6]
    ...(message.contentType !== null && { contentType: message.contentType }),
    ...(message.responseTopic !== null && { responseTopic: message.responseTopic }),
    ...(message.correlationData !== null && { correlationData: message.correlationData }),
    ...(userProperties.length > 0 && { userProperties }),
  }
}
