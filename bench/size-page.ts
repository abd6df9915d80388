/**
 * `npm run bench:size`: what fleets of ten thousand to a hundred million devices need, by the costs that the newest run in bench/results/ has found,
 * into docs/performance.md with its chart. A run with all its scenarios, `npm run bench:full`, finds most of them.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { init } from 'echarts'
import { Random } from '../test/simulation/random.ts'
import { type Count, costsOf, returnAfterLoss, sizeOf, telemetryFleet, type UnitCosts, unitCosts } from './fleet-size.ts'
import { newestResults } from './newest-results.ts'
import { placed } from './placed.ts'
import type { Results } from './report.ts'

const fleets = [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000]
const number = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 1 : 0 })
const counted = ({ count, because }: Count): string => `${number(count)} (${because})`

function sizeTable(unit: UnitCosts, source: string): string {
  const header = [
    'devices',
    'publishes/s at peak',
    'namespaces',
    'gateways',
    'routers',
    'shards',
    'brokers',
    'registry read at start',
    'all back after a gateway’s death',
  ]
  const rows = fleets.map((devices) => {
    const fleet = telemetryFleet(devices)
    const size = sizeOf(fleet, unit)
    const back = returnAfterLoss(fleet, new Random(1), unit)
    return [
      number(devices),
      number(size.publishesPerSecond),
      ...[size.namespaces, size.gateways, size.routers, size.shards, size.brokers].map(counted),
      `${number(size.startSeconds)} s`,
      `${number(back.seconds)} s, ${number(back.attempts)} attempts each`,
    ]
  })
  const costs = Object.entries(unit).map(([name, value]) => `\`${name}\` ${number(value)}`)
  return [
    `Costs, ${source} (bench/fleet-size.ts has the units): ${costs.join(', ')}.`,
    [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n'),
    '![size](performance/size.svg)',
  ].join('\n\n')
}

function chart(unit: UnitCosts): string {
  const sizes = fleets.map((devices) => sizeOf(telemetryFleet(devices), unit))
  const drawing = init(null, null, { renderer: 'svg', ssr: true, width: 1_000, height: 460 })
  drawing.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    title: { text: 'What a fleet needs: a message a minute and a command an hour for each device', left: 'center' },
    legend: { bottom: 0, itemGap: 28 },
    grid: { left: 80, right: 30, top: 50, bottom: 70 },
    xAxis: { type: 'category', name: 'devices', data: fleets.map(number) },
    yAxis: { type: 'log', min: 1, logBase: 10 },
    series: (['namespaces', 'gateways', 'routers', 'shards', 'brokers'] as const).map((name) => ({
      name,
      type: 'line',
      data: sizes.map((size) => size[name].count),
    })),
  })
  const text = drawing.renderToSVGString()
  drawing.dispose()
  return text
}

if (import.meta.main) {
  const run = newestResults()
  const unit = run === undefined ? unitCosts : costsOf(JSON.parse(readFileSync(run, 'utf8')) as Results)
  const source = run === undefined ? 'memory measured and CPU assumed' : 'as the newest run of the bench has found them, where it has'
  const table = sizeTable(unit, source)
  const page = join(import.meta.dirname, '../docs/performance.md')
  writeFileSync(page, placed(readFileSync(page, 'utf8'), 'size', table))
  const pictures = join(import.meta.dirname, '../docs/performance')
  mkdirSync(pictures, { recursive: true })
  writeFileSync(join(pictures, 'size.svg'), chart(unit))
  process.stdout.write(`${table}\n`)
}
