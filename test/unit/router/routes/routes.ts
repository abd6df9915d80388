import type { Route } from '../../../../model/routes.ts'

/** A route of every message's bytes into one Kafka topic. */
export const route = (more: Partial<Route> = {}): Route => ({
  name: 'all',
  topicFilters: ['#'],
  conditions: [],
  target: { kafkaTopic: 'target' },
  format: 'raw',
  key: 'mqttTopic',
  enrichments: { static: [], dynamic: [] },
  sealed: 'keep',
  onDeadEnd: 'hold',
  from: [0],
  since: 1,
  offset: 1,
  ...more,
})
