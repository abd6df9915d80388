/**
 * `npm run bench`: starts a stack of its own on free ports, puts a few bounded loads on it, and on mosquitto where that
 * is installed, and prints rates, latencies, losses and what each process used: as a table, and as JSON in bench/results/.
 *
 *   npm run bench -- --seconds 5 --only telemetry --alone
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type StackProcess, startStack } from '../test/support/stack.ts'
import { Mosquitto } from '../test/wire/mosquitto.ts'
import { run } from '../test/wire/programs.ts'
import type { LoadReport } from './load.ts'
import { useOf } from './process-times.ts'

interface Scenario {
  readonly name: string
  readonly about: string
  /** Options of bench/load.ts. */
  readonly load: Readonly<Record<string, string | number>>
}

const scenarios: readonly Scenario[] = [
  { name: 'qos1-one', about: '50 pairs, QoS 1, one in flight', load: { publishers: 50, subscribers: 50, qos: 1, window: 1 } },
  { name: 'qos1-many', about: '50 pairs, QoS 1, 20 in flight', load: { publishers: 50, subscribers: 50, qos: 1, window: 20 } },
  { name: 'qos0', about: '50 pairs, QoS 0, 100 a second each', load: { publishers: 50, subscribers: 50, qos: 0, rate: 100 } },
  { name: 'telemetry', about: '200 publishers for the log, QoS 1, 20 in flight', load: { publishers: 200, subscribers: 0, qos: 1, window: 20 } },
]

interface Used {
  /** Microseconds of CPU for each message published. */
  readonly cpuPerMessage: number
  /** Share of one core. */
  readonly cpu: number
  readonly memory: number
}

interface Result {
  readonly broker: string
  readonly scenario: string
  readonly about: string
  readonly report: LoadReport
  readonly processes: Readonly<Record<string, Used>>
}

async function measure(broker: string, scenario: Scenario, seconds: number, port: number, pids: Readonly<Record<string, number>>): Promise<Result> {
  const options = Object.entries({ ...scenario.load, seconds, port }).flatMap(([name, value]) => [`--${name}`, String(value)])
  const before = new Map(Object.entries(pids).map(([name, pid]) => [name, useOf(pid)]))
  const since = performance.now()
  const { code, output, errors } = await run(process.execPath, [join(import.meta.dirname, 'load.ts'), ...options], { deadlineMs: (seconds + 60) * 1_000 })
  if (code !== 0) throw new Error(`${broker}, ${scenario.about}: the load ended with ${code}: ${errors}`)
  const elapsed = (performance.now() - since) / 1_000
  const report = JSON.parse(output) as LoadReport
  const messages = Math.max(1, report.options.qos === 1 ? report.publish.acknowledged : report.publish.sent)
  const processes: Record<string, Used> = {}
  for (const [name, pid] of Object.entries(pids)) {
    const start = before.get(name)
    const end = useOf(pid)
    if (!start || !end) continue
    const cpu = end.cpu - start.cpu
    processes[name] = {
      cpuPerMessage: Math.round((cpu * 10_000_000) / messages) / 10,
      cpu: Math.round((cpu / elapsed) * 100) / 100,
      memory: Math.round(end.memory),
    }
  }
  return { broker, scenario: scenario.name, about: scenario.about, report, processes }
}

const number = (value: number | null, digits = 0): string =>
  value === null ? '–' : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })

function table(results: readonly Result[]): string {
  const header = ['broker', 'load', 'msg/s in', 'out', 'PUBACK p50', 'p99', 'delivery p50', 'p99 ms', 'lost', 'repeats', 'disorder', 'CPU µs/msg']
  const rows = results.map(({ broker, about, report, processes }) => [
    broker,
    about,
    number(report.publish.rate),
    report.options.subscribers > 0 ? number(report.delivery.rate) : '–',
    number(report.publish.puback.p50, 1),
    number(report.publish.puback.p99, 1),
    number(report.delivery.latency.p50, 1),
    number(report.delivery.latency.p99, 1),
    number(report.delivery.lost),
    number(report.delivery.duplicates),
    number(report.delivery.outOfOrder),
    number(
      Object.values(processes).reduce((sum, each) => sum + each.cpuPerMessage, 0),
      0,
    ),
  ])
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)))
  const line = (row: readonly string[]) => row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')
  const lines = [line(header), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line), '', 'CPU µs a message and memory MiB of each process:']
  for (const { broker, about, report, processes } of results) {
    const used = Object.entries(processes).map(
      ([name, { cpuPerMessage, cpu, memory }]) => `${name} ${number(cpuPerMessage, 1)} (${Math.round(cpu * 100)} % of a core, ${memory} MiB)`,
    )
    lines.push(`  ${broker}, ${about}: ${used.join(', ')}; generator ${Math.round(report.generatorCpu * 100)} % of a core`)
  }
  return lines.join('\n')
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '8' }, only: { type: 'string' }, alone: { type: 'boolean', default: false } } })
  const seconds = Number(values.seconds)
  if (!(seconds >= 1 && seconds <= 60)) throw new Error(`--seconds: “${values.seconds}” is not from 1 to 60`)
  const chosen = scenarios.filter(({ name }) => values.only === undefined || name === values.only)
  if (chosen.length === 0) throw new Error(`--only: “${values.only}” is none of ${scenarios.map(({ name }) => name).join(', ')}`)
  const results: Result[] = []
  const say = (text: string) => process.stderr.write(`${text}\n`)

  say('starting a stack of its own …')
  const stack = await startStack({ kafka: 'own' })
  try {
    const pids = Object.fromEntries(Object.entries(await stack.processes()).map(([name, { pid }]: [string, StackProcess]) => [name, pid]))
    for (const scenario of chosen) {
      say(`loggerhead: ${scenario.about} …`)
      results.push(await measure('loggerhead', scenario, seconds, stack.ports.mqtt, pids))
    }
  } finally {
    await stack.stop()
  }
  if (Mosquitto.isInstalled && !values.alone) {
    const mosquitto = await Mosquitto.start()
    try {
      for (const scenario of chosen) {
        say(`mosquitto: ${scenario.about} …`)
        results.push(await measure('mosquitto', scenario, seconds, mosquitto.endpoint.port, { mosquitto: mosquitto.pid }))
      }
    } finally {
      await mosquitto.stop()
    }
  }

  const [cpu] = cpus()
  const machine = { cpu: cpu?.model ?? 'unknown', cores: cpus().length, kernel: release(), node: process.version, at: new Date().toISOString() }
  const folder = join(import.meta.dirname, 'results')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${machine.at.replaceAll(/[:.]/g, '-')}.json`)
  writeFileSync(file, `${JSON.stringify({ machine, results }, null, 2)}\n`)
  process.stdout.write(
    `\n${machine.cpu}, ${machine.cores} cores, Node ${machine.node}; mosquitto answers from memory, Loggerhead from Kafka\n\n${table(results)}\n\n${file}\n`,
  )
  const unclean = results.filter(
    ({ broker, report }) => broker === 'loggerhead' && report.options.qos === 1 && (report.delivery.lost > 0 || report.delivery.outOfOrder > 0),
  )
  for (const { about, report } of unclean) process.stdout.write(`${about}: ${report.delivery.lost} lost, ${report.delivery.outOfOrder} out of order at QoS 1\n`)
  return unclean.length > 0 ? 1 : 0
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
