/**
 * One client's connection: bytes in and out, and its end. What is to be done is decided in protocol.ts; what the log, the
 * registry and the routers have to do with it is the host's (gateway.ts). Up to CONNACK it is connecting.ts, from then on
 * open-connection.ts.
 */
import type { MalformedPacket } from '../mqtt/malformed-packet.ts'
import type { Packet } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { writePacket } from '../mqtt/writer.ts'
import type { AttachAnswer, LiveSession, Receiver } from '../proto/frames.ts'
import type { AttachedSession } from './attached-session.ts'
import type { Attachment } from './attachment.ts'
import { Connecting } from './connecting.ts'
import type { ConnectionHost } from './connection-host.ts'
import type { Timed } from './deadlines.ts'
import { DisconnectionReason, type Ending, ended, lost } from './disconnection.ts'
import type { HeldMessage } from './held-pages.ts'
import { Input, type InputOwner, Pause } from './input.ts'
import { OpenConnection } from './open-connection.ts'
import type { Outgoing } from './outgoing.ts'
import { Output } from './output.ts'
import { acceptance, farewell } from './protocol.ts'
import type { Transport, TransportListener } from './transport.ts'

type Phase = Connecting | OpenConnection | { readonly is: 'closed' }

const closed: Phase = { is: 'closed' }
/** Time for the last bytes of a connection that is closed, ms. */
const graceMs = 2000

export class Connection implements TransportListener, InputOwner, Timed {
  readonly transport: Transport
  /** True on the listener that only parts of the deployment use. */
  readonly isInternal: boolean
  /** Bytes the client takes in one packet, as its CONNECT says: holds for a CONNACK that refuses, too. */
  maximumPacketSize = Number.POSITIVE_INFINITY
  readonly #host: ConnectionHost
  readonly #input: Input
  readonly #output = new Output()
  #phase: Phase
  isFlushScheduled = false

  constructor(host: ConnectionHost, transport: Transport, isInternal: boolean) {
    this.#host = host
    this.transport = transport
    this.isInternal = isInternal
    this.#input = new Input(transport, this, { maximumPacketSize: host.config.MAXIMUM_PACKET_SIZE, firstPacketSizeMax: host.config.FIRST_PACKET_SIZE_MAX })
    this.#phase = new Connecting(host, this, this.#input)
    transport.listen(this)
  }

  /** Its CONNECT has not come. */
  get isNew(): boolean {
    return this.#phase.is === 'connecting' && this.#phase.isNew
  }

  get isOpen(): boolean {
    return this.#phase.is === 'open'
  }

  get attachment(): Attachment | null {
    return this.#session?.attachment ?? null
  }

  get isWebSocket(): boolean {
    return this.transport.kind === 'ws' || this.transport.kind === 'wss'
  }

  get #session(): AttachedSession | null {
    return this.#phase.is === 'closed' ? null : this.#phase.session
  }

  // --- what the transport tells

  onData(chunk: Buffer): void {
    this.#host.metrics.bytesIn += chunk.length
    this.#host.lookForPause()
    if (this.#phase.is === 'closed') return
    if (this.#phase.is === 'open') this.#phase.heard(this.#host.now())
    this.#input.take(chunk)
    if (this.#phase.is === 'open') this.#phase.received(chunk.length)
  }

  onDrain(): void {
    if (this.#phase.is === 'open') this.#phase.drained()
  }

  onClosed(orderly: boolean): void {
    const ending = lost(orderly)
    if (this.#phase.is === 'connecting') {
      this.#phase.lost(ending)
      this.onOver()
    } else this.#end(ending)
    this.#host.left(this)
  }

  // --- what the gateway tells

  /** The router has answered the Attached record. */
  onAttachAnswer(answer: AttachAnswer): void {
    if (this.#phase.is === 'connecting') this.#phase.onAttachAnswer(answer)
  }

  /** The log did not take the Attached record, or may not have. */
  onAttachLost(detail: string): void {
    if (this.#phase.is === 'connecting') this.#phase.onAttachLost(detail)
  }

  deliver(message: Outgoing, receiver: Receiver, nowMs: number): void {
    const phase = this.#phase
    if (phase.is === 'open') phase.delivering.deliver(phase.asTold(message), receiver, nowMs)
    else this.#host.metrics.deliveriesDropped.gone++
  }

  /** A page of retained messages; `done` is called once when the client has taken it, or the connection is over. */
  deliverRetained(source: number, request: number, last: boolean, messages: readonly HeldMessage[], done: () => void): void {
    if (this.#phase.is === 'open') this.#phase.deliverRetained(source, request, last, messages, done)
    else done()
  }

  /** The client's PUBREC of a numbered message is in the log. */
  release(number: number): void {
    if (this.#phase.is === 'open') this.#phase.delivering.release(number)
  }

  /** What a new owner of the client's shard has to know; null while the attach is not answered. */
  liveSession(): LiveSession | null {
    return this.#phase.is === 'open' ? this.#phase.liveSession() : null
  }

  /** The process was paused: what comes from the client may be of long ago. One that is not let in yet has to come again. */
  doubt(): void {
    if (this.#phase.is === 'connecting') this.#phase.doubt()
    else if (this.#phase.is === 'open') this.#input.pause(Pause.doubt)
  }

  resumeReading(reason: 'log' | 'registry' | 'doubt'): void {
    // The keep alive was suspended with the reading.
    if (this.#phase.is === 'open') this.#phase.heard(this.#host.now())
    this.#input.resume(Pause[reason])
  }

  /** The registry has changed: judges address, credentials and subscriptions again. Answers how many judgements that took. */
  rejudge(): number {
    if (!this.isInternal && !this.#host.access.mayComeFrom(this.transport.remoteAddress)) {
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
    return this.#phase.is === 'open' ? 1 + this.#phase.rejudge(isAnother) : 1
  }

  /** The gateway ends the connection. */
  close(ending: Ending): void {
    const clientId = this.#session?.client.clientId
    if (clientId !== undefined && ending.reason === DisconnectionReason.SessionTakenOver) this.#host.takeovers.taken(clientId, this.#host.now())
    if (this.#phase.is === 'connecting') this.#phase.close(ending)
    else this.#end(ending)
  }

  /** The gateway ends the connection as soon as everything that was read is answered; nothing more is read. A CONNECT that is still to come will be refused. */
  leave(ending: Ending): void {
    if (this.#phase.is !== 'closed') this.#phase.leave(ending)
  }

  /** Writes what this turn has gathered. */
  flush(): void {
    const { bytes } = this.#output
    if (bytes === 0) return
    this.#host.metrics.bytesOut += bytes
    this.#host.metrics.packetsOut += this.#output.packets
    this.transport.write(this.#output.take())
    if (this.#phase.is === 'open') this.#phase.written(bytes)
  }

  onDeadline(nowMs: number): number | null {
    return this.#phase.is === 'closed' ? null : this.#phase.onDeadline(nowMs)
  }

  // --- what connecting tells

  onAttached(session: AttachedSession, answer: AttachAnswer, since: number): void {
    const host = this.#host
    const { client } = session
    const open = new OpenConnection(host, this, this.#input, this.#output, session, answer)
    this.#phase = open
    host.metrics.connects.inc({ result: 'accepted' })
    host.metrics.operations.connected(client.protocol, host.now() - since)
    this.send(acceptance(client, answer.sessionPresent, host.config))
    open.begin()
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

  // --- what the input tells

  onPacket(packet: Packet): void {
    this.#host.metrics.packetsIn++
    // Two places to call from: each sees one class only.
    if (this.#phase.is === 'open') this.#phase.take(packet)
    else if (this.#phase.is === 'connecting') this.#phase.take(packet)
  }

  onMalformed(error: MalformedPacket): void {
    if (this.#phase.is === 'connecting') {
      this.#phase.onMalformed(error)
      return
    }
    if (error.reasonCode === ReasonCode.PacketTooLarge) this.#host.metrics.reached('MAXIMUM_PACKET_SIZE')
    this.close(ended(error.reasonCode, error.message))
  }

  // --- what goes out

  send(packet: Packet): void {
    const { version } = this.#input
    if (version === undefined) return
    const bytes = writePacket(packet, version, this.maximumPacketSize)
    if (bytes.length > 0 && bytes.length <= this.maximumPacketSize) this.write(bytes) // [MQTT-3.1.2-24]
  }

  write(packet: Buffer): void {
    // Beside the others: each buffer of its own costs the socket's queue far more than a PINGRESP has bytes.
    const { buffer, offset } = this.#output.piece(packet.length)
    packet.copy(buffer, offset)
    this.#host.flushes.schedule(this)
  }

  // --- ends

  #end(ending: Ending): void {
    const phase = this.#phase
    if (phase.is !== 'open') return
    const { client, attachment } = phase.session
    if (ending.by === 'gateway' && client.protocolVersion === 5) this.send(farewell(ending, client, this.#host.config))
    this.#phase = closed
    phase.over()
    this.#host.metrics.disconnected(ending.reason)
    this.#host.metrics.operations.left(client.protocol)
    this.#host.report(this, 'disconnected', { clientId: client.clientId, reason: ending.reason, reasonCode: ending.reasonCode, detail: ending.detail })
    this.#host.detach(attachment, ending)
    this.#leave()
  }

  #leave(): void {
    this.#input.close()
    this.flush()
    this.transport.end(graceMs)
  }
}
