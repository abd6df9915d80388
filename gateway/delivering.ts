import { ReasonCode } from '../mqtt/reason-code.ts'
import { AckOutcome, type LiveSession, type Receiver } from '../proto/frames.ts'
import type { GatewayConfig, LimitName } from './config.ts'
import { DeliverySpans } from './delivery-spans.ts'
import { type HeldMessage, HeldPages } from './held-pages.ts'
import { Lent } from './lent.ts'
import type { GatewayMetrics } from './metrics.ts'
import { messageKind } from './operation-counts.ts'
import { Direct, Owed, type Waiting } from './outbound.ts'
import type { Outgoing } from './outgoing.ts'
import type { Output } from './output.ts'
import type { Flight } from './packet-window.ts'
import type { Client } from './protocol.ts'
import type { ClientRates } from './rates.ts'
import type { ConnectionReceipts } from './receipts.ts'
import { type AliasUse, TopicAliases } from './topic-aliases.ts'

/** What delivering needs of its connection. */
export interface DeliveryOwner {
  /** Bytes gathered or written that the network has not taken. */
  readonly waitingBytes: number
  /** A SUBSCRIBE has no SUBACK yet: what is retained waits for it, since simple clients expect no other packet before. Then `onRoom` is called. */
  readonly awaitsSuback: boolean
  /** Records of the session that were given to the log, and how many of them it has answered, in their order. */
  readonly recordsGiven: number
  readonly recordsAnswered: number
  /** Something stands in the output. */
  onOutput(): void
  /** A numbered message is done, or received. */
  onDone(number: number, outcome: AckOutcome): void
  /** The client takes too little: the connection ends with 0x97. */
  onOverflow(limit: LimitName): void
  /** A rate is used up: `onRoom` is to be called after this long, ms. */
  onThrottled(waitMs: number): void
}

/** A numbered message that waits for its rate. */
interface Throttled {
  readonly message: Outgoing
  readonly receiver: Receiver
  readonly packetId: number
}

type DropReason = 'expired' | 'tooLarge' | 'slow' | 'throttled'

/** Retained messages go out while no more than this waits for the network, bytes: above it a socket tells when it has taken all. */
const retainedWaitingMax = 64 * 1024
/** Bytes that an alias can add to a packet: the property, and longer lengths. */
const aliasMargin = 8

/** The receiving half of one open connection. */
export class Delivering {
  readonly #config: GatewayConfig
  readonly #metrics: GatewayMetrics
  readonly #owner: DeliveryOwner
  readonly #client: Client
  readonly #output: Output
  #owed: Owed | null = null
  #direct: Direct | null = null
  readonly #pages = new HeldPages()
  #isClosed = false
  /** By source shard: the last request for retained messages that was answered in full. */
  #retainedTo: Map<number, number> | undefined
  /** Numbered messages of a session that ends with its connection: they go the way of its direct ones. */
  readonly #lent: Lent | null
  readonly #aliases: TopicAliases | null
  readonly #rates: ClientRates
  /** In their order; within the client's Receive Maximum. */
  #throttled: Throttled[] = []
  #throttledBytes = 0
  /** Messages at QoS 1 or 2 wait for the rate: none at QoS 0 takes what it gives before they are looked at again. */
  #waitsForRate = false
  #spans: DeliverySpans | null = null
  /** Where none are asked for, null. */
  receipts: ConnectionReceipts | null = null
  /** Of messages that stand in the output or went out, bytes. */
  deliveredBytes = 0

  constructor(config: GatewayConfig, metrics: GatewayMetrics, owner: DeliveryOwner, client: Client, output: Output, rates: ClientRates, isTransient: boolean) {
    this.#rates = rates
    this.#aliases = client.topicAliasMaximum > 0 ? new TopicAliases(client.topicAliasMaximum) : null
    this.#lent = isTransient ? new Lent() : null
    this.#config = config
    this.#metrics = metrics
    this.#owner = owner
    this.#client = client
    this.#output = output
  }

  get inflight(): number {
    return (this.#owed?.inflight ?? 0) + (this.#direct?.inflight ?? 0)
  }

  state(connection: number, session: number): LiveSession {
    const lent = this.#lent
    if (lent) return { connection, session, sent: lent.sent, unacknowledged: lent.unacknowledged, received: [] }
    return this.#owed?.state(connection, session) ?? { connection, session, sent: -1, unacknowledged: [], received: [] }
  }

  /** A page of retained messages: goes out as the client takes it, then `done` is called. */
  deliverRetained(source: number, request: number, last: boolean, messages: readonly HeldMessage[], nowMs: number, done: () => void): void {
    // A new owner of the shard begins again; this connection has had it all.
    if (request <= (this.#retainedTo?.get(source) ?? -1)) {
      done()
      return
    }
    if (last) {
      this.#retainedTo ??= new Map()
      this.#retainedTo.set(source, request)
    }
    // A SUBSCRIBE that comes later is none that it answers: who always has one under way would hold it for good.
    this.#pages.add(messages, this.#owner.recordsGiven, done)
    this.onRoom(nowMs)
  }

  /** The network or the client has taken something, or a rate allows more. */
  onRoom(nowMs: number): void {
    if (this.#throttled.length > 0) this.#sendThrottled(nowMs)
    if (this.#direct && this.#direct.waiting > 0) this.#advance(nowMs)
    for (let next = this.#pages.first; next; next = this.#pages.first) {
      if (this.#owner.awaitsSuback && this.#owner.recordsAnswered < next.page.behind) return
      if (this.#owner.waitingBytes > retainedWaitingMax) return
      if (next.receiver.qos > 0 && this.#direct && !this.#direct.hasRoom) return
      if (this.#mustWait()) return
      this.#pages.shift()
      this.#handOn(next, nowMs)
    }
  }

  /** The connection is over. */
  close(): void {
    this.#isClosed = true
    this.#pages.clear()
    this.#spans?.close()
    if (!this.receipts) return
    // What has a number is owed to the session, and comes again.
    for (const { message, receiver } of this.#direct?.behindWindow() ?? []) if (receiver.number < 0) this.receipts.dropped(message, receiver, 'connectionEnded')
  }

  deliver(message: Outgoing, receiver: Receiver, nowMs: number): void {
    // What is retained on the topic came before it.
    if (!this.#pages.isEmpty) for (const held of this.#pages.take(message.topic)) this.#handOn(held, nowMs)
    if (receiver.number >= 0 && receiver.qos === 0) this.#deliverOwedOnce(message, receiver, nowMs)
    else if (receiver.number >= 0 && !this.#lent) this.#deliverOwed(message, receiver, nowMs)
    else if (receiver.qos === 0) this.#deliverAtMostOnce(message, receiver, nowMs)
    else this.#deliverDirect(message, receiver, nowMs)
  }

  /** PUBACK. One for no QoS 1 message in flight is ignored. */
  acknowledge(packetId: number, reasonCode: number, nowMs: number): void {
    if (this.#flight(packetId) === 'puback') this.#done(packetId, 1, reasonCode, nowMs)
  }

  /** PUBREC. False when the packet id is of no QoS 2 message in flight. */
  receive(packetId: number, reasonCode: number, nowMs: number): boolean {
    const flight = this.#flight(packetId)
    if (flight === null || flight === 'puback') return false
    if (flight === 'release') return true
    if (flight === 'pubcomp') this.#pubrel(packetId)
    else if (reasonCode >= 0x80)
      this.#done(packetId, 2, reasonCode, nowMs) // [MQTT-4.3.3-4]: no PUBREL, and the packet id is free
    else if (this.#owed) {
      const number = this.#owed.receive(packetId)
      if (number !== null) this.#owner.onDone(number, AckOutcome.received)
    } else {
      this.#direct?.receive(packetId)
      this.#pubrel(packetId)
    }
    return true
  }

  /** The journal says that the client has received the number. */
  release(number: number): void {
    this.#owed ??= new Owed()
    const packetId = this.#owed.release(number)
    if (packetId !== null) this.#pubrel(packetId)
  }

  /** PUBCOMP. One that nothing waits for is ignored. */
  complete(packetId: number, nowMs: number): void {
    if (this.#flight(packetId) === 'pubcomp') this.#done(packetId, 2, ReasonCode.Success, nowMs)
  }

  #handOn({ message, receiver }: HeldMessage, nowMs: number): void {
    if (receiver.qos > 0) this.#deliverDirect(message, receiver, nowMs)
    else if (!this.#discards(message, receiver, nowMs)) {
      this.#metrics.deliveries[0]++
      this.#send(message, receiver, 0, nowMs)
    }
  }

  #flight(packetId: number): Flight | null {
    return this.#owed?.flight(packetId) ?? this.#direct?.flight(packetId) ?? null
  }

  #done(packetId: number, qos: 1 | 2, reasonCode: number, nowMs: number): void {
    this.#metrics.deliveries[qos]++
    this.#spans?.acknowledged(packetId)
    this.receipts?.acknowledged(packetId, reasonCode)
    const number = this.#owed?.acknowledge(packetId) ?? null
    if (number !== null) this.#owner.onDone(number, AckOutcome.acknowledged)
    else if (this.#direct?.acknowledge(packetId)) {
      const lent = this.#lent?.done(packetId) ?? null
      if (lent !== null) this.#owner.onDone(lent, AckOutcome.acknowledged)
      this.#advance(nowMs)
      this.onRoom(nowMs)
    }
  }

  #pubrel(packetId: number): void {
    this.#output.fourBytes(0x62, packetId)
    this.#owner.onOutput()
  }

  #deliverAtMostOnce(message: Outgoing, receiver: Receiver, nowMs: number): void {
    const reason = this.#whyNotOnce(message, receiver, nowMs)
    if (reason === null) {
      this.#metrics.deliveries[0]++
      this.#send(message, receiver, 0, nowMs)
      return
    }
    if (reason === 'slow') this.#metrics.reached('OUTBOUND_QUEUE_BYTES_MAX')
    this.#drop(message, receiver, reason)
  }

  /** Why a message at QoS 0 is not sent. */
  #whyNotOnce(message: Outgoing, receiver: Receiver, nowMs: number): DropReason | null {
    if (message.isExpired(nowMs)) return 'expired'
    if (this.#isTooLarge(message, receiver, nowMs)) return 'tooLarge'
    if (this.#isOver(message, this.#config.OUTBOUND_QUEUE_BYTES_MAX)) return 'slow'
    return (this.#waitsForRate && this.#hasWaiting) || this.#rates.sendWaitMs() > 0 ? 'throttled' : null
  }

  #drop(message: Outgoing, receiver: Receiver, reason: DropReason): void {
    this.#metrics.deliveriesDropped[reason]++
    this.receipts?.dropped(message, receiver, reason)
  }

  /** The client takes too little for what it is sent. */
  #overflow(message: Outgoing, receiver: Receiver, limit: LimitName): void {
    this.receipts?.dropped(message, receiver, limit)
    this.#owner.onOverflow(limit)
  }

  /** A numbered message at QoS 0, as replays have them: it goes out as the network takes it, and is done with that. */
  #deliverOwedOnce(message: Outgoing, receiver: Receiver, nowMs: number): void {
    const { number } = receiver
    const taken = this.#lent ? this.#lent.take(number) : this.#takeOwed(number)
    if (taken === 'done') this.#owner.onDone(number, AckOutcome.acknowledged)
    if (taken !== 'new') return
    this.#pages.add([{ message, receiver }], this.#owner.recordsGiven, () => {
      if (this.#isClosed) return
      if (this.#lent) this.#lent.drop(number)
      else this.#owed?.drop(number)
      this.#owner.onDone(number, AckOutcome.acknowledged)
    })
    this.onRoom(nowMs)
  }

  #takeOwed(number: number): 'new' | 'known' | 'done' {
    this.#owed ??= new Owed()
    const taken = this.#owed.take(number, 0)
    return typeof taken === 'number' ? 'new' : taken
  }

  #deliverOwed(message: Outgoing, receiver: Receiver, nowMs: number): void {
    this.#owed ??= new Owed()
    const packetId = this.#owed.take(receiver.number, receiver.qos === 2 ? 2 : 1)
    if (packetId === 'known') return
    if (packetId === 'done') {
      this.#owner.onDone(receiver.number, AckOutcome.acknowledged)
      return
    }
    if (this.#throttled.length > 0 || this.#mustWait()) {
      if (this.#isOver(message, this.#config.OUTBOUND_OWED_BYTES_MAX)) this.#overflow(message, receiver, 'OUTBOUND_OWED_BYTES_MAX')
      else {
        message.hold()
        this.#throttled.push({ message, receiver, packetId })
        this.#throttledBytes += message.size
      }
    } else this.#sendOwed(message, receiver, packetId, nowMs)
  }

  #sendThrottled(nowMs: number): void {
    const waiting = this.#throttled
    let sent = 0
    for (; sent < waiting.length && !this.#mustWait(); sent++) {
      const { message, receiver, packetId } = waiting[sent] as Throttled
      this.#throttledBytes -= message.size
      this.#sendOwed(message, receiver, packetId, nowMs)
    }
    this.#throttled = waiting.slice(sent)
  }

  #sendOwed(message: Outgoing, receiver: Receiver, packetId: number, nowMs: number): void {
    // What an earlier connection may have brought in part is not ended by its expiry, which bounds the start of a delivery [MQTT-3.3.2-5].
    const isExpired = message.isExpired(nowMs) && !(receiver.qos === 2 && receiver.dup)
    const outcome = isExpired ? AckOutcome.expired : this.#isTooLarge(message, receiver, nowMs) ? AckOutcome.tooLarge : null
    if (outcome !== null) {
      this.#owed?.drop(receiver.number)
      this.#drop(message, receiver, outcome === AckOutcome.expired ? 'expired' : 'tooLarge')
      this.#owner.onDone(receiver.number, outcome)
      return
    }
    if (this.#isOver(message, this.#config.OUTBOUND_OWED_BYTES_MAX)) {
      this.#overflow(message, receiver, 'OUTBOUND_OWED_BYTES_MAX')
      return
    }
    this.#send(message, receiver, packetId, nowMs)
  }

  #deliverDirect(message: Outgoing, receiver: Receiver, nowMs: number): void {
    if (receiver.number >= 0 && !this.#isNew(receiver.number)) return
    if (this.#discards(message, receiver, nowMs)) return
    this.#direct ??= new Direct({
      receiveMaximum: this.#client.receiveMaximum,
      messagesMax: this.#config.OUTBOUND_QUEUE_MESSAGES_MAX,
      bytesMax: this.#config.OUTBOUND_QUEUE_BYTES_MAX,
    })
    if (this.#isOver(message, this.#config.OUTBOUND_QUEUE_BYTES_MAX)) {
      this.#overflow(message, receiver, 'OUTBOUND_QUEUE_BYTES_MAX')
      return
    }
    const packetId = this.#mustWait() ? null : this.#direct.take(receiver.qos === 2 ? 2 : 1)
    if (packetId !== null) {
      this.#sendDirect(message, receiver, packetId, nowMs)
      return
    }
    if (this.#direct.inflight >= this.#config.INFLIGHT_MAX) this.#metrics.reached('INFLIGHT_MAX')
    // Numbered ones are within the client's Receive Maximum: their shard's owner sees to that.
    const full = this.#direct.wait({ message, receiver }, receiver.number >= 0)
    if (full) this.#overflow(message, receiver, full)
  }

  /** Sends what the window and the rates let through. */
  #advance(nowMs: number): void {
    const direct = this.#direct
    if (!direct) return
    while (direct.waiting > 0 && !this.#mustWait()) {
      const next = direct.shift()
      if (next === null) return
      const { message, receiver }: Waiting = next.waiting
      if (this.#discards(message, receiver, nowMs)) direct.acknowledge(next.packetId)
      else this.#sendDirect(message, receiver, next.packetId, nowMs)
    }
  }

  #sendDirect(message: Outgoing, receiver: Receiver, packetId: number, nowMs: number): void {
    if (receiver.number >= 0) this.#lent?.sending(receiver.number, packetId)
    this.#send(message, receiver, packetId, nowMs)
  }

  /** False when the number came before, as after a change of the shard's owner. */
  #isNew(number: number): boolean {
    const state = this.#lent?.take(number)
    if (state === 'done') this.#owner.onDone(number, AckOutcome.acknowledged)
    return state === 'new'
  }

  #discards(message: Outgoing, receiver: Receiver, nowMs: number): boolean {
    const reason = message.isExpired(nowMs) ? 'expired' : this.#isTooLarge(message, receiver, nowMs) ? 'tooLarge' : null
    if (reason === null) return false
    this.#drop(message, receiver, reason)
    if (receiver.number >= 0) {
      this.#lent?.drop(receiver.number)
      this.#owner.onDone(receiver.number, AckOutcome[reason])
    }
    return true
  }

  /** A lone message always has room, whatever its size. */
  #isOver(message: Outgoing, bytesMax: number): boolean {
    const waitingBytes = this.#owner.waitingBytes + this.#throttledBytes
    return waitingBytes > 0 && waitingBytes + message.size > bytesMax
  }

  /** None where setting one would bring the packet near the client's Maximum Packet Size. */
  #alias(message: Outgoing, receiver: Receiver, nowMs: number): AliasUse | undefined {
    const { maximumPacketSize, protocolVersion } = this.#client
    if (!this.#aliases) return undefined
    if (maximumPacketSize > 0 && message.sizeFor(protocolVersion, receiver, nowMs) + aliasMargin > maximumPacketSize) return undefined
    return this.#aliases.use(message.topic)
  }

  /** [MQTT-3.1.2-24] and -25: not sent, and treated as if it had been. */
  #isTooLarge(message: Outgoing, receiver: Receiver, nowMs: number): boolean {
    const { maximumPacketSize, protocolVersion } = this.#client
    return maximumPacketSize > 0 && message.sizeFor(protocolVersion, receiver, nowMs) > maximumPacketSize
  }

  get #hasWaiting(): boolean {
    return this.#throttled.length > 0 || (this.#direct?.waiting ?? 0) > 0 || !this.#pages.isEmpty
  }

  #mustWait(): boolean {
    const waitMs = this.#rates.sendWaitMs()
    this.#waitsForRate = waitMs > 0
    if (waitMs > 0) this.#owner.onThrottled(waitMs)
    return waitMs > 0
  }

  #send(message: Outgoing, receiver: Receiver, packetId: number, nowMs: number): void {
    const before = this.#output.bytes
    message.write(this.#output, this.#client.protocolVersion, receiver, packetId, nowMs, this.#alias(message, receiver, nowMs))
    const bytes = this.#output.bytes - before
    this.deliveredBytes += bytes
    this.#rates.sent(bytes)
    this.#metrics.operations.delivered(messageKind(this.#client.protocol, receiver.qos, receiver.retain))
    if (message.trace) {
      this.#spans ??= new DeliverySpans(this.#client.clientId)
      this.#spans.sent(message.trace, receiver, packetId)
    }
    this.receipts?.sent(message, receiver, packetId)
    this.#owner.onOutput()
  }
}
