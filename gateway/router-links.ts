/** The routers' streams: hands what they bring to the connections, and tells them what became of it. */
import type { Duplex } from 'node:stream'
import type { Logger } from 'pino'
import { isReplayed, retainedShard, shardOfSource } from '../model/session-queue.ts'
import { FrameLink } from '../proto/delivery.ts'
import type { Ack, AckOutcome, DeliveredMessage, Frame, LiveSession, RouterFrame } from '../proto/frames.ts'
import { decodeMessage, encodeMessage, peekMessage } from '../schemas/message-record.ts'
import { RecordError } from '../schemas/record-error.ts'
import type { TracedDelivery, Tracing } from '../telemetry/tracing.ts'
import type { Connections } from './connections.ts'
import { DisconnectionReason, ended } from './disconnection.ts'
import type { HeldMessage } from './held-pages.ts'
import type { GatewayMetrics } from './metrics.ts'
import { Outgoing, plainOrigin } from './outgoing.ts'
import { replayMarks } from './provenance.ts'
import type { Sealing } from './sealing.ts'
import { Shards } from './shards.ts'

/** What the links need of the gateway. */
export interface LinkHost {
  readonly id: string
  readonly incarnation: number
  readonly metrics: GatewayMetrics
  readonly logger: Logger
  readonly tracing: Tracing | null
  /** Null where no client’s messages are sealed. */
  readonly sealing: Sealing | null
  now(): number
  /** By their numbers within this incarnation, and by shard. */
  readonly connections: Pick<Connections, 'attached' | 'ofShard'>
  /** An answer for a connection that is gone already, or never knew that its Attached record is in the log. */
  onLateAnswer(connection: number, connectionId: Buffer, epoch: number): void
  /** A router knows a later incarnation of this gateway's id. */
  onSuperseded(incarnation: number): void
  /** The shard's owner has heard on this link which connections stand, and has ended those that are over. */
  onReconciled(shard: number): void
}

/** Links at one time. Routers that come back may overlap with what they were. */
const routersMax = 256

interface Router {
  readonly frames: FrameLink
  readonly peer: string
  name: string | null
  heardAt: number
  /** Frames that wait for keys of the first one’s messages, in their order: as much as the router has under way. */
  held: Frame[] | null
}

export class RouterLinks {
  readonly #host: LinkHost
  readonly shards: Shards<Router>
  readonly #routers = new Set<Router>()
  /** Acknowledgements of this turn of the event loop, by shard. */
  readonly #acks = new Map<number, Ack[]>()
  #acksScheduled = false
  /** Pages of retained messages that are not handed on yet. */
  readonly #pages = new Set<string>()

  constructor(host: LinkHost, shardCount: number) {
    this.#host = host
    this.shards = new Shards(shardCount, host.now())
  }

  get status(): readonly { readonly router: string; readonly peer: string; readonly shards: readonly number[]; readonly silentMs: number }[] {
    const now = this.#host.now()
    return [...this.#routers].map((router) => ({
      router: router.name ?? '',
      peer: router.peer,
      shards: this.shards.ownedBy(router),
      silentMs: now - router.heardAt,
    }))
  }

  get size(): number {
    return this.#routers.size
  }

  onLink(stream: Duplex, peer: string): void {
    if (this.#routers.size >= routersMax) {
      this.#host.logger.warn({ peer }, 'a router link too many')
      stream.end()
      return
    }
    const router: Router = {
      frames: new FrameLink(stream, {
        onFrame: (frame) => this.#take(router, frame),
        onEnd: (reason) => {
          this.#routers.delete(router)
          router.held = null
          this.shards.drop(router)
          this.#host.logger.info({ router: router.name, peer, reason }, 'router link ended')
        },
      }),
      peer,
      name: null,
      heardAt: this.#host.now(),
      held: null,
    }
    this.#routers.add(router)
  }

  /** A numbered message is done, or received: told to the shard's owner with the others of this turn. */
  acknowledge(shard: number, connection: number, number: number, outcome: AckOutcome): void {
    const acks = this.#acks.get(shard)
    if (acks) acks.push({ connection, number, outcome })
    else this.#acks.set(shard, [{ connection, number, outcome }])
    if (this.#acksScheduled) return
    this.#acksScheduled = true
    setImmediate(() => this.#flushAcks())
  }

  /** Ends all links, as when the incarnation they were made for is over. */
  closeAll(reason: string): void {
    for (const router of [...this.#routers]) router.frames.close(reason)
  }

  #flushAcks(): void {
    this.#acksScheduled = false
    for (const [shard, acks] of this.#acks) {
      // Without an owner they are not kept: the next one learns from `shardState` what is done.
      this.shards.of(shard)?.link?.frames.send({ kind: 'acks', shard, acks })
    }
    this.#acks.clear()
  }

  /**
   * A sealed message can be here before its key is; a message that waits holds up what its router sent behind it. Pings too: a router that hears
   * nothing for GATEWAY_STALL ends the link, and on the next one what ends connections goes before what was held.
   */
  #take(router: Router, frame: Frame): void {
    const { sealing } = this.#host
    if (router.held) router.held.push(frame)
    else if (sealing && holdsUnknown(sealing, frame)) {
      router.held = [frame]
      void this.#handOnHeld(router, sealing)
    } else this.#receive(router, frame)
  }

  async #handOnHeld(router: Router, sealing: Sealing): Promise<void> {
    // All that has come by now is known behind this, or has no key any more: however many unknown keys there are, the log is asked once a turn.
    const asked = router.held?.length ?? 0
    try {
      await sealing.confirm()
    } catch (error) {
      // It sends them again on its next link.
      router.frames.close(`the keys of sealed messages cannot be read: ${(error as Error).message}`)
      return
    }
    const held = router.held ?? []
    router.held = null
    for (const [index, frame] of held.entries()) {
      if (index >= asked && holdsUnknown(sealing, frame)) {
        router.held = held.slice(index)
        void this.#handOnHeld(router, sealing)
        return
      }
      this.#receive(router, frame)
    }
  }

  #receive(router: Router, frame: Frame): void {
    router.heardAt = this.#host.now()
    this.shards.heard(router, router.heardAt)
    if (router.name === null && frame.kind !== 'hello') {
      router.frames.close(`${frame.kind} before hello`)
      return
    }
    switch (frame.kind) {
      case 'hello':
        this.#hello(router, frame)
        return
      case 'own':
        this.#own(router, frame)
        return
      case 'disown':
        this.shards.disown(frame.shard, frame.term, router)
        return
      case 'ping':
        router.frames.send({ kind: 'pong', nonce: frame.nonce })
        // Of a router that does not tell, each ping has to do: it may have left before the router heard which connections stand.
        for (const shard of this.shards.ownedBy(router)) if (frame.reconciled?.includes(shard) ?? true) this.#host.onReconciled(shard)
        return
      case 'attachAnswer':
      case 'close':
      case 'direct':
      case 'owed':
      case 'retained':
      case 'release':
        if (!this.shards.accepts(frame.shard, frame.term, router)) {
          this.#host.metrics.staleFrames.inc()
          return
        }
        this.#apply(router, frame)
        return
      default:
        router.frames.close(`a router does not send ${frame.kind}`)
        return
    }
  }

  #hello(router: Router, frame: RouterFrame & { kind: 'hello' }): void {
    const { incarnation } = this.#host
    if (frame.incarnation !== incarnation) {
      router.frames.close(`this is incarnation ${incarnation}, not ${frame.incarnation}`)
      if (frame.incarnation > incarnation) this.#host.onSuperseded(frame.incarnation)
      return
    }
    router.name = frame.router
    this.#host.logger.info({ router: router.name, peer: router.peer }, 'router linked')
    router.frames.send({ kind: 'welcome', gateway: this.#host.id, incarnation })
  }

  #own(router: Router, { shard, term }: RouterFrame & { kind: 'own' }): void {
    if (!this.shards.own(shard, term, router, router.heardAt)) {
      this.#host.metrics.staleFrames.inc()
      return
    }
    const sessions: LiveSession[] = []
    for (const connection of this.#host.connections.ofShard(shard)) {
      const session = connection.liveSession()
      if (session) sessions.push(session)
    }
    router.frames.send({ kind: 'shardState', shard, term, receivedTo: this.shards.of(shard)?.receivedTo ?? -1, sessions })
  }

  #apply(router: Router, frame: RouterFrame & { kind: 'attachAnswer' | 'close' | 'direct' | 'owed' | 'release' | 'retained' }): void {
    switch (frame.kind) {
      case 'attachAnswer': {
        const connection = this.#host.connections.attached.get(frame.connection)
        if (!connection?.attachment?.connectionId.equals(frame.connectionId)) this.#host.onLateAnswer(frame.connection, frame.connectionId, frame.epoch)
        else connection.onAttachAnswer(frame)
        return
      }
      case 'close':
        this.#host.connections.attached.get(frame.connection)?.close(ended(frame.reasonCode, 'closed by the session’s owner', reasonNamed(frame.reason)))
        return
      case 'direct': {
        const first = this.shards.receive(frame.shard, frame.to)
        const now = this.#host.now()
        if (first !== null) for (const message of frame.messages) if (message.offset >= first) this.#deliver(message, now)
        // All of it is in bounded windows, or dropped by their rules: the router never waits for a slow client.
        router.frames.send({ kind: 'received', shard: frame.shard, term: frame.term, to: frame.to })
        return
      }
      case 'owed': {
        const now = this.#host.now()
        for (const message of frame.messages) this.#deliver(message, now)
        return
      }
      case 'release':
        for (const { connection, number } of frame.releases) this.#host.connections.attached.get(connection)?.release(number)
        return
      case 'retained':
        this.#takePage(frame)
    }
  }

  #takePage(frame: RouterFrame & { kind: 'retained' }): void {
    const { shard, term, sequence, request, last } = frame
    const page = `${shard} ${term} ${sequence}`
    if (!this.shards.receiveRetained(shard, sequence)) {
      // Sent again on a new link: answered now, or when it is handed on.
      if (!this.#pages.has(page)) this.#pageTaken(shard, term, sequence)
      return
    }
    const messages: HeldMessage[] = []
    for (const message of frame.messages) {
      const outgoing = this.#read(message)
      if (outgoing) for (const receiver of message.receivers) messages.push({ message: outgoing, receiver })
    }
    const connection = this.#host.connections.attached.get(frame.connection)
    if (!connection) {
      this.#host.metrics.deliveriesDropped.gone += messages.length
      this.#pageTaken(shard, term, sequence)
      return
    }
    this.#pages.add(page)
    connection.deliverRetained(shard, request, last, messages, () => {
      this.#pages.delete(page)
      this.#pageTaken(shard, term, sequence)
    })
  }

  /** Told on the link that there is now; without one it is asked again. */
  #pageTaken(shard: number, term: number, sequence: number): void {
    const owner = this.shards.of(shard)
    if (owner?.term === term) owner.link?.frames.send({ kind: 'retainedTaken', shard, term, sequence })
  }

  /** `tracing` is given for what is live: what is retained was published long ago. */
  #read({ value: stored, source, offset }: DeliveredMessage, tracing: Tracing | null = null): Outgoing | null {
    try {
      const { sealing } = this.#host
      const value = sealing ? sealing.opened(stored) : stored
      // What is retained and owed has the place of another topic.
      const partition = retainedShard(source) === undefined ? shardOfSource(source) : -1
      const origin = plainOrigin(partition, offset)
      if (!value) return new Outgoing(erased(stored), origin)
      if (isReplayed(source)) {
        const { receivedAt } = peekMessage(value)
        return new Outgoing(value, { ...origin, marks: replayMarks(shardOfSource(source), offset, receivedAt), isPast: true })
      }
      return new Outgoing(value, tracing?.isChosen(peekMessage(value)) ? { ...origin, trace: deliveryTrace(tracing, value) } : origin)
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.#host.logger.error({ source, offset, error: error.message }, 'a message from a router cannot be read')
      return null
    }
  }

  #deliver(message: DeliveredMessage, now: number): void {
    let outgoing: Outgoing | null = null
    for (const receiver of message.receivers) {
      const connection = this.#host.connections.attached.get(receiver.connection)
      if (!connection) {
        this.#host.metrics.deliveriesDropped.gone++
        continue
      }
      outgoing ??= this.#read(message, this.#host.tracing)
      if (!outgoing) return
      connection.deliver(outgoing, receiver, now)
    }
  }
}

function deliveryTrace(tracing: Tracing, value: Buffer): TracedDelivery | null {
  const message = decodeMessage(value)
  return tracing.delivery(
    message,
    message.userProperties.map(({ name, value }) => [name, value] as const),
  )
}

/** What nobody can read any more is delivered as a message is that has expired: not at all. */
function erased(value: Buffer): Buffer {
  const { receivedAt: _, ...message } = decodeMessage(value)
  const nothing = { payload: Buffer.alloc(0), userProperties: [], correlationData: null, receivedAt: 0, messageExpiryInterval: 0 }
  return Buffer.from(encodeMessage({ ...message, ...nothing }))
}

function holdsUnknown(sealing: Sealing, frame: Frame): boolean {
  return (frame.kind === 'direct' || frame.kind === 'owed' || frame.kind === 'retained') && frame.messages.some(({ value }) => sealing.isUnknown(value))
}

function reasonNamed(name: string): DisconnectionReason {
  return name in DisconnectionReason ? (name as DisconnectionReason) : DisconnectionReason.ServerInitiatedDisconnect
}
