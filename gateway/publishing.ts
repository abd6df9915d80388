import { isUtf8 } from 'node:buffer'
import type { Principal } from '../access/principal.ts'
import type { AppendError, Appended } from '../log/log.ts'
import type { PacketUses } from '../model/packet-uses.ts'
import type { PublishPacket, PublishProperties } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { writePacket } from '../mqtt/writer.ts'
import { RepeatableKind, repeatableId } from '../schemas/message-id.ts'
import { OperationError } from '../telemetry/dimensions.ts'
import type { GatewayConfig, LimitName } from './config.ts'
import { ended } from './disconnection.ts'
import type { MessageJournal, PublisherIdentity, PublishTopic } from './message-journal.ts'
import { messageExcess } from './message-limits.ts'
import type { GatewayMetrics } from './metrics.ts'
import type { NamespaceAccess } from './namespace-access.ts'
import { messageKind } from './operation-counts.ts'
import { errorOf } from './operation-error.ts'
import type { Output } from './output.ts'
import {
  type Announced,
  type Client,
  type End,
  type Inbound,
  publishDenied,
  refusedPublish,
  refusePublish,
  refuseTopic,
  resolveTopic,
  withoutExpiryOfZero,
} from './protocol.ts'
import { AckType, PublishAck } from './publish-ack.ts'
import { RefusalReason } from './refusal-reason.ts'
import type { SealingReadiness } from './sealing.ts'

/** What publishing needs of the gateway. */
export interface PublishHost {
  readonly config: GatewayConfig
  readonly metrics: GatewayMetrics
  /** Changes whenever decisions have to be made again. */
  readonly registryVersion: number
  /** More waits for Kafka than KAFKA_BYTES_WAITING_MAX. */
  readonly logIsFull: boolean
  readonly access: Pick<NamespaceAccess, 'mayPublish'>
  readonly messages: Pick<MessageJournal, 'append'>
  /** Of the topic whose name this is. */
  partitionOf(key: Buffer): number
  now(): number
  /** Whether the client’s messages can be sealed as they have to be. */
  sealingReadiness(principal: Principal): SealingReadiness
}

/** What the connection hears back. */
export interface PublishOwner {
  readonly principal: Principal
  /** A publish without permission. */
  onRefused(topic: string): void
  /** PUBREL came: to be appended. */
  onReleased(packetId: number, done: Appended): void
  /** Acknowledgements stand in the output. */
  onAcknowledged(): void
  /** The log did not take a publish: nothing more can be promised on this connection. */
  onPublishLost(error: AppendError): void
}

/** The session that publishes. */
export interface PublisherSession {
  readonly id: number
  /** Of the client id. */
  readonly shard: number
  /** An earlier connection began it: PUBREL may come for what that one brought. */
  readonly isPresent: boolean
  /** Of its packet ids, up to its current attach; null for a session that ends with its connection, whose publishes nobody repeats. */
  readonly uses: PacketUses | null
}

/** `wait`: not taken, come back when the registry is current, or a moment later. `full` and `window`: taken, but read no further for now. `last`: refused, and the last that is read. */
export type PublishResult = 'taken' | 'wait' | 'full' | 'window' | 'last' | End

const ignored: Appended = () => {}

/** What a client that wants problem information is told [MQTT-3.1.2-29]. */
const refusals: Readonly<Record<number, string>> = {
  [ReasonCode.NotAuthorized]: 'no permission to publish on this topic',
  [ReasonCode.PayloadFormatInvalid]: 'the payload is not UTF-8, although its payload format indicator says so',
  [ReasonCode.PacketIdentifierNotFound]: 'no QoS 2 publish waits for a PUBREL under this packet id',
}
const keyIsLate: End = {
  do: 'end',
  ending: ended(ReasonCode.ServerBusy, 'the key that its messages are sealed with is not in the log'),
  limit: 'KAFKA_AWAY_CLOSE',
}
const noKeyLeft: End = {
  do: 'end',
  ending: ended(ReasonCode.QuotaExceeded, 'there are as many keys to seal messages with as there may be'),
  limit: 'SEALING_KEYS_MAX',
}
const endReasons: ReadonlyMap<End, RefusalReason> = new Map([
  [keyIsLate, RefusalReason.publishKeyLate],
  [noKeyLeft, RefusalReason.publishKeysMax],
])
const none: ReadonlyMap<number, never> = new Map<number, never>()
const ackNames = { [AckType.Puback]: 'puback', [AckType.Pubrec]: 'pubrec', [AckType.Pubcomp]: 'pubcomp' } as const

/** The publishing half of one open connection. */
export class Publishing implements Inbound {
  readonly protocolVersion: 4 | 5
  readonly announced: Announced
  unacknowledged = 0
  // These three are made with their first entry: of many connections most publish nothing, at QoS 1, or without aliases.
  #aliases: Map<number, string> | undefined
  /** QoS 2 packet ids without PUBREL: whether a message is in the log for them, or the publish was refused. */
  #received: Map<number, 'stored' | 'refused'> | undefined
  #topics: Map<string, PublishTopic> | undefined
  readonly #session: PublisherSession
  readonly #host: PublishHost
  readonly #owner: PublishOwner
  readonly #identity: PublisherIdentity
  readonly #client: Client
  readonly #output: Output
  /** Of the message before: to compare two names costs less than to look one up. */
  #topicBefore: PublishTopic | undefined
  /** In the order of the publishes; from #head on. */
  #acks: PublishAck[] = []
  #head = 0
  #closed = false
  /** Since when a publish has waited for the key that it is to be sealed with, ms since the epoch; null: none waits. */
  #keyAwaitedSince: number | null = null

  constructor(host: PublishHost, owner: PublishOwner, client: Client, session: PublisherSession, output: Output) {
    this.#session = session
    this.#host = host
    this.#owner = owner
    this.#output = output
    this.#client = client
    this.protocolVersion = client.protocolVersion
    this.announced = client.announced
    this.#identity = {
      clientId: client.clientId,
      session: session.id,
      authenticationName: owner.principal.authenticationName,
      protocolVersion: client.protocolVersion,
    }
  }

  /** Acknowledgements that wait for the log. */
  get waiting(): number {
    return this.#acks.length - this.#head
  }

  get aliases(): ReadonlyMap<number, string> {
    return this.#aliases ?? none
  }

  get received(): ReadonlyMap<number, unknown> {
    return this.#received ?? none
  }

  receive(packet: PublishPacket): PublishResult {
    const result = this.#receive(packet)
    if (typeof result === 'object' && result !== publishDenied) {
      this.#count(packet, errorOf(result.ending.reasonCode), endReasons.get(result) ?? RefusalReason.publishMisused)
    }
    return result
  }

  #receive(packet: PublishPacket): PublishResult {
    const refusal = refusePublish(this, packet)
    if (refusal) return refusal
    const name = resolveTopic(this, packet)
    if (typeof name !== 'string') return name
    const topic = this.#topic(name)
    if (topic === 'wait' || 'do' in topic) return topic
    const alias = packet.properties?.topicAlias
    if (alias !== undefined) {
      this.#aliases ??= new Map()
      this.#aliases.set(alias, name)
    }
    if (packet.qos === 2 && this.#received?.has(packet.packetId)) return this.#receivedAgain(packet.packetId)
    if (!topic.allowed) return this.#refused(topic, packet)
    return packet.properties ? this.#receiveWith(packet.properties, topic, packet) : this.#take(topic, packet)
  }

  #receiveWith(properties: PublishProperties, topic: PublishTopic, packet: PublishPacket): PublishResult {
    const { config, metrics } = this.#host
    if (config.PAYLOAD_FORMAT_VALIDATION && properties.payloadFormatIndicator === 1 && !isUtf8(packet.payload)) {
      metrics.publishesDropped.payloadFormat++
      return this.#unfit(packet, RefusalReason.publishPayloadFormat, ReasonCode.PayloadFormatInvalid, null) // section 3.3.2.3.2
    }
    const excess = messageExcess(properties, config)
    if (excess) {
      metrics.publishesDropped.overLimit++
      metrics.reached(excess.limit)
      return this.#unfit(packet, RefusalReason.publishAboveLimit, ReasonCode.QuotaExceeded, excess.detail)
    }
    return this.#take(topic, withoutExpiryOfZero(packet, config))
  }

  #take(topic: PublishTopic, packet: PublishPacket): PublishResult {
    return packet.qos === 0 ? this.#publishAtMostOnce(topic, packet) : this.#append(topic, packet)
  }

  /** PUBREL: the packet id is free once the log knows [MQTT-4.3.3-11]. */
  release(packetId: number): PublishResult {
    const known = this.#received?.get(packetId)
    this.#received?.delete(packetId)
    const ack = this.#expectAck(AckType.Pubcomp, packetId)
    ack.isLast = known !== undefined
    const { uses, isPresent } = this.#session
    if (uses && (known === 'stored' || (known === undefined && isPresent))) {
      // Counted before the log answers: the next PUBLISH with the packet id is another message, and comes after PUBCOMP.
      uses.release(packetId)
      this.#owner.onReleased(packetId, ack.done)
      return this.#host.logIsFull ? 'full' : this.#outcome
    }
    ack.reasonCode = known === undefined && this.protocolVersion === 5 ? ReasonCode.PacketIdentifierNotFound : ReasonCode.Success
    this.#acknowledge()
    return this.#outcome
  }

  /** The principal is not what it was. */
  forgetDecisions(): void {
    this.#topics?.clear()
    this.#topicBefore = undefined
  }

  /** The connection is over: no acknowledgement goes out any more. */
  close(): void {
    this.#closed = true
    for (let i = this.#head; i < this.#acks.length; i++) (this.#acks[i] as PublishAck).abandon()
    this.#acks = []
    this.#head = 0
  }

  onPublishAnswered(error: AppendError | null): void {
    if (this.#closed) return
    if (error) this.#owner.onPublishLost(error)
    else this.#acknowledge()
  }

  #publishAtMostOnce(topic: PublishTopic, packet: PublishPacket): PublishResult {
    const { metrics, logIsFull } = this.#host
    if (logIsFull) {
      metrics.publishesDropped.backpressure++
      this.#count(packet, OperationError.ServiceError, RefusalReason.publishBackpressure)
      metrics.reached('KAFKA_BYTES_WAITING_MAX')
      return 'taken'
    }
    metrics.operations.took(this.#kindOf(packet))
    this.#host.messages.append(this.#identity, topic, packet, ignored)
    return 'taken'
  }

  #append(topic: PublishTopic, packet: PublishPacket): PublishResult {
    const host = this.#host
    const { qos, packetId } = packet
    this.unacknowledged++
    const ack = this.#expectAck(qos === 2 ? AckType.Pubrec : AckType.Puback, packetId)
    if (qos === 2) this.#remember(packetId, 'stored')
    const receivedAt = host.messages.append(this.#identity, topic, packet, ack.done, qos === 2 ? this.#repeatableId(packetId) : undefined)
    ack.count(host.metrics.operations, this.#kindOf(packet), receivedAt)
    if (host.logIsFull) return 'full'
    // Those that wait for PUBREL do not count here: it could not be read.
    return this.protocolVersion === 4 && this.waiting >= this.announced.receiveMaximum ? 'window' : 'taken'
  }

  #remember(packetId: number, as: 'stored' | 'refused'): void {
    this.#received ??= new Map()
    this.#received.set(packetId, as)
  }

  /** The same for every gateway that is sent the message. */
  #repeatableId(packetId: number): Buffer | undefined {
    const { id, shard, uses } = this.#session
    return uses ? repeatableId({ kind: RepeatableKind.Publish, shard, session: id, use: uses.of(packetId), detail: packetId }) : undefined
  }

  /** Acknowledged again and not appended again [MQTT-4.3.3-10]; behind the first PUBREC, should that still wait for the log. */
  #receivedAgain(packetId: number): PublishResult {
    this.#expectAck(AckType.Pubrec, packetId).reasonCode = ReasonCode.Success
    this.#acknowledge()
    return this.#outcome
  }

  #refused(topic: PublishTopic, packet: PublishPacket): PublishResult {
    this.#host.metrics.publishesDropped.unauthorized++
    this.#owner.onRefused(topic.name)
    const outcome = refusedPublish(this, packet.qos, this.#host.config)
    this.#count(packet, OperationError.AuthorizationError, RefusalReason.publishNotPermitted)
    if (typeof outcome !== 'string') return outcome
    if (outcome === 'drop') return 'taken'
    const isNack = outcome !== 'acknowledge'
    // In its turn: acknowledgements keep the order of the publishes.
    this.unacknowledged++
    const ack = this.#expectAck(packet.qos === 2 ? AckType.Pubrec : AckType.Puback, packet.packetId)
    ack.reasonCode = isNack ? ReasonCode.NotAuthorized : ReasonCode.Success
    if (isNack)
      ack.isLast = true // [MQTT-4.3.3-9] the packet id is free
    else if (packet.qos === 2) this.#remember(packet.packetId, 'refused')
    this.#acknowledge()
    return outcome === 'last' ? 'last' : this.#outcome
  }

  /** The message cannot be taken as it is, and the connection stays. */
  #unfit(packet: PublishPacket, reason: RefusalReason, reasonCode: number, detail: string | null): PublishResult {
    this.#count(packet, errorOf(reasonCode), reason)
    if (packet.qos === 0) return 'taken'
    this.unacknowledged++
    const ack = this.#expectAck(packet.qos === 2 ? AckType.Pubrec : AckType.Puback, packet.packetId)
    ack.reasonCode = reasonCode
    ack.detail = detail
    ack.isLast = true
    this.#acknowledge()
    return this.#outcome
  }

  /** What needs no answer of the log waits behind what does: repeats, refusals, PUBRELs of nothing. Who keeps to Receive Maximum has fewer waiting. */
  get #outcome(): 'taken' | 'window' {
    return this.waiting >= 2 * this.announced.receiveMaximum ? 'window' : 'taken'
  }

  #kindOf({ qos, retain }: PublishPacket): number {
    return messageKind(this.#client.protocol, qos, retain)
  }

  #count(packet: PublishPacket, error: OperationError, reason: RefusalReason): void {
    this.#host.metrics.refused(reason)
    this.#host.metrics.operations.notPublished(this.#kindOf(packet), error)
  }

  #expectAck(type: AckType, packetId: number): PublishAck {
    const ack = PublishAck.take(this, type, packetId)
    this.#acks.push(ack)
    return ack
  }

  #acknowledge(): void {
    const acks = this.#acks
    let head = this.#head
    for (; head < acks.length; head++) {
      const ack = acks[head] as PublishAck
      if (!ack.isAnswered) break
      if (ack.reasonCode === 0) this.#output.fourBytes(ack.type, ack.packetId)
      else this.#refuse(ack)
      if (ack.isLast) this.unacknowledged--
      ack.free()
    }
    if (head === this.#head) return
    if (head === acks.length) {
      acks.length = 0
      head = 0
    } else if (head >= 1024) {
      acks.splice(0, head)
      head = 0
    }
    this.#head = head
    this.#owner.onAcknowledged()
  }

  #refuse(ack: PublishAck): void {
    const { wantsProblemInformation, maximumPacketSize } = this.#client
    const reasonString = ack.detail ?? refusals[ack.reasonCode]
    if (wantsProblemInformation && reasonString !== undefined) {
      const packet = writePacket({ type: ackNames[ack.type], packetId: ack.packetId, reasonCode: ack.reasonCode, properties: { reasonString } }, 5)
      // Not when it makes the packet larger than the client takes [MQTT-3.4.2-2].
      if (maximumPacketSize === 0 || packet.length <= maximumPacketSize) {
        const { buffer, offset } = this.#output.piece(packet.length)
        packet.copy(buffer, offset)
        return
      }
    }
    const { buffer, offset } = this.#output.piece(5)
    buffer[offset] = ack.type
    buffer[offset + 1] = 3
    buffer[offset + 2] = ack.packetId >>> 8
    buffer[offset + 3] = ack.packetId & 0xff
    buffer[offset + 4] = ack.reasonCode
  }

  /** The topic with a decision of the registry as it stands. */
  #topic(name: string): PublishTopic | 'wait' | End {
    const host = this.#host
    const known = this.#topicBefore?.name === name ? this.#topicBefore : this.#topics?.get(name)
    this.#topicBefore = known
    if (known?.version === host.registryVersion) return known
    const refusal = refuseTopic(name, host.config)
    if (refusal) return refusal
    const permission = host.access.mayPublish(this.#owner.principal, name)
    if (permission === 'undecided') return 'wait'
    const sealing = host.sealingReadiness(this.#owner.principal)
    if (sealing !== 'ready') return sealing === 'full' ? noKeyLeft : this.#waitForKey()
    this.#keyAwaitedSince = null
    if (known) {
      known.allowed = permission === 'allowed'
      known.version = host.registryVersion
      return known
    }
    this.#topics ??= new Map()
    if (this.#topics.size >= host.config.AUTHORIZATION_CACHE_MAX) {
      this.#topics.clear()
      host.metrics.reached('AUTHORIZATION_CACHE_MAX' satisfies LimitName)
    }
    const key = Buffer.from(name)
    const topic = { name, key, partition: host.partitionOf(key), allowed: permission === 'allowed', version: host.registryVersion }
    this.#topics.set(name, topic)
    return topic
  }

  /** The log does not take its key: as when it takes nothing, that goes on for so long and no longer. */
  #waitForKey(): 'wait' | End {
    const now = this.#host.now()
    this.#keyAwaitedSince ??= now
    return now - this.#keyAwaitedSince < this.#host.config.KAFKA_AWAY_CLOSE ? 'wait' : keyIsLate
  }
}
