import { Counter, Gauge, Histogram, type Registry as Metrics } from 'prom-client'
import { resourceKinds } from '../model/registry-resources.ts'
import { registrySettings } from './config.ts'
import type { Registry } from './registry.ts'

export interface RegistryMetrics {
  readonly requests: Histogram<'method' | 'kind' | 'status'>
  readonly limits: Counter<'limit'>
  readonly snapshots: Counter<'result'>
}

/** For docs/metrics.md. */
export function declareMetrics(fresh: () => Metrics): void {
  createMetrics(fresh())
  observeRegistry(fresh(), () => {
    throw new TypeError('only declared')
  })
}

/** Registers the registry's metrics. */
export function createMetrics(metrics: Metrics): RegistryMetrics {
  const requests = new Histogram({
    name: 'loggerhead_registry_request_seconds',
    help: 'Requests of the HTTP API by method, kind of resource and status',
    labelNames: ['method', 'kind', 'status'] as const,
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    registers: [metrics],
  })
  const limits = new Counter({
    name: 'loggerhead_limit_reached_total',
    help: 'Times a limit took effect, by the setting that sets it',
    labelNames: ['limit'] as const,
    registers: [metrics],
  })
  for (const [limit, setting] of Object.entries(registrySettings)) {
    if ('metric' in setting && setting.metric.startsWith('loggerhead_limit_reached_total')) limits.inc({ limit }, 0)
  }
  const snapshots = new Counter({
    name: 'loggerhead_registry_snapshots_total',
    help: 'Snapshots of the registry, by result: written, failed, read by a start, or unusable, so that a start has read every change of the history window',
    labelNames: ['result'] as const,
    registers: [metrics],
  })
  for (const result of ['written', 'failed', 'read', 'unusable']) snapshots.inc({ result }, 0)
  return { requests, limits, snapshots }
}

/** Shows the state of the registry itself, from the moment there is one. */
export function observeRegistry(metrics: Metrics, registryNow: () => Registry): void {
  const gauge = (name: string, help: string, read: (registry: Registry) => number) => {
    new Gauge({
      name,
      help,
      registers: [metrics],
      collect() {
        this.set(read(registryNow()))
      },
    })
  }
  gauge('loggerhead_registry_position', 'Offset after the last record of the topic registry that was folded', (registry) => registry.view.position)
  gauge('loggerhead_registry_confirmed_seconds', 'Time since Kafka last confirmed the view', (registry) => registry.follower.confirmedMs() / 1000)
  gauge('loggerhead_registry_waiting', 'Changes waiting to be written', (registry) => registry.waiting)
  gauge('loggerhead_registry_unreadable', 'Records that were no resource and grant nothing', (registry) => registry.view.unreadable)
  new Gauge({
    name: 'loggerhead_registry_resources',
    help: 'Resources by kind',
    labelNames: ['kind'] as const,
    registers: [metrics],
    collect() {
      for (const kind of resourceKinds) this.set({ kind }, registryNow().view.of(kind).size)
    },
  })
}
