import { Counter, Histogram, type Registry } from 'prom-client'
import type { Loss } from '../model/client-keys.ts'
import { countedElsewhere, levelElsewhere } from '../telemetry/counted.ts'
import { gatewaySettings, type LimitName } from './config.ts'
import type { DisconnectionReason } from './disconnection.ts'
import { EventMetrics } from './events/event-metrics.ts'
import { OperationCounts } from './operation-counts.ts'
import { type ThrottleType, throttleTypes } from './rates.ts'
import { RefusalReason } from './refusal-reason.ts'
import { reachedMetric } from './settings/reached-metric.ts'

/** Limits that take effect before a namespace is known: counted once for all. */
const entranceLimits: readonly LimitName[] = [
  'CONNECTIONS_MAX',
  'CONNECTIONS_PER_ADDRESS_MAX',
  'TLS_HANDSHAKES_MAX',
  'TLS_HANDSHAKE_TIMEOUT',
  'PROXY_HEADER_TIMEOUT',
  'PROXY_HEADER_SIZE_MAX',
]

/** Counts limits that take effect; plain numbers until they are scraped. */
class LimitCounts {
  readonly #counts: Map<LimitName, number>

  constructor(registry: Registry, limits: readonly LimitName[]) {
    this.#counts = new Map(limits.map((limit) => [limit, 0]))
    countedElsewhere({ registry, name: 'loggerhead_limit_reached_total', help: 'How often a limit took effect', labelNames: ['limit'] }, () =>
      [...this.#counts].map(([limit, count]) => [{ limit }, count] as const),
    )
  }

  reached(limit: LimitName): void {
    this.#counts.set(limit, (this.#counts.get(limit) ?? 0) + 1)
  }
}

/** What happens to sockets before their namespace is known. */
export function entranceMetrics(registry: Registry) {
  const registers = [registry]
  return {
    limits: new LimitCounts(registry, entranceLimits),
    refused: new Counter({
      name: 'loggerhead_namespace_refused_total',
      help: 'Sockets that no namespace took: unknownHost, or the namespace is away',
      labelNames: ['reason'],
      registers,
    }),
    proxyRefused: new Counter({
      name: 'loggerhead_proxy_refused_total',
      help: 'Connections closed for their PROXY protocol header: untrusted, malformed',
      labelNames: ['reason'],
      registers,
    }),
  }
}

export type EntranceMetrics = ReturnType<typeof entranceMetrics>

/** Gauges are read when they are asked for. */
export interface GatewayLevels {
  readonly connections: number
  readonly pausedConnections: number
  readonly kafkaPendingBytes: number
  readonly linkedRouters: number
  readonly registryUnconfirmedMs: number
  readonly authenticationsPending: number
  /** Keys that messages are sealed with. */
  readonly sealingKeys: number
  /** Records of the log that could not be read, by topic. */
  readonly unreadable: readonly (readonly [topic: string, records: number])[]
}

/** For docs/metrics.md. */
export function declareMetrics(fresh: () => Registry): void {
  new GatewayMetrics(fresh(), () => {
    throw new TypeError('only declared')
  })
  entranceMetrics(fresh())
}

/** Plain numbers on the hot path; prom-client reads them when it is scraped. */
export class GatewayMetrics {
  readonly operations: OperationCounts
  readonly publishesDropped = { backpressure: 0, unauthorized: 0, payloadFormat: 0, overLimit: 0 }
  /** QoS 0 sent, QoS 1 and 2 acknowledged by the client. */
  readonly deliveries: [number, number, number] = [0, 0, 0]
  /** Messages that nobody can read any more, by why; their deliveries count as expired. */
  readonly lost: Record<Loss, number> = { erased: 0, unreadable: 0 }
  readonly deliveriesDropped = { slow: 0, throttled: 0, expired: 0, tooLarge: 0, gone: 0 }
  /** Sockets from addresses that the namespace does not let in. */
  ipRefused = 0
  /** Refusals that are in the log, and those that it did not take. */
  readonly #audits = { written: 0, lost: 0 }
  /** Receipts of deliveries that are in the log, and those that are not. */
  readonly #receipts = { written: 0, lost: 0 }
  /** Control packets, of every type. */
  packetsIn = 0
  packetsOut = 0
  bytesIn = 0
  bytesOut = 0
  readonly #limits: LimitCounts
  readonly #refused = new Map<RefusalReason, number>(Object.values(RefusalReason).map((reason) => [reason, 0]))
  readonly #throttled = new Map<ThrottleType, number>(throttleTypes.map((type) => [type, 0]))
  readonly connects: Counter<'result'>
  readonly disconnections: Counter<'reason'>
  readonly staleFrames: Counter
  /** What was found out about clients. */
  readonly authentications: Counter<'about' | 'result'>
  readonly authenticationSeconds: Histogram<'about'>
  readonly issuerKeysFetched: Counter<'result'>
  readonly revocationListsFetched: Counter<'result'>
  readonly webhookDecisions: Counter<'decision'>
  readonly webhookFailures: Counter<'status_code' | 'error'>
  readonly pauses: Counter
  /** At /mqtt/…, by what was asked and the status of the answer. */
  readonly httpRequests: Counter<'operation' | 'code'>
  readonly events: EventMetrics

  constructor(registry: Registry, levels: () => GatewayLevels, now: () => number = Date.now) {
    const registers = [registry]
    this.operations = new OperationCounts(registry, () => this, now)
    const names = Object.entries(gatewaySettings).flatMap(([name, setting]) =>
      'metric' in setting && setting.metric === reachedMetric(name) ? [name as LimitName] : [],
    )
    this.#limits = new LimitCounts(
      registry,
      names.filter((name) => !entranceLimits.includes(name)),
    )
    this.connects = new Counter({
      name: 'loggerhead_connects_total',
      help: 'CONNECT packets by result: accepted or the reason code of the refusal',
      labelNames: ['result'],
      registers,
    })
    this.disconnections = new Counter({ name: 'loggerhead_disconnections_total', help: 'Connections that ended, by reason', labelNames: ['reason'], registers })
    this.authentications = new Counter({
      name: 'loggerhead_authentications_total',
      help: 'Credentials that had to be looked into, by kind: good, allow, deny, fault or the rule that a token broke',
      labelNames: ['about', 'result'],
      registers,
    })
    this.authenticationSeconds = new Histogram({
      name: 'loggerhead_authentication_seconds',
      help: 'Time that took',
      labelNames: ['about'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    })
    this.issuerKeysFetched = new Counter({
      name: 'loggerhead_issuer_keys_fetched_total',
      help: 'Key sets of token issuers fetched, by result: fetched or failed',
      labelNames: ['result'],
      registers,
    })
    this.revocationListsFetched = new Counter({
      name: 'loggerhead_revocation_lists_fetched_total',
      help: 'Revocation lists of CA certificates fetched, by result: fetched or failed',
      labelNames: ['result'],
      registers,
    })
    this.webhookDecisions = new Counter({
      name: 'loggerhead_mqtt_successful_webhook_authentication_requests_total',
      help: 'Event Grid’s Mqtt.SuccessfulWebhookAuthenticationRequests: answers of the authentication webhook, by its decision',
      labelNames: ['decision'],
      registers,
    })
    this.webhookFailures = new Counter({
      name: 'loggerhead_mqtt_failed_webhook_authentication_requests_total',
      help: 'Event Grid’s Mqtt.FailedWebhookAuthenticationRequests: requests to the authentication webhook without a decision',
      labelNames: ['status_code', 'error'],
      registers,
    })
    this.pauses = new Counter({
      name: 'loggerhead_gateway_pauses_total',
      help: 'Times the process was stopped for longer than its event loop may be busy',
      registers,
    })
    this.httpRequests = new Counter({
      name: 'loggerhead_http_requests_total',
      help: 'Requests at /mqtt/… and /topics/…:publish, by what was asked and the status of the answer; 499: the client was gone',
      labelNames: ['operation', 'code'],
      registers,
    })
    this.events = new EventMetrics(registry)
    this.staleFrames = new Counter({ name: 'loggerhead_stale_frames_total', help: 'Frames of routers that have lost their shard', registers })
    const counter = (name: string, help: string, label: string, values: () => Iterable<readonly [string, number]>) =>
      countedElsewhere({ registry, name, help, labelNames: [label] }, () => [...values()].map(([value, count]) => [{ [label]: value }, count] as const))
    const byQoS = (counts: readonly number[]) => counts.map((count, qos) => [String(qos), count] as const)
    counter('loggerhead_publishes_dropped_total', 'Publishes that did not go into the log', 'reason', () => Object.entries(this.publishesDropped))
    counter('loggerhead_deliveries_total', 'Messages sent (QoS 0) or acknowledged by the client (QoS 1 and 2)', 'qos', () => byQoS(this.deliveries))
    counter('loggerhead_deliveries_dropped_total', 'Messages that a client did not get', 'reason', () => Object.entries(this.deliveriesDropped))
    countedElsewhere(
      {
        registry,
        name: 'loggerhead_erased_messages_total',
        help: 'Messages on their way out whose key was destroyed: their deliveries count as expired',
        labelNames: [],
      },
      () => [[{}, this.lost.erased]],
    )
    countedElsewhere(
      {
        registry,
        name: 'loggerhead_unreadable_messages_total',
        help: 'Sealed messages on their way out that are damaged, or whose key’s record is: their deliveries count as expired',
        labelNames: [],
      },
      () => [[{}, this.lost.unreadable]],
    )
    counter('loggerhead_records_unreadable_total', 'Records of the log that could not be read', 'topic', () => levels().unreadable)
    counter(
      'loggerhead_mqtt_throttling_enforcements_total',
      'Event Grid’s Mqtt.ThrottlingEnforcements: how often a rate took effect',
      'throttle_type',
      () => this.#throttled,
    )
    counter('loggerhead_ip_refused_total', 'Connections refused for their address', 'reason', () => [['inboundIpRules', this.ipRefused]])
    counter('loggerhead_refusals_total', 'What was refused: each has one reason (docs/operating.md)', 'reason', () => this.#refused)
    counter('loggerhead_audit_records_total', 'Records of what was refused', 'outcome', () => Object.entries(this.#audits))
    counter('loggerhead_receipts_total', 'Receipts of deliveries', 'outcome', () => Object.entries(this.#receipts))
    counter('loggerhead_packets_total', 'Control packets of MQTT', 'direction', () => [
      ['in', this.packetsIn],
      ['out', this.packetsOut],
    ])
    const gauge = (name: string, help: string, value: (levels: GatewayLevels) => number) =>
      levelElsewhere({ registry, name, help, labelNames: [] }, () => [[{}, value(levels())]])
    gauge('loggerhead_connections', 'Open connections', (now) => now.connections)
    gauge('loggerhead_paused_connections', 'Sockets not read for the moment', (now) => now.pausedConnections)
    gauge('loggerhead_kafka_pending_bytes', 'Bytes waiting for Kafka', (now) => now.kafkaPendingBytes)
    gauge('loggerhead_linked_routers', 'Routers that hold a link', (now) => now.linkedRouters)
    gauge('loggerhead_authentications_pending', 'Clients that wait to be known', (now) => now.authenticationsPending)
    gauge('loggerhead_sealing_keys', 'Keys that messages are sealed with, of which there may be SEALING_KEYS_MAX', (now) => now.sealingKeys)
    gauge('loggerhead_registry_unconfirmed_seconds', 'Time since the registry was last confirmed', (now) => now.registryUnconfirmedMs / 1000)
  }

  /** Counts what was refused, by its one reason. */
  refused(reason: RefusalReason): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1)
  }

  /** Counts a limit that took effect. */
  reached(limit: LimitName): void {
    this.#limits.reached(limit)
  }

  audited(outcome: 'written' | 'lost'): void {
    this.#audits[outcome]++
  }

  receipts(outcome: 'written' | 'lost', count: number): void {
    this.#receipts[outcome] += count
  }

  /** Counts a rate that took effect. */
  throttled(type: ThrottleType): void {
    this.#throttled.set(type, (this.#throttled.get(type) ?? 0) + 1)
  }

  disconnected(reason: DisconnectionReason): void {
    this.disconnections.inc({ reason })
  }
}
