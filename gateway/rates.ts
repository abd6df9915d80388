/**
 * Rates of one client and of all clients of the namespace on this gateway, in token buckets. Several gateways do not
 * share a bucket: the namespace's rate is each gateway's own.
 */
import { LRUCache } from 'lru-cache'
import { bytesPerSecondLeast } from '../model/namespace-limits.ts'
import type { Settings, Values } from '../settings/setting.ts'
import { TokenBucket, unlimited } from './token-bucket.ts'

/** Event Grid's names of what is throttled (its metric Mqtt.ThrottlingEnforcements), and one that it has no name for: connects of one session. */
export const throttleTypes = [
  'InboundBandwidthPerNamespace',
  'InboundBandwidthPerConnection',
  'IncomingPublishPacketsPerNamespace',
  'IncomingPublishPacketsPerConnection',
  'OutboundPublishPacketsPerNamespace',
  'OutboundPublishPacketsPerConnection',
  'OutboundBandwidthPerNamespace',
  'OutboundBandwidthPerConnection',
  'SubscribeOperationsPerNamespace',
  'SubscribeOperationsPerConnection',
  'ConnectPacketsPerNamespace',
  'ConnectPacketsPerSession',
] as const
export type ThrottleType = (typeof throttleTypes)[number]

const throttled = (type: ThrottleType) => `loggerhead_throttled_total{type="${type}"}`

const notRead = 'its socket is not read until the average is back at the rate: the client feels backpressure and nothing is lost'
const notReadAny = 'the socket of whoever sends next is not read until the average is back at the rate'
const notSent = 'QoS 0 is dropped, QoS 1 and 2 wait within the limits of the client’s queue'
const none = `${unlimited}: no limit`

const rate = <T extends ThrottleType>(unit: string, min: number, type: T, about: string, outcome: string) =>
  ({ kind: 'number', default: unlimited, min, max: unlimited, unit, about: `${about}; ${none}`, outcome, metric: throttled(type) }) as const

/** A second's worth may come at once. Part of gateway/config.ts. */
export const rateSettings = {
  CONNECTS_PER_SECOND_MAX: {
    kind: 'number',
    default: 1000,
    min: 1,
    max: 1_000_000,
    unit: 'connects/s',
    about: 'CONNECT packets accepted a second, on each gateway',
    outcome: 'CONNACK 0x9F (server unavailable in 3.1.1) and close',
    metric: throttled('ConnectPacketsPerNamespace'),
  },
  SESSION_CONNECTS_PER_SECOND_MAX: rate(
    'connects/s',
    1,
    'ConnectPacketsPerSession',
    'CONNECT packets a second with one client id',
    'CONNACK 0x9F (server unavailable in 3.1.1) and close',
  ),
  PUBLISHES_IN_PER_SECOND_MAX: rate('publishes/s', 1, 'IncomingPublishPacketsPerNamespace', 'Publishes a second from all clients of a gateway', notReadAny),
  SESSION_PUBLISHES_IN_PER_SECOND_MAX: rate('publishes/s', 1, 'IncomingPublishPacketsPerConnection', 'Publishes a second from one client', notRead),
  BYTES_IN_PER_SECOND_MAX: rate('bytes/s', bytesPerSecondLeast, 'InboundBandwidthPerNamespace', 'Bytes a second from all clients of a gateway', notReadAny),
  SESSION_BYTES_IN_PER_SECOND_MAX: rate('bytes/s', bytesPerSecondLeast, 'InboundBandwidthPerConnection', 'Bytes a second from one client', notRead),
  PUBLISHES_OUT_PER_SECOND_MAX: rate('messages/s', 1, 'OutboundPublishPacketsPerNamespace', 'Messages a second to all clients of a gateway', notSent),
  SESSION_PUBLISHES_OUT_PER_SECOND_MAX: rate('messages/s', 1, 'OutboundPublishPacketsPerConnection', 'Messages a second to one client', notSent),
  BYTES_OUT_PER_SECOND_MAX: rate(
    'bytes/s',
    bytesPerSecondLeast,
    'OutboundBandwidthPerNamespace',
    'Bytes of messages a second to all clients of a gateway',
    notSent,
  ),
  SESSION_BYTES_OUT_PER_SECOND_MAX: rate('bytes/s', bytesPerSecondLeast, 'OutboundBandwidthPerConnection', 'Bytes of messages a second to one client', notSent),
  SUBSCRIBES_PER_SECOND_MAX: rate(
    'operations/s',
    1,
    'SubscribeOperationsPerNamespace',
    'SUBSCRIBE and UNSUBSCRIBE packets a second from all clients of a gateway',
    notReadAny,
  ),
  SESSION_SUBSCRIBES_PER_SECOND_MAX: rate(
    'operations/s',
    1,
    'SubscribeOperationsPerConnection',
    'SUBSCRIBE and UNSUBSCRIBE packets a second from one client',
    notRead,
  ),
} as const satisfies Settings

export type Rates = Values<typeof rateSettings>

/** What throttling needs of the gateway. */
export interface RatesHost {
  /** As the namespace narrows it: asked each time. */
  readonly config: Rates
  readonly metrics: { throttled(type: ThrottleType): void }
}

/** Client ids whose last connects are remembered. */
const clientIdsMax = 65_536

/** All clients of the namespace on this gateway. */
export class NamespaceRates {
  readonly host: RatesHost
  readonly publishesIn = new TokenBucket()
  readonly bytesIn = new TokenBucket()
  readonly publishesOut = new TokenBucket()
  readonly bytesOut = new TokenBucket()
  readonly subscribes = new TokenBucket()
  readonly #connects = new TokenBucket()
  /** Forgotten is as if it had not connected for a second: the one used longest ago goes first. */
  #byClientId: LRUCache<string, TokenBucket> | null = null

  constructor(host: RatesHost) {
    this.host = host
  }

  /** True when one more CONNECT fits into this second. */
  mayConnect(nowMs: number): boolean {
    return this.#connects.tryTake(this.host.config.CONNECTS_PER_SECOND_MAX, nowMs) || this.#refused('ConnectPacketsPerNamespace')
  }

  /** The same for one client id. Asked about clients that are who they say, or one could use up another's. */
  mayConnectAs(clientId: string, nowMs: number): boolean {
    const rate = this.host.config.SESSION_CONNECTS_PER_SECOND_MAX
    if (rate >= unlimited) return true
    this.#byClientId ??= new LRUCache({ max: clientIdsMax })
    const bucket = this.#byClientId.get(clientId) ?? new TokenBucket()
    this.#byClientId.set(clientId, bucket)
    return bucket.tryTake(rate, nowMs) || this.#refused('ConnectPacketsPerSession')
  }

  #refused(type: ThrottleType): false {
    this.host.metrics.throttled(type)
    return false
  }
}

/** One connection, within its namespace. What it answers is in ms: for how long the client is neither read nor written to. */
export class ClientRates {
  readonly #namespace: NamespaceRates
  readonly #publishesIn = new TokenBucket()
  readonly #bytesIn = new TokenBucket()
  readonly #publishesOut = new TokenBucket()
  readonly #bytesOut = new TokenBucket()
  readonly #subscribes = new TokenBucket()

  constructor(namespace: NamespaceRates) {
    this.#namespace = namespace
  }

  published(nowMs: number): number {
    const { host, publishesIn } = this.#namespace
    const { SESSION_PUBLISHES_IN_PER_SECOND_MAX, PUBLISHES_IN_PER_SECOND_MAX } = host.config
    return Math.max(
      this.#counted('IncomingPublishPacketsPerConnection', this.#publishesIn.take(1, SESSION_PUBLISHES_IN_PER_SECOND_MAX, nowMs)),
      this.#counted('IncomingPublishPacketsPerNamespace', publishesIn.take(1, PUBLISHES_IN_PER_SECOND_MAX, nowMs)),
    )
  }

  received(bytes: number, nowMs: number): number {
    const { host, bytesIn } = this.#namespace
    const { SESSION_BYTES_IN_PER_SECOND_MAX, BYTES_IN_PER_SECOND_MAX } = host.config
    return Math.max(
      this.#counted('InboundBandwidthPerConnection', this.#bytesIn.take(bytes, SESSION_BYTES_IN_PER_SECOND_MAX, nowMs)),
      this.#counted('InboundBandwidthPerNamespace', bytesIn.take(bytes, BYTES_IN_PER_SECOND_MAX, nowMs)),
    )
  }

  subscribed(nowMs: number): number {
    const { host, subscribes } = this.#namespace
    const { SESSION_SUBSCRIBES_PER_SECOND_MAX, SUBSCRIBES_PER_SECOND_MAX } = host.config
    return Math.max(
      this.#counted('SubscribeOperationsPerConnection', this.#subscribes.take(1, SESSION_SUBSCRIBES_PER_SECOND_MAX, nowMs)),
      this.#counted('SubscribeOperationsPerNamespace', subscribes.take(1, SUBSCRIBES_PER_SECOND_MAX, nowMs)),
    )
  }

  /** A message goes out. */
  sent(bytes: number, nowMs: number): void {
    const { host, publishesOut, bytesOut } = this.#namespace
    const { config } = host
    this.#publishesOut.take(1, config.SESSION_PUBLISHES_OUT_PER_SECOND_MAX, nowMs)
    publishesOut.take(1, config.PUBLISHES_OUT_PER_SECOND_MAX, nowMs)
    this.#bytesOut.take(bytes, config.SESSION_BYTES_OUT_PER_SECOND_MAX, nowMs)
    bytesOut.take(bytes, config.BYTES_OUT_PER_SECOND_MAX, nowMs)
  }

  /** How long until a message may go out; counts when it may not. */
  sendWaitMs(nowMs: number): number {
    const { host, publishesOut, bytesOut } = this.#namespace
    const { config } = host
    return Math.max(
      this.#counted('OutboundPublishPacketsPerConnection', this.#publishesOut.waitMs(config.SESSION_PUBLISHES_OUT_PER_SECOND_MAX, nowMs)),
      this.#counted('OutboundPublishPacketsPerNamespace', publishesOut.waitMs(config.PUBLISHES_OUT_PER_SECOND_MAX, nowMs)),
      this.#counted('OutboundBandwidthPerConnection', this.#bytesOut.waitMs(config.SESSION_BYTES_OUT_PER_SECOND_MAX, nowMs)),
      this.#counted('OutboundBandwidthPerNamespace', bytesOut.waitMs(config.BYTES_OUT_PER_SECOND_MAX, nowMs)),
    )
  }

  #counted(type: ThrottleType, waitMs: number): number {
    if (waitMs > 0) this.#namespace.host.metrics.throttled(type)
    return waitMs
  }
}
