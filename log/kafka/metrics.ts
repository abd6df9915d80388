/** What the log's Kafka adapter counts. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export interface LogMetrics {
  readonly appendedRecords: Counter<'topic'>
  readonly appendedBytes: Counter<'topic'>
  readonly produceRequests: Counter
  readonly appendRetries: Counter
  readonly appendErrors: Counter<'error'>
  readonly appendSeconds: Histogram
  readonly produceSeconds: Histogram
  readonly batchRecords: Histogram
  readonly batchBytes: Histogram
  readonly fetchedBytes: Counter<'topic'>
  readonly readSeconds: Histogram
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
    produceSeconds: new Histogram({
      name: 'loggerhead_log_produce_seconds',
      help: 'From a produce request to its answer',
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    batchRecords: new Histogram({
      name: 'loggerhead_log_batch_records',
      help: 'Records of a batch that was acknowledged: what shares the cost of a request',
      buckets: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500],
      registers,
    }),
    batchBytes: new Histogram({
      name: 'loggerhead_log_batch_bytes',
      help: 'Bytes of its records',
      buckets: [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576],
      registers,
    }),
    fetchedBytes: new Counter({ name: 'loggerhead_log_fetched_bytes_total', help: 'Bytes of batches fetched to follow', labelNames: ['topic'], registers }),
    readSeconds: new Histogram({
      name: 'loggerhead_log_read_seconds',
      help: 'Reads at a position, from the question to the answer; long polls are not among them',
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    fetchedRecords: new Counter({ name: 'loggerhead_log_fetched_records_total', help: 'Records read by position', labelNames: ['topic'], registers }),
  }
}
