import { expect, test } from '@jest/globals'
import { NamespaceMetrics } from '../../../model/namespace-metrics.ts'
import { createRouterMetrics } from '../../../router/metrics.ts'

test('series of subscriptions that are no more are shown no more, and all others are', async () => {
  const process = new NamespaceMetrics()
  const registry = process.begin('factory')
  const metrics = createRouterMetrics(registry)
  const shown = async () => {
    await process.metrics() // as they are asked for, which leaves the namespace in the labels
    const lines = (await registry.metrics()).split('\n').filter((line) => line.includes('event_subscription="'))
    return [...new Set(lines.map((line) => /event_subscription="([^"]*)"/.exec(line)?.[1]))].sort()
  }
  for (const event_subscription of ['alarms', 'pager']) {
    const labels = { topic: 'doors', event_subscription }
    metrics.push.attempted(labels, 'Failed', 1, 5)
    metrics.push.delivered.inc(labels)
    metrics.deadLettered.inc({ ...labels, dead_letter_reason: 'x' })
    metrics.droppedEvents.inc({ ...labels, drop_reason: 'x' })
  }
  await metrics.series.keep(['doors/alarms', 'doors/pager'])
  expect(await shown()).toEqual(['alarms', 'pager'])
  const before = (await registry.metrics()).split('\n').filter((line) => line.includes('"pager"'))
  await metrics.series.keep(['doors/pager'])
  expect(await shown()).toEqual(['pager'])
  expect((await registry.metrics()).split('\n').filter((line) => line.includes('"pager"'))).toEqual(before)
})

test('what is deleted by the very first change goes too', async () => {
  const registry = new NamespaceMetrics().begin('factory')
  const metrics = createRouterMetrics(registry)
  metrics.push.delivered.inc({ topic: 'doors', event_subscription: 'alarms' })
  await metrics.series.keep([])
  expect(await registry.metrics()).not.toContain('"alarms"')
})
