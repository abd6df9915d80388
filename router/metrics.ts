import { Counter, Gauge, type Registry } from 'prom-client'
import { lifecycleTopic } from '../log/topics.ts'
import { NamedSeries } from '../telemetry/named-series.ts'
import { createPushMetrics } from './push/push-metrics.ts'
import { createPullMetrics } from './subscriptions/pull-metrics.ts'

/** What a router counts. */
export function createRouterMetrics(registry: Registry) {
  const registers = [registry]
  const push = createPushMetrics(registry)
  const pull = createPullMetrics(registry)
  const deadLettered = new Counter({
    name: 'loggerhead_dead_lettered_events_total',
    help: 'Event Grid’s DeadLetteredCount: events that were given up and kept',
    labelNames: ['topic', 'event_subscription', 'dead_letter_reason'],
    registers,
  })
  const droppedEvents = new Counter({
    name: 'loggerhead_dropped_events_total',
    help: 'Event Grid’s DroppedEventCount: events that were given up and are nowhere else',
    labelNames: ['topic', 'event_subscription', 'drop_reason'],
    registers,
  })
  const matchedEvents = new Counter({
    name: 'loggerhead_matched_events_total',
    help: 'Event Grid’s MatchedEventCount: events that the filters of a subscription let through',
    labelNames: ['topic', 'event_subscription'],
    registers,
  })
  const filteredEvents = new Counter({
    name: 'loggerhead_filtered_events_total',
    help: 'Events that the filters of a subscription did not let through',
    labelNames: ['topic', 'event_subscription'],
    registers,
  })
  const unmatchedEvents = new Counter({
    name: 'loggerhead_unmatched_events_total',
    help: 'Event Grid’s UnmatchedEventCount: events that no subscription of their topic lets through',
    labelNames: ['topic'],
    registers,
  })
  return {
    push,
    pull,
    matchedEvents,
    unmatchedEvents,
    filteredEvents,
    series: new NamedSeries(
      [deadLettered, droppedEvents, matchedEvents, filteredEvents, ...push.bySubscription, ...pull.bySubscription],
      ({ topic, event_subscription }) => `${topic}/${event_subscription}`,
    ),
    /** `$lifecycle` is always there. */
    topicSeries: new NamedSeries([unmatchedEvents], ({ topic }) => (topic === lifecycleTopic ? '' : (topic ?? ''))),
    matched: new Counter({ name: 'loggerhead_messages_matched_total', help: 'Messages read and matched', registers }),
    repeats: new Counter({ name: 'loggerhead_messages_repeated_total', help: 'Messages that were in the log already and were not matched again', registers }),
    delivered: new Counter({
      name: 'loggerhead_deliveries_acknowledged_total',
      help: 'Messages owed to persistent sessions that their clients acknowledged',
      registers,
    }),
    dropped: new Counter({ name: 'loggerhead_deliveries_dropped_total', help: 'Deliveries given up, by reason', labelNames: ['reason'], registers }),
    reassigned: new Counter({
      name: 'loggerhead_shared_reassigned_total',
      help: 'Messages of shared subscriptions given to another member because theirs had gone',
      registers,
    }),
    sharedCaughtUp: new Counter({
      name: 'loggerhead_shared_caught_up_total',
      help: 'Messages of shared subscriptions that were behind, given to members that had room again',
      registers,
    }),
    sessionsEnded: new Counter({
      name: 'loggerhead_mqtt_dropped_sessions_total',
      help: 'Event Grid’s Mqtt.DroppedSessions: sessions that ended and cannot be taken up again',
      labelNames: ['drop_reason'],
      registers,
    }),
    gatewaysLost: new Counter({ name: 'loggerhead_gateways_lost_total', help: 'Gateway incarnations whose connections are over', registers }),
    linksClosed: new Counter({ name: 'loggerhead_gateway_links_closed_total', help: 'Links to gateways that ended', registers }),
    unreadable: new Counter({
      name: 'loggerhead_records_unreadable_total',
      help: 'Records of the log that could not be read',
      labelNames: ['topic'],
      registers,
    }),
    subscriptions: new Gauge({ name: 'loggerhead_subscriptions', help: 'Subscriptions held', registers }),
    limitReached: new Counter({
      name: 'loggerhead_limit_reached_total',
      help: 'Times that a limit took effect, by its setting',
      labelNames: ['limit'],
      registers,
    }),
    auditRecords: new Counter({
      name: 'loggerhead_audit_chain_records_total',
      help: 'Records that were taken into a chain of hashes',
      labelNames: ['topic'],
      registers,
    }),
    auditCheckpoints: new Counter({ name: 'loggerhead_audit_chain_checkpoints_total', help: 'Signed checkpoints of chains of hashes', registers }),
    auditGone: new Counter({
      name: 'loggerhead_audit_chain_gone_total',
      help: 'Records that retention removed before they were in a chain of hashes',
      labelNames: ['topic'],
      registers,
    }),
    auditTroubles: new Counter({
      name: 'loggerhead_audit_chain_troubles_total',
      help: 'Times that chains of hashes could not go on, to be tried again',
      registers,
    }),
    deadLettered,
    droppedEvents,
    refusalsWritten: new Counter({
      name: 'loggerhead_refusals_told_total',
      help: 'Records of who was refused at event subscriptions',
      labelNames: ['outcome'],
      registers,
    }),
    ipRefused: new Counter({ name: 'loggerhead_ip_refused_total', help: 'Requests refused for their address', labelNames: ['reason'], registers }),
    eventsLost: new Counter({
      name: 'loggerhead_events_skipped_total',
      help: 'Records of namespace topics that a subscription passed over: gone by retention, or no CloudEvents',
      labelNames: ['reason'],
      registers,
    }),
    willsFired: new Counter({
      name: 'loggerhead_wills_fired_total',
      help: 'Wills that became due, by what became of them',
      labelNames: ['outcome'],
      registers,
    }),
    retainedMessages: new Gauge({
      name: 'loggerhead_mqtt_retained_messages',
      help: 'Event Grid’s Mqtt.RetainedMessagesCount: retained messages held',
      labelNames: ['shard'],
      registers,
    }),
    retainedBytes: new Gauge({
      name: 'loggerhead_mqtt_retained_messages_bytes',
      help: 'Event Grid’s Mqtt.RetainedMessagesSize: memory of retained messages',
      labelNames: ['shard'],
      registers,
    }),
    retainedExpired: new Counter({
      name: 'loggerhead_mqtt_expired_retained_messages_total',
      help: 'Event Grid’s Mqtt.ExpiredRetainedMessages: retained messages whose Message Expiry Interval is over',
      registers,
    }),
    retainedSent: new Counter({ name: 'loggerhead_retained_sent_total', help: 'Retained messages sent or owed to new subscriptions', registers }),
    notRetained: new Counter({
      name: 'loggerhead_not_retained_total',
      help: 'Messages that were delivered and not retained, by reason',
      labelNames: ['reason'],
      registers,
    }),
    stateChecks: new Counter({
      name: 'loggerhead_state_checks_total',
      help: 'Checkpoints whose state was folded anew from the log, by result: same or differs',
      labelNames: ['result'],
      registers,
    }),
    routed: new Counter({
      name: 'loggerhead_mqtt_successful_routed_messages_total',
      help: 'Event Grid’s Mqtt.SuccessfulRoutedMessages: messages that a route has written to its target',
      registers,
    }),
    failedRouted: new Counter({
      name: 'loggerhead_mqtt_failed_routed_messages_total',
      help: 'Event Grid’s Mqtt.FailedRoutedMessages: messages that a route has given up',
      labelNames: ['error'],
      registers,
    }),
    routeMessages: new Counter({
      name: 'loggerhead_route_messages_total',
      help: 'Messages that a route has seen to: routed, the reason why they were given up, or erased or unreadable when it was to open them',
      labelNames: ['route', 'outcome'],
      registers,
    }),
    routeLag: new Gauge({
      name: 'loggerhead_route_lag_messages',
      help: 'Messages that a route has not come to yet',
      labelNames: ['route', 'shard'],
      registers,
    }),
    routeBlocked: new Gauge({
      name: 'loggerhead_route_blocked',
      help: '1 while a route holds or drops its messages, because its target is missing, refuses or fails',
      labelNames: ['route', 'shard', 'error'],
      registers,
    }),
    replayed: new Counter({ name: 'loggerhead_replayed_messages_total', help: 'Messages of the past put into the queues of sessions that asked', registers }),
    replayRead: new Counter({ name: 'loggerhead_replay_read_bytes_total', help: 'Bytes of messages read for replays', registers }),
    replayRate: new Gauge({
      name: 'loggerhead_replay_rate',
      help: 'Messages a second that all replays of a router may bring beside what is published; the most there may be while nothing is',
      registers,
    }),
    replaysJoined: new Counter({ name: 'loggerhead_replays_joined_total', help: 'Replays that went on with what is published', registers }),
  }
}

/** For docs/metrics.md. */
export const declareMetrics = (fresh: () => Registry): void => void createRouterMetrics(fresh())

export type RouterMetrics = ReturnType<typeof createRouterMetrics>
