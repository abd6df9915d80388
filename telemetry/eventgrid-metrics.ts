/**
 * Event Grid's metrics under their names here. The rule: `loggerhead_` and the name in snake case; what is counted ends
 * with `_total`, a latency becomes a histogram in seconds, a dimension becomes a label in snake case and keeps its values.
 */

/** The services that register metrics, each in files called `…metrics.ts`. */
export const metricHomes = ['gateway', 'router', 'registry', 'door'] as const
export type MetricHome = (typeof metricHomes)[number]

export interface EventGridMetric {
  /** As Event Grid spells it. */
  readonly eventGrid: string
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** Labels, besides `namespace`, which every metric of a namespace has. */
  readonly labels: readonly string[]
  /** The service that has it; null: it has no meaning here, and `about` says why. */
  readonly home: MetricHome | null
  /** What makes it move. */
  readonly about: string
}

const named =
  (type: EventGridMetric['type'], suffix: string) =>
  (eventGrid: string, name: string, labels: readonly string[], home: MetricHome | null, about: string): EventGridMetric => ({
    eventGrid,
    name: `loggerhead_${name}${suffix}`,
    type,
    labels,
    home,
    about,
  })
const counter = named('counter', '_total')
const gauge = named('gauge', '')
const latency = named('histogram', '_latency_seconds')

/** Metrics of the MQTT broker. */
export const mqttMetrics: readonly EventGridMetric[] = [
  counter(
    'Mqtt.RequestCount',
    'mqtt_requests',
    ['operation_type', 'protocol', 'result', 'error'],
    'gateway',
    'every CONNECT, PUBLISH, filter of SUBSCRIBE and UNSUBSCRIBE, and message sent',
  ),
  counter('Mqtt.Throughput', 'mqtt_throughput_bytes', ['direction'], 'gateway', 'bytes of MQTT in and out'),
  counter('Mqtt.ThrottlingEnforcements', 'mqtt_throttling_enforcements', ['throttle_type'], 'gateway', 'a rate that takes effect'),
  counter(
    'Mqtt.SuccessfulPublishedMessages',
    'mqtt_successful_published_messages',
    ['qos', 'protocol', 'retain'],
    'gateway',
    'a publish that was taken: for QoS 1 and 2, that is in the log',
  ),
  counter(
    'Mqtt.FailedPublishedMessages',
    'mqtt_failed_published_messages',
    ['qos', 'protocol', 'error', 'retain'],
    'gateway',
    'a publish that was refused or dropped',
  ),
  counter(
    'Mqtt.SuccessfulDeliveredMessages',
    'mqtt_successful_delivered_messages',
    ['qos', 'protocol', 'retain'],
    'gateway',
    'a message that was sent to a client, acknowledged or not; `retain` is that of the packet',
  ),
  counter(
    'Mqtt.SuccessfulSubscriptionOperations',
    'mqtt_successful_subscription_operations',
    ['protocol', 'operation_type'],
    'gateway',
    'a filter that was granted or taken back',
  ),
  counter(
    'Mqtt.FailedSubscriptionOperations',
    'mqtt_failed_subscription_operations',
    ['protocol', 'operation_type', 'error'],
    'gateway',
    'a filter that was refused',
  ),
  counter('Mqtt.SuccessfulRoutedMessages', 'mqtt_successful_routed_messages', [], 'router', 'a message that a route has written to its topic'),
  counter('Mqtt.FailedRoutedMessages', 'mqtt_failed_routed_messages', ['error'], 'router', 'a message that a route has given up; what is held is not counted'),
  gauge('Mqtt.Connections', 'mqtt_connections', ['protocol'], 'gateway', 'connections that have their CONNACK'),
  counter('Mqtt.DroppedSessions', 'mqtt_dropped_sessions', ['drop_reason'], 'router', 'a session that ended and cannot be taken up again'),
  gauge('Mqtt.RetainedMessagesCount', 'mqtt_retained_messages', ['shard'], 'router', 'retained messages held'),
  gauge('Mqtt.RetainedMessagesSize', 'mqtt_retained_messages_bytes', ['shard'], 'router', 'what they take'),
  counter('Mqtt.ExpiredRetainedMessages', 'mqtt_expired_retained_messages', [], 'router', 'a retained message whose Message Expiry Interval is over'),
  latency('Mqtt.SuccessfulConnectLatencyInMilliseconds', 'mqtt_successful_connect', ['protocol'], 'gateway', 'from CONNECT to CONNACK'),
  latency(
    'Mqtt.SuccessfulPublishLatencyInMilliseconds',
    'mqtt_successful_publish',
    ['qos', 'protocol', 'retain'],
    'gateway',
    'from PUBLISH to PUBACK or PUBREC; at QoS 0 to the log’s answer is not waited for, and nothing is observed',
  ),
  counter(
    'Mqtt.SuccessfulWebhookAuthenticationRequests',
    'mqtt_successful_webhook_authentication_requests',
    ['decision'],
    'gateway',
    'an answer of the authentication webhook',
  ),
  counter(
    'Mqtt.FailedWebhookAuthenticationRequests',
    'mqtt_failed_webhook_authentication_requests',
    ['status_code', 'error'],
    'gateway',
    'a request to it without a decision',
  ),
]

/** Labels of what happens on a namespace topic, and to one of its event subscriptions. */
const ofTopic = ['topic'] as const
const ofSubscription = ['topic', 'event_subscription'] as const
const failed = ['error', 'error_type'] as const

/** Metrics of namespace topics, pull and push delivery. */
export const eventMetrics: readonly EventGridMetric[] = [
  counter('SuccessfulPublishedEvents', 'successful_published_events', ofTopic, 'gateway', 'an event that is in the topic'),
  counter('FailedPublishedEvents', 'failed_published_events', [...ofTopic, ...failed], 'gateway', 'an event that was refused'),
  latency('PublishLatencyInMilliseconds', 'publish', ofTopic, 'gateway', 'from the request to its answer'),
  counter(
    'UnmatchedEventCount',
    'unmatched_events',
    ofTopic,
    'router',
    'an event that no subscription of the topic lets through, when the first of them by name that is neither paused nor over reads it; where there is none, nobody reads, and nothing counts',
  ),
  counter('MatchedEventCount', 'matched_events', ofSubscription, 'router', 'an event that the filters of a subscription let through'),
  counter('SuccessfulReceivedEvents', 'successful_received_events', ofSubscription, 'router', 'an event given out by receive'),
  counter('FailedReceivedEvents', 'failed_received_events', [...ofSubscription, ...failed], 'router', 'a receive that was refused'),
  latency('ReceiveLatencyInMilliseconds', 'receive', ofSubscription, 'router', 'from there being events for a receiver to their locks being in the log'),
  counter('SuccessfulAcknowledgedEvents', 'successful_acknowledged_events', ofSubscription, 'router', 'an event that was acknowledged'),
  counter('FailedAcknowledgedEvents', 'failed_acknowledged_events', [...ofSubscription, ...failed], 'router', 'a lock token that could not be'),
  latency('AcknowledgeLatencyInMilliseconds', 'acknowledge', ofSubscription, 'router', 'of acknowledge'),
  counter('SuccessfulReleasedEvents', 'successful_released_events', ofSubscription, 'router', 'an event that was released'),
  counter('FailedReleasedEvents', 'failed_released_events', [...ofSubscription, ...failed], 'router', 'a lock token that could not be'),
  latency('RejectLatencyInMilliseconds', 'reject', ofSubscription, 'router', 'of reject'),
  counter('DeliverySuccessCount', 'delivery_successes', ofSubscription, 'router', 'an event that a webhook took'),
  counter('DeliveryAttemptFailCount', 'delivery_attempts_failed', [...ofSubscription, ...failed], 'router', 'an attempt that it did not'),
  latency('DestinationProcessingDurationInMs', 'destination_processing', ofSubscription, 'router', 'of a webhook’s answer'),
  counter('DeadLetteredCount', 'dead_lettered_events', [...ofSubscription, 'dead_letter_reason'], 'router', 'an event that was written to the dead letters'),
  counter('DroppedEventCount', 'dropped_events', [...ofSubscription, 'drop_reason'], 'router', 'an event that was given up'),
]

export const eventGridMetrics: readonly EventGridMetric[] = [...mqttMetrics, ...eventMetrics]
