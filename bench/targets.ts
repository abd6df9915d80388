/** What the project wants to reach, held against what a run found. Pure. */
import type { Results, Row } from './report.ts'

export interface Verdict {
  /** Of the bench's scenarios. */
  readonly scenario: string
  readonly target: string
  /** In words; “not measured” where the run had nothing to say. */
  readonly found: string
  /** Null where the run had nothing to say. */
  readonly isMet: boolean | null
}

/**
 * Where the load sends so many messages a second by a clock, all that take them all deliver the same; two rates still come out apart by
 * this share of them, by where a run's first and last message fall.
 */
const fixedRateTolerance = 0.01

const notMeasured = 'not measured in this run'
const format = (value: number, digits: number): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: digits === 0 })

/** Deliveries where there are subscribers. */
const rateOf = ({ publishRate, deliveryRate }: Row): number => (deliveryRate > 0 ? deliveryRate : publishRate)

export function judge(results: Results): readonly Verdict[] {
  const row = (scenario: string, broker = 'loggerhead'): Row | undefined => results.rows.find((each) => each.scenario === scenario && each.broker === broker)
  const verdict = (
    scenario: string,
    target: string,
    value: number | undefined | null,
    text: (value: number) => string,
    isMet: (value: number) => boolean,
  ): Verdict =>
    value === undefined || value === null || !Number.isFinite(value)
      ? { scenario, target, found: notMeasured, isMet: null }
      : { scenario, target, found: text(value), isMet: isMet(value) }
  const ratio = (a: number | null | undefined, b: number | null | undefined): number | undefined => (a == null || b == null || b === 0 ? undefined : a / b)
  const rates = (scenario: string, peer: string): number | undefined => {
    const [own, other] = [row(scenario), row(scenario, peer)]
    return own && other ? rateOf(own) / rateOf(other) : undefined
  }
  const times = (value: number): string => `${format(value, 2)} ×`
  const atLeast = (least: number) => (value: number) => value >= least
  const atMost = (most: number) => (value: number) => value <= most
  const growth = (kind: string): number | undefined => ratio(row(`matching-${kind}-100000`)?.cpu.router, row(`matching-${kind}-1000`)?.cpu.router)
  const idle = results.idle.find(({ broker }) => broker === 'loggerhead')
  const counted = results.rows.filter(({ broker, scenario }) => broker === 'loggerhead' && scenario !== 'broadcast-0' && !scenario.startsWith('matching-'))
  const unclean = counted.reduce((sum, { lost, repeats, disorder }) => sum + lost + repeats + disorder, 0)
  return [
    verdict('pairs-20', 'at least 3 × RabbitMQ’s rate, with durable queues', rates('pairs-20', 'rabbitmq'), times, atLeast(3)),
    verdict('pairs-20', 'at least nats-server’s rate (better twice)', rates('pairs-20', 'nats-server'), times, atLeast(1)),
    verdict(
      'pairs-20',
      'CPU a message, Kafka included, at most 1.5 × mosquitto’s',
      ratio(row('pairs-20')?.cpuPerMessage, row('pairs-20', 'mosquitto')?.cpuPerMessage),
      (value) => `${times(value)}: ${format(row('pairs-20')?.cpuPerMessage ?? 0, 1)} µs`,
      atMost(1.5),
    ),
    verdict(
      'pairs-1',
      'PUBACK p99 at most 2 × RabbitMQ’s',
      ratio(row('pairs-1')?.puback.p99, row('pairs-1', 'rabbitmq')?.puback.p99),
      (value) => `${times(value)}: ${format(row('pairs-1')?.puback.p99 ?? 0, 1)} ms`,
      atMost(2),
    ),
    verdict(
      'telemetry',
      'at least 25 % of kafka-producer-perf-test (better 50 %)',
      ratio(row('telemetry')?.publishRate, results.kafkaLimit?.recordsPerSecond),
      (value) => `${format(100 * value, 0)} %`,
      atLeast(0.25),
    ),
    verdict('fan-in', 'nothing lost', row('fan-in')?.lost, (value) => `${format(value, 0)} lost`, atMost(0)),
    verdict('fan-in', 'at least nats-server’s rate', rates('fan-in', 'nats-server'), times, atLeast(1)),
    verdict(
      'broadcast-0',
      'at a fixed rate, mosquitto’s deliveries a second (the same within 1 %) and none lost',
      rates('broadcast-0', 'mosquitto'),
      (value) => `${format(value, 3)} ×, ${format(row('broadcast-0')?.lost ?? 0, 0)} lost`,
      (value) => value >= 1 - fixedRateTolerance && row('broadcast-0')?.lost === 0,
    ),
    verdict('broadcast-1', 'at least mosquitto’s deliveries a second', rates('broadcast-1', 'mosquitto'), times, atLeast(1)),
    verdict(
      'commands',
      'persistent sessions cost at most twice what clean ones cost',
      ratio(row('commands')?.cpuPerMessage, row('commands-clean')?.cpuPerMessage),
      times,
      atMost(2),
    ),
    verdict('idle', 'at most 12 KiB for an idle plain connection', idle?.memoryPerConnection, (value) => `${format(value, 1)} KiB`, atMost(12)),
    verdict(
      'idle',
      '80 % of the TLS handshakes of a bare Node server',
      ratio(results.tlsHandshakes?.loggerhead, results.tlsHandshakes?.bare),
      (value) => `${format(100 * value, 0)} %`,
      atLeast(0.8),
    ),
    verdict('matching', 'a match beside 100,000 exact filters costs at most twice that beside 1,000', growth('exact'), times, atMost(2)),
    verdict(
      'matching',
      'a match beside 100,000 filters, half with wildcards, costs at most four times that beside 1,000',
      growth('wildcards'),
      times,
      atMost(4),
    ),
    verdict(
      'all at QoS 1 and 2',
      'nothing lost, repeated or out of order',
      counted.length > 0 ? unclean : undefined,
      (value) => `${format(value, 0)} messages`,
      atMost(0),
    ),
  ]
}
