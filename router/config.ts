import { oidcSettings } from '../access/oidc-settings.ts'
import { refusalSettings } from '../audit/refusal-settings.ts'
import { kafkaSettings } from '../log/kafka/connection-settings.ts'
import { unlimited } from '../log/token-bucket.ts'
import { checkpointMsMax, topicSettings } from '../log/topics.ts'
import { type WhenQueueFull, whenQueueFull } from '../model/namespace-limits.ts'
import { anyAge, type QueueLimits } from '../model/queue-limits.ts'
import { retainedSettings } from '../model/retained-settings.ts'
import type { OutgoingPolicy } from '../outgoing/outgoing-policy.ts'
import { outgoingSettings, readAuthorities, readOutgoingPolicy } from '../outgoing/outgoing-settings.ts'
import { readSettings, SettingError, type Settings } from '../settings/setting.ts'
import { type AuditConfig, chainedKinds, readAuditConfig } from './audit-config.ts'
import { type PushConfig, pushSettings, readPushConfig } from './push/push-settings.ts'

const MiB = 1024 * 1024

const queueOutcome =
  'as SESSION_QUEUE_FULL says: the session ends (SessionOverflow), its client is told 0x97 when connected; or its oldest messages are dropped and counted'
const queueMetric = (reason: string): string =>
  `loggerhead_mqtt_dropped_sessions_total{drop_reason="SessionOverflow"}, loggerhead_deliveries_dropped_total{reason="${reason}"}`

/** All settings of a router. Limits carry their outcome and metric: docs/limits.md is generated from here. */
export const routerSettings = {
  ...kafkaSettings,
  ...topicSettings,
  ...oidcSettings,
  ...refusalSettings,
  ...retainedSettings,
  LOGGERHEAD_PROFILE: {
    kind: 'text',
    default: 'development',
    oneOf: ['development', 'production'],
    about: 'production refuses topics that could lose what was acknowledged',
  },
  LOGGERHEAD_NAMESPACE: { kind: 'text', default: 'default', about: 'Namespace: second part of every topic’s name' },
  ROUTER_ID: { kind: 'text', default: 'router', about: 'Name of this router, unique in the deployment and the same after a restart' },
  LOGGERHEAD_INTERNAL_BIND: { kind: 'text', default: '127.0.0.1', about: 'Address of /status and /metrics' },
  INTERNAL_PORT: { kind: 'number', default: 0, min: 0, max: 65535, about: 'Port of /status and /metrics; 0 for any free one' },
  API_KEY_FILE: { kind: 'text', default: '', about: 'File with the key of the HTTP API' },
  ROUTER_URLS: { kind: 'text', default: '', about: 'where the routers answer HTTP, comma-separated, each as id=url or url' },
  INTERNAL_KEY_FILE: { kind: 'text', default: '', about: 'file with the key that the services use among themselves' },
  GRPC_TLS_CA: { kind: 'text', default: '', about: 'PEM file with the CA that signed the gateways’ certificates; with it, mutual TLS' },
  GRPC_TLS_CERT: { kind: 'text', default: '', about: 'PEM file with the certificate shown to gateways' },
  GRPC_TLS_KEY: { kind: 'text', default: '', about: 'PEM file with the key of GRPC_TLS_CERT' },
  SESSION_QUEUE_MESSAGES_MAX: {
    kind: 'number',
    default: 100_000,
    min: 1,
    max: 10_000_000,
    unit: 'messages',
    about: 'QoS ≥ 1 messages owed to one persistent session, or to one member of a shared subscription',
    outcome: queueOutcome,
    metric: queueMetric('queueFull'),
  },
  SESSION_QUEUE_BYTES_MAX: {
    kind: 'number',
    default: 256 * MiB,
    min: 1024,
    max: 1024 * 1024 * MiB,
    unit: 'bytes',
    about: 'Bytes of the messages owed to one such session',
    outcome: queueOutcome,
    metric: queueMetric('queueFull'),
  },
  SESSION_QUEUE_SECONDS_MAX: {
    kind: 'number',
    default: anyAge,
    min: 1,
    max: anyAge,
    unit: 's',
    about: `Time that a message may be owed to one such session; ${anyAge} leaves it to HISTORY_WINDOW`,
    outcome: queueOutcome,
    metric: queueMetric('tooOld'),
  },
  SESSION_QUEUE_FULL: {
    kind: 'text',
    default: 'endSession',
    oneOf: whenQueueFull,
    about:
      'What becomes of a session that is owed more than SESSION_QUEUE_MESSAGES_MAX, …_BYTES_MAX or …_SECONDS_MAX: it ends with all it is owed, or it loses its oldest messages',
  },
  GATEWAY_QUEUE_BYTES_MAX: {
    kind: 'number',
    default: 64 * MiB,
    min: 65_536,
    max: 16 * 1024 * MiB,
    unit: 'bytes',
    about: 'Direct messages sent to one gateway and not confirmed',
    outcome: 'QoS 0 is dropped; sessions that end with their connection and miss a QoS 1 message end with 0x97',
    metric: 'loggerhead_deliveries_dropped_total{reason="gatewayQueueFull"}',
  },
  GATEWAY_SEND_BYTES_MAX: {
    kind: 'number',
    default: 8 * MiB,
    min: 65_536,
    max: 1024 * MiB,
    unit: 'bytes',
    about: 'Bytes on their way to one gateway above which owed messages wait in the journal',
    outcome: 'owed messages wait until the gateway has taken what is on its way',
    metric: 'loggerhead_gateway_queued_bytes',
  },
  RECEIPTS_UNREAD_MAX: {
    kind: 'number',
    default: 100,
    min: 1,
    max: 10_000,
    unit: 'records',
    about: 'Records, of 65,536 packets at most, of what clients of one shard have received at QoS 2, written and not read back from Kafka yet',
    outcome: 'PUBREL and the progress of the shard’s sessions wait until one was read, and share the records behind; nothing is lost',
    metric: 'loggerhead_limit_reached_total{limit="RECEIPTS_UNREAD_MAX"}',
  },
  GATEWAY_STALL: {
    kind: 'number',
    default: 5_000,
    min: 500,
    max: 600_000,
    unit: 'ms',
    about: 'A gateway that says nothing on its link for this long',
    outcome: 'the link is closed and dialled again',
    metric: 'loggerhead_gateway_links_closed_total',
  },
  GATEWAY_LOST: {
    kind: 'number',
    default: 30_000,
    min: 1_000,
    max: 3_600_000,
    unit: 'ms',
    about: 'A gateway that cannot be reached for this long; at least twice SHARD_SILENCE of the gateways',
    outcome: 'its connections count as lost; their sessions are detached',
    metric: 'loggerhead_gateways_lost_total',
  },
  ROUTER_OUTSTANDING_BYTES_MAX: {
    kind: 'number',
    default: 128 * MiB,
    min: 65_536,
    max: 16 * 1024 * MiB,
    unit: 'bytes',
    about: 'Messages of one shard that are matched and not yet done',
    outcome: 'no further stretch is matched until some are done',
    metric: 'loggerhead_router_outstanding_bytes',
  },
  PAYLOAD_CACHE_BYTES: {
    kind: 'number',
    default: 16 * MiB,
    min: 65_536,
    max: 16 * 1024 * MiB,
    unit: 'bytes',
    about: 'Recent messages kept per shard for deliveries, and as much again of what was read anew',
  },
  RETAINED_BYTES_MAX: {
    kind: 'number',
    default: 256 * MiB,
    min: 65_536,
    max: 256 * 1024 * MiB,
    unit: 'bytes',
    about: 'Memory of one shard’s retained messages',
    outcome: 'a message that does not fit is delivered and not retained; the one it replaces is cleared',
    metric: 'loggerhead_not_retained_total{reason="full"}',
  },
  RETAINED_MESSAGE_BYTES_MAX: {
    kind: 'number',
    default: 512 * 1024,
    min: 1024,
    max: 1_000_000,
    unit: 'bytes',
    about: 'Size of one retained message with its topic and properties',
    outcome: 'a larger message is delivered and not retained; the one it replaces is cleared',
    metric: 'loggerhead_not_retained_total{reason="tooLarge"}',
  },
  ROUTE_BYTES_MAX: {
    kind: 'number',
    default: 4 * MiB,
    min: 65_536,
    max: 1024 * MiB,
    unit: 'bytes',
    about: 'Messages of one shard that one route has on their way to its target',
    outcome: 'the route reads on when the target has taken some; nobody else waits',
    metric: 'loggerhead_route_lag_messages',
  },
  ROUTE_CLUSTERS_FILE: {
    kind: 'text',
    default: '',
    about: 'JSON file with other Kafka clusters that routes may write to: by name, the KAFKA_… settings of each connection. Read at the start; empty: none',
  },
  ROUTE_RETRY_MAX: {
    kind: 'number',
    default: 30_000,
    min: 1_000,
    max: 43_200_000,
    unit: 'ms',
    about: 'Longest wait before a route tries a target again that is missing, refuses or fails; it begins with one second and doubles',
    outcome: 'the route is tried again, for as long as the messages last',
    metric: 'loggerhead_route_blocked',
  },
  SHARED_STREAMS_MAX: {
    kind: 'number',
    default: 100_000,
    min: 1,
    max: 100_000_000,
    unit: 'streams',
    about: 'Publishers and topics whose member of a shared subscription is remembered, in all',
    outcome: 'the one not used for longest is forgotten: its next message goes to the member that is owed least',
  },
  SHARED_MEMBER_MESSAGES_MAX: {
    kind: 'number',
    default: 2_000,
    min: 1,
    max: 1_000_000,
    unit: 'messages',
    about:
      'QoS ≥ 1 messages owed to a member of a shared subscription that is connected, at which it is given no more; at most a quarter of its queue, and twice as many of streams that it has begun',
    outcome: 'when no member takes more, the shared subscription is behind: its messages wait in the log until one does',
    metric: 'loggerhead_shared_groups_behind',
  },
  SHARED_BEHIND_MAX: {
    kind: 'number',
    default: 1_000,
    min: 0,
    max: 10_000,
    unit: 'shared subscriptions',
    about: 'Shared subscriptions that may be behind with the messages of a shard, because their members have enough: those wait in the log',
    outcome: 'a further one’s messages go into the queues of its members at once, up to their limits; so they do from 256 KiB of names on',
  },
  ...outgoingSettings,
  ...pushSettings,
  FETCH_BYTES_MAX: { kind: 'number', default: 4 * MiB, min: 65_536, max: 256 * MiB, unit: 'bytes', about: 'Most that one fetch from Kafka brings' },
  REPEATS_REMEMBERED: {
    kind: 'number',
    default: 65_536,
    min: 0,
    max: 10_000_000,
    unit: 'messages',
    about: 'Finished QoS 2 messages per shard whose late copies are still recognised',
    outcome: 'the oldest are forgotten: a copy that a stopped gateway appends after that many more counts as a message of its own',
    metric: 'loggerhead_messages_repeated_total',
  },
  LIFECYCLE_EVENT_SOURCE: {
    kind: 'text',
    default: '',
    about:
      'Source of the life cycle events that event subscriptions get; {namespace} stands for the namespace’s name. For that of Azure: /subscriptions/…/resourceGroups/…/providers/Microsoft.EventGrid/namespaces/{namespace}. Empty: /namespaces/{namespace}',
  },
  SUBSCRIPTION_UNSETTLED_MAX: {
    kind: 'number',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    unit: 'events',
    about: 'Events of one event subscription that are given out and not settled: locked, waiting to be tried again, or on their way to the dead letters',
    outcome: 'no further event is given out until one is settled; they stay in the topic',
    metric: 'loggerhead_limit_reached_total{limit="SUBSCRIPTION_UNSETTLED_MAX"}',
  },
  SUBSCRIPTION_AHEAD_BYTES_MAX: {
    kind: 'number',
    default: MiB,
    min: 4096,
    max: 256 * MiB,
    unit: 'bytes',
    about: 'Events of one event subscription that are read and not given out',
    outcome: 'no further ones are read; a single event above it is read all the same',
  },
  PULL_RECEIVES_MAX: {
    kind: 'number',
    default: 1_000,
    min: 1,
    max: 1_000_000,
    unit: 'requests',
    about: 'Requests of pull delivery under way at one time on a router, those that wait for events included',
    outcome: 'a further one is answered with 503',
    metric: 'loggerhead_limit_reached_total{limit="PULL_RECEIVES_MAX"}',
  },
  HISTORY_INDEX_RECORDS: {
    kind: 'number',
    default: 128,
    min: 0,
    max: 65_536,
    unit: 'messages',
    about: 'Messages of a shard that share an entry of the index by topic and publisher; 0 writes no index: replays of single topics read everything',
    outcome: 'a replay reads all messages of an entry when one of them may match',
    metric: 'loggerhead_replay_read_bytes_total',
  },
  REPLAY_WINDOW_MESSAGES: {
    kind: 'number',
    default: 1_000,
    min: 1,
    max: 100_000,
    unit: 'messages',
    about: 'Messages that a session may be owed, or half its queue limit if that is less, before its replays wait for it',
    outcome: 'the replay reads on when the client has acknowledged some',
  },
  REPLAY_RATE_MAX: {
    kind: 'number',
    default: 20_000,
    min: 1,
    max: unlimited,
    unit: 'messages/s',
    about: `Messages a second of one replay; ${unlimited} for no limit`,
    outcome: 'the replay pauses until the average holds; one that is slower than what is published never joins it',
    metric: 'loggerhead_replayed_messages_total',
  },
  ROUTER_REPLAY_RATE_MAX: {
    kind: 'number',
    default: 40_000,
    min: 1,
    max: unlimited,
    unit: 'messages/s',
    about: `Messages a second of all replays that one router runs for a namespace; ${unlimited} for no limit`,
    outcome: 'replays pause in turn until the average holds',
    metric: 'loggerhead_replayed_messages_total',
  },
  ROUTER_REPLAY_RATE_MIN: {
    kind: 'number',
    default: 2_000,
    min: 1,
    max: unlimited,
    unit: 'messages/s',
    about: 'Messages a second that are left to all replays that a router runs for a namespace, however late what is published comes beside them',
    outcome: 'replays give way no further; a low one spares publishers of a machine that is busy, a high one ends a long replay there sooner',
    metric: 'loggerhead_replay_rate',
  },
  ROUTER_REPLAY_READ_MAX: {
    kind: 'number',
    default: 64 * 1024 * 1024,
    min: 1024 * 1024,
    max: unlimited,
    unit: 'bytes/s',
    about: `Bytes a second of messages that one router reads for all replays of a namespace, whatever of them matches; ${unlimited} for no limit`,
    outcome: 'replays pause in turn until the average holds',
    metric: 'loggerhead_replay_read_bytes_total',
  },
  ROUTER_REPLAYS_OPEN_MAX: {
    kind: 'number',
    default: 100,
    min: 1,
    max: 100_000,
    unit: 'replays',
    about: 'Replays of a namespace that a router has something in memory of, up to half a MiB each',
    outcome: 'the one that was read longest ago finds its place in the log anew when it is its turn again',
  },
  SESSION_REPLAYS_MAX: {
    kind: 'number',
    default: 10,
    min: 1,
    max: 10_000,
    unit: 'replays',
    about: 'Replays of one session that are read side by side',
    outcome: 'a further one begins when another is at its end or has joined what is published',
  },
  AUDIT_CHAIN: {
    kind: 'text',
    default: 'off',
    about: `Topics that have chains of hashes with signed checkpoints, separated by commas: ${chainedKinds.join(', ')}; off for none. Needs AUDIT_KEY`,
  },
  AUDIT_KEY: {
    kind: 'text',
    default: '',
    about:
      'PEM file with the Ed25519 private key that signs checkpoints. A key that is to be replaced stands behind the new one, and names it in its last checkpoint',
  },
  AUDIT_READ_MAX: {
    kind: 'number',
    default: 16 * 1024 * 1024,
    min: 1024 * 1024,
    max: unlimited,
    unit: 'bytes/s',
    about: `Bytes a second of older records that one router hashes into the audit chains of a namespace; ${unlimited} for no limit`,
    outcome: 'checkpoints of what is in the log already come later',
    metric: 'loggerhead_audit_chain_records_total',
  },
  SNAPSHOT_RECORDS: {
    kind: 'number',
    default: 50_000,
    min: 100,
    max: 100_000_000,
    unit: 'records',
    about: 'Journal records of a shard after which its state is written as a snapshot',
  },
  CHECKPOINT_INTERVAL: {
    kind: 'number',
    default: checkpointMsMax,
    min: 1_000,
    max: checkpointMsMax,
    unit: 'ms',
    about:
      'How often the state of a shard is written down for who asks about the past: the journals are folded on from there. Never above an eighth of HISTORY_WINDOW',
  },
} as const satisfies Settings

export interface RouterConfig {
  readonly profile: 'development' | 'production'
  readonly namespace: string
  readonly routerId: string
  readonly partitions: number
  readonly queues: QueueLimits
  readonly gatewayQueueBytesMax: number
  readonly gatewaySendBytesMax: number
  readonly receiptsUnreadMax: number
  readonly gatewayStallMs: number
  readonly gatewayLostMs: number
  readonly outstandingBytesMax: number
  readonly payloadCacheBytes: number
  readonly fetchBytesMax: number
  readonly sharedStreamsMax: number
  readonly sharedMemberMessagesMax: number
  readonly sharedBehindMax: number
  /** Addresses whose refusals are told one by one. */
  readonly refusalsToldMax: number
  readonly routeBytesMax: number
  readonly routeRetryMsMax: number
  readonly snapshotRecords: number
  readonly checkpointMs: number
  /** Of one shard. */
  readonly retainedBytesMax: number
  readonly retainedMessageBytesMax: number
  /** Of all shards. */
  readonly retainedMessagesMax: number
  readonly repeatsRemembered: number
  readonly lifecycleEventSource: string
  readonly push: PushConfig
  readonly outgoing: OutgoingPolicy
  /** Authorities of the webhooks' certificates (PEM); undefined: the public ones. */
  readonly outgoingCa: string | undefined
  readonly subscriptionUnsettledMax: number
  readonly subscriptionAheadBytesMax: number
  readonly pullReceivesMax: number
  readonly indexRecords: number
  readonly replayWindowMessages: number
  /** Messages a second. */
  readonly replayRate: number
  readonly replayRouterRate: number
  readonly replayRouterRateMin: number
  /** Bytes a second. */
  readonly replayReadRate: number
  readonly auditReadRate: number
  readonly replaysOpenMax: number
  readonly sessionReplaysMax: number
  /** Undefined: there are no chains. */
  readonly audit: AuditConfig | undefined
}

/** Reads the router's settings. Throws SettingError naming the variable. */
export function readRouterConfig(environment: Readonly<Record<string, string | undefined>>) {
  const values = readSettings(routerSettings, environment)
  const tlsFiles = [values.GRPC_TLS_CA, values.GRPC_TLS_CERT, values.GRPC_TLS_KEY]
  if (tlsFiles.some((file) => file !== '') && tlsFiles.includes(''))
    throw new SettingError('GRPC_TLS_CA', 'GRPC_TLS_CA, GRPC_TLS_CERT and GRPC_TLS_KEY belong together')
  const config: RouterConfig = {
    profile: values.LOGGERHEAD_PROFILE as RouterConfig['profile'],
    namespace: values.LOGGERHEAD_NAMESPACE,
    routerId: values.ROUTER_ID,
    partitions: values.KAFKA_PARTITIONS,
    queues: {
      messages: values.SESSION_QUEUE_MESSAGES_MAX,
      bytes: values.SESSION_QUEUE_BYTES_MAX,
      seconds: values.SESSION_QUEUE_SECONDS_MAX,
      whenFull: values.SESSION_QUEUE_FULL as WhenQueueFull,
    },
    gatewayQueueBytesMax: values.GATEWAY_QUEUE_BYTES_MAX,
    gatewaySendBytesMax: values.GATEWAY_SEND_BYTES_MAX,
    receiptsUnreadMax: values.RECEIPTS_UNREAD_MAX,
    gatewayStallMs: values.GATEWAY_STALL,
    gatewayLostMs: values.GATEWAY_LOST,
    outstandingBytesMax: values.ROUTER_OUTSTANDING_BYTES_MAX,
    payloadCacheBytes: values.PAYLOAD_CACHE_BYTES,
    fetchBytesMax: values.FETCH_BYTES_MAX,
    sharedStreamsMax: values.SHARED_STREAMS_MAX,
    sharedMemberMessagesMax: values.SHARED_MEMBER_MESSAGES_MAX,
    sharedBehindMax: values.SHARED_BEHIND_MAX,
    refusalsToldMax: values.REFUSALS_TOLD_MAX,
    routeBytesMax: values.ROUTE_BYTES_MAX,
    routeRetryMsMax: values.ROUTE_RETRY_MAX,
    snapshotRecords: values.SNAPSHOT_RECORDS,
    checkpointMs: values.CHECKPOINT_INTERVAL,
    retainedBytesMax: values.RETAINED_BYTES_MAX,
    retainedMessageBytesMax: values.RETAINED_MESSAGE_BYTES_MAX,
    retainedMessagesMax: values.RETAINED_MESSAGES_MAX,
    repeatsRemembered: values.REPEATS_REMEMBERED,
    lifecycleEventSource: values.LIFECYCLE_EVENT_SOURCE,
    push: readPushConfig(values),
    outgoing: readOutgoingPolicy(values, values.LOGGERHEAD_PROFILE as RouterConfig['profile']),
    outgoingCa: readAuthorities(values.OUTGOING_CA),
    subscriptionUnsettledMax: values.SUBSCRIPTION_UNSETTLED_MAX,
    subscriptionAheadBytesMax: values.SUBSCRIPTION_AHEAD_BYTES_MAX,
    pullReceivesMax: values.PULL_RECEIVES_MAX,
    indexRecords: values.HISTORY_INDEX_RECORDS,
    replayWindowMessages: values.REPLAY_WINDOW_MESSAGES,
    replayRate: values.REPLAY_RATE_MAX,
    replayRouterRate: values.ROUTER_REPLAY_RATE_MAX,
    replayRouterRateMin: values.ROUTER_REPLAY_RATE_MIN,
    replayReadRate: values.ROUTER_REPLAY_READ_MAX,
    replaysOpenMax: values.ROUTER_REPLAYS_OPEN_MAX,
    sessionReplaysMax: values.SESSION_REPLAYS_MAX,
    audit: readAuditConfig(values),
    auditReadRate: values.AUDIT_READ_MAX,
  }
  return { values, config, tls: values.GRPC_TLS_CA ? { ca: values.GRPC_TLS_CA, cert: values.GRPC_TLS_CERT, key: values.GRPC_TLS_KEY } : undefined }
}
