/**
 * A connection up to its CONNACK: who it is, whether it may come in, and its session's owner's answer. What comes of it is
 * the connection's (connection.ts).
 */
import type { Authentication, Credentials } from '../access/authenticate.ts'
import { type Principal, voucherOf } from '../access/principal.ts'
import { RefusedKind } from '../audit/refusals.ts'
import type { MalformedPacket } from '../mqtt/malformed-packet.ts'
import type { ConnectPacket, Packet } from '../mqtt/packet.ts'
import { ReasonCode, reasonName } from '../mqtt/reason-code.ts'
import type { AttachAnswer } from '../proto/frames.ts'
import { protocolIndex } from '../telemetry/dimensions.ts'
import type { AttachedSession } from './attached-session.ts'
import { Authenticating } from './authenticating.ts'
import type { LimitName } from './config.ts'
import type { Connection } from './connection.ts'
import type { ConnectionHost } from './connection-host.ts'
import { type Ending, ended } from './disconnection.ts'
import { askForData, receiveAuth } from './exchange.ts'
import { type Input, Pause } from './input.ts'
import { errorOf } from './operation-error.ts'
import {
  authenticationDataProblem,
  type Client,
  connackCode,
  receiveConnect,
  refusalProperties,
  refuseEverybody,
  refuseSmallPackets,
  refuseUserProperties,
} from './protocol.ts'
import { RefusalReason } from './refusal-reason.ts'

/** How often it is looked whether the key of a will is there, ms. */
const sealingLookMs = 50

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
  | { readonly is: 'attaching'; readonly session: AttachedSession; readonly since: number; readonly until: number }
  /** The credentials were refused, and the client will hear of it. */
  | { readonly is: 'refusing'; readonly until: number; readonly reason: RefusalReason; readonly reasonCode: number; readonly why: string }
  | { readonly is: 'over' }

const over: Phase = { is: 'over' }

export class Connecting {
  readonly is = 'connecting'
  readonly #host: ConnectionHost
  readonly #connection: Connection
  readonly #input: Input
  #phase: Phase
  /** The name of an attempt that others have to wait for until it is judged (failed-connects.ts). */
  #heldName: string | null = null

  constructor(host: ConnectionHost, connection: Connection, input: Input) {
    this.#host = host
    this.#connection = connection
    this.#input = input
    const until = host.now() + host.config.CONNECT_TIMEOUT
    this.#phase = { is: 'awaitingConnect', until }
    host.setDeadline(connection, until)
  }

  /** Its CONNECT has not come. */
  get isNew(): boolean {
    return this.#phase.is === 'awaitingConnect'
  }

  /** From its Attached record on. */
  get session(): AttachedSession | null {
    return this.#phase.is === 'attaching' ? this.#phase.session : null
  }

  take(packet: Packet): void {
    const phase = this.#phase
    if (phase.is === 'awaitingConnect' && packet.type === 'connect') this.#connect(packet)
    else if (phase.is === 'authenticating') this.#takeAuthenticating(phase, packet)
    else if (phase.is === 'awaitingConnect') this.drop() // [MQTT-3.1.0-1]
  }

  onMalformed(error: MalformedPacket): void {
    const { is } = this.#phase
    if (error.reasonCode === ReasonCode.PacketTooLarge) this.#host.metrics.reached(is === 'awaitingConnect' ? 'FIRST_PACKET_SIZE_MAX' : 'MAXIMUM_PACKET_SIZE')
    if (is === 'attaching' || is === 'authenticating') this.close(ended(error.reasonCode, error.message))
    else if (this.#input.version !== undefined) this.#refuse(RefusalReason.malformedPacket, error.reasonCode, error.message)
    else this.drop()
  }

  /** The router has answered the Attached record. */
  onAttachAnswer(answer: AttachAnswer): void {
    const phase = this.#phase
    if (phase.is !== 'attaching') return
    if (answer.reasonCode === ReasonCode.QuotaExceeded) {
      this.#host.metrics.reached('SESSIONS_PER_NAME_MAX')
      this.#refuseAttaching(RefusalReason.sessionsPerName, answer.reasonCode, 'the client has as many sessions as it may have')
      return
    }
    if (answer.reasonCode !== 0) {
      this.#refuseAttaching(RefusalReason.ownerRefused, answer.reasonCode, 'the session’s owner refused')
      return
    }
    phase.session.attachment.attached(answer.epoch, this.#host.now())
    this.#connection.onAttached(phase.session, answer, phase.since)
  }

  /** The log did not take the Attached record, or may not have. */
  onAttachLost(detail: string): void {
    if (this.#phase.is === 'attaching') this.#refuseAttaching(RefusalReason.attachLost, ReasonCode.ServerUnavailable, detail)
  }

  /** The process was paused: what has no session yet has to come again, and no owner would say when it may be read. */
  doubt(): void {
    if (this.session === null) this.drop()
    else this.#input.pause(Pause.doubt)
  }

  /** The gateway ends the connection. */
  close(ending: Ending): void {
    const reason = RefusalReason.closedMeanwhile
    if (this.#phase.is === 'attaching') this.#refuseAttaching(reason, ending.reasonCode, ending.detail, ending)
    else if (this.#phase.is === 'authenticating' || this.#phase.is === 'waiting')
      this.#refuse(reason, connackCode(ending.reasonCode, this.#host.config), ending.detail)
    else this.drop()
  }

  /** The gateway ends what has come; a CONNECT that is still to come will be refused. */
  leave(ending: Ending): void {
    if (this.#phase.is === 'attaching' || this.#phase.is === 'authenticating' || this.#phase.is === 'waiting') this.close(ending)
  }

  /** Without a word: nothing was agreed yet. */
  drop(): void {
    this.#giveUp()
    this.#connection.onDropped()
  }

  /** The transport is gone. */
  lost(ending: Ending): void {
    const session = this.session
    this.#giveUp()
    if (!session) return
    this.#host.report(this.#connection, 'disconnected', {
      clientId: session.client.clientId,
      reason: ending.reason,
      reasonCode: ending.reasonCode,
      detail: ending.detail,
    })
    this.#host.detach(session.attachment, { ...ending, keepWill: false })
  }

  #giveUp(): void {
    const phase = this.#phase
    this.#settle()
    this.#phase = over
    if (phase.is === 'authenticating') phase.attempt.cancel()
    if (phase.is === 'waiting') this.#waitOver(phase.client.clientId)
  }

  onDeadline(nowMs: number): number | null {
    const phase = this.#phase
    if (phase.is === 'over') return null
    if (nowMs < phase.until) return phase.until
    switch (phase.is) {
      case 'awaitingConnect':
        this.#host.metrics.reached('CONNECT_TIMEOUT')
        this.drop()
        return null
      case 'authenticating':
        this.#host.metrics.reached('AUTHENTICATION_TIMEOUT')
        if (phase.attempt.expected === 'continue') this.#refuse(RefusalReason.clientSilent, ReasonCode.NotAuthorized, 'the client did not answer in time')
        else this.#refuse(RefusalReason.evidenceLate, ReasonCode.ServerUnavailable, 'who it is was not found out in time')
        return null
      case 'refusing':
        this.#refuse(phase.reason, phase.reasonCode, phase.why, undefined, false)
        return null
      case 'waiting':
        this.#goOn(phase)
        return this.#phase.is === 'attaching' ? this.#phase.until : null
      case 'attaching':
        this.#host.metrics.reached('ATTACH_TIMEOUT')
        this.#refuseAttaching(RefusalReason.attachLate, ReasonCode.ServerUnavailable, 'no router answered in time')
        return null
    }
  }

  #connect(packet: ConnectPacket): void {
    const host = this.#host
    this.#connection.maximumPacketSize = packet.properties.maximumPacketSize ?? Number.POSITIVE_INFINITY
    const refusal = refuseEverybody(host.readiness(this.#connection.isInternal), host.config)
    if (refusal) {
      this.#refuse(refusal.reason, refusal.reasonCode, refusal.detail, refusal.limit)
      return
    }
    const decision = receiveConnect(packet, host.config, packet.clientId === '' ? host.freshClientId() : '', this.#connection.isWebSocket)
    if (decision.do === 'refuse') {
      this.#refuse(decision.reason, decision.reasonCode, decision.detail, decision.limit)
      return
    }
    const { client } = decision
    const tooSmall = refuseSmallPackets(client, host.config)
    if (tooSmall) {
      this.#refuse(tooSmall.reason, tooSmall.reasonCode, tooSmall.detail)
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
      this.#refuse(RefusalReason.anotherAttempt, ReasonCode.ConnectionRateExceeded, 'another attempt under this name waits for its answer')
      return
    }
    const owner = {
      onJudged: (authentication: Authentication, judged: Credentials) => this.#judged(client, since, authentication, judged),
      onAsked: () => this.#connection.send(askForData(client)),
    }
    const attempt = new Authenticating(host.credentials, owner, this.#connection.isInternal, credentials)
    const until = since + host.config.AUTHENTICATION_TIMEOUT
    this.#phase = { is: 'authenticating', client, attempt, since, until }
    attempt.begin()
    if (this.#phase.is !== 'authenticating') return
    host.setDeadline(this.#connection, until)
    if (attempt.expected === 'nothing') this.#input.pause(Pause.authenticating)
  }

  /** Between CONNECT and CONNACK a client sends AUTH when it is asked, and nothing else. */
  #takeAuthenticating(phase: Phase & { is: 'authenticating' }, packet: Packet): void {
    const { client, attempt } = phase
    if (packet.type === 'disconnect') {
      this.drop()
      return
    }
    if (packet.type !== 'auth') {
      this.#refuse(RefusalReason.packetBeforeConnack, ReasonCode.ProtocolError, `${packet.type} has no place before CONNACK`)
      return
    }
    const misplaced = refuseUserProperties(packet, this.#host.config)
    const received = misplaced ?? receiveAuth(packet, client.authenticationMethod, attempt.expected)
    const tooMuch = authenticationDataProblem(packet.properties.authenticationData, this.#host.config)
    if (received.do === 'end') this.#refuse(RefusalReason.authMisplaced, received.ending.reasonCode, received.ending.detail)
    else if (tooMuch) this.#refuse(RefusalReason.authDataTooLarge, ReasonCode.QuotaExceeded, tooMuch, 'AUTHENTICATION_DATA_BYTES_MAX')
    else {
      attempt.continue(received.data)
      if (this.#phase.is === 'authenticating') this.#input.pause(Pause.authenticating)
    }
  }

  #judged(client: Client, since: number, authentication: Authentication, credentials: Credentials): void {
    const host = this.#host
    if (this.#phase.is !== 'authenticating') return
    this.#settle()
    if (!authentication.ok) {
      this.#refuseCredentials(credentials, authentication.reasonCode, authentication.why)
      return
    }
    if (credentials.evidence && !host.access.isCurrent) {
      this.#refuse(RefusalReason.registryStaleAfterEvidence, ReasonCode.ServerUnavailable, 'the registry is not current', 'REGISTRY_STALE')
      return
    }
    const { principal } = authentication
    if (!this.#connection.isInternal && !host.rates.mayConnectAs(client.clientId)) {
      this.#refuse(RefusalReason.sessionConnectRate, ReasonCode.ConnectionRateExceeded, 'too many connects a second with this client id')
      return
    }
    if (client.will && host.access.mayPublish(principal, client.will.topic) !== 'allowed') {
      const why = 'the will’s topic may not be published on'
      const { authenticationName } = principal
      host.refused(this.#connection, {
        kind: RefusedKind.connect,
        authenticationName,
        clientId: client.clientId,
        topic: client.will.topic,
        reasonCode: ReasonCode.NotAuthorized,
        why,
      })
      this.#refuse(RefusalReason.willNotPermitted, ReasonCode.NotAuthorized, why)
      return
    }
    const judged = { principal, credentials, expiresAt: authentication.expiresAt ?? Number.POSITIVE_INFINITY }
    const waitMs = this.#connection.isInternal ? 0 : host.takeovers.waitMs(client.clientId, host.now())
    if (waitMs > 0) this.#wait(client, since, judged, waitMs)
    else this.#attach(client, since, judged)
  }

  #attach(client: Client, since: number, judged: Judged): void {
    const host = this.#host
    const { principal, credentials, expiresAt } = judged
    // A will is sealed like any message, and its key may have to come into the log first.
    const sealing = client.will ? host.sealingReadiness(principal) : 'ready'
    if (sealing !== 'ready') {
      if (sealing === 'full')
        this.#refuse(RefusalReason.sealingKeysMax, ReasonCode.QuotaExceeded, 'there is no key left to seal its will with', 'SEALING_KEYS_MAX')
      else if (host.now() - since < host.config.ATTACH_TIMEOUT) this.#hold(client, since, judged, sealingLookMs)
      else this.#refuse(RefusalReason.sealingKeyLate, ReasonCode.ServerUnavailable, 'the key that its will is sealed with is not in the log', 'ATTACH_TIMEOUT')
      return
    }
    const attachment = host.attach(this.#connection, client, principal, Boolean(credentials.username) || voucherOf(principal) !== '')
    if (!attachment) {
      this.#refuse(RefusalReason.shardSilent, ReasonCode.ServerUnavailable, 'no router speaks for the client’s shard', 'SHARD_SILENCE')
      return
    }
    if (credentials.certificate && credentials.certificateChain?.length) host.credentials.rememberChain(credentials.certificate, credentials.certificateChain)
    const until = host.now() + host.config.ATTACH_TIMEOUT
    const session = { client, credentials, attachment, principal, expiresAt, rulesPosition: host.access.rulesPosition }
    this.#phase = { is: 'attaching', session, since, until }
    host.setDeadline(this.#connection, until)
    this.#input.pause(Pause.attaching)
    this.#input.resume(Pause.authenticating)
  }

  /** One CONNECT waits for each client id: the newest, as with sessions. */
  #wait(client: Client, since: number, judged: Judged, waitMs: number): void {
    const { metrics, waiting } = this.#host
    const { clientId } = client
    metrics.reached('TAKEOVER_BURST')
    this.#host.report(this.#connection, 'connect waits', { clientId, waitMs, why: 'the client id is taken over again and again' })
    const older = waiting.get(clientId)
    if (older) metrics.reached('TAKEOVER_INTERVAL')
    older?.close(ended(ReasonCode.ConnectionRateExceeded, 'another connection with this client id waits'))
    waiting.set(clientId, this.#connection)
    this.#hold(client, since, judged, waitMs)
  }

  #hold(client: Client, since: number, judged: Judged, waitMs: number): void {
    const until = this.#host.now() + waitMs
    this.#phase = { is: 'waiting', client, judged, since, until }
    this.#host.setDeadline(this.#connection, until)
    this.#input.pause(Pause.attaching)
    this.#input.resume(Pause.authenticating)
  }

  /** It has waited long enough; what was true of it and of the gateway may not be any more. */
  #goOn({ client, judged, since }: Phase & { is: 'waiting' }): void {
    const host = this.#host
    this.#connection.rejudge()
    if (this.#phase.is !== 'waiting') return
    this.#waitOver(client.clientId)
    // It was counted when it came.
    const refusal = refuseEverybody({ ...host.readiness(true), rateAllows: true }, host.config)
    if (refusal) {
      this.#refuse(refusal.reason, refusal.reasonCode, refusal.detail, refusal.limit)
      return
    }
    const validity = host.credentials.revalidate(judged.credentials, judged.principal)
    if (!validity.ok) {
      this.#refuse(RefusalReason.credentialsWithdrawn, validity.reasonCode, validity.why)
      return
    }
    this.#attach(client, since, { ...judged, principal: validity.principal, expiresAt: validity.expiresAt ?? Number.POSITIVE_INFINITY })
  }

  #waitOver(clientId: string): void {
    if (this.#host.waiting.get(clientId) === this.#connection) this.#host.waiting.delete(clientId)
  }

  /** Before anything stands in the log. `isTold` false: what is wrong with credentials is not for who shows them. */
  #refuse(reason: RefusalReason, reasonCode: number, detail: string, limit?: LimitName, isTold = true): void {
    if (this.#phase.is === 'authenticating') this.#phase.attempt.cancel()
    this.#settle()
    if (limit) this.#host.metrics.reached(limit)
    if (this.#phase.is === 'waiting') this.#waitOver(this.#phase.client.clientId)
    this.#host.metrics.connects.inc({ result: reasonName(reasonCode) })
    this.#host.metrics.operations.notConnected(protocolIndex(this.#input.version ?? 5, this.#connection.isWebSocket), errorOf(reasonCode))
    this.#host.metrics.refused(reason)
    this.#host.report(this.#connection, 'connect refused', { reason, reasonCode, detail })
    this.#connection.send({
      type: 'connack',
      sessionPresent: false,
      reasonCode,
      properties: isTold ? refusalProperties(reasonCode, detail, this.#host.config) : {},
    })
    this.#phase = over
    this.#connection.onOver()
  }

  /** Auditors hear of it at once, the client perhaps later: whoever guesses has to wait (failed-connects.ts). */
  #refuseCredentials({ clientId, username: name = '' }: Credentials, reasonCode: number, why: string): void {
    const host = this.#host
    const now = host.now()
    // That it could not be found out is nobody's failure.
    const isFailure = reasonCode !== ReasonCode.ServerUnavailable
    if (isFailure) host.refused(this.#connection, { kind: RefusedKind.connect, authenticationName: name, clientId, reasonCode, why })
    const delayMs = isFailure && !this.#connection.isInternal ? host.failedConnects.failed(this.#connection.transport.remoteAddress, name, now) : 0
    const reason = isFailure ? RefusalReason.credentials : RefusalReason.credentialsUnknown
    if (delayMs === 0) {
      this.#refuse(reason, reasonCode, why, undefined, false)
      return
    }
    host.metrics.reached('FAILED_CONNECT_DELAY_MAX')
    this.#phase = { is: 'refusing', until: now + delayMs, reason, reasonCode, why }
    host.setDeadline(this.#connection, now + delayMs)
    this.#input.pause(Pause.attaching)
  }

  /** One guess at a time. Nobody guesses a certificate: one that is good is not in line, but what is shown beside a worthless one is. */
  #mayBeJudged(credentials: Credentials, nowMs: number): boolean {
    const { username: name = '', password, authenticationMethod, certificate } = credentials
    if (certificate && password === undefined && authenticationMethod === undefined) return true
    const attempt = this.#host.failedConnects.begin(this.#connection.transport.remoteAddress, name, nowMs)
    if (attempt === 'held') this.#heldName = name
    return attempt !== 'busy' || (certificate !== undefined && this.#host.credentials.authenticate(credentials, this.#connection.isInternal).ok)
  }

  /** Nobody has to wait for this attempt any more. */
  #settle(): void {
    if (this.#heldName === null) return
    this.#host.failedConnects.settled(this.#connection.transport.remoteAddress, this.#heldName)
    this.#heldName = null
  }

  /** CONNECT is refused, or the client gone, with an Attached record in the log or on its way there. */
  #refuseAttaching(reason: RefusalReason, reasonCode: number, detail: string, ending: Ending = ended(reasonCode, detail)): void {
    const session = this.session
    this.#refuse(reason, connackCode(reasonCode, this.#host.config), detail)
    // A will counts from an accepted CONNECT on [MQTT-3.1.2-7].
    if (session) this.#host.detach(session.attachment, { ...ending, keepWill: false })
  }

  #certificates(): Pick<Credentials, 'certificate' | 'certificateChain'> {
    const { certificate, certificateChain } = this.#connection.transport
    if (!certificate) return {}
    return { certificate, certificateChain: certificateChain.length > 0 ? certificateChain : this.#host.credentials.chainOf(certificate) }
  }
}
