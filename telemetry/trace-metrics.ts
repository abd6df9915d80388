import { Counter, type Registry } from 'prom-client'

export interface TraceMetrics {
  readonly spans: Counter<'outcome'>
  readonly malformed: Counter
}

/** What tracing counts of itself, where it is on. */
export function createTraceMetrics(registry: Registry): TraceMetrics {
  const registers = [registry]
  return {
    spans: new Counter({
      name: 'loggerhead_trace_spans_total',
      help: 'Spans by what became of them: exported, failed (the collector did not take them) or dropped (too many waited for it)',
      labelNames: ['outcome'],
      registers,
    }),
    malformed: new Counter({ name: 'loggerhead_traceparents_malformed_total', help: 'Publishes whose traceparent is none and was ignored', registers }),
  }
}

/** For docs/metrics.md. */
export const declareMetrics = (fresh: () => Registry): void => void createTraceMetrics(fresh())
