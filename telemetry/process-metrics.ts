/** What every process measures of itself: memory, garbage collection, the event loop, and which version it is. */
import { readFileSync } from 'node:fs'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client'
import { countedElsewhere } from './counted.ts'
import { linesWithheld } from './logger.ts'

/** Sums of what prom-client tells by type as well, under the ending of a counter, which they are not: promtool's lint finds fault with them. */
const misnamed = ['loggerhead_nodejs_active_handles_total', 'loggerhead_nodejs_active_requests_total', 'loggerhead_nodejs_active_resources_total']

/** Registers them; once per process. `process`: gateway, router, registry or door. */
export function createProcessMetrics(registry: Registry, process: string, logger: Pick<Logger, 'level'>): void {
  collectDefaultMetrics({ register: registry, prefix: 'loggerhead_' })
  for (const name of misnamed) registry.removeSingleMetric(name)
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
  new Gauge({
    name: 'loggerhead_build_info',
    help: 'Always 1; which process this is, its version and Node’s are the labels',
    labelNames: ['process', 'version', 'node'],
    registers: [registry],
  }).set({ process, version, node: globalThis.process.version }, 1)
  countedElsewhere(
    {
      registry,
      name: 'loggerhead_lines_withheld_total',
      help: 'Log lines that were only counted, because so many of their kind came in a second',
      labelNames: [],
    },
    () => [[{}, linesWithheld(logger)]],
  )
}

/** For docs/metrics.md. */
export const declareMetrics = (fresh: () => Registry): void => createProcessMetrics(fresh(), '', { level: '' })
