/** The gateways there are, from the `gateways` topic, and which of their incarnations are over. */
import type { Follower, Log } from '../log/log.ts'
import { PauseWatch } from '../log/pause.ts'
import { type DeliveryTls, dialDelivery } from '../proto/delivery.ts'
import { decodeRecord } from '../schemas/codec.ts'
import type { GatewayIncarnation } from '../schemas/gateway-up.ts'
import { Gateway, type GatewayHandlers, type GatewayLimits } from './gateway.ts'

/** Between two ticks: the router itself did not run, ms. */
const pauseMsMax = 3_000

export interface GatewaysOptions {
  readonly log: Log
  readonly topic: string
  readonly router: string
  readonly handlers: GatewayHandlers
  readonly limits: GatewayLimits
  /** A gateway that is silent for this long has lost its connections, ms. */
  readonly lostMs: number
  readonly now: () => number
  readonly tls?: DeliveryTls | undefined
  /** How a gateway is reached; over gRPC when not given. */
  readonly dial?: typeof dialDelivery | undefined
  /** This incarnation's connections are over: a newer one came, it stopped, or it was silent too long; then it is said again each second. */
  onLost(incarnation: GatewayIncarnation, reason: string, isNews: boolean): void
}

export class Gateways {
  readonly #options: GatewaysOptions
  readonly #byIncarnation = new Map<number, Gateway>()
  readonly #current = new Map<string, number>()
  readonly #owned = new Map<number, number>()
  readonly #silent = new Set<number>()
  readonly #pauses: PauseWatch
  #follower: Follower | undefined
  #position = 0
  #ticker: NodeJS.Timeout | undefined

  constructor(options: GatewaysOptions) {
    this.#options = options
    this.#pauses = new PauseWatch(pauseMsMax, options.now())
  }

  /** Reads the topic to its end, so that every gateway that is up is known. */
  async start(): Promise<void> {
    const { log, topic } = this.#options
    this.#position = (await log.startOffsets(topic)).get(0) ?? 0
    await this.catchUp()
    this.#follower = await log.follow({ topic, from: new Map([[0, this.#position]]) })
    this.#ticker = setInterval(() => this.#tick(), 1_000)
  }

  /** Applies all that is in the topic now. */
  async catchUp(): Promise<void> {
    const { log, topic } = this.#options
    for (let stretch = await log.read(topic, 0, this.#position); ; stretch = await log.read(topic, 0, this.#position)) {
      for (const record of stretch.records) this.#apply(record.offset, record.value)
      this.#position = Math.max(this.#position, stretch.nextOffset)
      if (this.#position >= stretch.endOffset) return
    }
  }

  /** Follows until closed. */
  async run(): Promise<void> {
    if (!this.#follower) throw new Error('start() comes first')
    for await (const stretch of this.#follower.stretches()) {
      for (const record of stretch.records) this.#apply(record.offset, record.value)
      this.#position = Math.max(this.#position, stretch.nextOffset)
    }
  }

  /** Undefined when the incarnation is over or not known. */
  get(incarnation: GatewayIncarnation): Gateway | undefined {
    return this.#byIncarnation.get(incarnation.incarnation)
  }

  all(): Iterable<Gateway> {
    return this.#byIncarnation.values()
  }

  /** True when a newer incarnation of the gateway exists, or none is known: its connections are over. */
  isOver(incarnation: GatewayIncarnation): boolean {
    const current = this.#current.get(incarnation.id)
    return current === undefined || current > incarnation.incarnation || this.#silent.has(incarnation.incarnation)
  }

  /** True when a newer incarnation of the gateway is up, or this one has stopped. */
  isSuperseded(incarnation: GatewayIncarnation): boolean {
    return (this.#current.get(incarnation.id) ?? -1) > incarnation.incarnation
  }

  own(shard: number, term: number): void {
    this.#owned.set(shard, term)
    for (const gateway of this.all()) gateway.own(shard, term)
  }

  disown(shard: number): void {
    this.#owned.delete(shard)
    for (const gateway of this.all()) gateway.disown(shard)
  }

  async close(): Promise<void> {
    clearInterval(this.#ticker)
    await this.#follower?.close()
    for (const gateway of this.all()) gateway.close()
    this.#byIncarnation.clear()
  }

  #apply(offset: number, value: Buffer | null): void {
    if (!value || offset < this.#position) return
    const record = decodeRecord(value)
    if (record.name !== 'GatewayUp') return
    const { id, address, stopping } = record.value
    const incarnation = record.value.incarnation ?? offset
    const current = this.#current.get(id)
    if (current !== undefined && (current > incarnation || (current === incarnation && !stopping))) return
    if (current !== undefined) this.#lose({ id, incarnation: current }, stopping ? 'it stopped' : 'a newer incarnation is up')
    this.#current.set(id, stopping ? incarnation + 0.5 : incarnation)
    if (stopping) return
    const { handlers, limits, now, router, tls, dial = dialDelivery } = this.#options
    const gateway = new Gateway({ identity: { id, incarnation, address }, router, handlers, limits, now, dial, tls })
    this.#byIncarnation.set(incarnation, gateway)
    for (const [shard, term] of this.#owned) gateway.own(shard, term)
  }

  #lose(incarnation: GatewayIncarnation, reason: string): void {
    const gateway = this.#byIncarnation.get(incarnation.incarnation)
    this.#byIncarnation.delete(incarnation.incarnation)
    gateway?.close()
    this.#silent.delete(incarnation.incarnation)
    this.#options.onLost(incarnation, reason, true)
  }

  #tick(): void {
    const pausedMs = this.#pauses.look(this.#options.now())
    for (const gateway of this.all()) {
      // What this router has slept through is no silence of the gateway's.
      gateway.forgive(pausedMs)
      const { id, incarnation } = gateway.identity
      if (gateway.silentMs <= this.#options.lostMs) this.#silent.delete(incarnation)
      else {
        // Said again each second: a connection that it appended before it fell silent may be folded only now.
        const isNews = !this.#silent.has(incarnation)
        this.#silent.add(incarnation)
        gateway.forfeit()
        this.#options.onLost({ id, incarnation }, `it was silent for ${gateway.silentMs} ms`, isNews)
      }
      gateway.tick()
    }
  }
}
