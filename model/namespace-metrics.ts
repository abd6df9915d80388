/** Metrics of a process that serves several namespaces: its own, and each namespace's under the label `namespace`. */
import { AggregatorRegistry, type MetricObject, Registry } from 'prom-client'

export class NamespaceMetrics {
  /** What concerns all namespaces together. */
  readonly process: Registry
  readonly #byNamespace = new Map<string, Registry>()

  constructor(process: Registry = new Registry()) {
    this.process = process
  }

  /** A registry for a namespace that begins, in the place of an earlier one's. */
  begin(namespace: string): Registry {
    const registry = new Registry()
    registry.setDefaultLabels({ namespace })
    this.#byNamespace.set(namespace, registry)
    return registry
  }

  /** The namespaces there are: the others' figures are shown no more. */
  keep(namespaces: ReadonlySet<string>): void {
    for (const namespace of [...this.#byNamespace.keys()]) if (!namespaces.has(namespace)) this.#byNamespace.delete(namespace)
  }

  /** The registries there are, the process's first. */
  all(): readonly Registry[] {
    return [this.process, ...this.#byNamespace.values()]
  }

  get contentType(): string {
    return this.process.contentType
  }

  /** In the text format, each family once. */
  async metrics(): Promise<string> {
    const parts = await Promise.all(this.all().map((registry) => registry.getMetricsAsJSON()))
    // No two parts share a set of labels, so nothing is added up; what is not meant for sums is kept as it is.
    const kept = parts.map((part) => part.map((metric) => (metric.aggregator === 'omit' ? { ...metric, aggregator: 'first' } : metric) as MetricObject))
    return AggregatorRegistry.aggregate(kept).metrics()
  }
}
