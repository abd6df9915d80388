/**
 * One client's connection: bytes in and out, phases, deadlines. What is to be done is decided in protocol.ts; what the
 * log, the registry and the routers have to do with it is the host's (gateway.ts).
 */
import { isDeepStrictEqual } from 'node:util'
import type { Authentication, Credentials } from '../access/authenticate.ts'
import { type Principal, voucherOf } from '../access/principal.ts'
import type { AppendError, Appended } from '../log/log.ts'
import { PacketUses } from '../model/packet-uses.ts'
import type { MalformedPacket } from '../mqtt/malformed-packet.ts'
import type { AckPacket, AuthPacket, ConnectPacket, Packet, ProtocolVersion, PublishPacket, SubscribePacket, UnsubscribePacket } from '../mqtt/packet.ts'
import { ReasonCode, reasonName } from '../mqtt/reason-code.ts'
import { writePacket } from '../mqtt/writer.ts'
import type { AckOutcome, LiveSession, Receiver } from '../proto/frames.ts'
import type { Attachment } from './attachment.ts'
import { Authenticating } from './authenticating.ts'
import type { LimitName } from './config.ts'
import type { ConnectionHost } from './connection-host.ts'
import type { Timed } from './deadlines.ts'
import { Delivering, type DeliveryOwner } from './delivering.ts'
import { DisconnectionReason, type Ending, ended, lost } from './disconnection.ts'
import { receiveAuth } from './exchange.ts'
import type { HeldMessage } from './held-pages.ts'
import { Input, type InputOwner, Pause } from './input.ts'
import type { Outgoing } from './outgoing.ts'
import { Output } from './output.ts'
import { Progress } from './progress.ts'
import {
  acceptance,
  authenticationDataProblem,
  type Client,
  connackCode,
  type End,
  explanation,
  farewell,
  type HeldFilters,
  notInLog,
  publishDenied,
  receiveConnect,
  receiveDisconnect,
  receiveSubscribe,
  receiveUnsubscribe,
  refusalProperties,
  refuseAcknowledgement,
  refuseEverybody,
  refuseSmallPackets,
  refuseUserProperties,
} from './protocol.ts'
import { Publishing, type PublishOwner, type PublishResult } from './publishing.ts'
import { ClientRates } from './rates.ts'
import { RefusedKind } from './refusals.ts'
import type { Transport, TransportListener } from './transport.ts'

/** The router's answer to an Attached record. */
export interface AttachAnswer {
  readonly reasonCode: number
  readonly session: number
  readonly epoch: number
  readonly sessionPresent: boolean
  /** Of the session's packet ids (model/packet-uses.ts). */
  readonly uses: Buffer
  /** What the session is subscribed to; only how many filters when they are too much to tell. */
  readonly filters: readonly string[] | number
}

interface Session {
  readonly client: Client
  credentials: Credentials
  readonly attachment: Attachment
  principal: Principal
  /** Milliseconds since the epoch: judge the credentials anew then. */
  expiresAt: number
  /** Of the rules that its subscriptions were judged by last. */
  rulesPosition: number
}

/** Who a client is. */
interface Judged {
  readonly principal: Principal
  readonly credentials: Credentials
  /** Milliseconds since the epoch: judge the credentials anew then. */
  readonly expiresAt: number
}

type Phase =
  | { readonly is: 'awaitingConnect'; readonly until: number }
  /** Who it is has to be found out, or the client asked. */
  | { readonly is: 'authenticating'; readonly client: Client; readonly attempt: Authenticating; readonly since: number; readonly until: number }
  /** Its client id is fought over. */
  | { readonly is: 'waiting'; readonly client: Client; readonly judged: Judged; readonly since: number; readonly until: number }
  | { readonly is: 'attaching'; readonly session: Session; readonly since: number; readonly until: number }
  | {
      readonly is: 'open'
      readonly session: Session
      readonly sessionId: number
      readonly publishing: Publishing
      readonly delivering: Delivering
      readonly rates: ClientRates
      readonly held: HeldFilters & { readonly named: Set<string> }
      /** The client shows new credentials [MQTT-4.12.1-1]; the ones before count until they are judged. */
      renewal: { readonly attempt: Authenticating; readonly until: number } | null
    }
  /** The credentials were refused, and the client will hear of it. */
  | { readonly is: 'refusing'; readonly until: number; readonly reasonCode: number; readonly why: string }
  | { readonly is: 'closed' }

const closed: Phase = { is: 'closed' }
/** Why is for the log: refusals look alike on the wire. */
const notBelieved = ended(ReasonCode.NotAuthorized, 'the credentials are not believed', DisconnectionReason.ClientAuthenticationError)
const pingresp = writePacket({ type: 'pingresp' }, 4)
/** Time for the last bytes of a connection that is closed, ms. */
const graceMs = 2000

export class Connection implements TransportListener, InputOwner, Timed, PublishOwner, DeliveryOwner {
  readonly transport: Transport
  /** True on the listener that only parts of the deployment use. */
  readonly isInternal: boolean
  readonly #host: ConnectionHost
  readonly #input: Input
  readonly #output = new Output()
  #phase: Phase
  #lastReceivedAt: number
  /** Bytes the client takes in one packet, as its CONNECT says: holds for a CONNACK that refuses, too. */
  #maximumPacketSize = Number.POSITIVE_INFINITY
  readonly #progress = new Progress()
  /** How the connection is to end once everything that was read is answered. */
  #leaving: Ending | null = null
  /** Records of the session that are on their way into the log; counted by #append alone. */
  #appending = 0
  /** When a rate lets the client be read again, and when it may be sent more, ms since the epoch; Infinity: nothing waits for that. */
  #readAgainAt = Number.POSITIVE_INFINITY
  #sendAgainAt = Number.POSITIVE_INFINITY
  /** The name of an attempt that others have to wait for until it is judged (failed-connects.ts). */
  #heldName: string | null = null
  isFlushScheduled = false

  constructor(host: ConnectionHost, transport: Transport, isInternal: boolean) {
    this.#host = host
    this.transport = transport
    this.isInternal = isInternal
    this.#input = new Input(transport, this, { maximumPacketSize: host.config.MAXIMUM_PACKET_SIZE, firstPacketSizeMax: host.config.FIRST_PACKET_SIZE_MAX })
    const now = host.now()
    this.#lastReceivedAt = now
    this.#phase = { is: 'awaitingConnect', until: now + host.config.CONNECT_TIMEOUT }
    host.setDeadline(this, now + host.config.CONNECT_TIMEOUT)
    transport.listen(this)
  }

  /** Its CONNECT has not come. */
  get isNew(): boolean {
    return this.#phase.is === 'awaitingConnect'
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

  get #session(): Session | null {
    return this.#phase.is === 'attaching' || this.#phase.is === 'open' ? this.#phase.session : null
  }

  get #client(): Client | null {
    return this.#phase.is === 'authenticating' ? this.#phase.client : (this.#session?.client ?? null)
  }

  get #version(): ProtocolVersion | null {
    return this.#client?.protocolVersion ?? this.#input.version ?? null
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
    if (this.#phase.is !== 'closed') this.#end(lost(orderly))
    this.#host.left(this)
  }

  // --- what the gateway tells

  /** The router has answered the Attached record. */
  onAttachAnswer(answer: AttachAnswer): void {
    const phase = this.#phase
    if (phase.is !== 'attaching') return
    const { session } = phase
    if (answer.reasonCode === ReasonCode.QuotaExceeded) {
      this.#host.metrics.reached('SESSIONS_PER_NAME_MAX')
      this.#refuseAttaching(answer.reasonCode, 'the client has as many sessions as it may have')
      return
    }
    if (answer.reasonCode !== 0) {
      this.#refuseAttaching(answer.reasonCode, 'the session’s owner refused')
      return
    }
    const { client } = session
    session.attachment.attached(answer.epoch, this.#host.now())
    const publisher = {
      id: answer.session,
      shard: session.attachment.shard,
      isPresent: answer.sessionPresent,
      // What ends with its connection is never sent again on another.
      uses: client.sessionExpiryInterval > 0 || answer.sessionPresent ? PacketUses.decode(answer.uses) : null,
    }
    const rates = new ClientRates(this.#host.rates)
    this.#phase = {
      is: 'open',
      rates,
      session,
      sessionId: answer.session,
      publishing: new Publishing(this.#host, this, client, publisher, this.#output),
      delivering: new Delivering(
        this.#host.config,
        this.#host.metrics,
        this,
        client,
        this.#output,
        rates,
        // One that was there before may be owed something from an earlier connection, under ids that were used there.
        client.sessionExpiryInterval === 0 && !answer.sessionPresent,
      ),
      held: typeof answer.filters === 'number' ? { named: new Set(), unnamed: answer.filters } : { named: new Set(answer.filters), unnamed: 0 },
      renewal: null,
    }
    this.#host.metrics.connects.inc({ result: 'accepted' })
    const now = this.#host.now()
    this.#host.metrics.connectSeconds.observe((now - phase.since) / 1000)
    this.#send(acceptance(client, answer.sessionPresent, this.#host.config))
    this.#lastReceivedAt = now
    this.#host.setDeadline(this, this.#nextLook(now))
    this.#input.resume(Pause.attaching)
  }

  /** The log did not take the Attached record, or may not have. */
  onAttachLost(detail: string): void {
    if (this.#phase.is === 'attaching') this.#refuseAttaching(ReasonCode.ServerUnavailable, detail)
  }

  deliver(message: Outgoing, receiver: Receiver, nowMs: number): void {
    if (this.#phase.is === 'open') this.#phase.delivering.deliver(message, receiver, nowMs)
    else this.#host.metrics.deliveriesDropped.gone++
  }

  /** A page of retained messages; `done` is called once when the client has taken it, or the connection is over. */
  deliverRetained(source: number, request: number, last: boolean, messages: readonly HeldMessage[], done: () => void): void {
    if (this.#phase.is === 'open') this.#phase.delivering.deliverRetained(source, request, last, messages, this.#host.now(), done)
    else done()
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
    if (this.#phase.is === 'awaitingConnect' || this.#phase.is === 'authenticating') this.#drop()
    else if (this.#phase.is !== 'closed') this.#input.pause(Pause.doubt)
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
    const validity = this.#host.revalidate(session.credentials, session.principal)
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
    this.#host.setDeadline(this, this.#nextLook(this.#host.now()))
    return 1 + (isAnother || session.rulesPosition !== this.#host.rulesPosition ? this.#rejudgeFilters(phase) : 0)
  }

  /**
   * The client learns that it lost a subscription by losing its connection (NS-11): MQTT has no other word for it. The
   * session's owner takes the subscription away by its own view of the registry, also from sessions without a connection.
   */
  #rejudgeFilters({ session, held }: Phase & { is: 'open' }): number {
    session.rulesPosition = this.#host.rulesPosition
    for (const filter of held.named) {
      if (this.#host.maySubscribe(session.principal, filter)) continue
      this.close(ended(ReasonCode.NotAuthorized, 'a subscription is no longer permitted'))
      break
    }
    return held.named.size
  }

  /** The gateway ends the connection. */
  close(ending: Ending): void {
    const clientId = this.#session?.client.clientId
    if (clientId !== undefined && ending.reason === DisconnectionReason.SessionTakenOver) this.#host.takeovers.taken(clientId, this.#host.now())
    if (this.#phase.is === 'attaching') this.#refuseAttaching(ending.reasonCode, ending.detail, ending)
    else if (this.#phase.is === 'authenticating' || this.#phase.is === 'waiting') this.#refuse(connackCode(ending.reasonCode, this.#host.config), ending.detail)
    else if (this.#phase.is === 'open') this.#end(ending)
    else if (this.#phase.is === 'awaitingConnect' || this.#phase.is === 'refusing') this.#drop()
  }

  /** The gateway ends the connection as soon as everything that was read is answered; nothing more is read. A CONNECT that is still to come will be refused. */
  leave(ending: Ending): void {
    if (this.#phase.is === 'attaching' || this.#phase.is === 'authenticating' || this.#phase.is === 'waiting') this.close(ending)
    if (this.#phase.is !== 'open') return
    this.#leaving = ending
    this.#input.pause(Pause.leaving)
    this.#leaveWhenAnswered()
  }

  #leaveWhenAnswered(): void {
    if (this.#leaving && this.#phase.is === 'open' && this.#phase.publishing.waiting === 0 && this.#appending === 0) this.#end(this.#leaving)
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
    switch (phase.is) {
      case 'closed':
        return null
      case 'awaitingConnect':
        if (nowMs < phase.until) return phase.until
        this.#host.metrics.reached('CONNECT_TIMEOUT')
        this.#drop()
        return null
      case 'authenticating':
        if (nowMs < phase.until) return phase.until
        this.#host.metrics.reached('AUTHENTICATION_TIMEOUT')
        if (phase.attempt.expected === 'continue') this.#refuse(ReasonCode.NotAuthorized, 'the client did not answer in time')
        else this.#refuse(ReasonCode.ServerUnavailable, 'who it is was not found out in time')
        return null
      case 'refusing':
        if (nowMs < phase.until) return phase.until
        this.#refuse(phase.reasonCode, phase.why, undefined, false)
        return null
      case 'waiting':
        if (nowMs < phase.until) return phase.until
        this.#goOn(phase)
        return this.#phase.is === 'attaching' ? this.#phase.until : null
      case 'attaching':
        if (nowMs < phase.until) return phase.until
        this.#host.metrics.reached('ATTACH_TIMEOUT')
        this.#refuseAttaching(ReasonCode.ServerUnavailable, 'no router answered in time')
        return null
      case 'open':
        this.#lookAround(phase.session, nowMs)
        return this.isOpen ? this.#nextLook(nowMs) : null
    }
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
    if (session) this.#host.release(session.attachment, packetId, done)
  }

  onPublishLost(error: AppendError): void {
    this.#logFailed(error)
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
    this.close(ended(ReasonCode.QuotaExceeded, `${limit} is reached`))
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
    const phase = this.#phase
    if (phase.is === 'open') this.#takeOpen(phase, packet)
    else if (phase.is === 'awaitingConnect' && packet.type === 'connect') this.#connect(packet)
    else if (phase.is === 'authenticating') this.#takeAuthenticating(phase, packet)
    else if (phase.is === 'awaitingConnect') this.#drop() // [MQTT-3.1.0-1]
  }

  onMalformed(error: MalformedPacket): void {
    const version = this.#input.version
    if (error.reasonCode === ReasonCode.PacketTooLarge)
      this.#host.metrics.reached(this.#phase.is === 'awaitingConnect' ? 'FIRST_PACKET_SIZE_MAX' : 'MAXIMUM_PACKET_SIZE')
    if (this.#phase.is === 'open' || this.#phase.is === 'attaching' || this.#phase.is === 'authenticating') this.close(ended(error.reasonCode, error.message))
    else if (version !== undefined) this.#refuse(error.reasonCode, error.message)
    else this.#drop()
  }

  #takeOpen(phase: Phase & { is: 'open' }, packet: Packet): void {
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
        phase.delivering.acknowledge(packet.packetId, this.#host.now())
        this.#judgeAcknowledgement(packet)
        return
      case 'pingreq':
        this.#write(pingresp)
        return
      case 'subscribe':
        this.#subscribe(phase, packet)
        this.#throttle(phase.rates.subscribed())
        return
      case 'unsubscribe':
        this.#unsubscribe(phase, packet)
        this.#throttle(phase.rates.subscribed())
        return
      case 'disconnect':
        this.#end(receiveDisconnect(packet, phase.session.client, this.#host.config))
        return
      case 'pubrec':
        if (!phase.delivering.receive(packet.packetId, packet.reasonCode ?? ReasonCode.Success, this.#host.now()))
          this.#send({ type: 'pubrel', packetId: packet.packetId, reasonCode: ReasonCode.PacketIdentifierNotFound })
        this.#judgeAcknowledgement(packet)
        return
      case 'pubcomp':
        phase.delivering.complete(packet.packetId, this.#host.now())
        return
      case 'auth':
        this.#renew(phase, packet)
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

  #publish({ publishing, rates }: Phase & { is: 'open' }, packet: PublishPacket): void {
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

  #connect(packet: ConnectPacket): void {
    const host = this.#host
    this.#maximumPacketSize = packet.properties.maximumPacketSize ?? Number.POSITIVE_INFINITY
    const refusal = refuseEverybody(host.readiness(this.isInternal), host.config)
    if (refusal) {
      this.#refuse(refusal.reasonCode, refusal.detail, refusal.limit)
      return
    }
    const decision = receiveConnect(packet, host.config, packet.clientId === '' ? host.freshClientId() : '')
    if (decision.do === 'refuse') {
      this.#refuse(decision.reasonCode, decision.detail, decision.limit)
      return
    }
    const { client } = decision
    const tooSmall = refuseSmallPackets(client, host.config)
    if (tooSmall) {
      this.#refuse(tooSmall.reasonCode, tooSmall.detail)
      return
    }
    this.#input.maximumPacketSize = client.announced.maximumPacketSize
    const since = host.now()
    const { authenticationMethod, authenticationData } = packet.properties
    const credentials: Credentials = {
      clientId: client.clientId,
      username: packet.username,
      password: packet.password && Buffer.from(packet.password),
      authenticationMethod,
      authenticationData,
      ...this.#certificates(),
    }
    if (!this.#mayBeJudged(credentials, since)) {
      this.#refuse(ReasonCode.ConnectionRateExceeded, 'another attempt under this name waits for its answer')
      return
    }
    const owner = {
      onJudged: (authentication: Authentication, judged: Credentials) => this.#judged(client, since, authentication, judged),
      onAsked: () => this.#askForData(client),
    }
    const attempt = new Authenticating(host, owner, this.isInternal, credentials)
    const until = since + host.config.AUTHENTICATION_TIMEOUT
    this.#phase = { is: 'authenticating', client, attempt, since, until }
    attempt.begin()
    if (this.#phase.is !== 'authenticating') return
    host.setDeadline(this, until)
    if (attempt.expected === 'nothing') this.#input.pause(Pause.authenticating)
  }

  #judged(client: Client, since: number, authentication: Authentication, credentials: Credentials): void {
    const host = this.#host
    if (this.#phase.is !== 'authenticating') return
    this.#settle()
    if (!authentication.ok) {
      this.#refuseCredentials(credentials, authentication.reasonCode, authentication.why)
      return
    }
    if (credentials.evidence && !host.registryIsCurrent) {
      this.#refuse(ReasonCode.ServerUnavailable, 'the registry is not current', 'REGISTRY_STALE')
      return
    }
    const { principal } = authentication
    if (!this.isInternal && !host.rates.mayConnectAs(client.clientId)) {
      this.#refuse(ReasonCode.ConnectionRateExceeded, 'too many connects a second with this client id')
      return
    }
    if (client.will && host.mayPublish(principal, client.will.topic) !== 'allowed') {
      const why = 'the will’s topic may not be published on'
      const { authenticationName } = principal
      host.refused(this, {
        kind: RefusedKind.connect,
        authenticationName,
        clientId: client.clientId,
        topic: client.will.topic,
        reasonCode: ReasonCode.NotAuthorized,
        why,
      })
      this.#refuse(ReasonCode.NotAuthorized, why)
      return
    }
    const judged = { principal, credentials, expiresAt: authentication.expiresAt ?? Number.POSITIVE_INFINITY }
    const waitMs = this.isInternal ? 0 : host.takeovers.waitMs(client.clientId, host.now())
    if (waitMs > 0) this.#wait(client, since, judged, waitMs)
    else this.#attach(client, since, judged)
  }

  #attach(client: Client, since: number, { principal, credentials, expiresAt }: Judged): void {
    const host = this.#host
    const attachment = host.attach(this, client, principal, Boolean(credentials.username) || voucherOf(principal) !== '')
    if (!attachment) {
      this.#refuse(ReasonCode.ServerUnavailable, 'no router speaks for the client’s shard', 'SHARD_SILENCE')
      return
    }
    if (credentials.certificate && credentials.certificateChain?.length) host.rememberChain(credentials.certificate, credentials.certificateChain)
    const until = host.now() + host.config.ATTACH_TIMEOUT
    const session = { client, credentials, attachment, principal, expiresAt, rulesPosition: host.rulesPosition }
    this.#phase = { is: 'attaching', session, since, until }
    host.setDeadline(this, until)
    this.#input.pause(Pause.attaching)
    this.#input.resume(Pause.authenticating)
  }

  #certificates(): Pick<Credentials, 'certificate' | 'certificateChain'> {
    const { certificate, certificateChain } = this.transport
    if (!certificate) return {}
    return { certificate, certificateChain: certificateChain.length > 0 ? certificateChain : this.#host.chainOf(certificate) }
  }

  #askForData({ authenticationMethod }: Client): void {
    if (authenticationMethod === undefined) throw new TypeError('only who names a method is asked') // [MQTT-4.12.0-6]
    this.#send({ type: 'auth', reasonCode: ReasonCode.ContinueAuthentication, properties: { authenticationMethod } }) // [MQTT-4.12.0-2], [MQTT-4.12.0-5]
  }

  /** Between CONNECT and CONNACK a client sends AUTH when it is asked, and nothing else. */
  #takeAuthenticating(phase: Phase & { is: 'authenticating' }, packet: Packet): void {
    const { client, attempt } = phase
    if (packet.type === 'disconnect') {
      this.#drop()
      return
    }
    if (packet.type !== 'auth') {
      this.#refuse(ReasonCode.ProtocolError, `${packet.type} has no place before CONNACK`)
      return
    }
    const misplaced = refuseUserProperties(packet, this.#host.config)
    const received = misplaced ?? receiveAuth(packet, client.authenticationMethod, attempt.expected)
    const tooMuch = authenticationDataProblem(packet.properties.authenticationData, this.#host.config)
    if (received.do === 'end') this.#refuse(received.ending.reasonCode, received.ending.detail)
    else if (tooMuch) this.#refuse(ReasonCode.QuotaExceeded, tooMuch, 'AUTHENTICATION_DATA_BYTES_MAX')
    else {
      attempt.continue(received.data)
      if (this.#phase.is === 'authenticating') this.#input.pause(Pause.authenticating)
    }
  }

  /** An AUTH on the open connection: everything else goes on meanwhile. */
  #renew(phase: Phase & { is: 'open' }, packet: AuthPacket): void {
    const { session } = phase
    const { client } = session
    const received = receiveAuth(packet, client.authenticationMethod, phase.renewal?.attempt.expected ?? 'reauthenticate')
    if (received.do === 'end') {
      this.#apply(received)
      return
    }
    const tooMuch = authenticationDataProblem(received.data, this.#host.config)
    if (tooMuch) {
      this.#host.metrics.reached('AUTHENTICATION_DATA_BYTES_MAX')
      this.#end(ended(ReasonCode.QuotaExceeded, tooMuch))
      return
    }
    if (phase.renewal) {
      phase.renewal.attempt.continue(received.data)
      return
    }
    const owner = {
      onJudged: (authentication: Authentication, judged: Credentials) => this.#renewed(phase, authentication, judged),
      onAsked: () => this.#askForData(client),
    }
    const { clientId, username, certificate, certificateChain } = session.credentials
    const { authenticationMethod } = client
    const attempt = new Authenticating(this.#host, owner, this.isInternal, {
      clientId,
      username,
      certificate,
      certificateChain,
      authenticationMethod,
      authenticationData: received.data,
    })
    const now = this.#host.now()
    phase.renewal = { attempt, until: now + this.#host.config.AUTHENTICATION_TIMEOUT }
    attempt.begin()
    if (this.#phase === phase) this.#host.setDeadline(this, this.#nextLook(now))
  }

  /** The new credentials are judged: they take the place of the old ones, or the connection is over [MQTT-4.12.1-2]. */
  #renewed(phase: Phase & { is: 'open' }, authentication: Authentication, credentials: Credentials): void {
    if (this.#phase !== phase) return
    const { session } = phase
    const { principal: before } = session
    if (!authentication.ok) {
      const { clientId } = session.client
      const { reasonCode, why } = authentication
      this.#host.report(this, 'new credentials refused', { clientId, why })
      this.#host.refused(this, { kind: RefusedKind.connect, authenticationName: before.authenticationName, clientId, reasonCode, why })
      const fault = ended(ReasonCode.ServerBusy, 'the credentials could not be looked into', DisconnectionReason.ServerError)
      this.close(authentication.reasonCode === ReasonCode.ServerUnavailable ? fault : notBelieved)
      return
    }
    const { principal } = authentication
    if (principal.authenticationName !== before.authenticationName || principal.kind !== before.kind) {
      this.#host.report(this, 'new credentials of somebody else', { clientId: session.client.clientId, authenticationName: principal.authenticationName })
      this.close(notBelieved)
      return
    }
    const done = (): void => {
      if (this.#phase !== phase) return
      phase.renewal = null
      session.credentials = credentials
      session.principal = principal
      session.rulesPosition = -1
      session.expiresAt = authentication.expiresAt ?? Number.POSITIVE_INFINITY
      phase.publishing.forgetDecisions()
      const { authenticationMethod } = session.client
      this.#send({ type: 'auth', reasonCode: ReasonCode.Success, properties: { ...(authenticationMethod !== undefined && { authenticationMethod }) } })
      this.rejudge()
    }
    // Routers judge subscriptions by the attributes.
    if (isDeepStrictEqual({ ...principal.attributes }, { ...before.attributes })) done()
    else this.#append((appended) => this.#host.reauthenticated(session.attachment, principal, appended), done, false)
  }

  /** One CONNECT waits for each client id: the newest, as with sessions. */
  #wait(client: Client, since: number, judged: Judged, waitMs: number): void {
    const { metrics, waiting } = this.#host
    const { clientId } = client
    metrics.reached('TAKEOVER_BURST')
    this.#host.report(this, 'connect waits', { clientId, waitMs, why: 'the client id is taken over again and again' })
    const older = waiting.get(clientId)
    if (older) metrics.reached('TAKEOVER_INTERVAL')
    older?.close(ended(ReasonCode.ConnectionRateExceeded, 'another connection with this client id waits'))
    waiting.set(clientId, this)
    const until = this.#host.now() + waitMs
    this.#phase = { is: 'waiting', client, judged, since, until }
    this.#host.setDeadline(this, until)
    this.#input.pause(Pause.attaching)
    this.#input.resume(Pause.authenticating)
  }

  /** It has waited long enough; what was true of it and of the gateway may not be any more. */
  #goOn({ client, judged, since }: Phase & { is: 'waiting' }): void {
    const host = this.#host
    this.rejudge()
    if (this.#phase.is !== 'waiting') return
    this.#waitOver(client.clientId)
    // It was counted when it came.
    const refusal = refuseEverybody({ ...host.readiness(true), rateAllows: true }, host.config)
    if (refusal) {
      this.#refuse(refusal.reasonCode, refusal.detail, refusal.limit)
      return
    }
    const validity = host.revalidate(judged.credentials, judged.principal)
    if (!validity.ok) {
      this.#refuse(validity.reasonCode, validity.why)
      return
    }
    this.#attach(client, since, { ...judged, principal: validity.principal, expiresAt: validity.expiresAt ?? Number.POSITIVE_INFINITY })
  }

  #waitOver(clientId: string): void {
    if (this.#host.waiting.get(clientId) === this) this.#host.waiting.delete(clientId)
  }

  #subscribe(phase: Phase & { is: 'open' }, packet: SubscribePacket): void {
    const host = this.#host
    if (!host.registryIsCurrent) {
      this.#waitForRegistry(packet)
      return
    }
    const { principal, client, attachment } = phase.session
    const decision = receiveSubscribe(packet, client, phase.held, host.config, (filter) => {
      const isAllowed = host.maySubscribe(principal, filter)
      if (!isAllowed) this.#refused(RefusedKind.subscribe, filter)
      return isAllowed
    })
    if ('do' in decision) {
      this.#apply(decision)
      return
    }
    for (const limit of decision.limits) host.metrics.reached(limit)
    const { packetId } = packet
    const filters = packet.filters.map(({ filter }) => filter)
    const answer = (reasonCodes: readonly number[]): void => this.#send({ type: 'suback', packetId, reasonCodes, ...explanation(filters, reasonCodes, client) })
    if (decision.granted.length === 0) {
      answer(decision.reasonCodes)
      return
    }
    const added = decision.granted.map(({ filter }) => filter).filter((filter) => !phase.held.named.has(filter))
    for (const filter of added) phase.held.named.add(filter)
    this.#append(
      (appended) => host.subscribe(attachment, decision.granted, appended),
      (isInLog) => {
        if (!isInLog) for (const filter of added) phase.held.named.delete(filter)
        answer(isInLog ? decision.reasonCodes : notInLog(decision.reasonCodes))
      },
    )
    if (host.logIsFull) this.#waitForLog()
  }

  #refused(kind: RefusedKind, topic: string): void {
    const session = this.#session
    if (!session) return
    const { authenticationName } = session.principal
    const { clientId } = session.client
    this.#host.refused(this, { kind, authenticationName, clientId, topic, reasonCode: ReasonCode.NotAuthorized, why: 'no permission binding allows it' })
  }

  #unsubscribe(phase: Phase & { is: 'open' }, packet: UnsubscribePacket): void {
    const host = this.#host
    const decision = receiveUnsubscribe(packet, phase.held, host.config)
    for (const limit of decision.limits) host.metrics.reached(limit)
    const { packetId } = packet
    const { client } = phase.session
    const answer = (reasonCodes: readonly number[]): void =>
      this.#send({ type: 'unsuback', packetId, reasonCodes, ...explanation(packet.filters, reasonCodes, client) })
    if (decision.filters.length === 0) {
      answer(decision.reasonCodes)
      return
    }
    const removed = decision.filters.filter((filter) => phase.held.named.delete(filter))
    this.#append(
      (appended) => host.unsubscribe(phase.session.attachment, decision.filters, appended),
      (isInLog) => {
        if (!isInLog) for (const filter of removed) phase.held.named.add(filter)
        answer(isInLog ? decision.reasonCodes : notInLog(decision.reasonCodes))
      },
      // UNSUBACK of 3.1.1 can only say yes: there the connection ends.
      client.protocolVersion === 5,
    )
    if (host.logIsFull) this.#waitForLog()
  }

  /**
   * The connection does not leave before the append is answered. `answer` says yes or no; `canRefuse` false: no cannot be said, and the
   * connection ends. What may be in the log or not is for the next connection to find out.
   */
  #append(append: (appended: (error: AppendError | null) => void) => void, answer: (isInLog: boolean) => void, canRefuse = true): void {
    this.#appending++
    append((error) => {
      this.#appending--
      if (!this.isOpen) return
      if (error && (error.outcome === 'unknown' || !canRefuse)) {
        this.#logFailed(error)
        return
      }
      if (error) this.#host.report(this, 'append refused', { error: error.message })
      answer(error === null)
      this.#leaveWhenAnswered()
    })
  }

  #logFailed(error: AppendError): void {
    this.#host.report(this, 'append failed', { error: error.message })
    this.close(ended(ReasonCode.ServerBusy, 'the log did not take it'))
  }

  // --- pausing

  #waitForLog(): void {
    this.#host.metrics.reached('KAFKA_BYTES_WAITING_MAX')
    this.#input.pause(Pause.log)
    this.#host.waitFor(this, 'log')
  }

  /** The packet needs a decision that cannot be made now: it is taken again once the registry is current. */
  #waitForRegistry(packet: Packet): void {
    this.#host.metrics.reached('REGISTRY_STALE')
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
      this.#phase.is === 'open' && this.#phase.renewal ? this.#phase.renewal.until : Number.POSITIVE_INFINITY,
      nowMs + 600_000,
    )
  }

  #lookAround(session: Session, nowMs: number): void {
    if (nowMs >= session.expiresAt) {
      this.rejudge()
      if (this.#phase.is === 'closed') return
    }
    if (this.#phase.is === 'open' && this.#phase.renewal && nowMs >= this.#phase.renewal.until) {
      this.#host.metrics.reached('AUTHENTICATION_TIMEOUT')
      this.#end(notBelieved)
      return
    }
    if (this.#progress.isStuck(this.transport.waitingBytes, nowMs, this.#host.config.SLOW_CLIENT_TIMEOUT)) {
      this.#host.metrics.reached('SLOW_CLIENT_TIMEOUT')
      this.#end(ended(ReasonCode.QuotaExceeded, 'the client does not read'))
      this.transport.destroy()
      return
    }
    if (nowMs >= this.#sendAgainAt) {
      this.#sendAgainAt = Number.POSITIVE_INFINITY
      if (this.#phase.is === 'open') this.#phase.delivering.onRoom(nowMs)
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

  /** CONNECT is refused before anything stands in the log. `isTold` false: what is wrong with credentials is not for who shows them. */
  #refuse(reasonCode: number, detail: string, limit?: LimitName, isTold = true): void {
    if (this.#phase.is === 'authenticating') this.#phase.attempt.cancel()
    this.#settle()
    if (limit) this.#host.metrics.reached(limit)
    if (this.#phase.is === 'waiting') this.#waitOver(this.#phase.client.clientId)
    this.#host.metrics.connects.inc({ result: reasonName(reasonCode) })
    this.#host.report(this, 'connect refused', { reasonCode, detail })
    this.#send({ type: 'connack', sessionPresent: false, reasonCode, properties: isTold ? refusalProperties(reasonCode, detail, this.#host.config) : {} })
    this.#phase = closed
    this.#leave()
  }

  /** Auditors hear of it at once, the client perhaps later: whoever guesses has to wait (failed-connects.ts). */
  #refuseCredentials({ clientId, username: name = '' }: Credentials, reasonCode: number, why: string): void {
    const host = this.#host
    const now = host.now()
    // That it could not be found out is nobody's failure.
    const isFailure = reasonCode !== ReasonCode.ServerUnavailable
    if (isFailure) host.refused(this, { kind: RefusedKind.connect, authenticationName: name, clientId, reasonCode, why })
    const delayMs = isFailure && !this.isInternal ? host.failedConnects.failed(this.transport.remoteAddress, name, now) : 0
    if (delayMs === 0) {
      this.#refuse(reasonCode, why, undefined, false)
      return
    }
    host.metrics.reached('FAILED_CONNECT_DELAY_MAX')
    this.#phase = { is: 'refusing', until: now + delayMs, reasonCode, why }
    host.setDeadline(this, now + delayMs)
    this.#input.pause(Pause.attaching)
  }

  /** One guess at a time. Nobody guesses a certificate: one that is good is not in line, but what is shown beside a worthless one is. */
  #mayBeJudged(credentials: Credentials, nowMs: number): boolean {
    const { username: name = '', password, authenticationMethod, certificate } = credentials
    if (certificate && password === undefined && authenticationMethod === undefined) return true
    const attempt = this.#host.failedConnects.begin(this.transport.remoteAddress, name, nowMs)
    if (attempt === 'held') this.#heldName = name
    return attempt !== 'busy' || (certificate !== undefined && this.#host.authenticate(credentials, this.isInternal).ok)
  }

  /** Nobody has to wait for this attempt any more. */
  #settle(): void {
    if (this.#heldName === null) return
    this.#host.failedConnects.settled(this.transport.remoteAddress, this.#heldName)
    this.#heldName = null
  }

  /** CONNECT is refused, or the client gone, with an Attached record in the log or on its way there. */
  #refuseAttaching(reasonCode: number, detail: string, ending: Ending = ended(reasonCode, detail)): void {
    const session = this.#session
    this.#refuse(connackCode(reasonCode, this.#host.config), detail)
    // A will counts from an accepted CONNECT on [MQTT-3.1.2-7].
    if (session) this.#host.detach(session.attachment, { ...ending, keepWill: false })
  }

  /** Without a word: nothing was agreed yet. */
  #drop(): void {
    if (this.#phase.is === 'authenticating') this.#phase.attempt.cancel()
    this.#settle()
    this.#phase = closed
    this.#input.close()
    this.transport.destroy()
  }

  #end(ending: Ending): void {
    const phase = this.#phase
    if (phase.is === 'closed') return
    this.#settle()
    if (phase.is === 'waiting') this.#waitOver(phase.client.clientId)
    if (phase.is === 'open' && ending.by === 'gateway' && phase.session.client.protocolVersion === 5) {
      this.#send(farewell(ending, phase.session.client, this.#host.config))
    }
    this.#phase = closed
    if (phase.is === 'authenticating') phase.attempt.cancel()
    if (phase.is === 'open') {
      phase.renewal?.attempt.cancel()
      phase.publishing.close()
      phase.delivering.close()
      this.#host.metrics.disconnected(ending.reason)
    }
    if (phase.is === 'open' || phase.is === 'attaching') {
      this.#host.report(this, 'disconnected', {
        clientId: phase.session.client.clientId,
        reason: ending.reason,
        reasonCode: ending.reasonCode,
        detail: ending.detail,
      })
      this.#host.detach(phase.session.attachment, phase.is === 'open' ? ending : { ...ending, keepWill: false })
    }
    this.#leave()
  }

  #leave(): void {
    this.#input.close()
    this.flush()
    this.transport.end(graceMs)
  }

  #send(packet: Packet): void {
    const version = this.#version
    if (version === null) return
    const bytes = writePacket(packet, version, this.#maximumPacketSize)
    if (bytes.length > 0 && bytes.length <= this.#maximumPacketSize) this.#write(bytes) // [MQTT-3.1.2-24]
  }

  #write(bytes: Buffer): void {
    this.#output.push(bytes)
    this.#host.scheduleFlush(this)
  }
}
