/**
 * Puts a run's figures into docs/performance.md, between its markers, and the run's charts beside it.
 *
 *   npm run bench:page                         the newest run in bench/results/
 *   npm run bench:page -- bench/results/….json
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { charts } from './charts.ts'
import { newestResults } from './newest-results.ts'
import { placed } from './placed.ts'
import type { Results } from './report.ts'
import { scenarios } from './scenarios.ts'
import { judge } from './targets.ts'

const project = join(import.meta.dirname, '..')
const page = join(project, 'docs/performance.md')
const pictures = join(project, 'docs/performance')

const cell = (value: number | null, digits = 0): string =>
  value === null ? '–' : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
const tableOf = (header: readonly string[], rows: readonly (readonly string[])[]): string =>
  [header, header.map((_, i) => (i === 0 ? '---' : '--:')), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')

const says = { memory: 'memory', 'page cache': 'the page cache', disk: 'the disk' } as const

/** What stands between the markers. Pure. */
export function figures(results: Results): string {
  const { machine, brokers, missing, kafkaLimit, idle, tlsHandshakes } = results
  const parts = [
    `${machine.cpu}, ${machine.cores} cores for everything, the load generator included; Linux ${machine.kernel}, Node ${machine.node}; ${String(machine.at).slice(0, 10)}.`,
    tableOf(
      ['broker', 'version', 'its PUBACK comes from'],
      brokers.map(({ name, version, durability }) => [name, version, says[durability]]),
    ),
    Object.entries(missing)
      .map(([name, why]) => `Not measured: ${name} (${why}).`)
      .join(' '),
    '### Against the targets',
    tableOf(
      ['scenario', 'target', 'found', ''],
      judge(results).map(({ scenario, target, found, isMet }) => [`\`${scenario}\``, target, found, isMet === null ? '–' : isMet ? 'met' : '**missed**']),
    ),
    '### Each scenario',
    'Messages a second in and out, times in ms, CPU of all processes of a broker for each message published (Kafka among them); medians of all rounds, losses of all together.',
    ...scenarios.flatMap(({ name, about }) => {
      const rows = results.rows.filter(({ scenario }) => scenario === name)
      if (rows.length === 0) return []
      const header = [
        'broker',
        'in',
        'out',
        'PUBACK p50',
        'p99',
        'p99.9',
        'end to end p50',
        'p99',
        'p99.9',
        'lost, repeated, disordered',
        'CPU µs',
        'memory MiB',
      ]
      const cells = rows.map((row) => [
        row.broker,
        cell(row.publishRate),
        row.deliveryRate > 0 ? cell(row.deliveryRate) : '–',
        ...[row.puback.p50, row.puback.p99, row.puback.p999, row.latency.p50, row.latency.p99, row.latency.p999].map((ms) => cell(ms, 1)),
        `${row.lost}, ${row.repeats}, ${row.disorder}`,
        cell(row.cpuPerMessage, 1),
        cell(Object.values(row.memory).reduce((sum, memory) => sum + memory, 0)),
      ])
      const own = rows.find(({ broker }) => broker === 'loggerhead')
      const herd = own?.herdSeconds == null ? '' : ` The herd was served in ${cell(own.herdSeconds, 1)} s.`
      const processes = own ? Object.entries(own.cpu).flatMap(([process, each]) => (each > 0 ? [`${process} ${cell(each, 1)} µs`] : [])) : []
      return [`**${about}** (\`${name}\`)`, tableOf(header, cells), `Loggerhead: ${processes.join(', ')}.${herd}`]
    }),
    kafkaLimit
      ? `kafka-producer-perf-test, same record size, \`acks=all\`: ${cell(kafkaLimit.recordsPerSecond)} records/s, p50 ${kafkaLimit.p50} ms, p99 ${kafkaLimit.p99} ms.`
      : '',
    ...(idle.length === 0
      ? []
      : [
          `**${cell(idle[0]?.connections ?? 0)} idle connections** (\`idle\`)`,
          tableOf(
            ['broker', 'KiB each', 'connects/s', 'KiB each, TLS', 'TLS connects/s'],
            idle.map((each) => [
              each.broker,
              cell(each.memoryPerConnection, 1),
              cell(each.connectsPerSecond),
              cell(each.tlsMemoryPerConnection ?? null, 1),
              cell(each.tlsConnectsPerSecond),
            ]),
          ),
        ]),
    tlsHandshakes
      ? `TLS handshakes with client certificates, nothing being said over the connections: ${cell(tlsHandshakes.loggerhead)} a second, a bare server in Node ${cell(tlsHandshakes.bare)}.`
      : '',
    ...Object.keys(charts(results, scenarios)).map((name) => `![${name.replace('.svg', '')}](performance/${name})`),
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}

/** The page with other figures. */
export function withFigures(text: string, results: Results): string {
  return placed(text, 'figures', figures(results))
}

if (import.meta.main) {
  const file = process.argv[2] === undefined ? newestResults() : resolve(process.argv[2])
  if (file === undefined) throw new Error('bench/results/ holds no run: npm run bench makes one')
  const results = JSON.parse(readFileSync(file, 'utf8')) as Results
  writeFileSync(page, withFigures(readFileSync(page, 'utf8'), results))
  mkdirSync(pictures, { recursive: true })
  for (const [name, text] of Object.entries(charts(results, scenarios))) writeFileSync(join(pictures, name), text)
  process.stdout.write(`docs/performance.md tells of ${file}\n`)
}
