import { init } from 'echarts'
import type { Results, Row } from './report.ts'
import type { Scenario } from './scenarios.ts'

const height = 460

function svg(width: number, option: object): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height })
  chart.setOption({ animation: false, backgroundColor: '#ffffff', ...option })
  const text = chart.renderToSVGString()
  chart.dispose()
  return text
}

/** Bars of one figure: a group for each scenario, a bar for each broker. */
function bars(title: string, unit: string, results: Results, scenarios: readonly Scenario[], of: (row: Row) => number | null): string {
  const shown = scenarios.filter(({ name }) => results.rows.some((row) => row.scenario === name && of(row) !== null))
  const figureOf = (scenario: string, broker: string): number | null => {
    const row = results.rows.find((each) => each.scenario === scenario && each.broker === broker)
    return row ? of(row) : null
  }
  // Wide enough for a bar's figure above it, and for a scenario's name below.
  const width = 110 + shown.length * Math.max(84, results.brokers.length * 26)
  return svg(width, {
    title: { text: title, left: 'center' },
    legend: { bottom: 0, itemGap: 28 },
    grid: { left: 80, right: 20, top: 50, bottom: 70 },
    xAxis: { type: 'category', data: shown.map(({ name }) => name), axisLabel: { interval: 0, formatter: (name: string) => name.replace('-', '-\n') } },
    yAxis: { type: 'log', name: unit, min: 1, logBase: 10 },
    series: results.brokers.map(({ name }) => ({
      name,
      type: 'bar',
      data: shown.map((scenario) => figureOf(scenario.name, name)),
      label: { show: true, position: 'top', fontSize: 9, formatter: ({ value }: { value: number | null }) => (value === null ? '' : compact(value)) },
    })),
  })
}

const compact = (value: number): string => value.toLocaleString('en-US', { notation: 'compact', maximumFractionDigits: 1 })

/** Charts by file name. */
export function charts(results: Results, scenarios: readonly Scenario[]): Readonly<Record<string, string>> {
  return {
    'rate.svg': bars(
      'Messages a second, delivered or, without subscribers, acknowledged',
      'msg/s',
      results,
      // At a fixed rate all do the same.
      scenarios.filter(({ load }) => !load.rate),
      (row) => (row.deliveryRate > 0 ? row.deliveryRate : row.publishRate),
    ),
    'cpu.svg': bars('CPU of all the broker’s processes for each message published', 'µs', results, scenarios, (row) => row.cpuPerMessage),
    'puback.svg': bars('Time to PUBACK, 99th percentile', 'ms', results, scenarios, (row) => row.puback.p99),
  }
}
