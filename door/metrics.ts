import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** Why a request or connection was not served, as the label `reason` of loggerhead_door_refused_total. */
export type Refusal = 'body' | 'headers' | 'slow' | 'idle' | 'connections' | 'busy' | 'malformed' | 'key'

/** The front door's metrics. */
export interface DoorMetrics {
  readonly requests: Counter<'hop' | 'code'>
  readonly underWay: Gauge<'hop'>
  readonly upstreamFailures: Counter<'hop' | 'kind'>
  readonly refused: Counter<'reason'>
  readonly canaryRounds: Counter<'result'>
  readonly canarySeconds: Histogram<'gateway'>
}

/** For docs/metrics.md. */
export const declareMetrics = (fresh: () => Registry): void => void createMetrics(fresh())

/** Registers them; once per registry. */
export function createMetrics(registry: Registry): DoorMetrics {
  const registers = [registry]
  return {
    requests: new Counter({ name: 'loggerhead_door_requests_total', help: 'HTTP answers by who gave them and status', labelNames: ['hop', 'code'], registers }),
    underWay: new Gauge({ name: 'loggerhead_door_requests_under_way', help: 'HTTP requests at a service behind the door', labelNames: ['hop'], registers }),
    upstreamFailures: new Counter({
      name: 'loggerhead_door_upstream_failures_total',
      help: 'Services behind the door that could not be reached, fell silent or broke off',
      labelNames: ['hop', 'kind'],
      registers,
    }),
    refused: new Counter({ name: 'loggerhead_door_refused_total', help: 'Requests and connections that met a limit', labelNames: ['reason'], registers }),
    canaryRounds: new Counter({ name: 'loggerhead_door_canary_rounds_total', help: 'Canary rounds by result', labelNames: ['result'], registers }),
    canarySeconds: new Histogram({
      name: 'loggerhead_door_canary_seconds',
      help: 'Time of a canary message from MQTT through the log and back',
      labelNames: ['gateway'],
      buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
      registers,
    }),
  }
}
