import { Counter, Histogram, type Registry } from 'prom-client'
import type { EventFailure } from '../../telemetry/event-failure.ts'
import { NamedSeries } from '../../telemetry/named-series.ts'

/** What publishing events over HTTP counts, by namespace topic. */
export class EventMetrics {
  readonly #published: Counter<'topic'>
  readonly #failed: Counter<'topic' | 'error' | 'error_type'>
  readonly #seconds: Histogram<'topic'>
  readonly #series: NamedSeries

  constructor(registry: Registry) {
    const registers = [registry]
    this.#published = new Counter({
      name: 'loggerhead_successful_published_events_total',
      help: 'Event Grid’s SuccessfulPublishedEvents: events published over HTTP that are in the topic',
      labelNames: ['topic'],
      registers,
    })
    this.#failed = new Counter({
      name: 'loggerhead_failed_published_events_total',
      help: 'Event Grid’s FailedPublishedEvents: events refused over HTTP, a request that was not read counting as one; without a topic where there is none',
      labelNames: ['topic', 'error', 'error_type'],
      registers,
    })
    this.#seconds = new Histogram({
      name: 'loggerhead_publish_latency_seconds',
      help: 'Event Grid’s PublishLatencyInMilliseconds: from a request over HTTP to its events being in the topic',
      labelNames: ['topic'],
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
      registers,
    })
    this.#series = new NamedSeries([this.#published, this.#failed, this.#seconds], ({ topic = '' }) => topic)
  }

  published(topic: string, events: number, ms: number): void {
    this.#published.inc({ topic }, events)
    this.#seconds.observe({ topic }, ms / 1000)
  }

  /** `topic`: empty when there is none of the name. */
  failed(topic: string, events: number, failure: EventFailure): void {
    this.#failed.inc({ topic, ...failure }, events)
  }

  /** Series of other topics are shown no more. */
  keep(topics: Iterable<string>): void {
    void this.#series.keep(topics)
  }
}
