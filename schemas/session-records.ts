/** Records of the life of sessions, most of them written by gateways: the topic `sessions`. */
import type { GatewayIncarnation } from './gateway-up.ts'
import type { UserProperty } from './message.ts'

export interface Will {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: number
  readonly retain: boolean
  readonly delaySeconds: number
  readonly messageExpiryInterval: number | null
  readonly payloadFormatIndicator: number | null
  readonly contentType: string | null
  readonly responseTopic: string | null
  readonly correlationData: Buffer | null
  readonly userProperties: readonly UserProperty[]
}

export interface ReplayRequest {
  /** A time in UTC, or positions (history/replay-range.ts). */
  readonly from: string
  /** The same, not included; null goes on with what is published. */
  readonly to: string | null
  /** Only what this MQTT client id has published. */
  readonly client: string | null
  /** Times the pace at which it was published; null as fast as the limits allow. */
  readonly speed: number | null
  /** now, or then: whether what is brought is bounded by what the client could subscribe to when it came. */
  readonly access: string
}

export interface SubscriptionRequest {
  readonly filter: string
  /** As granted. */
  readonly qos: number
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: number
  readonly subscriptionIdentifier: number | null
  /** What was published before is sent too. */
  readonly replay: ReplayRequest | null
}

/** A connection asks for the session of its client id (topic `sessions`, key: client id). Its offset is the connection's epoch. */
export interface Attached {
  readonly clientId: string
  readonly authenticationName: string
  readonly at: number
  readonly gateway: GatewayIncarnation
  /** Number of the connection within the gateway's incarnation, never reused. */
  readonly connection: number
  /** Random. */
  readonly connectionId: Buffer
  readonly cleanStart: boolean
  /** Seconds as granted; 0 ends with the connection, 4294967295 never. */
  readonly sessionExpiryInterval: number
  readonly receiveMaximum: number
  /** 0: no limit. */
  readonly maximumPacketSize: number
  /** Seconds as granted. */
  readonly keepAlive: number
  readonly protocolVersion: number
  readonly remoteAddress: string
  /** tcp, tls, ws or wss. */
  readonly transport: string
  /** Offset of `registry` up to which the decision to let it in had read. */
  readonly registryPosition: number
  readonly will: Will | null
  /** Attributes that came with the credential. */
  readonly attributes: Readonly<Record<string, number | string | readonly string[]>>
  /** Sessions that the authentication name may have, one that this begins included; 0 for any number. */
  readonly sessionsMax: number
  /** Who vouched for the name when no resource of the registry had to: customJwt, oauth2Jwt or webhook; empty: the registry. */
  readonly vouchedBy: string
  /** How the name was shown to be its bearer's: registered, customJwt, oauth2Jwt, webhook, internal, or anonymous when it was not; empty: not told. */
  readonly ownerKind: string
}

/** A client has shown new credentials on its open connection, and they give it other attributes (topic `sessions`). */
export interface Reauthenticated {
  readonly clientId: string
  /** The connection's attach; ignored by the fold when it is no longer the session's. */
  readonly epoch: number
  readonly at: number
  /** Offset of `registry` up to which the decision had read. */
  readonly registryPosition: number
  /** All attributes that came with the new credentials. */
  readonly attributes: Readonly<Record<string, number | string | readonly string[]>>
}

/** Granted filters of one SUBSCRIBE (topic `sessions`). */
export interface Subscribed {
  readonly clientId: string
  /** The connection's attach; ignored by the fold when it is no longer the session's. */
  readonly epoch: number
  readonly at: number
  readonly subscriptions: readonly SubscriptionRequest[]
  readonly registryPosition: number
}

/** Filters of one UNSUBSCRIBE (topic `sessions`). */
export interface Unsubscribed {
  readonly clientId: string
  /** The connection's attach; ignored by the fold when it is no longer the session's. */
  readonly epoch: number
  readonly at: number
  readonly filters: readonly string[]
  /**
   * Takes back what the connection had asked for and was told it did not get: counts for subscriptions that were made under `epoch`,
   * whatever the session's attach is by then.
   */
  readonly withdraws: boolean
}

/** A QoS 2 publish of a client is over, PUBREL came: its packet id may be used again (topic `sessions`). */
export interface Released {
  readonly clientId: string
  /** The connection's attach; ignored by the fold when it is no longer the session's. */
  readonly epoch: number
  readonly at: number
  readonly packetId: number
}

/** A connection is over (topic `sessions`). */
export interface Detached {
  readonly clientId: string
  /** The connection's attach; ignored by the fold when it is no longer the session's. */
  readonly epoch: number
  readonly at: number
  /** Event Grid's disconnectionReason. */
  readonly reason: string
  /** MQTT 5 reason code, sent or received; 0 when none was. */
  readonly reasonCode: number
  /** Seconds, when the client's DISCONNECT changed it. */
  readonly sessionExpiryInterval: number | null
  /** False when the will is discarded (a normal DISCONNECT). */
  readonly keepWill: boolean
  /** gateway, or router when it speaks for a lost gateway. */
  readonly by: string
}

/** The delay of a will is over and no connection has come: it is to be published (topic `sessions`). From here on nothing cancels it. */
export interface WillDue {
  readonly clientId: string
  /** The attach that the will came with. */
  readonly epoch: number
  readonly at: number
  readonly shard: number
  /** Of the router that decided; a lower term than the shard's is ignored. */
  readonly term: number
}

/** A will is in `messages`, or will never be: the fold forgets it (topic `sessions`). */
export interface WillFired {
  readonly clientId: string
  /** The attach that the will came with. */
  readonly epoch: number
  readonly at: number
  /** published or unauthorized. */
  readonly outcome: string
}

/** A session is over and all it held is gone (topic `sessions`). */
export interface SessionEnded {
  readonly clientId: string
  readonly session: number
  /** The attach that was current when this was decided; ignored by the fold when another has come since. */
  readonly epoch: number
  readonly at: number
  /** SessionExpiry, TransientSession, SessionOverflow, AuthorizationError, QuotaExceeded or Deleted. */
  readonly reason: string
  readonly shard: number
  /** Of the router that decided; a lower term than the shard's is ignored. */
  readonly term: number
}

/**
 * The number of shards was changed, and a session came to another one (topic `sessions`, key: client id). It goes on under this record's offset, and so
 * do, under further ones, its wills and replays. What it holds stands in the shard's snapshot.
 */
export interface SessionMoved {
  readonly clientId: string
  readonly fromShard: number
  /** What it was called there: the offset of an Attached, or of a Subscribed for a replay. */
  readonly formerly: number
  /** session, will or replay. */
  readonly what: string
  readonly at: number
}
