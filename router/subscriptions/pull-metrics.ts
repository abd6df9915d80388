import { Counter, Histogram, type Registry } from 'prom-client'
import type { EventFailure } from '../../telemetry/event-failure.ts'
import type { PullAction } from './pull-request.ts'

const ofSubscription = ['topic', 'event_subscription'] as const
/** A subscription, as labels. */
export type SubscriptionLabels = Readonly<Record<(typeof ofSubscription)[number], string>>

const buckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]

/** What receiving events and settling them counts. Event Grid has no other numbers of rejecting, and none of renewing locks. */
export function createPullMetrics(registry: Registry) {
  const registers = [registry]
  const succeeded = (eventGrid: string, verb: string, what: string) =>
    new Counter({
      name: `loggerhead_successful_${verb}_events_total`,
      help: `Event Grid’s ${eventGrid}: events ${what}`,
      labelNames: [...ofSubscription],
      registers,
    })
  const failed = (eventGrid: string, verb: string, what: string) =>
    new Counter({
      name: `loggerhead_failed_${verb}_events_total`,
      help: `Event Grid’s ${eventGrid}: ${what}`,
      labelNames: [...ofSubscription, 'error', 'error_type'],
      registers,
    })
  const latency = (eventGrid: string, verb: string, what: string) =>
    new Histogram({
      name: `loggerhead_${verb}_latency_seconds`,
      help: `Event Grid’s ${eventGrid}: ${what}`,
      labelNames: [...ofSubscription],
      buckets,
      registers,
    })
  const received = succeeded('SuccessfulReceivedEvents', 'received', 'given to receivers, each time')
  const receiveSeconds = latency('ReceiveLatencyInMilliseconds', 'receive', 'from there being events for a receiver to their locks being in the log')
  const counters = {
    acknowledge: succeeded('SuccessfulAcknowledgedEvents', 'acknowledged', 'that receivers acknowledged'),
    release: succeeded('SuccessfulReleasedEvents', 'released', 'that receivers released'),
  }
  const failures = {
    receive: failed('FailedReceivedEvents', 'received', 'requests to receive that were refused'),
    acknowledge: failed('FailedAcknowledgedEvents', 'acknowledged', 'lock tokens that could not be acknowledged, a request that was not read counting as one'),
    release: failed('FailedReleasedEvents', 'released', 'lock tokens that could not be released, a request that was not read counting as one'),
  }
  const seconds = {
    acknowledge: latency('AcknowledgeLatencyInMilliseconds', 'acknowledge', 'of requests to acknowledge'),
    reject: latency('RejectLatencyInMilliseconds', 'reject', 'of requests to reject'),
  }
  const of = <T>(some: Readonly<Partial<Record<PullAction, T>>>, action: PullAction): T | undefined => some[action]
  return {
    received(labels: SubscriptionLabels, events: number, ms: number): void {
      received.inc(labels, events)
      receiveSeconds.observe(labels, ms / 1000)
    },
    settled(labels: SubscriptionLabels, action: PullAction, events: number, ms: number): void {
      of(counters, action)?.inc(labels, events)
      of(seconds, action)?.observe(labels, ms / 1000)
    },
    failed(labels: SubscriptionLabels, action: PullAction, failure: EventFailure): void {
      of<Counter>(failures, action)?.inc({ ...labels, ...failure })
    },
    /** Those that have series of a subscription for as long as it is there. */
    bySubscription: [received, receiveSeconds, ...Object.values(counters), ...Object.values(failures), ...Object.values(seconds)],
  }
}

export type PullMetrics = ReturnType<typeof createPullMetrics>
