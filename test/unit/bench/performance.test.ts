import { expect, test } from '@jest/globals'
import { costsOf, returnAfterLoss, sizeOf, telemetryFleet, unitCosts } from '../../../bench/fleet-size.ts'
import { withFigures } from '../../../bench/page.ts'
import { placed } from '../../../bench/placed.ts'
import type { Results, Row } from '../../../bench/report.ts'
import { judge } from '../../../bench/targets.ts'
import { Random } from '../../simulation/random.ts'

const row = (scenario: string, broker: string, rest: Partial<Row>): Row => ({
  scenario,
  broker,
  rounds: 3,
  publishRate: 1_000,
  deliveryRate: 1_000,
  puback: { p50: 1, p99: 2, p999: 3 },
  latency: { p50: 1, p99: 2, p999: 3 },
  lost: 0,
  repeats: 0,
  disorder: 0,
  cpuPerMessage: 20,
  cpu: { [broker]: 20 },
  memory: { [broker]: 100 },
  herdSeconds: null,
  generatorCpu: 0.2,
  ...rest,
})

const results = (rows: readonly Row[], rest: Partial<Results> = {}): Results =>
  ({
    machine: { cpu: 'a processor', cores: 2, kernel: '6.1', node: 'v24', at: '2026-01-31T12:00:00Z' },
    brokers: [{ name: 'loggerhead', version: '1', durability: 'page cache' }],
    missing: { mochi: 'Go is not installed' },
    kafkaLimit: null,
    rows,
    idle: [],
    tlsHandshakes: null,
    push: null,
    replay: null,
    ...rest,
  }) as Results

const found = (all: Results, scenario: string, target: RegExp) => judge(all).find((each) => each.scenario === scenario && target.test(each.target))

test('a target is met, missed, or says that the run had nothing to say', () => {
  const all = results([
    row('pairs-20', 'loggerhead', { deliveryRate: 4_000, cpuPerMessage: 32 }),
    row('pairs-20', 'mosquitto', { cpuPerMessage: 20 }),
    row('pairs-20', 'rabbitmq', { deliveryRate: 1_000 }),
  ])
  expect(found(all, 'pairs-20', /RabbitMQ/)).toMatchObject({ found: '4.00 ×', isMet: true })
  expect(found(all, 'pairs-20', /mosquitto/)).toMatchObject({ found: '1.60 ×: 32.0 µs', isMet: false })
  expect(found(all, 'pairs-20', /nats/)).toMatchObject({ found: 'not measured in this run', isMet: null })
  expect(found(all, 'telemetry', /perf-test/)?.isMet).toBeNull()
})

test('at a fixed rate the same deliveries a second meet the target although rounding parts them, and a lost one misses it', () => {
  const judged = (deliveryRate: number, lost = 0) =>
    found(results([row('broadcast-0', 'loggerhead', { deliveryRate, lost }), row('broadcast-0', 'mosquitto', { deliveryRate: 40_000 })]), 'broadcast-0', /./)
  expect(judged(39_920)).toMatchObject({ found: '0.998 ×, 0 lost', isMet: true })
  expect([judged(39_600)?.isMet, judged(39_590)?.isMet, judged(40_000, 1)?.isMet]).toEqual([true, false, false])
})

test('one message that is lost, repeated or out of order at QoS 1 misses its target; at QoS 0 it is no promise', () => {
  const clean = /nothing lost, repeated/
  const judged = (scenario: string, rest: Partial<Row>) => found(results([row(scenario, 'loggerhead', rest)]), 'all at QoS 1 and 2', clean)?.isMet
  expect([judged('pairs-1', {}), judged('pairs-1', { lost: 1 }), judged('pairs-1', { repeats: 1 }), judged('pairs-1', { disorder: 1 })]).toEqual([
    true,
    false,
    false,
    false,
  ])
  expect(found(results([row('pairs-1', 'loggerhead', {}), row('broadcast-0', 'loggerhead', { lost: 5 })]), 'all at QoS 1 and 2', clean)?.isMet).toBe(true)
})

test('a run’s figures take the place of those before, and nothing else of the page', () => {
  const page = 'before\n<!-- figures:start -->\nold\n<!-- figures:end -->\nafter\n'
  const all = results([row('pairs-20', 'loggerhead', { cpu: { gateway: 12.5, door: 0 } })])
  const once = withFigures(page, all)
  expect(once).toMatch(/^before\n<!-- figures:start -->\n\na processor, 2 cores/)
  expect(once).toContain('Loggerhead: gateway 12.5 µs.')
  expect(once).toContain('Not measured: mochi (Go is not installed).')
  expect(once).not.toContain('old')
  expect(withFigures(once, all)).toBe(once)
  expect(() => withFigures('no place', all)).toThrow('no place marked')
})

test('what is told first has its place too, where nothing stands between the marks yet', () => {
  const page = 'before\n<!-- size:start (npm run bench:size) -->\n<!-- size:end -->\nafter\n'
  expect(placed(page, 'size', 'new')).toBe('before\n<!-- size:start (npm run bench:size) -->\n\nnew\n\n<!-- size:end -->\nafter\n')
})

test('what a fleet needs never shrinks as it grows, and everything has a reason', () => {
  const sizes = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8].map((devices) => sizeOf(telemetryFleet(devices)))
  for (const part of ['namespaces', 'gateways', 'routers', 'shards', 'brokers'] as const) {
    const counts = sizes.map((size) => size[part].count)
    expect(counts).toEqual(counts.toSorted((a, b) => a - b))
    for (const size of sizes) expect(size[part].because).not.toBe('')
  }
  expect(sizes[0]).toMatchObject({ gateways: { count: 2 }, routers: { count: 2 }, brokers: { count: 3, because: 'three copies' } })
})

test('all devices of a dead gateway come back, sooner when a connect costs less, and the same with the same seed', () => {
  const fleet = telemetryFleet(100_000)
  const back = (connect: number) => returnAfterLoss(fleet, new Random(1), { ...unitCosts, connect })
  expect(back(2_000)).toEqual(back(2_000))
  expect(back(500).seconds).toBeLessThan(back(5_000).seconds)
  // The one gateway that is left lets in 250 a second at 2 ms and half a core.
  expect(back(2_000).seconds).toBeGreaterThanOrEqual(45_000 / 250)
})

test('costs are those that a run has found, where it has', () => {
  const all = results([row('pairs-1', 'loggerhead', { cpu: { gateway: 40, kafka: 15 } }), row('telemetry', 'loggerhead', { cpu: { router: 2 } })])
  expect(costsOf(all)).toEqual({ ...unitCosts, gatewayIn: 20, gatewayOut: 20, kafka: 15, match: 2 })
  const idle = { broker: 'loggerhead', connections: 10_000, connectsPerSecond: 2_000, memoryPerConnection: 4, tlsConnectsPerSecond: 250 }
  // A fleet comes with TLS: what a plain connection takes says nothing of it.
  expect(costsOf(results([], { idle: [idle] }))).toEqual({ ...unitCosts, connect: 4_000 })
  expect(costsOf(results([], { idle: [{ ...idle, tlsMemoryPerConnection: 90 }] }))).toEqual({ ...unitCosts, connect: 4_000, connection: 90 })
})
