/**
 * One gateway incarnation as a router sees it: the link, and the direct messages that the gateway has not confirmed.
 * Nobody waits for a gateway: what it does not take is kept up to a bound and then dropped or its sessions ended.
 */
import type { DeliveryTls } from '../proto/delivery.ts'
import { type dialDelivery, FrameLink } from '../proto/delivery.ts'
import { FrameError } from '../proto/frame-codec.ts'
import type { Ack, DeliveredMessage, Frame, GatewayFrame, LiveSession, RouterFrame } from '../proto/frames.ts'
import { directSize } from './stretch-plan.ts'

export interface GatewayIdentity {
  readonly id: string
  readonly incarnation: number
  readonly address: string
}

export interface GatewayHandlers {
  /** The gateway's state for a shard this router owns: after `own`, on every new link. */
  onShardState(gateway: Gateway, shard: number, term: number, receivedTo: number, sessions: readonly LiveSession[]): void
  onAcks(gateway: Gateway, shard: number, acks: readonly Ack[]): void
  /** The link has room again. */
  onDrain(gateway: Gateway): void
  /** QoS 0 deliveries that were given up because the gateway's queue is full. */
  onDropped(gateway: Gateway, deliveries: number): void
  /** A connection whose QoS ≥ 1 messages found the queue full: its session must end. */
  onOverflow(gateway: Gateway, connection: number): void
  onLink(gateway: Gateway, isUp: boolean, reason: string): void
}

export interface GatewayLimits {
  /** Direct messages sent and not confirmed, bytes. */
  readonly queueBytesMax: number
  /** A link on which the gateway says nothing for this long is closed and dialled again, ms. */
  readonly stallMs: number
}

type CloseFrame = Extract<RouterFrame, { kind: 'close' }>

interface Unconfirmed {
  readonly frame: Extract<RouterFrame, { kind: 'direct' }>
  readonly bytes: number
  readonly since: number
  readonly done: () => void
}

/** MQTT 5 reason code of a connection that missed a message. */
const quotaExceeded = 0x97

type RetainedFrame = Extract<RouterFrame, { kind: 'retained' }>

/** A page of retained messages that the gateway has not handed on. */
interface Page {
  readonly frame: RetainedFrame
  readonly bytes: number
  readonly done: () => void
}

const redialMs = 100

export class Gateway {
  readonly identity: GatewayIdentity
  readonly #router: string
  readonly #handlers: GatewayHandlers
  readonly #limits: GatewayLimits
  readonly #now: () => number
  readonly #client: ReturnType<typeof dialDelivery>
  /** Shards this router owns, with their terms. */
  readonly #owned = new Map<number, number>()
  /** By source shard, in order. */
  readonly #unconfirmed = new Map<number, Unconfirmed[]>()
  #unconfirmedBytes = 0
  /** By shard: connections that must end and whose gateway could not be told yet. */
  readonly #closing = new Map<number, Map<number, CloseFrame>>()
  /** By source shard, by number. */
  readonly #pages = new Map<number, Map<number, Page>>()
  /** By source shard: number of the last page of this term. */
  readonly #pageSequences = new Map<number, number>()
  #retainedBytes = 0
  #link: FrameLink | undefined
  #isWelcome = false
  /** Shards whose state the gateway told on this link: only then direct messages go out, or an older one would be skipped as a repeat. */
  readonly #ready = new Set<number>()
  #dialledAt = 0
  #redial: NodeJS.Timeout | undefined
  #isClosed = false
  #lastContact: number
  #pings = 0
  /** What waits for the answer to a ping, by nonce. */
  readonly #awaited = new Map<number, () => void>()

  constructor(options: {
    readonly identity: GatewayIdentity
    readonly router: string
    readonly handlers: GatewayHandlers
    readonly limits: GatewayLimits
    readonly now: () => number
    readonly dial: typeof dialDelivery
    readonly tls?: DeliveryTls | undefined
  }) {
    this.identity = options.identity
    this.#router = options.router
    this.#handlers = options.handlers
    this.#limits = options.limits
    this.#now = options.now
    this.#lastContact = options.now()
    this.#client = options.dial(options.identity.address, options.tls)
    this.#dial()
  }

  /** Milliseconds since the gateway last said anything. */
  get silentMs(): number {
    return this.#now() - this.#lastContact
  }

  /** Silence of so many milliseconds does not count. */
  forgive(ms: number): void {
    this.#lastContact = Math.min(this.#now(), this.#lastContact + ms)
  }

  get isLinked(): boolean {
    return this.#isWelcome
  }

  /** The gateway told its state for the shard on this link: only now is it known what else to send. */
  isReady(shard: number): boolean {
    return this.#ready.has(shard)
  }

  /** Bytes on their way to the gateway that it has not taken. */
  get queuedBytes(): number {
    return this.#link?.queuedBytes ?? 0
  }

  get unconfirmedBytes(): number {
    return this.#unconfirmedBytes
  }

  /** Bytes of retained messages that the gateway has not handed on. */
  get retainedBytes(): number {
    return this.#retainedBytes
  }

  own(shard: number, term: number): void {
    if (this.#owned.get(shard) !== term) this.#pageSequences.delete(shard)
    this.#owned.set(shard, term)
    this.#ready.delete(shard)
    this.#send({ kind: 'own', shard, term })
  }

  disown(shard: number): void {
    const term = this.#owned.get(shard)
    if (term === undefined) return
    this.#owned.delete(shard)
    this.#release(this.#unconfirmed.get(shard) ?? [])
    this.#unconfirmed.delete(shard)
    this.#closing.delete(shard)
    this.#givePagesUp(shard)
    this.#send({ kind: 'disown', shard, term })
  }

  /** Sends what need not survive the link: its state is told again by `shardState` on the next one. */
  send(frame: Extract<RouterFrame, { kind: 'attachAnswer' | 'owed' | 'release' }>): void {
    this.#send(frame)
  }

  /** Calls back once everything that the gateway has sent until now has been taken, or the link is over; within a stall's time. */
  afterWhatItSent(callback: () => void): void {
    if (this.#isWelcome) {
      this.#awaited.set(this.#pings, callback)
      this.#ping()
    } else callback()
  }

  /** Ends a connection; kept for the next link when there is none, or the connection would live on without a session. */
  endConnection(frame: CloseFrame): void {
    if (this.#ready.has(frame.shard)) this.#send(frame)
    else this.#closing.set(frame.shard, (this.#closing.get(frame.shard) ?? new Map<number, CloseFrame>()).set(frame.connection, frame))
  }

  /**
   * Sends one stretch's messages; `done` is called once when the gateway has them in its windows, or when it is given
   * up. Over the queue's bound QoS 0 is dropped and sessions with QoS ≥ 1 messages are reported to end.
   */
  direct(frame: Extract<RouterFrame, { kind: 'direct' }>, done: () => void): void {
    let bytes = 0
    for (const message of frame.messages) bytes += directSize(message)
    if (this.#unconfirmedBytes + bytes > this.#limits.queueBytesMax) {
      this.#overflow(frame.shard, frame.messages)
      done()
      return
    }
    const queue = this.#unconfirmed.get(frame.shard) ?? []
    this.#unconfirmed.set(frame.shard, queue)
    queue.push({ frame, bytes, since: this.#now(), done })
    this.#unconfirmedBytes += bytes
    if (this.#ready.has(frame.shard)) this.#send(frame)
  }

  /** Sends a page of retained messages; `done` is called once when the client's connection has it all, or is over. Bounded by who asks: see `retainedBytes`. */
  retained(page: Omit<RetainedFrame, 'kind' | 'sequence'>, done: () => void): void {
    const { shard } = page
    const sequence = (this.#pageSequences.get(shard) ?? 0) + 1
    this.#pageSequences.set(shard, sequence)
    const frame: RetainedFrame = { kind: 'retained', sequence, ...page }
    let bytes = 0
    for (const message of frame.messages) bytes += directSize(message)
    const pages = this.#pages.get(shard) ?? new Map<number, Page>()
    this.#pages.set(shard, pages)
    pages.set(sequence, { frame, bytes, done })
    this.#retainedBytes += bytes
    if (this.#ready.has(shard)) this.#send(frame)
  }

  /** Gives up what is unconfirmed: the gateway is lost, its connections are over. */
  forfeit(): void {
    const all = [...this.#unconfirmed.values()].flat()
    this.#unconfirmed.clear()
    this.#release(all)
    for (const shard of [...this.#pages.keys()]) this.#givePagesUp(shard)
  }

  /** Once a second: keeps the link's silence short. */
  tick(): void {
    if (this.#isClosed) return
    this.#giveUpStalled()
    const silentMs = this.#now() - Math.max(this.#lastContact, this.#dialledAt)
    if (this.#link && silentMs > this.#limits.stallMs) this.#link.close(`the gateway was silent for ${silentMs} ms`)
    else this.#ping()
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#redial)
    this.#link?.close('the router let go of this gateway')
    this.forfeit()
    this.#client.close()
  }

  #dial(): void {
    if (this.#isClosed) return
    this.#dialledAt = this.#now()
    const link = new FrameLink(this.#client.link(), {
      onFrame: (frame) => this.#receive(frame),
      onEnd: (reason) => this.#linkEnded(link, reason),
      onDrain: () => this.#handlers.onDrain(this),
    })
    this.#link = link
    link.send({ kind: 'hello', router: this.#router, incarnation: this.identity.incarnation })
  }

  #linkEnded(link: FrameLink, reason: string): void {
    if (this.#link !== link && this.#link !== undefined) return
    const wasWelcome = this.#isWelcome
    this.#link = undefined
    this.#isWelcome = false
    this.#ready.clear()
    const awaited = [...this.#awaited.values()]
    this.#awaited.clear()
    for (const callback of awaited) callback()
    if (wasWelcome) this.#handlers.onLink(this, false, reason)
    if (!this.#isClosed) this.#redial = setTimeout(() => this.#dial(), redialMs)
  }

  #send(frame: RouterFrame): void {
    if (this.#isWelcome) this.#link?.send(frame)
  }

  #ping(): void {
    this.#send({ kind: 'ping', nonce: this.#pings++, reconciled: [...this.#ready] })
  }

  #receive(frame: Frame): void {
    this.#lastContact = this.#now()
    const from = frame as GatewayFrame
    switch (from.kind) {
      case 'welcome':
        if (from.incarnation !== this.identity.incarnation) throw new FrameError(`gateway ${from.gateway} is incarnation ${from.incarnation}`)
        this.#isWelcome = true
        this.#handlers.onLink(this, true, 'welcome')
        for (const [shard, term] of this.#owned) this.#send({ kind: 'own', shard, term })
        return
      case 'shardState':
        if (this.#owned.get(from.shard) !== from.term) return
        this.#confirm(from.shard, from.receivedTo)
        this.#handlers.onShardState(this, from.shard, from.term, from.receivedTo, from.sessions)
        this.#ready.add(from.shard)
        for (const each of this.#closing.get(from.shard)?.values() ?? []) this.#send(each)
        this.#closing.delete(from.shard)
        // A gateway that was paused reads the connections that are left only now.
        this.#ping()
        // What is retained goes before what was published after it.
        for (const { frame: page } of this.#pages.get(from.shard)?.values() ?? []) this.#send(page)
        for (const each of this.#unconfirmed.get(from.shard) ?? []) this.#send(each.frame)
        return
      case 'retainedTaken':
        if (this.#owned.get(from.shard) === from.term) this.#pageTaken(from.shard, from.sequence)
        return
      case 'received':
        if (this.#owned.get(from.shard) === from.term) this.#confirm(from.shard, from.to)
        return
      case 'acks':
        if (this.#owned.has(from.shard)) this.#handlers.onAcks(this, from.shard, from.acks)
        return
      case 'pong':
        this.#awaited.get(from.nonce)?.()
        this.#awaited.delete(from.nonce)
        return
      default:
        throw new FrameError(`a gateway does not send ${frame.kind}`)
    }
  }

  #confirm(shard: number, to: number): void {
    const queue = this.#unconfirmed.get(shard)
    if (!queue) return
    let confirmed = 0
    while (confirmed < queue.length && (queue[confirmed] as Unconfirmed).frame.to <= to) confirmed++
    if (confirmed > 0) this.#release(queue.splice(0, confirmed))
  }

  #pageTaken(shard: number, sequence: number): void {
    const pages = this.#pages.get(shard)
    const page = pages?.get(sequence)
    if (!pages || !page) return
    pages.delete(sequence)
    this.#retainedBytes -= page.bytes
    page.done()
  }

  #givePagesUp(shard: number): void {
    const pages = [...(this.#pages.get(shard)?.keys() ?? [])]
    for (const sequence of pages) this.#pageTaken(shard, sequence)
    this.#pages.delete(shard)
  }

  #release(released: readonly Unconfirmed[]): void {
    for (const each of released) {
      this.#unconfirmedBytes -= each.bytes
      each.done()
    }
  }

  /** What waits for longer than a link is given twice over holds up the reading of everybody's messages. */
  #giveUpStalled(): void {
    const before = this.#now() - 2 * this.#limits.stallMs
    for (const [shard, queue] of this.#unconfirmed) {
      let stalled = 0
      while (stalled < queue.length && (queue[stalled] as Unconfirmed).since < before) stalled++
      if (stalled === 0) continue
      const given = queue.splice(0, stalled)
      for (const { frame } of given) this.#overflow(shard, frame.messages)
      this.#release(given)
    }
  }

  #overflow(shard: number, messages: readonly DeliveredMessage[]): void {
    let dropped = 0
    const ending = new Set<number>()
    for (const message of messages) {
      for (const receiver of message.receivers) {
        if (receiver.qos === 0) dropped++
        else ending.add(receiver.connection)
      }
    }
    if (dropped > 0) this.#handlers.onDropped(this, dropped)
    const term = this.#owned.get(shard) ?? -1
    for (const connection of ending) {
      // Its client's shard may be another router's: the gateway itself ends the connection too.
      this.endConnection({ kind: 'close', shard, term, connection, reasonCode: quotaExceeded, reason: 'SessionOverflow' })
      this.#handlers.onOverflow(this, connection)
    }
  }
}
