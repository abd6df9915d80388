/** What the services measure, as the tables of docs/metrics.md. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { type EventGridMetric, eventMetrics, type MetricHome, metricHomes, mqttMetrics } from '../telemetry/eventgrid-metrics.ts'

/** Where a metric is found: at the /metrics of a service, or of everyone that uses the log, or of every process. */
export type MetricSource = MetricHome | 'log' | 'process'

export interface DeclaredMetric {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly labels: readonly string[]
}

/** prom-client's own view of a metric, which its types do not tell in full. */
interface Registered {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly labelNames: readonly string[]
}

const folders: Readonly<Record<MetricSource, readonly string[]>> = {
  gateway: ['gateway'],
  router: ['router'],
  registry: ['registry'],
  door: ['door'],
  log: ['log/kafka'],
  process: ['telemetry'],
}

/** Whatever the modules called `…metrics.ts` of a folder declare, in the order of their names. */
export async function declaredMetrics(project: string, source: MetricSource): Promise<readonly DeclaredMetric[]> {
  const registries: Registry[] = []
  const fresh = (): Registry => {
    const registry = new Registry()
    registries.push(registry)
    return registry
  }
  for (const folder of folders[source]) {
    for (const file of readdirSync(join(project, folder)).sort()) {
      if (!file.endsWith('metrics.ts')) continue
      const module = (await import(join(project, folder, file))) as { readonly declareMetrics?: (fresh: () => Registry) => void }
      module.declareMetrics?.(fresh)
    }
  }
  const found = new Map<string, DeclaredMetric>()
  for (const registry of registries)
    for (const { name, help, type, labelNames } of registry.getMetricsAsArray() as unknown as Registered[])
      found.set(name, { name, help, type, labels: labelNames })
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

const cell = (text: string): string => text.replaceAll('|', '\\|')
const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ')

/** Event Grid's name → ours. */
export function eventGridTable(): string {
  const rows = (metrics: readonly EventGridMetric[]): string[] =>
    metrics.map(({ eventGrid, name, labels, home, about }) =>
      home === null
        ? `| \`${eventGrid}\` | none | ${code(labels)} |  | ${cell(about)} |`
        : `| \`${eventGrid}\` | \`${name}\` | ${code(labels)} | ${home} | ${cell(about)} |`,
    )
  return ['| Event Grid | Loggerhead | labels | from | counts |', '| --- | --- | --- | --- | --- |', ...rows(mqttMetrics), ...rows(eventMetrics)].join('\n')
}

const titles: Readonly<Record<MetricSource, string>> = {
  gateway: 'The gateway',
  router: 'The router',
  registry: 'The registry',
  door: 'The front door',
  log: 'Kafka, as gateway, router and registry see it',
  process: 'Every process',
}

/** Why the gateway refuses something. */
export async function refusalsTable(project: string): Promise<string> {
  const { refusalReasons } = (await import(join(project, 'gateway/refusal-reason.ts'))) as { readonly refusalReasons: Readonly<Record<string, string>> }
  return ['| reason | when |', '| --- | --- |', ...Object.entries(refusalReasons).map(([reason, about]) => `| \`${reason}\` | ${cell(about)} |`)].join('\n')
}

/** All metrics, by the process that has them. */
export async function metricsTables(project: string): Promise<string> {
  const sections: string[] = []
  for (const source of [...metricHomes, 'log', 'process'] as const) {
    const metrics = await declaredMetrics(project, source)
    sections.push(
      `### ${titles[source]}`,
      '',
      '| metric | type | labels | what |',
      '| --- | --- | --- | --- |',
      ...metrics.map(({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${code(labels)} | ${cell(help)} |`),
      '',
    )
  }
  return sections.join('\n').trimEnd()
}
