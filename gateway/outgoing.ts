import type { ProtocolVersion, UserProperties } from '../mqtt/packet.ts'
import { type EncodedPublish, packetIdPosition, publishHeader, publishSize, putPublish } from '../mqtt/publish-writer.ts'
import type { Receiver } from '../proto/frames.ts'
import { DeliveryView, decodeMessage, peekMessage } from '../schemas/message-record.ts'
import type { TracedDelivery } from '../telemetry/tracing.ts'
import type { Output } from './output.ts'
import { provenanceMarks } from './provenance.ts'
import type { AliasUse } from './topic-aliases.ts'

/** Up to here a packet is copied whole for each receiver; a larger payload is shared by reference. Bytes. */
const copiedMax = 4096

const noMarks: UserProperties = []
const noAlias: AliasUse = { topicAlias: 0, topicKnown: false }

/** Where a message comes from, and what that makes of its deliveries. */
export interface Origin {
  /** Where it stands in `messages`; -1 where that is not known. */
  readonly partition: number
  readonly offset: number
  /** How its deliveries are traced; null when they are not. */
  readonly trace: TracedDelivery | null
  /** User properties behind its publisher's. */
  readonly marks: UserProperties
  /** It does not expire: the interval says how long a message is news, and who asked for the past has it all. */
  readonly isPast: boolean
}

/** A complete packet that serves every receiver of the same form; the packet id is filled in per receiver. */
interface Form {
  readonly key: number
  /** Null until a second receiver wants it: most messages have one. */
  packet: Buffer | null
}

const noForms: readonly Form[] = []

/** One message of the log on its way out. Its record stays as it is; packets are made of it where they are written. */
export class Outgoing {
  /** Milliseconds since the epoch; null for never. */
  readonly expiresAt: number | null
  /** Bytes that it holds: what it costs to wait. */
  readonly size: number
  readonly #origin: Origin
  readonly #marks: UserProperties
  #view: DeliveryView
  /** The record is in memory of its own. */
  #isHeld = false
  #topic: string | null = null
  #told: Outgoing | null = null
  #encoded4: EncodedPublish | null = null
  #encoded5: EncodedPublish | null = null
  #forms = noForms
  /** Seconds left that the encoded bytes tell; encoded again when that changes. */
  #expiryTold = -1

  /** `value`: its record, which may be a view into a batch: `hold` before it waits. Throws RecordError. */
  constructor(value: Buffer, origin: Origin) {
    this.#view = new DeliveryView(value)
    this.#origin = origin
    const { marks, trace, isPast } = origin
    this.#marks = trace?.traceparent ? [...marks, ['traceparent', trace.traceparent]] : marks
    const { messageExpiryInterval, receivedAt } = this.#view
    this.expiresAt = messageExpiryInterval === null || isPast ? null : receivedAt + messageExpiryInterval * 1000
    this.size = value.length
  }

  get topic(): string {
    this.#topic ??= this.#view.topic
    return this.#topic
  }

  get trace(): TracedDelivery | null {
    return this.#origin.trace
  }

  /** Where it stands in `messages`; -1 where that is not known. */
  get partition(): number {
    return this.#origin.partition
  }

  get offset(): number {
    return this.#origin.offset
  }

  /** Of the publish; a view. */
  get messageId(): Buffer {
    return peekMessage(this.#view.value).messageId
  }

  /** The same for receivers that are told where it comes from. */
  get told(): Outgoing {
    if (this.#told) return this.#told
    this.hold()
    const { partition, offset, marks } = this.#origin
    const { value } = this.#view
    this.#told = new Outgoing(value, { ...this.#origin, marks: [...marks, ...provenanceMarks(decodeMessage(value), partition, offset)] })
    return this.#told
  }

  /** It is to wait: it must not keep the batch it came with. */
  hold(): void {
    if (this.#isHeld) return
    this.#isHeld = true
    this.#view = new DeliveryView(Buffer.from(this.#view.value))
    this.#encoded4 = null
    this.#encoded5 = null
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
    if (this.#view.payloadSize > copiedMax) {
      this.hold()
      const encoded = this.#encode(version, nowMs)
      output.push(publishHeader(encoded, form(receiver, packetId, alias)))
      output.append(encoded.payload.subarray(encoded.payloadStart))
      return
    }
    const encoded = this.#encode(version, nowMs)
    const shared = receiver.subscriptionIdentifiers.length > 0 || alias.topicAlias > 0 ? null : this.#sharedPacket(encoded, receiver)
    if (shared && receiver.qos === 0) {
      output.push(shared)
      return
    }
    if (shared) {
      const { buffer, offset } = output.piece(shared.length)
      shared.copy(buffer, offset)
      const at = packetIdPosition(buffer, offset)
      buffer[at] = packetId >>> 8
      buffer[at + 1] = packetId
      return
    }
    const terms = form(receiver, packetId, alias)
    const { buffer, offset } = output.piece(publishSize(encoded, terms))
    putPublish(buffer, offset, encoded, terms)
  }

  /** The packet of all receivers of this form; null for the first of them. */
  #sharedPacket(encoded: EncodedPublish, receiver: Receiver): Buffer | null {
    const key = encoded.version | (receiver.qos << 4) | (receiver.retain ? 64 : 0) | (receiver.dup ? 128 : 0)
    for (const known of this.#forms) {
      if (known.key !== key) continue
      if (known.packet) return known.packet
      const terms = form(receiver, 0)
      known.packet = Buffer.allocUnsafe(publishSize(encoded, terms))
      putPublish(known.packet, 0, encoded, terms)
      return known.packet
    }
    const made = { key, packet: null }
    this.#forms = this.#forms === noForms ? [made] : [...this.#forms, made]
    return null
  }

  #encode(version: ProtocolVersion, nowMs: number): EncodedPublish {
    const left = this.expiresAt === null || version === 4 ? -1 : Math.max(0, Math.ceil((this.expiresAt - nowMs) / 1000))
    if (version === 5 && left !== this.#expiryTold) {
      this.#expiryTold = left
      this.#encoded5 = null
      this.#forms = this.#forms.filter(({ key }) => (key & 7) === 4)
    }
    const known = version === 5 ? this.#encoded5 : this.#encoded4
    if (known) return known
    const made = this.#view.encode(version, left < 0 ? null : left, this.#marks)
    if (version === 5) this.#encoded5 = made
    else this.#encoded4 = made
    return made
  }
}

/** A message of the log that is nothing special. */
export const plainOrigin = (partition: number, offset: number): Origin => ({ partition, offset, trace: null, marks: noMarks, isPast: false })

const form = (receiver: Receiver, packetId: number, { topicAlias, topicKnown }: AliasUse = noAlias) => ({
  qos: receiver.qos,
  dup: receiver.dup,
  retain: receiver.retain,
  packetId,
  topicAlias,
  topicKnown,
  subscriptionIdentifiers: receiver.subscriptionIdentifiers,
})
