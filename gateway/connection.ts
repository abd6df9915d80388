/**
 * One client's connection: bytes in and out, deadlines, its end. What is to be done is decided in protocol.ts; what the
 * log, the registry and the routers have to do with it is the host's (gateway.ts). Up to CONNACK it is connecting.ts, from
 * then on publishing.ts, subscribing.ts, delivering.ts and renewing.ts.
 */
import type { Principal } from '../access/principal.ts'
import { RefusedKind } from '../audit/refusals.ts'
import type { AppendError, Appended } from '../log/log.ts'
import { PacketUses } from '../model/packet-uses.ts'
import type { MalformedPacket } from '../mqtt/malformed-packet.ts'
import type { AckPacket, Packet, PublishPacket } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { writePacket } from '../mqtt/writer.ts'
import type { AckOutcome, LiveSession, Receiver } from '../proto/frames.ts'
import type { Attachment } from './attachment.ts'
import type { LimitName } from './config.ts'
import { type AttachAnswer, type AttachedSession, Connecting } from './connecting.ts'
import type { ConnectionHost } from './connection-host.ts'
import type { Timed } from './deadlines.ts'
import { Delivering, type DeliveryOwner } from './delivering.ts'
import { DisconnectionReason, type Ending, ended, lost } from './disconnection.ts'
import type { HeldMessage } from './held-pages.ts'
import { Input, type InputOwner, Pause } from './input.ts'
import type { Outgoing } from './outgoing.ts'
import { Output } from './output.ts'
import { type AppendsOwner, PendingAppends } from './pending-appends.ts'
import { Progress } from './progress.ts'
import { acceptance, type End, farewell, publishDenied, receiveDisconnect, refuseAcknowledgement, refuseUserProperties } from './protocol.ts'
import { Publishing, type PublishOwner, type PublishResult } from './publishing.ts'
import { ClientRates } from './rates.ts'
import { type RenewalOwner, Renewing } from './renewing.ts'
import { type SubscribeOwner, type SubscribeResult, Subscribing } from './subscribing.ts'
import type { Transport, TransportListener } from './transport.ts'

/** An open connection. */
interface Open {
  readonly is: 'open'
  readonly session: AttachedSession
  readonly sessionId: number
  readonly publishing: Publishing
  readonly subscribing: Subscribing
  readonly delivering: Delivering
  readonly renewing: Renewing
  readonly rates: ClientRates
}

type Phase = { readonly is: 'connecting'; readonly connecting: Connecting } | Open | { readonly is: 'closed' }

const closed: Phase = { is: 'closed' }
const pingresp = writePacket({ type: 'pingresp' }, 4)
/** Time for the last bytes of a connection that is closed, ms. */
const graceMs = 2000

export class Connection implements TransportListener, InputOwner, Timed, PublishOwner, SubscribeOwner, DeliveryOwner, RenewalOwner, AppendsOwner {
  readonly transport: Transport
  /** True on the listener that only parts of the deployment use. */
  readonly isInternal: boolean
  /** Bytes the client takes in one packet, as its CONNECT says: holds for a CONNACK that refuses, too. */
  maximumPacketSize = Number.POSITIVE_INFINITY
  readonly #host: ConnectionHost
  readonly #input: Input
  readonly #output = new Output()
  #phase: Phase
  /** When the chunk came whose packets are handed over, or reading was resumed: the clock is not asked for each of them. */
  #lastReceivedAt: number
  readonly #progress = new Progress()
  /** How the connection is to end once everything that was read is answered. */
  #leaving: Ending | null = null
  readonly #appends = new PendingAppends(this)
  #recordsAnswered = 0
  /** When a rate lets the client be read again, and when it may be sent more, ms since the epoch; Infinity: nothing waits for that. */
  #readAgainAt = Number.POSITIVE_INFINITY
  #sendAgainAt = Number.POSITIVE_INFINITY
  isFlushScheduled = false

  constructor(host: ConnectionHost, transport: Transport, isInternal: boolean) {
    this.#host = host
    this.transport = transport
    this.isInternal = isInternal
    this.#input = new Input(transport, this, { maximumPacketSize: host.config.MAXIMUM_PACKET_SIZE, firstPacketSizeMax: host.config.FIRST_PACKET_SIZE_MAX })
    this.#lastReceivedAt = host.now()
    this.#phase = { is: 'connecting', connecting: new Connecting(host, this, this.#input) }
    transport.listen(this)
  }

  /** Its CONNECT has not come. */
  get isNew(): boolean {
    return this.#phase.is === 'connecting' && this.#phase.connecting.isNew
  }

  get isOpen(): boolean {
    return this.#phase.is === 'open'
  }

  get attachment(): Attachment | null {
    return this.#session?.attachment ?? null
  }

  /** Only while attached. */
  get principal(): Principal {
    const session = this.#session
    if (!session) throw new TypeError('the connection is not attached')
    return session.principal
  }

  get waitingBytes(): number {
    return this.#output.bytes + this.transport.waitingBytes
  }

  get awaitsSuback(): boolean {
    return this.#phase.is === 'open' && this.#phase.subscribing.isUnanswered
  }

  get recordsGiven(): number {
    return this.#recordsAnswered + this.#appends.count
  }

  get recordsAnswered(): number {
    return this.#recordsAnswered
  }

  get isWebSocket(): boolean {
    return this.transport.kind === 'ws' || this.transport.kind === 'wss'
  }

  get #session(): AttachedSession | null {
    return this.#phase.is === 'connecting' ? this.#phase.connecting.session : this.#phase.is === 'open' ? this.#phase.session : null
  }

  // --- what the transport tells

  onData(chunk: Buffer): void {
    this.#host.metrics.bytesIn += chunk.length
    this.#host.lookForPause()
    if (this.#phase.is === 'closed') return
    const now = this.#host.now()
    this.#lastReceivedAt = now
    this.#input.take(chunk)
    if (this.#phase.is === 'open') this.#throttle(this.#phase.rates.received(chunk.length))
  }

  onDrain(): void {
    this.#progress.drained()
    if (this.#phase.is === 'open') this.#phase.delivering.onRoom(this.#host.now())
  }

  onClosed(orderly: boolean): void {
    const ending = lost(orderly)
    if (this.#phase.is === 'connecting') {
      this.#phase.connecting.lost(ending)
      this.onOver()
    } else this.#end(ending)
    this.#host.left(this)
  }

  // --- what the gateway tells

  /** The router has answered the Attached record. */
  onAttachAnswer(answer: AttachAnswer): void {
    if (this.#phase.is === 'connecting') this.#phase.connecting.onAttachAnswer(answer)
  }

  /** The log did not take the Attached record, or may not have. */
  onAttachLost(detail: string): void {
    if (this.#phase.is === 'connecting') this.#phase.connecting.onAttachLost(detail)
  }

  deliver(message: Outgoing, receiver: Receiver, nowMs: number): void {
    if (this.#phase.is === 'open') this.#phase.delivering.deliver(this.#asTold(message, this.#phase), receiver, nowMs)
    else this.#host.metrics.deliveriesDropped.gone++
  }

  /** A page of retained messages; `done` is called once when the client has taken it, or the connection is over. */
  deliverRetained(source: number, request: number, last: boolean, messages: readonly HeldMessage[], done: () => void): void {
    const phase = this.#phase
    if (phase.is !== 'open') {
      done()
      return
    }
    const told = phase.session.client.wantsProvenance
      ? messages.map(({ message, receiver }) => ({ message: this.#asTold(message, phase), receiver }))
      : messages
    phase.delivering.deliverRetained(source, request, last, told, this.#host.now(), done)
  }

  /** Where a message comes from is for those who asked, and who may have it replayed: they could find out themselves. */
  #asTold(message: Outgoing, { session }: Phase & { is: 'open' }): Outgoing {
    return session.client.wantsProvenance && this.#host.mayReplay(session.principal, message.topic) ? message.told : message
  }

  /** The client's PUBREC of a numbered message is in the log. */
  release(number: number): void {
    if (this.#phase.is === 'open') this.#phase.delivering.release(number)
  }

  /** What a new owner of the client's shard has to know; null while the attach is not answered. */
  liveSession(): LiveSession | null {
    const phase = this.#phase
    if (phase.is !== 'open') return null
    return phase.delivering.state(phase.session.attachment.connection, phase.sessionId)
  }

  /** The process was paused: what comes from the client may be of long ago. One that is not let in yet has to come again. */
  doubt(): void {
    if (this.#phase.is === 'connecting') this.#phase.connecting.doubt()
    else if (this.#phase.is === 'open') this.#input.pause(Pause.doubt)
  }

  resumeReading(reason: 'log' | 'registry' | 'doubt'): void {
    // The keep alive was suspended with the reading.
    this.#lastReceivedAt = this.#host.now()
    this.#input.resume(Pause[reason])
  }

  /** The registry has changed: judges address, credentials and subscriptions again. Answers how many judgements that took. */
  rejudge(): number {
    if (!this.isInternal && !this.#host.mayComeFrom(this.transport.remoteAddress)) {
      this.close(ended(ReasonCode.NotAuthorized, 'the address may no longer connect', DisconnectionReason.IpForbidden))
      return 1
    }
    const session = this.#session
    if (!session) return 1
    const validity = this.#host.credentials.revalidate(session.credentials, session.principal)
    if (!validity.ok) {
      // Why is for the log: refusals look alike on the wire.
      this.#host.report(this, 'credentials no longer valid', { clientId: session.client.clientId, why: validity.why })
      this.close(ended(validity.reasonCode, 'the credentials are no longer valid', DisconnectionReason.ClientAuthenticationError))
      return 1
    }
    session.expiresAt = validity.expiresAt ?? Number.POSITIVE_INFINITY
    const isAnother = session.principal !== validity.principal
    session.principal = validity.principal
    const phase = this.#phase
    if (phase.is !== 'open') return 1
    if (isAnother) phase.publishing.forgetDecisions()
    this.#noteReceipts(phase)
    this.#host.setDeadline(this, this.#nextLook(this.#host.now()))
    return 1 + (isAnother || session.rulesPosition !== this.#host.rulesPosition ? this.#rejudgeFilters(phase) : 0)
  }

  /** What becomes of its deliveries is noted while its groups ask for that. */
  #noteReceipts({ delivering, session }: Open): void {
    if (!this.#host.wantsReceipts(session.principal)) delivering.receipts = null
    else delivering.receipts ??= this.#host.receiptsOf(session.client.clientId)
  }

  /**
   * The client learns that it lost a subscription by losing its connection (NS-11): MQTT has no other word for it. The
   * session's owner takes the subscription away by its own view of the registry, also from sessions without a connection.
   */
  #rejudgeFilters({ session, subscribing }: Open): number {
    session.rulesPosition = this.#host.rulesPosition
    if (!subscribing.areAllPermitted()) this.close(ended(ReasonCode.NotAuthorized, 'a subscription is no longer permitted'))
    return subscribing.count
  }

  /** The gateway ends the connection. */
  close(ending: Ending): void {
    const clientId = this.#session?.client.clientId
    if (clientId !== undefined && ending.reason === DisconnectionReason.SessionTakenOver) this.#host.takeovers.taken(clientId, this.#host.now())
    if (this.#phase.is === 'connecting') this.#phase.connecting.close(ending)
    else this.#end(ending)
  }

  /** The gateway ends the connection as soon as everything that was read is answered; nothing more is read. A CONNECT that is still to come will be refused. */
  leave(ending: Ending): void {
    if (this.#phase.is === 'connecting') this.#phase.connecting.leave(ending)
    if (this.#phase.is !== 'open') return
    this.#leaving = ending
    this.#input.pause(Pause.leaving)
    this.#leaveWhenAnswered()
  }

  #leaveWhenAnswered(): void {
    if (this.#leaving && this.#phase.is === 'open' && this.#phase.publishing.waiting === 0 && this.#appends.count === 0) this.#end(this.#leaving)
  }

  /** Writes what this turn has gathered. */
  flush(): void {
    const { bytes } = this.#output
    if (bytes === 0) return
    this.#host.metrics.bytesOut += bytes
    this.#host.metrics.packetsOut += this.#output.packets
    this.transport.write(this.#output.take())
    if (this.#phase.is !== 'open') return
    const now = this.#host.now()
    if (this.#progress.written(bytes, this.transport.waitingBytes, now)) this.#host.setDeadline(this, this.#nextLook(now))
    this.#phase.delivering.onRoom(now)
  }

  onDeadline(nowMs: number): number | null {
    const phase = this.#phase
    if (phase.is === 'closed') return null
    if (phase.is === 'connecting') return phase.connecting.onDeadline(nowMs)
    this.#lookAround(phase, nowMs)
    return this.isOpen ? this.#nextLook(nowMs) : null
  }

  // --- what connecting tells

  onAttached(session: AttachedSession, answer: AttachAnswer, since: number): void {
    const host = this.#host
    const { client, attachment } = session
    const { sessionPresent } = answer
    const publisher = {
      id: answer.session,
      shard: attachment.shard,
      isPresent: sessionPresent,
      // What ends with its connection is never sent again on another.
      uses: client.sessionExpiryInterval > 0 || sessionPresent ? PacketUses.decode(answer.uses) : null,
    }
    const rates = new ClientRates(host.rates)
    // One that was there before may be owed something from an earlier connection, under ids that were used there.
    const isFresh = client.sessionExpiryInterval === 0 && !sessionPresent
    const open: Open = {
      is: 'open',
      session,
      sessionId: answer.session,
      publishing: new Publishing(host, this, client, publisher, this.#output),
      subscribing: new Subscribing(host, this, client, attachment, this.#appends, answer.filters),
      delivering: new Delivering(host.config, host.metrics, this, client, this.#output, rates, isFresh),
      renewing: new Renewing(host, this, this, session, this.#appends),
      rates,
    }
    this.#phase = open
    this.#noteReceipts(open)
    host.metrics.connects.inc({ result: 'accepted' })
    const now = host.now()
    host.metrics.operations.connected(client.protocol, now - since)
    this.send(acceptance(client, sessionPresent, host.config))
    this.#lastReceivedAt = now
    host.setDeadline(this, this.#nextLook(now))
    this.#input.resume(Pause.attaching)
  }

  /** CONNACK has said no, or nobody is there to hear it. */
  onOver(): void {
    this.#phase = closed
    this.#leave()
  }

  /** It is over without a word. */
  onDropped(): void {
    this.#phase = closed
    this.#input.close()
    this.transport.destroy()
  }

  // --- what publishing and delivering tell

  onAcknowledged(): void {
    this.#host.scheduleFlush(this)
    this.#leaveWhenAnswered()
    if (!this.#input.isPausedFor(Pause.window) || this.#phase.is !== 'open') return
    if (this.#phase.publishing.waiting * 2 > this.#phase.session.client.announced.receiveMaximum) return
    this.#lastReceivedAt = this.#host.now()
    this.#input.resume(Pause.window)
  }

  onRefused(topic: string): void {
    this.#refused(RefusedKind.publish, topic)
  }

  onReleased(packetId: number, done: Appended): void {
    const session = this.#session
    if (session) this.#host.sessions.release(session.attachment, packetId, done)
  }

  onPublishLost(error: AppendError): void {
    this.onAppendFailed(error)
  }

  onFilterRefused(filter: string): void {
    this.#refused(RefusedKind.subscribe, filter)
  }

  get isDoubtful(): boolean {
    this.#host.lookForPause()
    return this.#input.isPausedFor(Pause.doubt)
  }

  onNotInLog(error: AppendError): void {
    this.#host.report(this, 'append refused', { error: error.message })
  }

  onAppendFailed(error: AppendError): void {
    this.#host.report(this, 'append failed', { error: error.message })
    this.close(ended(ReasonCode.ServerBusy, 'the log did not take it'))
  }

  onAppendAnswered(): void {
    this.#recordsAnswered++
    this.#leaveWhenAnswered()
  }

  onRenewed(): void {
    if (this.#phase.is === 'open') this.#phase.publishing.forgetDecisions()
    this.rejudge()
  }

  onOutput(): void {
    this.#host.scheduleFlush(this)
  }

  onDone(number: number, outcome: AckOutcome): void {
    const session = this.#session
    if (session) this.#host.acknowledge(session.attachment, number, outcome)
  }

  onOverflow(limit: LimitName): void {
    this.#host.metrics.reached(limit)
    this.close(ended(ReasonCode.QuotaExceeded, `${limit} is reached`, DisconnectionReason.SessionOverflow))
  }

  onThrottled(waitMs: number): void {
    if (this.#sendAgainAt !== Number.POSITIVE_INFINITY) return
    const now = this.#host.now()
    this.#sendAgainAt = now + waitMs
    this.#host.setDeadline(this, this.#nextLook(now))
  }

  // --- what the input tells

  onPacket(packet: Packet): void {
    this.#host.metrics.packetsIn++
    if (this.#phase.is === 'open') this.#take(this.#phase, packet)
    else if (this.#phase.is === 'connecting') this.#phase.connecting.take(packet)
  }

  onMalformed(error: MalformedPacket): void {
    if (this.#phase.is === 'connecting') {
      this.#phase.connecting.onMalformed(error)
      return
    }
    if (error.reasonCode === ReasonCode.PacketTooLarge) this.#host.metrics.reached('MAXIMUM_PACKET_SIZE')
    this.close(ended(error.reasonCode, error.message))
  }

  #take(phase: Open, packet: Packet): void {
    const refusal = refuseUserProperties(packet, this.#host.config)
    if (refusal) {
      this.#apply(refusal)
      return
    }
    switch (packet.type) {
      case 'publish':
        this.#publish(phase, packet)
        return
      case 'pubrel':
        this.#published(packet, phase.publishing.release(packet.packetId))
        return
      case 'puback':
        phase.delivering.acknowledge(packet.packetId, packet.reasonCode ?? ReasonCode.Success, this.#lastReceivedAt)
        this.#judgeAcknowledgement(packet)
        return
      case 'pingreq':
        this.#write(pingresp)
        return
      case 'subscribe':
        this.#subscribed(phase, packet, phase.subscribing.subscribe(packet))
        return
      case 'unsubscribe':
        this.#subscribed(phase, packet, phase.subscribing.unsubscribe(packet))
        return
      case 'disconnect':
        this.#end(receiveDisconnect(packet, phase.session.client, this.#host.config))
        return
      case 'pubrec':
        if (!phase.delivering.receive(packet.packetId, packet.reasonCode ?? ReasonCode.Success, this.#lastReceivedAt))
          this.send({ type: 'pubrel', packetId: packet.packetId, reasonCode: ReasonCode.PacketIdentifierNotFound })
        this.#judgeAcknowledgement(packet)
        return
      case 'pubcomp':
        phase.delivering.complete(packet.packetId, this.#lastReceivedAt)
        return
      case 'auth':
        this.#renew(phase.renewing, packet)
        return
      default:
        // [MQTT-3.1.0-2]
        this.#end(ended(ReasonCode.ProtocolError, `${packet.type} has no place here`))
    }
  }

  #judgeAcknowledgement(packet: AckPacket): void {
    const refusal = refuseAcknowledgement(packet, this.#host.config)
    if (refusal) this.#apply(refusal)
  }

  #publish({ publishing, rates }: Open, packet: PublishPacket): void {
    const result = publishing.receive(packet)
    this.#published(packet, result)
    if (result !== 'wait') this.#throttle(rates.published())
  }

  #published(packet: Packet, result: PublishResult): void {
    if (result === 'taken') return
    if (result === 'wait') this.#waitForRegistry(packet)
    else if (result === 'full') this.#waitForLog()
    else if (result === 'window') {
      this.#host.metrics.reached('RECEIVE_MAXIMUM')
      this.#input.pause(Pause.window)
    } else if (result === 'last') this.leave(publishDenied.ending)
    else this.#apply(result)
  }

  #subscribed({ rates }: Open, packet: Packet, result: SubscribeResult): void {
    this.#published(packet, result)
    if (result !== 'wait') this.#throttle(rates.subscribed())
    if (this.isOpen) this.#host.setDeadline(this, this.#nextLook(this.#host.now()))
  }

  #renew(renewing: Renewing, packet: Packet & { type: 'auth' }): void {
    const refusal = renewing.take(packet)
    if (refusal) this.#apply(refusal)
    else if (this.isOpen) this.#host.setDeadline(this, this.#nextLook(this.#host.now()))
  }

  #refused(kind: RefusedKind, topic: string): void {
    const session = this.#session
    if (!session) return
    const { authenticationName } = session.principal
    const { clientId } = session.client
    this.#host.refused(this, { kind, authenticationName, clientId, topic, reasonCode: ReasonCode.NotAuthorized, why: 'no permission binding allows it' })
  }

  // --- pausing

  #waitForLog(): void {
    this.#host.metrics.reached('KAFKA_BYTES_WAITING_MAX')
    this.#input.pause(Pause.log)
    this.#host.waitFor(this, 'log')
  }

  /** The packet needs a decision that cannot be made now, or a key that is not in the log yet: it is taken again at a tick with a current registry. */
  #waitForRegistry(packet: Packet): void {
    if (!this.#host.registryIsCurrent) this.#host.metrics.reached('REGISTRY_STALE')
    this.#input.pauseBefore(packet, Pause.registry)
    this.#host.waitFor(this, 'registry')
  }

  /** The client is above a rate: it is not read for so long. */
  #throttle(waitMs: number): void {
    if (waitMs === 0 || this.#phase.is !== 'open') return
    const now = this.#host.now()
    // What was taken meanwhile makes it later, never earlier.
    this.#readAgainAt = this.#input.isPausedFor(Pause.rate) ? Math.max(this.#readAgainAt, now + waitMs) : now + waitMs
    this.#input.pause(Pause.rate)
    this.#host.setDeadline(this, this.#nextLook(now))
  }

  // --- deadlines

  /** When this connection has to be looked at next. */
  #nextLook(nowMs: number): number {
    const session = this.#session
    if (!session) return nowMs
    const keepAliveMs = session.client.keepAlive * 1500
    return Math.min(
      keepAliveMs > 0 ? this.#lastReceivedAt + keepAliveMs : Number.POSITIVE_INFINITY,
      this.#progress.stuckSince === null ? Number.POSITIVE_INFINITY : this.#progress.stuckSince + this.#host.config.SLOW_CLIENT_TIMEOUT,
      session.expiresAt,
      this.#readAgainAt,
      this.#sendAgainAt,
      this.#appends.until,
      this.#phase.is === 'open' ? Math.min(this.#phase.renewing.until, this.#phase.subscribing.until) : Number.POSITIVE_INFINITY,
      nowMs + 600_000,
    )
  }

  #lookAround({ session, renewing, subscribing, delivering }: Open, nowMs: number): void {
    if (nowMs >= session.expiresAt) {
      this.rejudge()
      if (this.#phase.is === 'closed') return
    }
    const overdue = renewing.overdue(nowMs)
    if (overdue) {
      this.#end(overdue)
      return
    }
    for (let late = this.#appends.giveUp(nowMs); late > 0; late--) this.#host.metrics.reached('SUBSCRIBE_TIMEOUT')
    // The SUBSCRIBE is taken again, and refused.
    if (nowMs >= subscribing.until) this.resumeReading('registry')
    if (this.#phase.is === 'closed') return
    if (this.#progress.isStuck(this.transport.waitingBytes, nowMs, this.#host.config.SLOW_CLIENT_TIMEOUT)) {
      this.#host.metrics.reached('SLOW_CLIENT_TIMEOUT')
      this.#end(ended(ReasonCode.QuotaExceeded, 'the client does not read'))
      this.transport.destroy()
      return
    }
    if (nowMs >= this.#sendAgainAt) {
      this.#sendAgainAt = Number.POSITIVE_INFINITY
      delivering.onRoom(nowMs)
    }
    if (nowMs >= this.#readAgainAt) {
      this.#readAgainAt = Number.POSITIVE_INFINITY
      this.#lastReceivedAt = nowMs
      this.#input.resume(Pause.rate)
    }
    if (this.#input.isPaused) {
      this.#lastReceivedAt = nowMs // what is not read cannot be late
      return
    }
    const keepAliveMs = session.client.keepAlive * 1500 // [MQTT-3.1.2-22]
    if (keepAliveMs > 0 && nowMs - this.#lastReceivedAt >= keepAliveMs)
      this.close(ended(ReasonCode.KeepAliveTimeout, 'nothing came within one and a half keep alives'))
  }

  // --- ends

  #apply(decision: End): void {
    if (decision.limit) this.#host.metrics.reached(decision.limit)
    this.#end(decision.ending)
  }

  #end(ending: Ending): void {
    const phase = this.#phase
    if (phase.is !== 'open') return
    const { session } = phase
    const { client } = session
    if (ending.by === 'gateway' && client.protocolVersion === 5) this.send(farewell(ending, client, this.#host.config))
    this.#phase = closed
    phase.renewing.close()
    phase.publishing.close()
    phase.delivering.close()
    this.#host.metrics.disconnected(ending.reason)
    this.#host.metrics.operations.left(client.protocol)
    this.#host.report(this, 'disconnected', { clientId: client.clientId, reason: ending.reason, reasonCode: ending.reasonCode, detail: ending.detail })
    this.#host.detach(session.attachment, ending)
    this.#leave()
  }

  #leave(): void {
    this.#input.close()
    this.flush()
    this.transport.end(graceMs)
  }

  send(packet: Packet): void {
    const { version } = this.#input
    if (version === undefined) return
    const bytes = writePacket(packet, version, this.maximumPacketSize)
    if (bytes.length > 0 && bytes.length <= this.maximumPacketSize) this.#write(bytes) // [MQTT-3.1.2-24]
  }

  #write(bytes: Buffer): void {
    this.#output.push(bytes)
    this.#host.scheduleFlush(this)
  }
}
