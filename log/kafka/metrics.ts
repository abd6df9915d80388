/** What the log's Kafka adapter counts. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export interface LogMetrics {
  readonly appendedRecords: Counter<'topic'>
  readonly appendedBytes: Counter<'topic'>
  readonly produceRequests: Counter
  readonly appendRetries: Counter
  readonly appendErrors: Counter<'error'>
  readonly appendSeconds: Histogram
  readonly fetchedRecords: Counter<'topic'>
}

/** For docs/metrics.md. */
export const declareMetrics = (fresh: () => Registry): void => void logMetrics(fresh(), { pendingBytes: () => 0, unreachableMs: () => 0 })

export function logMetrics(registry: Registry, gauges: { pendingBytes(): number; unreachableMs(): number }): LogMetrics {
  const registers = [registry]
  new Gauge({
    name: 'loggerhead_log_pending_bytes',
    help: 'Bytes appended and not yet answered by Kafka',
    registers,
    collect() {
      this.set(gauges.pendingBytes())
    },
  })
  new Gauge({
    name: 'loggerhead_log_unreachable_seconds',
    help: 'Time since Kafka stopped answering, 0 when it answers',
    registers,
    collect() {
      this.set(gauges.unreachableMs() / 1000)
    },
  })
  return {
    appendedRecords: new Counter({ name: 'loggerhead_log_appended_records_total', help: 'Records acknowledged by Kafka', labelNames: ['topic'], registers }),
    appendedBytes: new Counter({
      name: 'loggerhead_log_appended_bytes_total',
      help: 'Bytes of records acknowledged by Kafka',
      labelNames: ['topic'],
      registers,
    }),
    produceRequests: new Counter({ name: 'loggerhead_log_produce_requests_total', help: 'Produce requests sent', registers }),
    appendRetries: new Counter({ name: 'loggerhead_log_append_retries_total', help: 'Batches sent again because their outcome was unknown', registers }),
    appendErrors: new Counter({ name: 'loggerhead_log_append_errors_total', help: 'Errors Kafka answered to batches', labelNames: ['error'], registers }),
    appendSeconds: new Histogram({
      name: 'loggerhead_log_append_seconds',
      help: 'From the first record of a batch queued to its answer',
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    fetchedRecords: new Counter({ name: 'loggerhead_log_fetched_records_total', help: 'Records read by position', labelNames: ['topic'], registers }),
  }
}
