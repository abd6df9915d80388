/**
 * The protocol of one connection as decisions: given what is known and a packet, what is to be done. No socket, no
 * clock, no log; connection.ts carries the decisions out.
 */
import { beginningGone } from '../history/log-beginning.ts'
import { asksForReplay, withoutReplay } from '../history/replay-range.ts'
import type {
  AckPacket,
  ConnackPacket,
  ConnectPacket,
  DisconnectPacket,
  Packet,
  ProtocolVersion,
  PublishPacket,
  QoS,
  SubscribePacket,
  UnsubscribePacket,
  WillPacket,
} from '../mqtt/packet.ts'
import { ReasonCode, reasonName } from '../mqtt/reason-code.ts'
import { hasWildcard, isShared, levelCount, parseShared, topicFilterProblem, topicNameProblem } from '../mqtt/topic.ts'
import { writePacket } from '../mqtt/writer.ts'
import type { ReplayRequest, SubscriptionRequest, Will } from '../schemas/session-records.ts'
import { type ProtocolIndex, protocolIndex } from '../telemetry/dimensions.ts'
import type { LimitName, Limits } from './config.ts'
import { DisconnectionReason, type Ending, ended } from './disconnection.ts'
import { messageExcess } from './message-limits.ts'
import { RefusalReason } from './refusal-reason.ts'
import { type ReplayProperties, readReplayProperties, replayOf, replayProblem } from './replay-request.ts'

/** Session expiry interval that never ends (section 3.1.2.11.2). */
const neverExpires = 0xffff_ffff

/** What CONNACK announces. It stands for the whole connection, whatever the namespace is changed to: the client keeps to it. */
export interface Announced {
  readonly maximumQoS: QoS
  readonly retainAvailable: boolean
  readonly subscriptionIdentifiersAvailable: boolean
  /** QoS 1 and 2 publishes the client may have without acknowledgement. */
  readonly receiveMaximum: number
  /** Bytes. */
  readonly maximumPacketSize: number
  /** Topic aliases the client may set. */
  readonly topicAliasMaximum: number
}

/** What was agreed with a client at CONNECT. */
export interface Client {
  readonly clientId: string
  readonly protocolVersion: ProtocolVersion
  /** As Event Grid counts by it. */
  readonly protocol: ProtocolIndex
  readonly cleanStart: boolean
  /** An MQTT 3.1.1 client that says it is a bridge: what it subscribes to has No Local and Retain As Published, which 3.1.1 cannot ask for. */
  readonly isBridge: boolean
  /** Seconds as granted; 0 ends with the connection. */
  readonly sessionExpiryInterval: number
  /** Seconds as granted; 0 for none. */
  readonly keepAlive: number
  /** QoS 1 and 2 messages the client may be sent without its acknowledgement. */
  readonly receiveMaximum: number
  /** Bytes; 0 for no limit. */
  readonly maximumPacketSize: number
  /** Topic aliases that may be set for the client. */
  readonly topicAliasMaximum: number
  readonly wantsProblemInformation: boolean
  readonly wantsResponseInformation: boolean
  /** It is told where messages come from, as far as it may have them replayed. */
  readonly wantsProvenance: boolean
  readonly will: Will | null
  readonly announced: Announced
  /** Of the CONNECT: what every AUTH and the CONNACK carry [MQTT-4.12.0-5]. */
  readonly authenticationMethod: string | undefined
  /** What CONNACK has to tell because it differs from what was asked. */
  readonly told: {
    readonly assignedClientIdentifier?: string
    readonly serverKeepAlive?: number
    readonly sessionExpiryInterval?: number
  }
}

/** CONNECT is refused: the CONNACK reason code, and the limit that was reached if it was one. */
export interface Refused {
  readonly do: 'refuse'
  readonly reason: RefusalReason
  readonly reasonCode: number
  readonly detail: string
  readonly limit?: LimitName
}

export interface End {
  readonly do: 'end'
  readonly ending: Ending
  readonly limit?: LimitName
}

const refuse = (reason: RefusalReason, reasonCode: number, detail: string, limit?: LimitName): Refused => ({
  do: 'refuse',
  reason,
  reasonCode,
  detail,
  ...(limit && { limit }),
})
const end = (reasonCode: number, detail: string, limit?: LimitName): End => ({ do: 'end', ending: ended(reasonCode, detail), ...(limit && { limit }) })

/** What the gateway itself can say at the moment, before it looks at a CONNECT. */
export interface Readiness {
  readonly rateAllows: boolean
  readonly kafkaUnreachableMs: number
  /** More waits for Kafka than KAFKA_BYTES_WAITING_MAX. */
  readonly logIsFull: boolean
  readonly registryUnconfirmedMs: number
  readonly stopping: boolean
}

/** May any CONNECT come in now? Null when it may. */
export function refuseEverybody(readiness: Readiness, limits: Limits): Refused | null {
  if (readiness.stopping)
    return refuse(
      RefusalReason.shuttingDown,
      limits.SERVER_REFERENCE ? ReasonCode.UseAnotherServer : ReasonCode.ServerUnavailable,
      'the gateway is shutting down',
    )
  if (!readiness.rateAllows) return refuse(RefusalReason.connectRate, ReasonCode.ConnectionRateExceeded, 'too many connects a second')
  if (readiness.kafkaUnreachableMs >= limits.KAFKA_AWAY_REFUSE)
    return refuse(RefusalReason.logAway, ReasonCode.ServerUnavailable, 'the log is away', 'KAFKA_AWAY_REFUSE')
  if (readiness.logIsFull) return refuse(RefusalReason.logFull, ReasonCode.ServerBusy, 'too much waits for the log', 'KAFKA_BYTES_WAITING_MAX')
  if (readiness.registryUnconfirmedMs >= limits.REGISTRY_STALE)
    return refuse(RefusalReason.registryStale, ReasonCode.ServerUnavailable, 'the registry is not current', 'REGISTRY_STALE')
  return null
}

/** Is this CONNECT one that can be served at all, whoever sends it? `fresh` is the id for a client without one. */
export function receiveConnect(
  packet: ConnectPacket,
  limits: Limits,
  fresh: string,
  isWebSocket = false,
): Refused | { readonly do: 'authenticate'; readonly client: Client } {
  const { properties, protocolVersion } = packet
  const { authenticationMethod } = properties
  const authenticationProblem = authenticationDataProblem(properties.authenticationData, limits)
  if (authenticationProblem)
    return refuse(RefusalReason.authenticationDataTooLarge, ReasonCode.QuotaExceeded, authenticationProblem, 'AUTHENTICATION_DATA_BYTES_MAX')
  const idProblem = clientIdProblem(packet, limits)
  if (idProblem) return idProblem
  if (limits.rules.userPropertiesOnPublishOnly && properties.userProperties)
    return refuse(RefusalReason.userPropertiesMisplaced, ReasonCode.ImplementationSpecificError, misplacedUserProperties)
  const willProblem = packet.will && refuseWill(packet.will, protocolVersion, limits)
  if (willProblem) return willProblem
  const assigned = packet.clientId === ''
  const asked = askedExpiry(packet)
  const sessionExpiryInterval = asked === null ? limits.SESSION_EXPIRY_MAX : Math.min(asked, limits.SESSION_EXPIRY_MAX)
  const keepAlive = grantKeepAlive(packet.keepAlive, limits.KEEP_ALIVE_MAX)
  return {
    do: 'authenticate',
    client: {
      clientId: assigned ? fresh : packet.clientId,
      protocolVersion,
      protocol: protocolIndex(protocolVersion, isWebSocket),
      cleanStart: packet.cleanStart,
      isBridge: packet.bridge && protocolVersion === 4,
      sessionExpiryInterval,
      keepAlive,
      receiveMaximum: Math.min(properties.receiveMaximum ?? 65_535, limits.INFLIGHT_MAX),
      maximumPacketSize: properties.maximumPacketSize ?? 0,
      topicAliasMaximum: Math.min(properties.topicAliasMaximum ?? 0, limits.TOPIC_ALIAS_OUTBOUND_MAX), // [MQTT-3.1.2-26], [MQTT-3.1.2-27]
      wantsProblemInformation: properties.requestProblemInformation ?? true,
      wantsResponseInformation: properties.requestResponseInformation ?? false,
      wantsProvenance: properties.userProperties?.some(([name, value]) => name === 'provenance' && value === 'true') ?? false,
      will: packet.will ? willOf(packet.will, limits) : null,
      announced: {
        maximumQoS: limits.MAXIMUM_QOS as QoS,
        retainAvailable: limits.RETAINED_MESSAGES_MAX > 0,
        subscriptionIdentifiersAvailable: !limits.rules.subscriptionIdentifiersRefused,
        receiveMaximum: limits.RECEIVE_MAXIMUM,
        maximumPacketSize: limits.MAXIMUM_PACKET_SIZE,
        topicAliasMaximum: limits.TOPIC_ALIAS_MAXIMUM,
      },
      authenticationMethod,
      told: {
        ...(assigned && { assignedClientIdentifier: fresh }), // [MQTT-3.2.2-16]
        ...(keepAlive !== packet.keepAlive && { serverKeepAlive: keepAlive }), // [MQTT-3.2.2-21]
        ...(asked !== null && sessionExpiryInterval !== asked && { sessionExpiryInterval }),
      },
    },
  }
}

/** A client that takes no packet as large as its CONNACK could be told nothing: neither that it is in, nor anything after that. */
export function refuseSmallPackets(client: Client, limits: Limits): Refused | null {
  if (client.maximumPacketSize === 0) return null
  const { length } = writePacket(acceptance(client, false, limits), client.protocolVersion)
  if (length <= client.maximumPacketSize) return null
  return refuse(
    RefusalReason.packetSizeTooSmall,
    ReasonCode.PacketTooLarge,
    `the CONNACK has ${length} bytes, the client's Maximum Packet Size is ${client.maximumPacketSize}`,
  )
}

/** What is wrong with the authentication data of a CONNECT or an AUTH; null when nothing is. */
export function authenticationDataProblem(data: Buffer | undefined, limits: Limits): string | null {
  const most = limits.AUTHENTICATION_DATA_BYTES_MAX
  return data && data.length > most ? `authentication data of ${data.length} bytes; the maximum is ${most}` : null
}

const misplacedUserProperties = 'this namespace takes user properties on PUBLISH only'

/** User properties where the namespace takes none: whether the connection ends for them. SUBSCRIBE is answered, and UNSUBSCRIBE may have them. */
export function refuseUserProperties(packet: Packet, limits: Limits): End | null {
  if (!limits.rules.userPropertiesOnPublishOnly) return null
  switch (packet.type) {
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
    case 'disconnect':
    case 'auth':
      return packet.properties?.userProperties ? end(ReasonCode.ImplementationSpecificError, misplacedUserProperties) : null
    default:
      return null
  }
}

/** An acknowledgement with an error: whether the connection ends for it, once the delivery is over. */
export function refuseAcknowledgement({ reasonCode }: AckPacket, limits: Limits): End | null {
  if (reasonCode < 0x80 || !limits.rules.errorAcknowledgementDisconnects) return null
  return end(ReasonCode.ImplementationSpecificError, `the client refused a message with ${reasonName(reasonCode)}`)
}

/** Seconds; null for a persistent MQTT 3.1.1 session, which names none. */
function askedExpiry(packet: ConnectPacket): number | null {
  if (packet.protocolVersion === 5) return packet.properties.sessionExpiryInterval ?? 0
  return packet.cleanStart ? 0 : null
}

function grantKeepAlive(asked: number, most: number): number {
  if (most === 65_535) return asked
  return asked === 0 || asked > most ? most : asked
}

function clientIdProblem(packet: ConnectPacket, limits: Limits): Refused | null {
  const { clientId } = packet
  if (clientId === '') {
    // [MQTT-3.1.3-8] of 3.1.1: without an id only a clean session makes sense.
    return packet.protocolVersion === 4 && !packet.cleanStart
      ? refuse(RefusalReason.clientIdMissing, ReasonCode.ClientIdentifierNotValid, 'an empty client id needs clean session 1')
      : null
  }
  if (characters(clientId, limits.CLIENT_ID_LENGTH_MAX) > limits.CLIENT_ID_LENGTH_MAX) {
    return refuse(
      RefusalReason.clientIdTooLong,
      ReasonCode.ClientIdentifierNotValid,
      `the client id is longer than ${limits.CLIENT_ID_LENGTH_MAX} characters`,
      'CLIENT_ID_LENGTH_MAX',
    )
  }
  return null
}

/** Characters of a text, counted only when it has more than `most` UTF-16 units. */
const characters = (text: string, most: number): number => (text.length <= most ? text.length : [...text].length)

function refuseWill(will: WillPacket, protocolVersion: 4 | 5, limits: Limits): Refused | null {
  const problem = topicNameProblem(will.topic)
  if (problem) return refuse(RefusalReason.willTopicInvalid, ReasonCode.TopicNameInvalid, `the will's topic ${problem}`)
  const limit = topicLimit(will.topic, limits)
  if (limit) return refuse(RefusalReason.willTopicAboveLimit, ReasonCode.TopicNameInvalid, `the will's topic is above ${limit}`, limit)
  if (will.qos > limits.MAXIMUM_QOS)
    return refuse(RefusalReason.willQosAboveLimit, ReasonCode.QoSNotSupported, `a will at QoS ${will.qos}; the maximum is ${limits.MAXIMUM_QOS}`, 'MAXIMUM_QOS') // [MQTT-3.2.2-12]
  if (will.retain && protocolVersion === 5 && limits.RETAINED_MESSAGES_MAX === 0)
    return refuse(RefusalReason.willRetainUnsupported, ReasonCode.RetainNotSupported, 'a will with RETAIN 1; nothing is retained', 'RETAINED_MESSAGES_MAX') // [MQTT-3.2.2-13]
  const delay = will.properties.willDelayInterval ?? 0
  if (delay > limits.WILL_DELAY_MAX) {
    return refuse(
      RefusalReason.willDelayAboveLimit,
      ReasonCode.QuotaExceeded,
      `a will delay of ${delay} s; the maximum is ${limits.WILL_DELAY_MAX} s`,
      'WILL_DELAY_MAX',
    )
  }
  const excess = messageExcess(will.properties, limits)
  return excess && refuse(RefusalReason.willAboveLimit, ReasonCode.QuotaExceeded, `a will with ${excess.detail}`, excess.limit)
}

/** What of a Message Expiry Interval goes into the log, seconds; null for never. */
function messageExpiry(asked: number | undefined, limits: Limits): number | null {
  return asked === undefined || (asked === 0 && limits.rules.messageExpiryZeroIsNever) ? null : asked
}

/** The packet as it goes into the log: without a Message Expiry Interval where that says never. */
export function withoutExpiryOfZero(packet: PublishPacket, limits: Limits): PublishPacket {
  if (packet.properties?.messageExpiryInterval !== 0 || !limits.rules.messageExpiryZeroIsNever) return packet
  const { messageExpiryInterval: _, ...properties } = packet.properties
  return { ...packet, properties }
}

function willOf(will: WillPacket, limits: Limits): Will {
  const { properties } = will
  return {
    topic: will.topic,
    payload: Buffer.from(will.payload),
    qos: will.qos,
    retain: will.retain,
    delaySeconds: properties.willDelayInterval ?? 0,
    messageExpiryInterval: messageExpiry(properties.messageExpiryInterval, limits),
    payloadFormatIndicator: properties.payloadFormatIndicator ?? null,
    contentType: properties.contentType ?? null,
    responseTopic: properties.responseTopic ?? null,
    correlationData: properties.correlationData ? Buffer.from(properties.correlationData) : null,
    userProperties: (properties.userProperties ?? []).map(([name, value]) => ({ name, value })),
  }
}

/** The limit that a topic name or filter is above, if any. */
export function topicLimit(topic: string, limits: Limits): 'TOPIC_LENGTH_MAX' | 'TOPIC_LEVELS_MAX' | null {
  if (topic.length > limits.TOPIC_LENGTH_MAX || (topic.length * 3 > limits.TOPIC_LENGTH_MAX && Buffer.byteLength(topic) > limits.TOPIC_LENGTH_MAX))
    return 'TOPIC_LENGTH_MAX'
  return topic.length >= limits.TOPIC_LEVELS_MAX && levelCount(topic) > limits.TOPIC_LEVELS_MAX ? 'TOPIC_LEVELS_MAX' : null
}

/** The same for a filter; of a shared subscription, share name and filter each for itself; of a replay, the filter behind it. */
function filterLimit(filter: string, limits: Limits): ReturnType<typeof topicLimit> {
  if (asksForReplay(filter)) return topicLimit(withoutReplay(filter), limits)
  const shared = parseShared(filter)
  return shared ? (topicLimit(shared.filter, limits) ?? topicLimit(shared.group, limits)) : topicLimit(filter, limits)
}

/** Only for a client that asks [MQTT-3.1.2-28], and only as far as its id can stand in a topic. */
function responseInformation({ clientId, wantsResponseInformation }: Client, limits: Limits): { readonly responseInformation?: string } {
  if (!wantsResponseInformation || limits.RESPONSE_INFORMATION === '' || limits.rules.responseInformationWithheld) return {}
  const isNamed = limits.RESPONSE_INFORMATION.includes('{clientId}')
  return isNamed && hasWildcard(clientId) ? {} : { responseInformation: limits.RESPONSE_INFORMATION.replaceAll('{clientId}', clientId) }
}

/**
 * CONNACK for a client that is let in: everything that was granted, and what is not there. What is there is said by saying nothing
 * (sections 3.2.2.3.4, .5 and .11 to .13), so that a client with a small Maximum Packet Size can be told that it is in.
 */
export function acceptance(client: Client, sessionPresent: boolean, limits: Limits): ConnackPacket {
  const { maximumQoS, retainAvailable, subscriptionIdentifiersAvailable, ...announced } = client.announced
  return {
    type: 'connack',
    sessionPresent,
    reasonCode: ReasonCode.Success,
    properties: {
      ...client.told,
      ...(client.authenticationMethod !== undefined && { authenticationMethod: client.authenticationMethod }), // [MQTT-4.12.0-5], [MQTT-4.12.0-6]
      ...responseInformation(client, limits),
      ...announced,
      ...(maximumQoS !== 2 && { maximumQoS }),
      ...(!retainAvailable && { retainAvailable }),
      ...(!subscriptionIdentifiersAvailable && { subscriptionIdentifiersAvailable }),
    },
  }
}

/** What a refused client is told besides the code. Why credentials are refused is for the log only. */
export function refusalProperties(reasonCode: number, detail: string, limits: Limits): { readonly reasonString?: string; readonly serverReference?: string } {
  if (reasonCode === ReasonCode.UseAnotherServer) return { reasonString: detail, serverReference: limits.SERVER_REFERENCE }
  return reasonCode === ReasonCode.BadUserNameOrPassword || reasonCode === ReasonCode.NotAuthorized || reasonCode === ReasonCode.BadAuthenticationMethod
    ? {}
    : { reasonString: detail }
}

/** The DISCONNECT that ends a connection of MQTT 5. */
export function farewell({ reasonCode, detail }: Ending, client: Client, limits: Limits): DisconnectPacket {
  const properties = client.wantsProblemInformation ? { reasonString: detail } : {} // [MQTT-3.1.2-29]
  if (reasonCode !== ReasonCode.ServerShuttingDown || limits.SERVER_REFERENCE === '') return { type: 'disconnect', reasonCode, properties }
  return { type: 'disconnect', reasonCode: ReasonCode.UseAnotherServer, properties: { ...properties, serverReference: limits.SERVER_REFERENCE } }
}

/** Filters that a reason string speaks of, at most. */
const explainedMax = 3

/**
 * What is wrong with refused filters, for a client that wants to know [MQTT-3.1.2-29]. `now`: when they were refused; `asked`: what the SUBSCRIBE asked for
 * in user properties; `historySince`: from when on it is there, where retention has removed the beginning.
 */
export function explanation(
  filters: readonly string[],
  reasonCodes: readonly number[],
  { protocolVersion, wantsProblemInformation }: Client,
  now: number,
  asked: ReplayProperties = null,
  historySince?: number,
): { readonly properties?: { readonly reasonString: string } } {
  if (protocolVersion === 4 || !wantsProblemInformation || (historySince === undefined && reasonCodes.every((code) => code < 0x80))) return {}
  const problems: string[] = []
  for (const [index, code] of reasonCodes.entries()) {
    if (code < 0x80 || problems.length === explainedMax) continue
    const filter = filters[index] as string
    problems.push(`filter ${index + 1} ${topicFilterProblem(filter) ?? replayProblem(filter, asked, now) ?? `is refused: ${reasonName(code)}`}`)
  }
  if (historySince !== undefined) problems.push(beginningGone(historySince))
  return { properties: { reasonString: problems.join('; ') } }
}

/** The answer to a SUBSCRIBE or UNSUBSCRIBE that the log refused: what would have been done was not. */
export function notInLog(reasonCodes: readonly number[]): readonly number[] {
  return reasonCodes.map((code) => (code < 0x80 && code !== ReasonCode.NoSubscriptionExisted ? ReasonCode.ImplementationSpecificError : code))
}

/** What CONNACK may say (table 3-1); DISCONNECT has reason codes that it lacks. */
const connackCodes: ReadonlySet<number> = new Set([
  0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
])

/** The CONNACK reason code for what would be a DISCONNECT's. */
export function connackCode(reasonCode: number, limits: Limits): number {
  if (reasonCode === ReasonCode.ServerShuttingDown && limits.SERVER_REFERENCE !== '') return ReasonCode.UseAnotherServer
  return connackCodes.has(reasonCode) ? reasonCode : ReasonCode.ServerUnavailable
}

/** What an open connection has to remember about what its client sends. */
export interface Inbound {
  readonly protocolVersion: ProtocolVersion
  readonly announced: Announced
  /** Topic of each alias the client has set. */
  readonly aliases: ReadonlyMap<number, string>
  /** QoS 1 publishes without PUBACK, QoS 2 publishes without PUBCOMP. */
  unacknowledged: number
  /** Packet ids of QoS 2 publishes that PUBREL has not come for: another PUBLISH with one is a repeat. */
  readonly received: ReadonlyMap<number, unknown>
}

/** Whether the client may publish on the topic: `undecided` when the registry is not current and nobody has decided before. */
export type Permission = 'allowed' | 'denied' | 'undecided'

/** Where a packet's topic stands, its alias resolved. */
export function resolveTopic(inbound: Inbound, packet: PublishPacket): string | End {
  const alias = packet.properties?.topicAlias
  const { topicAliasMaximum } = inbound.announced
  if (alias === undefined) {
    return packet.topic === '' ? end(ReasonCode.TopicNameInvalid, 'a publish without topic') : packet.topic
  }
  if (alias === 0 || alias > topicAliasMaximum) {
    return end(ReasonCode.TopicAliasInvalid, `topic alias ${alias} is not 1 to ${topicAliasMaximum}`, 'TOPIC_ALIAS_MAXIMUM') // [MQTT-3.3.2-9]
  }
  if (packet.topic === '') return inbound.aliases.get(alias) ?? end(ReasonCode.ProtocolError, `topic alias ${alias} was never set`) // [MQTT-3.3.2-8]
  return packet.topic
}

/** Whether a PUBLISH breaks a rule that ends the connection; null when it may go on. */
export function refusePublish(inbound: Inbound, packet: PublishPacket): End | null {
  const { receiveMaximum, maximumQoS, retainAvailable } = inbound.announced
  if (packet.qos > maximumQoS) {
    return end(ReasonCode.QoSNotSupported, `a publish at QoS ${packet.qos}; the maximum is ${maximumQoS}`, 'MAXIMUM_QOS') // [MQTT-3.2.2-11]
  }
  if (packet.retain && !retainAvailable && inbound.protocolVersion === 5) {
    return end(ReasonCode.RetainNotSupported, 'a publish with RETAIN 1; nothing is retained', 'RETAINED_MESSAGES_MAX') // section 3.2.2.3.5
  }
  if (packet.qos === 2 && inbound.received.has(packet.packetId)) return null
  if (packet.qos > 0 && inbound.protocolVersion === 5 && inbound.unacknowledged >= receiveMaximum) {
    return end(ReasonCode.ReceiveMaximumExceeded, `more than ${receiveMaximum} publishes without acknowledgement`, 'RECEIVE_MAXIMUM') // [MQTT-3.3.4-9]
  }
  return null
}

/** Whether a topic name may be published on at all (asked once per connection and topic). */
export function refuseTopic(topic: string, limits: Limits): End | null {
  const problem = topicNameProblem(topic)
  if (problem) return end(ReasonCode.TopicNameInvalid, `the topic ${problem}`)
  const limit = topicLimit(topic, limits)
  return limit ? end(ReasonCode.TopicNameInvalid, `the topic is above ${limit}`, limit) : null
}

/** The end of a connection that published without permission. */
export const publishDenied = end(ReasonCode.NotAuthorized, 'a publish without permission')

/** What becomes of a PUBLISH without permission; after `last` the connection ends as soon as the refusal is out. */
export function refusedPublish(inbound: Inbound, qos: QoS, limits: Limits): 'drop' | 'nack' | 'last' | 'acknowledge' | End {
  const { publishDeniedDisconnects } = limits.rules
  if (inbound.protocolVersion === 5) {
    if (publishDeniedDisconnects) return qos === 0 ? publishDenied : 'last'
    return qos === 0 ? 'drop' : 'nack'
  }
  if (limits.PUBLISH_DENIED_3_1_1 === 'close' || publishDeniedDisconnects) return publishDenied
  return qos === 0 ? 'drop' : 'acknowledge' // [MQTT-3.3.5-2] of 3.1.1
}

/** What a session is subscribed to, as far as its gateway knows. */
export interface HeldFilters {
  readonly named: ReadonlySet<string>
  /** How many others there may be: the session's owner said only how many, not which. */
  readonly unnamed: number
}

/** The answer to a SUBSCRIBE: a reason code per filter, and what of it goes into the log. */
export interface SubscribeDecision {
  readonly reasonCodes: readonly number[]
  /** The same in the words of MQTT 5: 3.1.1 has one code for all refusals. */
  readonly judgements: readonly number[]
  readonly granted: readonly SubscriptionRequest[]
  readonly limits: readonly LimitName[]
  /** One for each filter that is refused. */
  readonly refusals: readonly RefusalReason[]
  /** What is to be replayed of all its filters, or why it cannot be. */
  readonly asked: ReplayProperties
}

/**
 * `permits` decides one filter and what is replayed of it; it is asked only for filters that are in order. One that is not among the named counts as new: it may
 * be one of the unnamed, and the limit holds all the same.
 */
export function receiveSubscribe(
  packet: SubscribePacket,
  { protocolVersion, announced, isBridge }: Pick<Client, 'protocolVersion' | 'announced' | 'isBridge'>,
  { named, unnamed }: HeldFilters,
  limits: Limits,
  permits: (filter: string, replay: ReplayRequest | null) => boolean,
  now: number,
  accessSince: number | null = null,
): SubscribeDecision | End {
  const reasonCodes: number[] = []
  const judgements: number[] = []
  const granted: SubscriptionRequest[] = []
  const reached: LimitName[] = []
  const refusals: RefusalReason[] = []
  const refusedFor = (reason: RefusalReason, reasonCode: number): number => {
    refusals.push(reason)
    return reasonCode
  }
  const added = new Set<string>()
  const { subscriptionIdentifier = null, userProperties } = packet.properties
  if (subscriptionIdentifier !== null && !announced.subscriptionIdentifiersAvailable) {
    return end(ReasonCode.SubscriptionIdentifiersNotSupported, 'a subscription identifier, which CONNACK said are not available') // section 3.2.2.3.12
  }
  if (userProperties && limits.rules.userPropertiesOnPublishOnly) {
    const refused = packet.filters.map(() => ReasonCode.ImplementationSpecificError)
    return { reasonCodes: refused, judgements: refused, granted, limits: reached, refusals: refused.map(() => RefusalReason.filterUserProperties), asked: null }
  }
  const asked = protocolVersion === 5 ? readReplayProperties(userProperties ?? [], now, accessSince) : null
  const judge = (filter: string, index: number): number => {
    if (index >= limits.FILTERS_PER_SUBSCRIBE_MAX) {
      reached.push('FILTERS_PER_SUBSCRIBE_MAX')
      return refusedFor(RefusalReason.filtersPerPacket, ReasonCode.QuotaExceeded)
    }
    if (topicFilterProblem(filter) ?? replayProblem(filter, asked, now)) return refusedFor(RefusalReason.filterInvalid, ReasonCode.TopicFilterInvalid)
    const limit = filterLimit(filter, limits)
    if (limit) {
      reached.push(limit)
      return refusedFor(RefusalReason.filterAboveLimit, ReasonCode.TopicFilterInvalid)
    }
    if (!permits(filter, replayOf(filter, asked, now))) return refusedFor(RefusalReason.filterNotPermitted, ReasonCode.NotAuthorized)
    if (!named.has(filter) && !added.has(filter) && named.size + unnamed + added.size >= limits.SUBSCRIPTIONS_PER_SESSION_MAX) {
      reached.push('SUBSCRIPTIONS_PER_SESSION_MAX')
      return refusedFor(RefusalReason.subscriptionsPerSession, ReasonCode.QuotaExceeded)
    }
    return ReasonCode.Success
  }
  for (const [index, request] of packet.filters.entries()) {
    if (protocolVersion === 4 && limits.rules.sharedSubscription311Disconnects && isShared(request.filter)) {
      return end(ReasonCode.SharedSubscriptionsNotSupported, 'a shared subscription of MQTT 3.1.1')
    }
    if (request.noLocal && parseShared(request.filter)) return end(ReasonCode.ProtocolError, 'No Local on a shared subscription') // [MQTT-3.8.3-4]
    const refusal = judge(request.filter, index)
    if (refusal !== ReasonCode.Success) {
      judgements.push(refusal)
      reasonCodes.push(protocolVersion === 5 ? refusal : ReasonCode.UnspecifiedError) // 3.1.1 knows one failure, 0x80
      continue
    }
    const qos = Math.min(request.qos, limits.MAXIMUM_QOS) as QoS // [MQTT-3.2.2-10]
    if (!named.has(request.filter)) added.add(request.filter)
    judgements.push(qos)
    reasonCodes.push(qos)
    granted.push({
      filter: request.filter,
      qos,
      noLocal: request.noLocal || (isBridge && !isShared(request.filter)),
      retainAsPublished: request.retainAsPublished || isBridge,
      retainHandling: request.retainHandling,
      subscriptionIdentifier,
      replay: replayOf(request.filter, asked, now),
    })
  }
  return { reasonCodes, judgements, granted, limits: reached, refusals, asked }
}

/** A reason code per filter, and the filters that may exist and go into the log: each as if it stood in a packet of its own [MQTT-3.10.4-6]. */
export function receiveUnsubscribe(
  packet: UnsubscribePacket,
  { named, unnamed }: HeldFilters,
  limits: Limits,
): { readonly reasonCodes: readonly number[]; readonly filters: readonly string[]; readonly limits: readonly LimitName[] } {
  const reasonCodes: number[] = []
  const ended = new Set<string>()
  const reached: LimitName[] = []
  for (const [index, filter] of packet.filters.entries()) {
    if (index >= limits.FILTERS_PER_SUBSCRIBE_MAX) {
      reached.push('FILTERS_PER_SUBSCRIBE_MAX')
      reasonCodes.push(ReasonCode.ImplementationSpecificError) // UNSUBACK knows no 0x97
    } else if (topicFilterProblem(filter)) reasonCodes.push(ReasonCode.TopicFilterInvalid)
    else if (!ended.has(filter) && (named.has(filter) || unnamed > 0)) {
      // More than the shard's owner could tell: the log decides, the answer is success.
      ended.add(filter)
      reasonCodes.push(ReasonCode.Success)
    } else reasonCodes.push(ReasonCode.NoSubscriptionExisted)
  }
  return { reasonCodes, filters: [...ended], limits: reached }
}

/** The client says good-bye. */
export function receiveDisconnect(packet: DisconnectPacket, client: Client, limits: Limits): Ending {
  const asked = packet.properties?.sessionExpiryInterval
  if (asked !== undefined && asked !== 0 && client.sessionExpiryInterval === 0) {
    return ended(ReasonCode.ProtocolError, 'a session without expiry cannot get one at DISCONNECT') // [MQTT-3.14.2-2]
  }
  return {
    reasonCode: packet.reasonCode,
    reason: DisconnectionReason.ClientInitiatedDisconnect,
    by: 'client',
    keepWill: packet.reasonCode !== ReasonCode.NormalDisconnection, // [MQTT-3.14.4-3]
    sessionExpiryInterval: asked === undefined ? null : Math.min(asked, limits.SESSION_EXPIRY_MAX, neverExpires),
    detail: 'the client disconnected',
  }
}
