import type { Broker } from './brokers/broker.ts'
import type { KafkaLimit } from './kafka-limit.ts'
import type { IdleMeasured, Measured, TlsHandshakes } from './measure.ts'
import { median } from './median.ts'
import type { PushMeasured } from './push.ts'
import type { ReplayMeasured } from './replay.ts'
import type { Scenario } from './scenarios.ts'

/** Medians of all rounds of one scenario on one broker. */
export interface Row {
  readonly scenario: string
  readonly broker: string
  readonly rounds: number
  readonly publishRate: number
  readonly deliveryRate: number
  readonly puback: { readonly p50: number | null; readonly p99: number | null; readonly p999: number | null }
  readonly latency: { readonly p50: number | null; readonly p99: number | null; readonly p999: number | null }
  /** Of all rounds together. */
  readonly lost: number
  readonly repeats: number
  readonly disorder: number
  /** Microseconds a message, all processes, and each. */
  readonly cpuPerMessage: number
  readonly cpu: Readonly<Record<string, number>>
  readonly memory: Readonly<Record<string, number>>
  readonly herdSeconds: number | null
  readonly generatorCpu: number
}

/** Everything that a run found out, as it is written to bench/results/. */
export interface Results {
  readonly machine: Readonly<Record<string, string | number>>
  readonly brokers: readonly Pick<Broker, 'name' | 'version' | 'durability'>[]
  /** Peers that did not take part, and why. */
  readonly missing: Readonly<Record<string, string>>
  readonly kafkaLimit: KafkaLimit | null
  readonly rows: readonly Row[]
  readonly idle: readonly IdleMeasured[]
  readonly tlsHandshakes: TlsHandshakes | null
  readonly push: PushMeasured | null
  readonly replay: ReplayMeasured | null
}

const medianOf = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null)
  return known.length === 0 ? null : median(known)
}
const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)

export function summarize(measured: readonly Measured[]): readonly Row[] {
  const groups = Map.groupBy(measured, ({ scenario, broker }) => `${scenario} ${broker}`)
  return [...groups.values()].map((all) => {
    const [{ scenario, broker }] = all as [Measured]
    const names = [...new Set(all.flatMap(({ processes }) => Object.keys(processes)))]
    const each = (pick: (used: Measured['processes'][string]) => number) =>
      Object.fromEntries(names.map((name) => [name, median(all.flatMap(({ processes }) => (processes[name] ? [pick(processes[name])] : [])))]))
    const quantiles = (pick: (one: Measured) => Measured['report']['publish']['puback']) => ({
      p50: medianOf(all.map((one) => pick(one).p50)),
      p99: medianOf(all.map((one) => pick(one).p99)),
      p999: medianOf(all.map((one) => pick(one).p999)),
    })
    return {
      scenario,
      broker,
      rounds: all.length,
      publishRate: median(all.map(({ report }) => report.publish.rate)),
      deliveryRate: median(all.map(({ report }) => report.delivery.rate)),
      puback: quantiles(({ report }) => report.publish.puback),
      latency: quantiles(({ report }) => report.delivery.latency),
      lost: total(all.map(({ report }) => report.delivery.lost)),
      repeats: total(all.map(({ report }) => report.delivery.duplicates)),
      disorder: total(all.map(({ report }) => report.delivery.outOfOrder)),
      cpuPerMessage: median(all.map(({ processes }) => total(Object.values(processes).map((used) => used.cpuPerMessage)))),
      cpu: each((used) => used.cpuPerMessage),
      memory: each((used) => used.memory),
      herdSeconds: medianOf(all.map(({ report }) => report.herdSeconds)),
      generatorCpu: median(all.map(({ report }) => report.generatorCpu)),
    }
  })
}

const number = (value: number | null, digits = 0): string =>
  value === null ? '–' : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })

function aligned(header: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)))
  const line = (row: readonly string[]) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')
  return [line(header), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)]
}

const header = ['', 'msg/s in', 'out', 'PUBACK p50', 'p99', 'p99.9', 'end to end p50', 'p99', 'p99.9 ms', 'lost', 'repeats', 'disorder', 'CPU µs/msg']

/** The figures, a table for each scenario; times in milliseconds, and under each table how Loggerhead compares. */
export function table({ brokers, missing, kafkaLimit, rows, idle, tlsHandshakes }: Results, scenarios: readonly Scenario[]): string {
  const lines: string[] = []
  for (const { name, version, durability } of brokers) lines.push(`${name} ${version}: PUBACK from ${durability === 'memory' ? 'memory' : `the ${durability}`}`)
  for (const [name, why] of Object.entries(missing)) lines.push(`${name}: not here, ${why}`)
  if (kafkaLimit) lines.push(`kafka-producer-perf-test: ${number(kafkaLimit.recordsPerSecond)} records/s, p50 ${kafkaLimit.p50} ms, p99 ${kafkaLimit.p99} ms`)
  for (const { name, about } of scenarios) {
    const found = rows.filter((row) => row.scenario === name)
    if (found.length === 0) continue
    lines.push('', `${about} (${name})`)
    const cells = found.map((row) => [
      row.broker,
      number(row.publishRate),
      row.deliveryRate > 0 ? number(row.deliveryRate) : '–',
      ...[row.puback.p50, row.puback.p99, row.puback.p999, row.latency.p50, row.latency.p99, row.latency.p999].map((ms) => number(ms, 1)),
      ...[row.lost, row.repeats, row.disorder, row.cpuPerMessage].map((value) => number(value)),
    ])
    lines.push(...aligned(header, cells).map((line) => `  ${line}`), ...ratios(found, kafkaLimit).map((line) => `  ${line}`))
    for (const row of found) lines.push(`  ${row.broker}: ${used(row)}${row.herdSeconds === null ? '' : `; herd served in ${number(row.herdSeconds, 1)} s`}`)
  }
  if (idle.length > 0) {
    lines.push('', `${number(idle[0]?.connections ?? 0)} idle connections (idle)`)
    const cells = idle.map((each) => [
      each.broker,
      number(each.memoryPerConnection, 1),
      number(each.connectsPerSecond),
      number(each.tlsMemoryPerConnection ?? null, 1),
      number(each.tlsConnectsPerSecond),
    ])
    lines.push(...aligned(['', 'KiB each', 'connects/s', 'KiB each, TLS', 'TLS connects/s'], cells).map((line) => `  ${line}`))
    if (tlsHandshakes) lines.push(`  TLS handshakes alone: ${number(tlsHandshakes.loggerhead)}/s, a bare server in Node ${number(tlsHandshakes.bare)}/s`)
  }
  return lines.join('\n')
}

function used({ cpu, memory, generatorCpu }: Row): string {
  const busy = Object.keys(cpu).filter((name) => (cpu[name] ?? 0) > 0)
  const each = busy.map((name) => `${name} ${number(cpu[name] ?? null, 1)} µs, ${number(memory[name] ?? null)} MiB`)
  return `${each.join('; ')}; generator ${Math.round(generatorCpu * 100)} % of a core`
}

function ratios(rows: readonly Row[], kafkaLimit: KafkaLimit | null): readonly string[] {
  const own = rows.find(({ broker }) => broker === 'loggerhead')
  if (!own) return []
  const parts = rows
    .filter((row) => row !== own)
    .map((row) => `${number(rateOf(own) / rateOf(row), 2)} × ${row.broker}’s rate at ${number(own.cpuPerMessage / row.cpuPerMessage, 2)} × its CPU`)
  if (kafkaLimit && own.scenario === 'telemetry') parts.push(`${number((100 * own.publishRate) / kafkaLimit.recordsPerSecond)} % of kafka-producer-perf-test`)
  return parts.length === 0 ? [] : [`loggerhead: ${parts.join(', ')}`]
}

/** Deliveries where there are subscribers. */
const rateOf = ({ publishRate, deliveryRate }: Row): number => (deliveryRate > 0 ? deliveryRate : publishRate)
