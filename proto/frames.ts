/**
 * What routers and gateways say to each other inside a Batch (proto/delivery.proto).
 *
 * A router speaks for the shards it owns; every frame that has an effect carries (shard, term) and a gateway drops
 * what comes with a lower term than it has seen for that shard. A gateway names a connection by its number within
 * its incarnation (`connection` of the Attached record), never reused, so that a late frame finds nobody.
 */

/** How a message goes to one connection. */
export interface Receiver {
  readonly connection: number
  /** As granted: the lower of subscription and message. */
  readonly qos: 0 | 1 | 2
  readonly dup: boolean
  readonly retain: boolean
  /** The session's queue number, from which the packet id derives; -1 for what is not in the journal. */
  readonly number: number
  readonly subscriptionIdentifiers: readonly number[]
}

/** One message: its log record's value (Avro, single-object encoding, schema Message) and who gets it. */
export interface DeliveredMessage {
  /** Shard whose `messages` partition holds it. */
  readonly source: number
  readonly offset: number
  readonly value: Buffer
  readonly receivers: readonly Receiver[]
}

/** State of a live connection, told to a new owner of the client's shard; a session that ends with its connection has sent -1. */
export interface LiveSession {
  readonly connection: number
  readonly session: number
  /** One above the highest number received for this connection; -1 when none. */
  readonly sent: number
  /** Numbers below `sent` that the client has not acknowledged. Everything else this connection was sent is done. */
  readonly unacknowledged: readonly number[]
  /** Those of them that are QoS 2 and that the client has received (PUBREC). */
  readonly received: readonly number[]
}

/** A number whose PUBLISH the client has, as the journal says: PUBREL goes out. */
export interface Release {
  readonly connection: number
  readonly number: number
}

/** What a connection is told of its session. */
export interface AttachAnswer {
  /** 0 accepts; else the CONNACK reason code. */
  readonly reasonCode: number
  readonly session: number
  readonly epoch: number
  readonly sessionPresent: boolean
  /** How often each packet id of the client's QoS 2 publishes was released (model/packet-uses.ts); empty for none. */
  readonly uses: Buffer
  /** What the session is subscribed to; only how many filters when they are more than an answer carries. */
  readonly filters: readonly string[] | number
}

export type RouterFrame =
  /** First frame of a link. The gateway ends the link when it is not that incarnation. */
  | { readonly kind: 'hello'; readonly router: string; readonly incarnation: number }
  /** The router owns the shard under this term. The gateway answers with `shardState`. */
  | { readonly kind: 'own'; readonly shard: number; readonly term: number }
  /** The router no longer speaks for the shard. */
  | { readonly kind: 'disown'; readonly shard: number; readonly term: number }
  /** Answer to an Attached record; the gateway sends CONNACK. */
  | ({
      readonly kind: 'attachAnswer'
      readonly shard: number
      readonly term: number
      readonly connection: number
      readonly connectionId: Buffer
    } & AttachAnswer)
  /** End a connection: DISCONNECT with the reason code in MQTT 5, a plain close in 3.1.1. `reason` is Event Grid's disconnectionReason. */
  | { readonly kind: 'close'; readonly shard: number; readonly term: number; readonly connection: number; readonly reasonCode: number; readonly reason: string }
  /**
   * Messages of the source shard `shard` for connections whose debt is not in the journal (QoS 0, sessions that end
   * with their connection). `from`/`to` is the stretch; the gateway skips offsets below the highest `to` it has
   * received for this shard and answers `received` once all are in its windows.
   */
  | {
      readonly kind: 'direct'
      readonly shard: number
      readonly term: number
      readonly from: number
      readonly to: number
      readonly messages: readonly DeliveredMessage[]
    }
  /**
   * A page of what the source shard `shard` holds retained, for the connection that has subscribed. The gateway hands it on as
   * the client takes it and then answers `retainedTaken`. Pages are numbered within the term, from 1, and sent again on a new link until
   * they are answered: on the same term a page counts once, so QoS 0 arrives at most once. A new owner begins the request `request`
   * (position of its Subscribed record) anew unless the gateway has had its `last` page.
   */
  | {
      readonly kind: 'retained'
      readonly shard: number
      readonly term: number
      readonly sequence: number
      readonly connection: number
      readonly request: number
      readonly last: boolean
      readonly messages: readonly DeliveredMessage[]
    }
  /** Messages owed to persistent sessions of the client shard `shard`, in queue order per session, within each client's Receive Maximum. */
  | { readonly kind: 'owed'; readonly shard: number; readonly term: number; readonly messages: readonly DeliveredMessage[] }
  /** The client's PUBREC of these owed numbers is in the journal: PUBREL goes out [MQTT-4.3.3-4]. In order with `owed`. */
  | { readonly kind: 'release'; readonly shard: number; readonly term: number; readonly releases: readonly Release[] }
  /**
   * Sent every second and behind what the router had to say to a `shardState`; the gateway answers `pong`. `reconciled`: the shards
   * whose `shardState` has been dealt with on this link. Routers of before it was there do not tell, and gateways of then do not read so far.
   */
  | { readonly kind: 'ping'; readonly nonce: number; readonly reconciled?: readonly number[] }

/** What became of an owed message. `received`: the client has it (PUBREC) and waits for PUBREL; everything else ends it. */
export const AckOutcome = { acknowledged: 0, expired: 1, tooLarge: 2, unauthorized: 3, received: 4 } as const
export type AckOutcome = (typeof AckOutcome)[keyof typeof AckOutcome]

export interface Ack {
  readonly connection: number
  readonly number: number
  readonly outcome: AckOutcome
}

export type GatewayFrame =
  | { readonly kind: 'welcome'; readonly gateway: string; readonly incarnation: number }
  /** Answer to `own`: how far the direct stretches of this shard came (-1: none yet), and the live connections of the client shard. */
  | { readonly kind: 'shardState'; readonly shard: number; readonly term: number; readonly receivedTo: number; readonly sessions: readonly LiveSession[] }
  /** All direct messages of the shard below `to` are in the gateway's bounded windows. */
  | { readonly kind: 'received'; readonly shard: number; readonly term: number; readonly to: number }
  /** The page is with the client's connection, or the connection is over. */
  | { readonly kind: 'retainedTaken'; readonly shard: number; readonly term: number; readonly sequence: number }
  /** Owed messages that are done or received, batched per tick. */
  | { readonly kind: 'acks'; readonly shard: number; readonly acks: readonly Ack[] }
  | { readonly kind: 'pong'; readonly nonce: number }

export type Frame = RouterFrame | GatewayFrame
