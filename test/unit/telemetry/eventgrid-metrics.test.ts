import { dirname } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type DeclaredMetric, declaredMetrics } from '../../../stack/metric-tables.ts'
import { eventGridMetrics, metricHomes } from '../../../telemetry/eventgrid-metrics.ts'

const project = dirname(dirname(dirname(import.meta.dirname)))

async function declared(): Promise<ReadonlyMap<string, readonly DeclaredMetric[]>> {
  return new Map(await Promise.all(metricHomes.map(async (home) => [home, await declaredMetrics(project, home)] as const)))
}

/** The rule of docs/metrics.md, so that a name can be guessed. */
function nameOf(eventGrid: string): string {
  const snake = eventGrid
    .replace(/InMilliseconds$|InMs$/, '')
    .replace('.', '_')
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
  return `loggerhead_${snake}`
}

const words = (name: string): string[] => name.replace(/_(total|seconds|bytes|latency|count|size|duration)(?=_|$)/g, '').split('_')

describe('Event Grid’s metrics (section “Metrics and logs”)', () => {
  test('each has one name of ours, made of its own words', () => {
    const names = eventGridMetrics.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    for (const { eventGrid, name } of eventGridMetrics) {
      const known = new Set(words(name).map((word) => word.replace(/e?s$|ed$|ful$/, '')))
      const missing = words(nameOf(eventGrid)).filter((word) => word !== '' && !known.has(word.replace(/e?s$|ed$|ful$/, '')))
      expect([eventGrid, name, missing.filter((word) => !['request', 'success', 'event', 'fail', 'attempt'].includes(word))]).toEqual([eventGrid, name, []])
    }
  })

  test('each is registered by the service that the table names, with its type and its labels, and by no other', async () => {
    const services = await declared()
    for (const { name, type, labels, home } of eventGridMetrics) {
      for (const [service, metrics] of services) {
        const found = metrics.find((metric) => metric.name === name)
        const expected = service === home ? { name, type, labels: [...labels].sort() } : undefined
        expect([service, found && { name, type: found.type, labels: [...found.labels].sort() }]).toEqual([service, expected])
      }
    }
  })
})

test('names and labels of all metrics follow the rules of docs/metrics.md', async () => {
  for (const source of [...metricHomes, 'log', 'process'] as const) {
    const metrics = await declaredMetrics(project, source)
    expect(metrics.length).toBeGreaterThan(0)
    for (const { name, type, labels, help } of metrics) {
      expect(name).toMatch(/^loggerhead_[a-z0-9_]+$/)
      // prom-client's own metrics of the process count under names of theirs.
      if (source !== 'process') expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter'])
      for (const label of labels) expect([name, label]).toEqual([name, expect.stringMatching(/^[a-z_]+$/)])
      // What clients choose is no label: there is no end of it.
      for (const label of labels) expect(['client_id', 'client', 'session', 'user', 'mqtt_topic', 'address', 'filter']).not.toContain(label)
      expect(help.length).toBeGreaterThan(5)
    }
  }
})
