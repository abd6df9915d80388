/**
 * A connection from CONNACK to its end: its packets, what its parts tell (publishing.ts, subscribing.ts, delivering.ts, renewing.ts),
 * when it is read and when it is looked at.
 */
import type { Principal } from '../access/principal.ts'
import { RefusedKind } from '../audit/refusals.ts'
import type { AppendError, Appended } from '../log/log.ts'
import { PacketUses } from '../model/packet-uses.ts'
import type { AckPacket, Packet, PublishPacket } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { writePacket } from '../mqtt/writer.ts'
import type { AckOutcome, AttachAnswer, LiveSession } from '../proto/frames.ts'
import type { AttachedSession } from './attached-session.ts'
import type { LimitName } from './config.ts'
import type { Connection } from './connection.ts'
import type { ConnectionHost } from './connection-host.ts'
import { Delivering, type DeliveryOwner } from './delivering.ts'
import { DisconnectionReason, type Ending, ended } from './disconnection.ts'
import type { HeldMessage } from './held-pages.ts'
import { type Input, Pause } from './input.ts'
import type { Outgoing } from './outgoing.ts'
import type { Output } from './output.ts'
import { type AppendsOwner, PendingAppends } from './pending-appends.ts'
import { Progress } from './progress.ts'
import { type End, publishDenied, receiveDisconnect, refuseAcknowledgement, refuseUserProperties } from './protocol.ts'
import { Publishing, type PublishOwner, type PublishResult } from './publishing.ts'
import { ClientRates } from './rates.ts'
import { type RenewalOwner, Renewing } from './renewing.ts'
import { type SubscribeOwner, type SubscribeResult, Subscribing } from './subscribing.ts'
import type { Transport } from './transport.ts'
import { UnreadAnswers } from './unread-answers.ts'

const pingresp = writePacket({ type: 'pingresp' }, 4)

/** The phase of a connection (connection.ts) in which it has a session. */
export class OpenConnection implements PublishOwner, SubscribeOwner, DeliveryOwner, RenewalOwner, AppendsOwner {
  readonly is = 'open'
  readonly session: AttachedSession
  readonly delivering: Delivering
  readonly #sessionId: number
  readonly #host: ConnectionHost
  readonly #connection: Connection
  readonly #transport: Transport
  readonly #input: Input
  readonly #output: Output
  readonly #publishing: Publishing
  readonly #subscribing: Subscribing
  readonly #renewing: Renewing
  readonly #rates: ClientRates
  readonly #appends = new PendingAppends(this)
  #recordsAnswered = 0
  readonly #progress = new Progress()
  readonly #answers: UnreadAnswers
  /** Of what was delivered, what is written. */
  #deliveredBefore = 0
  /** When the chunk came whose packets are handed over, or reading was resumed: the clock is not asked for each of them. */
  #lastReceivedAt: number
  /** How the connection is to end once everything that was read is answered. */
  #leaving: Ending | null = null
  /** When a rate lets the client be read again, and when it may be sent more, ms since the epoch; Infinity: nothing waits for that. */
  #readAgainAt = Number.POSITIVE_INFINITY
  #sendAgainAt = Number.POSITIVE_INFINITY

  constructor(host: ConnectionHost, connection: Connection, input: Input, output: Output, session: AttachedSession, answer: AttachAnswer) {
    const { client, attachment } = session
    const { sessionPresent } = answer
    this.session = session
    this.#sessionId = answer.session
    this.#host = host
    this.#connection = connection
    this.#transport = connection.transport
    this.#input = input
    this.#output = output
    this.#lastReceivedAt = host.now()
    this.#answers = new UnreadAnswers(host.config.UNREAD_ANSWERS_BYTES_MAX)
    const publisher = {
      id: answer.session,
      shard: attachment.shard,
      isPresent: sessionPresent,
      // What ends with its connection is never sent again on another.
      uses: client.sessionExpiryInterval > 0 || sessionPresent ? PacketUses.decode(answer.uses) : null,
    }
    this.#rates = new ClientRates(host.rates)
    // One that was there before may be owed something from an earlier connection, under ids that were used there.
    const isFresh = client.sessionExpiryInterval === 0 && !sessionPresent
    this.#publishing = new Publishing(host, this, client, publisher, output)
    this.#subscribing = new Subscribing(host, this, client, attachment, this.#appends, answer.filters)
    this.delivering = new Delivering(host.config, host.metrics, this, client, output, this.#rates, isFresh)
    this.#renewing = new Renewing(host, connection, this, session, this.#appends)
    this.#noteReceipts()
  }

  // --- what its parts ask

  get isOpen(): boolean {
    return this.#connection.isOpen
  }

  get principal(): Principal {
    return this.session.principal
  }

  get waitingBytes(): number {
    return this.#output.bytes + this.#transport.waitingBytes
  }

  get awaitsSuback(): boolean {
    return this.#subscribing.isUnanswered
  }

  get recordsGiven(): number {
    return this.#recordsAnswered + this.#appends.count
  }

  get recordsAnswered(): number {
    return this.#recordsAnswered
  }

  get isDoubtful(): boolean {
    this.#host.lookForPause()
    return this.#input.isPausedFor(Pause.doubt)
  }

  send(packet: Packet): void {
    this.#connection.send(packet)
  }

  close(ending: Ending): void {
    this.#connection.close(ending)
  }

  // --- what the connection tells

  /** CONNACK has gone out. */
  begin(): void {
    this.#lookAt(this.#host.now())
    this.#input.resume(Pause.attaching)
  }

  /** A chunk has come, or the input is about to be read again: its keep alive was suspended with the reading. */
  heard(nowMs: number): void {
    this.#lastReceivedAt = nowMs
  }

  /** What came in one chunk is taken. */
  received(bytes: number): void {
    this.#throttle(this.#rates.received(bytes))
  }

  written(bytes: number): void {
    const now = this.#host.now()
    const { waitingBytes } = this.#transport
    if (this.#progress.written(bytes, waitingBytes, now)) this.#lookAt(now)
    const { deliveredBytes } = this.delivering
    const unread = this.#answers.written(bytes, bytes - (deliveredBytes - this.#deliveredBefore), waitingBytes)
    this.#deliveredBefore = deliveredBytes
    this.#judgeUnread(unread, now)
    if (this.isOpen) this.delivering.onRoom(now)
  }

  drained(): void {
    const now = this.#host.now()
    this.#progress.drained()
    this.#answers.taken()
    this.#judgeUnread(0, now)
    if (this.isOpen) this.delivering.onRoom(now)
  }

  /** Where a message comes from is for those who asked, and who may have it replayed: they could find out themselves. */
  asTold(message: Outgoing): Outgoing {
    const { client, principal } = this.session
    return client.wantsProvenance && this.#host.access.mayReplay(principal, message.topic) ? message.told : message
  }

  deliverRetained(source: number, request: number, last: boolean, messages: readonly HeldMessage[], done: () => void): void {
    const told = this.session.client.wantsProvenance ? messages.map(({ message, receiver }) => ({ message: this.asTold(message), receiver })) : messages
    this.delivering.deliverRetained(source, request, last, told, this.#host.now(), done)
  }

  liveSession(): LiveSession {
    return this.delivering.state(this.session.attachment.connection, this.#sessionId)
  }

  /** The registry has changed, and the credentials still count; `isAnother`: for another principal. Answers how many filters were judged. */
  rejudge(isAnother: boolean): number {
    const { session } = this
    if (isAnother) this.#publishing.forgetDecisions()
    this.#noteReceipts()
    this.#lookAt(this.#host.now())
    if (!isAnother && session.rulesPosition === this.#host.access.rulesPosition) return 0
    session.rulesPosition = this.#host.access.rulesPosition
    // The client learns that it lost a subscription by losing its connection (NS-11): MQTT has no other word for it. The
    // session's owner takes the subscription away by its own view of the registry, also from sessions without a connection.
    if (!this.#subscribing.areAllPermitted()) this.close(ended(ReasonCode.NotAuthorized, 'a subscription is no longer permitted'))
    return this.#subscribing.count
  }

  /** Ends as soon as everything that was read is answered; nothing more is read. */
  leave(ending: Ending): void {
    this.#leaving = ending
    this.#input.pause(Pause.leaving)
    this.#leaveWhenAnswered()
  }

  /** The connection is over. */
  over(): void {
    this.#renewing.close()
    this.#publishing.close()
    this.delivering.close()
  }

  // --- packets

  take(packet: Packet): void {
    const refusal = refuseUserProperties(packet, this.#host.config)
    if (refusal) {
      this.#apply(refusal)
      return
    }
    switch (packet.type) {
      case 'publish':
        this.#publish(packet)
        return
      case 'pubrel':
        this.#published(packet, this.#publishing.release(packet.packetId))
        return
      case 'puback':
        this.delivering.acknowledge(packet.packetId, packet.reasonCode ?? ReasonCode.Success, this.#lastReceivedAt)
        this.#judgeAcknowledgement(packet)
        return
      case 'pingreq':
        this.#connection.write(pingresp)
        return
      case 'subscribe':
        this.#subscribed(packet, this.#subscribing.subscribe(packet))
        return
      case 'unsubscribe':
        this.#subscribed(packet, this.#subscribing.unsubscribe(packet))
        return
      case 'disconnect':
        this.close(receiveDisconnect(packet, this.session.client, this.#host.config))
        return
      case 'pubrec':
        if (!this.delivering.receive(packet.packetId, packet.reasonCode ?? ReasonCode.Success, this.#lastReceivedAt))
          this.send({ type: 'pubrel', packetId: packet.packetId, reasonCode: ReasonCode.PacketIdentifierNotFound })
        this.#judgeAcknowledgement(packet)
        return
      case 'pubcomp':
        this.delivering.complete(packet.packetId, this.#lastReceivedAt)
        return
      case 'auth':
        this.#renew(packet)
        return
      default:
        // [MQTT-3.1.0-2]
        this.close(ended(ReasonCode.ProtocolError, `${packet.type} has no place here`))
    }
  }

  #judgeAcknowledgement(packet: AckPacket): void {
    const refusal = refuseAcknowledgement(packet, this.#host.config)
    if (refusal) this.#apply(refusal)
  }

  #publish(packet: PublishPacket): void {
    const result = this.#publishing.receive(packet)
    this.#published(packet, result)
    if (result !== 'wait') this.#throttle(this.#rates.published())
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

  #subscribed(packet: Packet, result: SubscribeResult): void {
    this.#published(packet, result)
    if (result !== 'wait') this.#throttle(this.#rates.subscribed())
    if (this.isOpen) this.#lookAt(this.#host.now())
  }

  #renew(packet: Packet & { type: 'auth' }): void {
    const refusal = this.#renewing.take(packet)
    if (refusal) this.#apply(refusal)
    else if (this.isOpen) this.#lookAt(this.#host.now())
  }

  #apply(decision: End): void {
    if (decision.limit) this.#host.metrics.reached(decision.limit)
    this.close(decision.ending)
  }

  // --- what publishing tells

  onAcknowledged(): void {
    this.#host.flushes.schedule(this.#connection)
    this.#leaveWhenAnswered()
    if (!this.#input.isPausedFor(Pause.window) || !this.isOpen) return
    if (this.#publishing.waiting * 2 > this.session.client.announced.receiveMaximum) return
    this.#lastReceivedAt = this.#host.now()
    this.#input.resume(Pause.window)
  }

  onRefused(topic: string): void {
    this.#refused(RefusedKind.publish, topic)
  }

  onReleased(packetId: number, done: Appended): void {
    if (this.isOpen) this.#host.sessions.release(this.session.attachment, packetId, done)
  }

  onPublishLost(error: AppendError): void {
    this.onAppendFailed(error)
  }

  // --- what subscribing and renewing tell

  onFilterRefused(filter: string): void {
    this.#refused(RefusedKind.subscribe, filter)
  }

  onNotInLog(error: AppendError): void {
    this.#host.report(this.#connection, 'append refused', { error: error.message })
  }

  onAppendFailed(error: AppendError): void {
    this.#host.report(this.#connection, 'append failed', { error: error.message })
    this.close(ended(ReasonCode.ServerBusy, 'the log did not take it'))
  }

  onAppendAnswered(): void {
    this.#recordsAnswered++
    this.#leaveWhenAnswered()
  }

  onRenewed(): void {
    this.#publishing.forgetDecisions()
    this.#connection.rejudge()
  }

  // --- what delivering tells

  onOutput(): void {
    this.#host.flushes.schedule(this.#connection)
  }

  onDone(number: number, outcome: AckOutcome): void {
    if (this.isOpen) this.#host.acknowledge(this.session.attachment, number, outcome)
  }

  onOverflow(limit: LimitName): void {
    this.#host.metrics.reached(limit)
    this.close(ended(ReasonCode.QuotaExceeded, `${limit} is reached`, DisconnectionReason.SessionOverflow))
  }

  onThrottled(waitMs: number): void {
    if (this.#sendAgainAt !== Number.POSITIVE_INFINITY) return
    const now = this.#host.now()
    this.#sendAgainAt = now + waitMs
    this.#lookAt(now)
  }

  // --- pausing

  #waitForLog(): void {
    this.#host.metrics.reached('KAFKA_BYTES_WAITING_MAX')
    this.#input.pause(Pause.log)
    this.#host.unread.add(this.#connection, 'log')
  }

  /** The packet needs a decision that cannot be made now, or a key that is not in the log yet: it is taken again at a tick with a current registry. */
  #waitForRegistry(packet: Packet): void {
    if (!this.#host.access.isCurrent) this.#host.metrics.reached('REGISTRY_STALE')
    this.#input.pauseBefore(packet, Pause.registry)
    this.#host.unread.add(this.#connection, 'registry')
  }

  /** Who does not take its answers is asked for no further questions. */
  #judgeUnread(bytes: number, nowMs: number): void {
    const max = this.#host.config.UNREAD_ANSWERS_BYTES_MAX
    if (this.#input.isPausedFor(Pause.answers)) {
      if (bytes * 2 > max) return
      this.#lastReceivedAt = nowMs
      this.#input.resume(Pause.answers)
    } else if (bytes > max) {
      this.#host.metrics.reached('UNREAD_ANSWERS_BYTES_MAX')
      this.#input.pause(Pause.answers)
    }
  }

  /** The client is above a rate: it is not read for so long. */
  #throttle(waitMs: number): void {
    if (waitMs === 0 || !this.isOpen) return
    const now = this.#host.now()
    // What was taken meanwhile makes it later, never earlier.
    this.#readAgainAt = this.#input.isPausedFor(Pause.rate) ? Math.max(this.#readAgainAt, now + waitMs) : now + waitMs
    this.#input.pause(Pause.rate)
    this.#lookAt(now)
  }

  // --- deadlines

  onDeadline(nowMs: number): number | null {
    this.#lookAround(nowMs)
    return this.isOpen ? this.#nextLook(nowMs) : null
  }

  #lookAt(nowMs: number): void {
    this.#host.setDeadline(this.#connection, this.#nextLook(nowMs))
  }

  /** When this connection has to be looked at next. */
  #nextLook(nowMs: number): number {
    const { session } = this
    const keepAliveMs = session.client.keepAlive * 1500
    return Math.min(
      keepAliveMs > 0 ? this.#lastReceivedAt + keepAliveMs : Number.POSITIVE_INFINITY,
      this.#progress.stuckSince === null ? Number.POSITIVE_INFINITY : this.#progress.stuckSince + this.#host.config.SLOW_CLIENT_TIMEOUT,
      session.expiresAt,
      this.#readAgainAt,
      this.#sendAgainAt,
      this.#appends.until,
      this.#renewing.until,
      this.#subscribing.until,
      nowMs + 600_000,
    )
  }

  #lookAround(nowMs: number): void {
    if (nowMs >= this.session.expiresAt) {
      this.#connection.rejudge()
      if (!this.isOpen) return
    }
    const overdue = this.#renewing.overdue(nowMs)
    if (overdue) {
      this.close(overdue)
      return
    }
    for (let late = this.#appends.giveUp(nowMs); late > 0; late--) this.#host.metrics.reached('SUBSCRIBE_TIMEOUT')
    // The SUBSCRIBE is taken again, and refused.
    if (nowMs >= this.#subscribing.until) this.#connection.resumeReading('registry')
    if (!this.isOpen) return
    if (this.#progress.isStuck(this.#transport.waitingBytes, nowMs, this.#host.config.SLOW_CLIENT_TIMEOUT)) {
      this.#host.metrics.reached('SLOW_CLIENT_TIMEOUT')
      this.close(ended(ReasonCode.QuotaExceeded, 'the client does not read'))
      this.#transport.destroy()
      return
    }
    if (nowMs >= this.#sendAgainAt) {
      this.#sendAgainAt = Number.POSITIVE_INFINITY
      this.delivering.onRoom(nowMs)
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
    const keepAliveMs = this.session.client.keepAlive * 1500 // [MQTT-3.1.2-22]
    if (keepAliveMs > 0 && nowMs - this.#lastReceivedAt >= keepAliveMs)
      this.close(ended(ReasonCode.KeepAliveTimeout, 'nothing came within one and a half keep alives'))
  }

  // --- inside

  #leaveWhenAnswered(): void {
    if (this.#leaving && this.isOpen && this.#publishing.waiting === 0 && this.#appends.count === 0) this.close(this.#leaving)
  }

  /** What becomes of its deliveries is noted while its groups ask for that. */
  #noteReceipts(): void {
    const { client, principal } = this.session
    if (!this.#host.access.wantsReceipts(principal)) this.delivering.receipts = null
    else this.delivering.receipts ??= this.#host.receiptsOf(client.clientId)
  }

  #refused(kind: RefusedKind, topic: string): void {
    if (!this.isOpen) return
    const { authenticationName } = this.session.principal
    const { clientId } = this.session.client
    const why = 'no permission binding allows it'
    this.#host.refused(this.#connection, { kind, authenticationName, clientId, topic, reasonCode: ReasonCode.NotAuthorized, why })
  }
}
