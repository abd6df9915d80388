import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { aedes } from '../../../bench/brokers/aedes.ts'
import type { Broker } from '../../../bench/brokers/broker.ts'
import { charts } from '../../../bench/charts.ts'
import { measure, measureIdle } from '../../../bench/measure.ts'
import { type Results, summarize, table } from '../../../bench/report.ts'
import { type Scenario, scenarios } from '../../../bench/scenarios.ts'

// The whole way of the bench, on the peer that starts in a moment: loads, processes, medians, table and charts.

let broker: Broker

beforeAll(async () => {
  broker = await aedes.start()
}, 60_000)

afterAll(() => broker.stop())

const small: Readonly<Record<string, Readonly<Record<string, string | number>>>> = {
  'pairs-20': { publishers: 4, subscribers: 4, messages: 50 },
  telemetry: { publishers: 4, messages: 50 },
  'broadcast-0': { subscribers: 20, messages: 20 },
  commands: { publishers: 1, subscribers: 5, messages: 10 },
  qos2: { publishers: 2, subscribers: 2, messages: 20 },
}

test('loads are put on a broker, and what came of them is told in full', async () => {
  const chosen = Object.entries(small).map(([name, load]): Scenario => {
    const scenario = scenarios.find((each) => each.name === name) as Scenario
    return { ...scenario, load: { ...scenario.load, ...load, warmup: 0 } }
  })
  const measured = []
  for (const scenario of chosen) measured.push(await measure(broker, scenario, 1, 30))
  for (const { report, processes } of measured) {
    expect(report.delivery).toMatchObject({ lost: 0, duplicates: 0, outOfOrder: 0 })
    expect(report.publish).toMatchObject({ refused: 0, sent: expect.any(Number) })
    expect(Object.keys(processes)).toEqual(['aedes'])
  }
  expect(measured.map(({ report }) => [report.publish.sent, report.delivery.unique])).toEqual([
    [200, 200],
    [200, 0],
    [20, 400],
    [50, 50],
    [40, 40],
  ])
  const results: Results = {
    machine: {},
    brokers: [broker],
    missing: {},
    kafkaLimit: null,
    rows: summarize(measured),
    idle: [await measureIdle(broker, 50, 0)],
    tlsHandshakes: null,
    push: null,
    replay: null,
  }
  for (const { about } of chosen) expect(table(results, chosen)).toContain(about)
  for (const picture of Object.values(charts(results, chosen))) expect(picture).toMatch(/^<svg/)
}, 180_000)
