/**
 * Rates of one client and of all clients of the namespace on this gateway, in token buckets. Several gateways do not
 * share a bucket: the namespace's rate is each gateway's own.
 */
import { LRUCache } from 'lru-cache'
import { TokenBucket, unlimited } from '../log/token-bucket.ts'
import { bytesPerSecondLeast } from '../model/namespace-limits.ts'
import type { Settings, Values } from '../settings/setting.ts'

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

const throttled = (type: ThrottleType) => `loggerhead_mqtt_throttling_enforcements_total{throttle_type="${type}"}`

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
  /** As the namespace narrows it: another object when it is another. */
  readonly config: Rates
  readonly metrics: { throttled(type: ThrottleType): void }
  now(): number
}

/** What has a rate for each client, and one for all. */
const kinds = {
  publishesIn: {
    own: ['SESSION_PUBLISHES_IN_PER_SECOND_MAX', 'IncomingPublishPacketsPerConnection'],
    all: ['PUBLISHES_IN_PER_SECOND_MAX', 'IncomingPublishPacketsPerNamespace'],
  },
  bytesIn: {
    own: ['SESSION_BYTES_IN_PER_SECOND_MAX', 'InboundBandwidthPerConnection'],
    all: ['BYTES_IN_PER_SECOND_MAX', 'InboundBandwidthPerNamespace'],
  },
  publishesOut: {
    own: ['SESSION_PUBLISHES_OUT_PER_SECOND_MAX', 'OutboundPublishPacketsPerConnection'],
    all: ['PUBLISHES_OUT_PER_SECOND_MAX', 'OutboundPublishPacketsPerNamespace'],
  },
  bytesOut: {
    own: ['SESSION_BYTES_OUT_PER_SECOND_MAX', 'OutboundBandwidthPerConnection'],
    all: ['BYTES_OUT_PER_SECOND_MAX', 'OutboundBandwidthPerNamespace'],
  },
  subscribes: {
    own: ['SESSION_SUBSCRIBES_PER_SECOND_MAX', 'SubscribeOperationsPerConnection'],
    all: ['SUBSCRIBES_PER_SECOND_MAX', 'SubscribeOperationsPerNamespace'],
  },
} as const satisfies Readonly<Record<string, Readonly<Record<'own' | 'all', readonly [keyof Rates, ThrottleType]>>>>
type Kind = keyof typeof kinds

/** What is in force of a kind. */
interface Limit {
  readonly own: number
  readonly all: number
  readonly isNone: boolean
}

function limitsOf(config: Rates): Readonly<Record<Kind, Limit>> {
  const limit = ({ own, all }: (typeof kinds)[Kind]): Limit => {
    const [ownRate, rateOfAll] = [config[own[0]], config[all[0]]]
    return { own: ownRate, all: rateOfAll, isNone: ownRate >= unlimited && rateOfAll >= unlimited }
  }
  return {
    publishesIn: limit(kinds.publishesIn),
    bytesIn: limit(kinds.bytesIn),
    publishesOut: limit(kinds.publishesOut),
    bytesOut: limit(kinds.bytesOut),
    subscribes: limit(kinds.subscribes),
  }
}

/** Made when they are needed first: most connections have no rate. */
type Buckets = { [K in Kind]?: TokenBucket }

/** Client ids whose last connects are remembered. */
const clientIdsMax = 65_536

/** All clients of the namespace on this gateway. */
export class NamespaceRates {
  readonly host: RatesHost
  readonly buckets: Buckets = {}
  /** As `#config` has them: settings are too many to look into for every message. */
  #limits: Readonly<Record<Kind, Limit>>
  #config: Rates
  readonly #connects = new TokenBucket()
  /** Forgotten is as if it had not connected for a second: the one used longest ago goes first. */
  #byClientId: LRUCache<string, TokenBucket> | null = null

  constructor(host: RatesHost) {
    this.host = host
    this.#config = host.config
    this.#limits = limitsOf(host.config)
  }

  /** What is in force of the kind now. */
  limit(kind: Kind): Limit {
    const { config } = this.host
    if (config !== this.#config) {
      this.#config = config
      this.#limits = limitsOf(config)
    }
    return this.#limits[kind]
  }

  /** True when one more CONNECT fits into this second. */
  mayConnect(): boolean {
    return this.#connects.tryTake(this.host.config.CONNECTS_PER_SECOND_MAX, this.host.now()) || this.#refused('ConnectPacketsPerNamespace')
  }

  /** The same for one client id. Asked about clients that are who they say, or one could use up another's. */
  mayConnectAs(clientId: string): boolean {
    const rate = this.host.config.SESSION_CONNECTS_PER_SECOND_MAX
    if (rate >= unlimited) return true
    this.#byClientId ??= new LRUCache({ max: clientIdsMax })
    const bucket = this.#byClientId.get(clientId) ?? new TokenBucket()
    this.#byClientId.set(clientId, bucket)
    return bucket.tryTake(rate, this.host.now()) || this.#refused('ConnectPacketsPerSession')
  }

  #refused(type: ThrottleType): false {
    this.host.metrics.throttled(type)
    return false
  }
}

/** One connection, within its namespace. What it answers is in ms: for how long the client is not read, or not sent anything. */
export class ClientRates {
  readonly #namespace: NamespaceRates
  #buckets: Buckets | null = null

  constructor(namespace: NamespaceRates) {
    this.#namespace = namespace
  }

  published(): number {
    return this.#take('publishesIn', 1)
  }

  received(bytes: number): number {
    return this.#take('bytesIn', bytes)
  }

  subscribed(): number {
    return this.#take('subscribes', 1)
  }

  /** A message goes out. */
  sent(bytes: number): void {
    this.#take('publishesOut', 1, false)
    this.#take('bytesOut', bytes, false)
  }

  /** How long until a message may go out; counts when it may not. */
  sendWaitMs(): number {
    return Math.max(this.#take('publishesOut', 0), this.#take('bytesOut', 0))
  }

  /** How long until the client may publish again, or subscribe; counts when it may not. */
  publishWaitMs(): number {
    return Math.max(this.#take('publishesIn', 0), this.#take('bytesIn', 0))
  }

  subscribeWaitMs(): number {
    return this.#take('subscribes', 0)
  }

  #take(kind: Kind, amount: number, isCounted = true): number {
    const limit = this.#namespace.limit(kind)
    if (limit.isNone) return 0
    const { host, buckets } = this.#namespace
    const now = host.now()
    this.#buckets ??= {}
    const ownMs = charge(this.#buckets, kind, amount, limit.own, now)
    const allMs = charge(buckets, kind, amount, limit.all, now)
    if (isCounted && ownMs > 0) host.metrics.throttled(kinds[kind].own[1])
    if (isCounted && allMs > 0) host.metrics.throttled(kinds[kind].all[1])
    return Math.max(ownMs, allMs)
  }
}

function charge(buckets: Buckets, kind: Kind, amount: number, rate: number, nowMs: number): number {
  if (rate >= unlimited) return 0
  buckets[kind] ??= new TokenBucket()
  return buckets[kind].take(amount, rate, nowMs)
}
