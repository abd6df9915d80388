import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { DeliveryResult } from '../../events/delivery-result.ts'

const ofSubscription = ['topic', 'event_subscription'] as const
type Labels = Readonly<Record<(typeof ofSubscription)[number], string>>

/** Event Grid's Error of an attempt: whose fault it is to mend. */
const errors: Readonly<Partial<Record<DeliveryResult, string>>> = {
  Unauthorized: 'AuthenticationError',
  Forbidden: 'AuthorizationError',
  BadRequest: 'ClientError',
  NotFound: 'ClientError',
  PayloadTooLarge: 'ClientError',
  UriTooLong: 'ClientError',
  Redirected: 'ClientError',
  AddressForbidden: 'ClientError',
}

/** What pushing to webhooks counts. */
export function createPushMetrics(registry: Registry) {
  const registers = [registry]
  const failed = new Counter({
    name: 'loggerhead_delivery_attempts_failed_total',
    help: 'Event Grid’s DeliveryAttemptFailCount: attempts to deliver an event that failed',
    labelNames: [...ofSubscription, 'error', 'error_type'],
    registers,
  })
  const seconds = new Histogram({
    name: 'loggerhead_destination_processing_latency_seconds',
    help: 'Event Grid’s DestinationProcessingDurationInMs: from a request to a webhook’s answer',
    labelNames: [...ofSubscription],
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
    registers,
  })
  const delivered = new Counter({
    name: 'loggerhead_delivery_successes_total',
    help: 'Event Grid’s DeliverySuccessCount: events that a webhook took',
    labelNames: [...ofSubscription],
    registers,
  })
  return {
    delivered,
    /** Those that have series of a subscription for as long as it is there. */
    bySubscription: [failed, seconds, delivered],
    attempted(labels: Labels, result: DeliveryResult, events: number, ms: number): void {
      seconds.observe(labels, ms / 1000)
      if (result !== 'Success') failed.inc({ ...labels, error: errors[result] ?? 'ServiceError', error_type: result }, events)
    },
    requests: new Gauge({ name: 'loggerhead_push_requests', help: 'Requests to webhooks under way', registers }),
    eventsHeld: new Gauge({
      name: 'loggerhead_push_events_held',
      help: 'Events read for a webhook and not settled',
      labelNames: [...ofSubscription],
      registers,
    }),
    bytesHeld: new Gauge({ name: 'loggerhead_push_bytes_held', help: 'Their bytes', labelNames: [...ofSubscription], registers }),
  }
}

export type PushMetrics = ReturnType<typeof createPushMetrics>
