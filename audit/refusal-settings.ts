/** How many refusals are told one by one; the same for every service that refuses clients. */
import type { Settings } from '../settings/setting.ts'

export const refusalSettings = {
  REFUSALS_TOLD_MAX: {
    kind: 'number',
    default: 1000,
    min: 1,
    max: 100_000,
    unit: 'clients',
    about: 'Clients and addresses whose refused connects, publishes and subscriptions are told in lifecycle one by one, in a minute',
    outcome: 'what is refused to others is counted and told in one record',
    metric: 'loggerhead_limit_reached_total{limit="REFUSALS_TOLD_MAX"}',
  },
} as const satisfies Settings
