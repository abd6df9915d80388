import { expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { LatencyHistogram } from '../../../telemetry/latency-histogram.ts'

const labelSets = [{ qos: '0' }, { qos: '1' }]

function histogram() {
  const registry = new Registry()
  return { registry, latency: new LatencyHistogram({ name: 'l_seconds', help: 'h', labelSets, registry }) }
}

/** The first bucket that holds what was observed, in seconds. */
async function bucketOf(ms: number): Promise<number | string | undefined> {
  const { latency } = histogram()
  latency.observeMs(1, ms)
  return (await latency.get()).values.find(({ metricName, value }) => metricName?.endsWith('_bucket') && value === 1)?.labels.le as number
}

test.each([
  [-5, 0.001],
  [0, 0.001],
  [1, 0.001],
  [2, 0.002],
  [3, 0.004],
  [4, 0.004],
  [5, 0.008],
  [32_768, 32.768],
  [32_769, '+Inf'],
  [5_000_000, '+Inf'],
])('a latency of %s ms is in the bucket up to %s s', async (ms, bucket) => {
  expect(await bucketOf(ms)).toBe(bucket)
})

test('every bound is the bucket of its own value, as Prometheus’ le demands', async () => {
  for (let ms = 1; ms <= 32_768; ms *= 2) expect(await bucketOf(ms)).toBe(ms / 1000)
})

test('the text is an ordinary histogram, without the label sets that were never observed', async () => {
  const { registry, latency } = histogram()
  latency.observeMs(1, 1)
  latency.observeMs(1, 3)
  const text = await registry.metrics()
  expect(text).toContain('# TYPE l_seconds histogram')
  expect(text).toContain('l_seconds_bucket{qos="1",le="0.002"} 1')
  expect(text).toContain('l_seconds_bucket{qos="1",le="+Inf"} 2')
  expect(text).toContain('l_seconds_sum{qos="1"} 0.004')
  expect(text).toContain('l_seconds_count{qos="1"} 2')
  expect(text).not.toContain('qos="0"')
})
