/**
 * A gateway without MQTT: connections are objects, the link to routers is a pair of streams in memory, and who speaks for
 * a shard and what is in flight is kept by the real gateway's own bookkeeping.
 */
import type { Duplex } from 'node:stream'
import { Owed, packetIdOf } from '../../gateway/outbound.ts'
import { ConnectionReceipts, Receipts } from '../../gateway/receipts.ts'
import { Shards } from '../../gateway/shards.ts'
import type { Appender } from '../../log/log.ts'
import { partitionOf } from '../../log/partitioner.ts'
import { PacketUses } from '../../model/packet-uses.ts'
import { FrameLink } from '../../proto/delivery.ts'
import { type Ack, AckOutcome, type DeliveredMessage, type Frame, type LiveSession, type Receiver } from '../../proto/frames.ts'
import { encodeRecord } from '../../schemas/codec.ts'
import { RepeatableKind, repeatableId } from '../../schemas/message-id.ts'
import { decodeMessage, encodeMessage } from '../../schemas/message-record.ts'
import type { RecordName, Records } from '../../schemas/records.ts'
import type { Attached, SubscriptionRequest, Will } from '../../schemas/session-records.ts'
import { linkPair } from '../support/link-pair.ts'
import { loggedMessage } from '../support/logged-message.ts'
import { ProcessLog } from './process-log.ts'
import type { World } from './world.ts'

export interface Delivery {
  readonly source: number
  readonly offset: number
  readonly topic: string
  readonly text: string
  readonly qos: number
  readonly dup: boolean
  readonly retain: boolean
  readonly number: number
  readonly identifiers: readonly number[]
}

/** ATTACH_TIMEOUT: what another connection overtook before a router answered is answered by none. */
const attachTimeoutMs = 10_000

interface Link {
  readonly frames: FrameLink
  readonly streams: readonly Duplex[]
  readonly router: string
}

export interface ConnectOptions {
  readonly cleanStart?: boolean
  readonly expiry?: number
  readonly receiveMaximum?: number
  readonly name?: string
  readonly sessionsMax?: number
  readonly will?: Will
  /** Called with each delivery to an open connection. */
  onDelivery?(connection: SimConnection, delivery: Delivery): void
  /** Called with each PUBREL; without it the client answers PUBCOMP at once. */
  onRelease?(connection: SimConnection, number: number): void
  onClosed?(connection: SimConnection, why: string): void
}

export class SimConnection {
  readonly gateway: SimGateway
  readonly number: number
  readonly clientId: string
  readonly shard: number
  readonly connectionId: Buffer
  readonly options: ConnectOptions
  readonly owed = new Owed()
  readonly received: Delivery[] = []
  /** Numbers that fill the client's window. A PUBREL that comes again for what it has completed is no part of it. */
  readonly #window = new Set<number>()
  /** Numbers of QoS 2 that PUBREL came for. */
  readonly released: number[] = []
  phase: 'attaching' | 'open' | 'closed' = 'attaching'
  /** Offset of the attach, once the log or the router told. */
  epoch: number | null = null
  session: number | null = null
  sessionPresent: boolean | null = null
  filters: readonly string[] | number = []
  /** Of the session's packet ids, as the attach answer told. */
  uses = new PacketUses()
  closedWith: { readonly reasonCode: number; readonly reason: string } | null = null
  attachedAs: Attached | null = null
  #detach: (() => void) | null = null
  readonly #receipts: ConnectionReceipts | null

  constructor(gateway: SimGateway, number: number, clientId: string, shard: number, options: ConnectOptions) {
    this.gateway = gateway
    this.number = number
    this.clientId = clientId
    this.shard = shard
    this.connectionId = Buffer.alloc(16, number)
    this.options = options
    this.#receipts = gateway.receipts && new ConnectionReceipts(gateway.receipts, shard, clientId)
  }

  get texts(): string[] {
    return this.received.map(({ text, dup }) => (dup ? `${text} dup` : text))
  }

  /** The client acknowledges, with PUBACK or PUBREC; the gateway tells the session's owner, if it knows one. */
  acknowledge(delivery: Delivery): void {
    if (this.phase !== 'open' || delivery.number < 0) return
    const packetId = packetIdOf(delivery.number)
    if (delivery.qos === 2) {
      if (this.owed.flight(packetId) !== 'pubrec') return
      this.owed.receive(packetId)
      this.gateway.acknowledge(this, delivery.number, AckOutcome.received)
    } else if (this.owed.acknowledge(packetId) !== null) {
      this.#window.delete(delivery.number)
      this.#receipts?.acknowledged(packetId, 0)
      this.gateway.acknowledge(this, delivery.number, AckOutcome.acknowledged)
    }
  }

  /** The client answers PUBREL. */
  complete(number: number): void {
    const packetId = packetIdOf(number)
    if (this.phase !== 'open' || this.owed.flight(packetId) !== 'pubcomp') return
    this.owed.acknowledge(packetId)
    this.#window.delete(number)
    this.gateway.acknowledge(this, number, AckOutcome.acknowledged)
  }

  release(number: number): void {
    if (this.phase !== 'open' || this.owed.release(number) === null) return
    this.released.push(number)
    if (this.options.onRelease) this.options.onRelease(this, number)
    else this.complete(number)
  }

  subscribe(...filters: (string | SubscriptionRequest)[]): Promise<boolean> {
    const subscriptions = filters.map((filter) =>
      typeof filter === 'string'
        ? { filter, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, subscriptionIdentifier: null, replay: null }
        : filter,
    )
    const { clientId } = this
    return this.gateway.append('sessions', this.shard, 'Subscribed', clientId, {
      clientId,
      epoch: this.epoch as number,
      at: this.gateway.world.now(),
      subscriptions,
      registryPosition: 0,
    })
  }

  unsubscribe(...filters: string[]): Promise<boolean> {
    const { clientId } = this
    return this.gateway.append('sessions', this.shard, 'Unsubscribed', clientId, {
      clientId,
      epoch: this.epoch as number,
      at: this.gateway.world.now(),
      filters,
      withdraws: false,
    })
  }

  /** A QoS 2 PUBLISH, under the id that every gateway gives it; resolves once the log has it. */
  publishExactlyOnce(packetId: number, topic: string, text: string): Promise<{ readonly source: number; readonly offset: number }> {
    const { clientId, shard } = this
    const session = this.session as number
    const messageId = repeatableId({ kind: RepeatableKind.Publish, shard, session, use: this.uses.of(packetId), detail: packetId })
    return this.gateway.publish(topic, text, { messageId, clientId, session, qos: 2 })
  }

  /** PUBREL; resolves once the log has it. */
  releasePublish(packetId: number): Promise<boolean> {
    const { clientId } = this
    this.uses.release(packetId)
    return this.gateway.append('sessions', this.shard, 'Released', clientId, {
      clientId,
      epoch: this.epoch as number,
      at: this.gateway.world.now(),
      packetId,
    })
  }

  /** Ends by the client or the gateway; one Detached, once the epoch is known. */
  close(reason: string, reasonCode = 0): void {
    if (this.phase === 'closed') return
    this.phase = 'closed'
    this.closedWith = { reasonCode, reason }
    this.#detach = () => {
      void this.gateway.append('sessions', this.shard, 'Detached', this.clientId, {
        clientId: this.clientId,
        epoch: this.epoch as number,
        at: this.gateway.world.now(),
        reason,
        reasonCode,
        sessionExpiryInterval: null,
        keepWill: false,
        by: 'gateway',
      })
    }
    if (this.epoch !== null) this.#detach()
    this.gateway.forget(this)
    this.options.onClosed?.(this, reason)
  }

  /** The gateway died: nobody says anything for it. */
  lost(): void {
    if (this.phase === 'closed') return
    this.phase = 'closed'
    this.closedWith = { reasonCode: 0, reason: 'crash' }
    this.options.onClosed?.(this, 'crash')
  }

  attachedAt(offset: number): void {
    if (this.epoch !== null) return
    this.epoch = offset
    this.#detach?.()
  }

  onAnswer(frame: Extract<Frame, { kind: 'attachAnswer' }>): void {
    if (this.phase !== 'attaching' || !frame.connectionId.equals(this.connectionId)) return
    if (frame.reasonCode !== 0) {
      this.close('refused', frame.reasonCode)
      return
    }
    this.phase = 'open'
    this.attachedAt(frame.epoch)
    this.session = frame.session
    this.sessionPresent = frame.sessionPresent
    this.filters = frame.filters
    this.uses = PacketUses.decode(frame.uses)
  }

  liveSession(): LiveSession | null {
    if (this.phase !== 'open') return null
    return this.owed.state(this.number, this.session as number)
  }

  deliver(message: DeliveredMessage, receiver: Receiver): void {
    if (this.phase !== 'open') return
    if (receiver.number >= 0) {
      const taken = this.owed.take(receiver.number, receiver.qos === 2 ? 2 : 1)
      if (taken === 'known') return
      if (taken === 'done') {
        this.gateway.acknowledge(this, receiver.number, AckOutcome.acknowledged)
        return
      }
      const { receiveMaximum = 10 } = this.options
      this.#window.add(receiver.number)
      if (this.#window.size > receiveMaximum) throw new Error(`${this.clientId} has ${this.#window.size} in flight, more than ${receiveMaximum}`)
    }
    const { topic, payload, messageId } = decodeMessage(message.value)
    const { qos, dup, retain, number, subscriptionIdentifiers: identifiers } = receiver
    const delivery = { source: message.source, offset: message.offset, topic, text: payload.toString(), qos, dup, retain, number, identifiers }
    this.#receipts?.sent({ messageId, partition: message.source, offset: message.offset }, receiver, number < 0 ? 0 : packetIdOf(number))
    this.received.push(delivery)
    this.options.onDelivery?.(this, delivery)
  }
}

export class SimGateway {
  readonly world: World
  readonly id: string
  readonly log: ProcessLog
  incarnation = -1
  readonly #links = new Set<Link>()
  readonly shards: Shards<Link>
  readonly #connections = new Map<number, SimConnection>()
  #appender: Appender | undefined
  #lastNumber = 0
  isDead = false
  /** Routers that cannot reach it. */
  readonly refused = new Set<string>()
  /** By router that stands still: frames that it will send when it goes on. */
  readonly unsent = new Map<string, (() => void)[]>()
  /** Takes frames but hears and says nothing, as when stopped by a signal. */
  isFrozen = false
  readonly #frozen: (() => void)[] = []
  readonly receipts: Receipts | null

  constructor(world: World, id: string) {
    this.world = world
    this.id = id
    this.log = new ProcessLog(world.store)
    this.shards = new Shards(world.partitions, 0)
    const metrics = { reached: () => {}, receipts: () => {} }
    const gathering = { topic: world.topics.receipts, gateway: id, now: world.now, waitingMax: () => 100_000, isLogFull: () => false, metrics }
    this.receipts = world.hasReceipts ? new Receipts({ ...gathering, append: (record, done) => this.#appender?.append(record, done) }) : null
  }

  get address(): string {
    return `${this.id}:${this.incarnation}`
  }

  async start(): Promise<this> {
    this.#appender = await this.log.appender()
    // The record names the address before the incarnation is known: the world looks it up by id.
    this.incarnation = await this.#appender.write({
      topic: this.world.topics.gateways,
      partition: 0,
      key: Buffer.from(this.id),
      value: encodeRecord('GatewayUp', { id: this.id, address: this.id, startedAt: this.world.now(), stopping: false, incarnation: null, version: 'test' }),
      timestamp: this.world.now(),
    })
    this.world.gateways.set(this.id, this)
    return this
  }

  /** A router dials. */
  accept(router: string): Duplex {
    const [near, far] = linkPair()
    const link: Link = {
      router,
      streams: [near, far],
      frames: new FrameLink(far, {
        onFrame: (frame) => {
          const hear = (): void => this.#whenAwake(() => this.#receive(link, frame))
          const unsent = this.unsent.get(router)
          if (unsent) unsent.push(hear)
          else hear()
        },
        onEnd: () => {
          this.#links.delete(link)
          this.shards.drop(link)
        },
      }),
    }
    near.on('error', () => {})
    far.on('error', () => {})
    this.#links.add(link)
    return near
  }

  /** Cuts the links, of one router or all; what is on its way is lost. */
  cut(router?: string): void {
    for (const link of [...this.#links]) if (router === undefined || link.router === router) for (const stream of link.streams) stream.destroy()
  }

  thaw(): void {
    this.isFrozen = false
    for (const work of this.#frozen.splice(0)) work()
  }

  /** kill -9. */
  crash(): void {
    this.isDead = true
    this.log.kill()
    if (this.world.gateways.get(this.id) === this) this.world.gateways.delete(this.id)
    this.cut()
    for (const connection of [...this.#connections.values()]) connection.lost()
    this.#connections.clear()
  }

  connect(clientId: string, options: ConnectOptions = {}): SimConnection {
    const shard = partitionOf(Buffer.from(clientId), this.world.partitions)
    const connection = new SimConnection(this, ++this.#lastNumber, clientId, shard, options)
    this.#connections.set(connection.number, connection)
    const attached: Attached = {
      clientId,
      authenticationName: options.name ?? 'anonymous',
      at: this.world.now(),
      gateway: { id: this.id, incarnation: this.incarnation },
      connection: connection.number,
      connectionId: connection.connectionId,
      cleanStart: options.cleanStart ?? false,
      sessionExpiryInterval: options.expiry ?? 100,
      receiveMaximum: options.receiveMaximum ?? 10,
      maximumPacketSize: 0,
      keepAlive: 60,
      protocolVersion: 5,
      remoteAddress: '127.0.0.1',
      transport: 'tcp',
      registryPosition: 0,
      will: options.will ?? null,
      attributes: {},
      sessionsMax: options.sessionsMax ?? 0,
      vouchedBy: '',
      ownerKind: '',
    }
    connection.attachedAs = attached
    this.#append('sessions', shard, clientId, encodeRecord('Attached', attached), (offset) => connection.attachedAt(offset))
    const refuse = (): void => {
      if (connection.phase === 'attaching') connection.close('ServerUnavailable', 0x88)
    }
    setTimeout(() => this.#whenAwake(refuse), attachTimeoutMs)
    return connection
  }

  /** Resolves true once the log has it; never when the gateway dies before. */
  publish(topic: string, text: string, but: Partial<Records['Message']> = {}): Promise<{ readonly source: number; readonly offset: number }> {
    const source = partitionOf(Buffer.from(topic), this.world.partitions)
    const payload = Buffer.from(text)
    const value = encodeMessage(loggedMessage({ clientId: 'publisher', receivedAt: this.world.now(), topic, gateway: this.id, payload, ...but }))
    return new Promise((resolve) => this.#append('messages', source, topic, value, (offset) => resolve({ source, offset })))
  }

  append<N extends RecordName>(topic: 'sessions', partition: number, name: N, key: string, record: Records[N]): Promise<boolean> {
    return new Promise((resolve) => this.#append(topic, partition, key, encodeRecord(name, record), () => resolve(true)))
  }

  acknowledge(connection: SimConnection, number: number, outcome: AckOutcome): void {
    const ack: Ack = { connection: connection.number, number, outcome }
    this.shards.of(connection.shard)?.link?.frames.send({ kind: 'acks', shard: connection.shard, acks: [ack] })
  }

  forget(connection: SimConnection): void {
    this.#connections.delete(connection.number)
  }

  #append(topic: 'sessions' | 'messages', partition: number, key: string, value: Buffer, done: (offset: number) => void): void {
    const append = { topic: this.world.topics[topic], partition, key: Buffer.from(key), value, timestamp: this.world.now() }
    ;(this.#appender as Appender).append(append, (error, offset) => {
      if (error) throw error
      done(offset)
    })
  }

  #whenAwake(work: () => void): void {
    if (this.isFrozen) this.#frozen.push(work)
    else work()
  }

  #receive(link: Link, frame: Frame): void {
    if (this.isDead || !this.#links.has(link)) return
    switch (frame.kind) {
      case 'hello':
        if (frame.incarnation === this.incarnation) link.frames.send({ kind: 'welcome', gateway: this.id, incarnation: this.incarnation })
        else link.frames.close('another incarnation')
        return
      case 'own': {
        const { shard, term } = frame
        if (!this.shards.own(shard, term, link, 0)) return
        const sessions = [...this.#connections.values()].filter((each) => each.shard === shard).flatMap((each) => each.liveSession() ?? [])
        link.frames.send({ kind: 'shardState', shard, term, receivedTo: this.shards.of(shard)?.receivedTo ?? -1, sessions })
        return
      }
      case 'disown':
        this.shards.disown(frame.shard, frame.term, link)
        return
      case 'ping':
        link.frames.send({ kind: 'pong', nonce: frame.nonce })
        return
      case 'attachAnswer':
      case 'close':
      case 'direct':
      case 'owed':
      case 'retained':
      case 'release':
        if (this.shards.accepts(frame.shard, frame.term, link)) this.#apply(link, frame)
    }
  }

  #apply(link: Link, frame: Extract<Frame, { kind: 'attachAnswer' | 'close' | 'direct' | 'owed' | 'release' | 'retained' }>): void {
    if (frame.kind === 'attachAnswer') this.#connections.get(frame.connection)?.onAnswer(frame)
    else if (frame.kind === 'close') this.#connections.get(frame.connection)?.close(frame.reason, frame.reasonCode)
    else if (frame.kind === 'owed') for (const message of frame.messages) this.#deliver(message)
    else if (frame.kind === 'release') for (const { connection, number } of frame.releases) this.#connections.get(connection)?.release(number)
    else if (frame.kind === 'retained') {
      const { shard, term, sequence } = frame
      if (this.shards.receiveRetained(shard, sequence)) for (const message of frame.messages) this.#deliver(message)
      link.frames.send({ kind: 'retainedTaken', shard, term, sequence })
    } else {
      const first = this.shards.receive(frame.shard, frame.to)
      if (first !== null) for (const message of frame.messages) if (message.offset >= first) this.#deliver(message)
      link.frames.send({ kind: 'received', shard: frame.shard, term: frame.term, to: frame.to })
    }
  }

  #deliver(message: DeliveredMessage): void {
    for (const receiver of message.receivers) this.#connections.get(receiver.connection)?.deliver(message, receiver)
  }
}
