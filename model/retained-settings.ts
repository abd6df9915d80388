import type { Settings } from '../settings/setting.ts'

/** What routers hold and gateways announce. */
export const retainedSettings = {
  RETAINED_MESSAGES_MAX: {
    kind: 'number',
    default: 10_000_000,
    min: 0,
    max: 10_000_000_000,
    unit: 'messages',
    about: 'Retained messages of a namespace, of which each shard has an equal share; 0: none',
    outcome:
      'a message on a topic that has none yet is delivered and not retained; with 0, an MQTT 5 client is told so in CONNACK, and its publish or will with RETAIN 1 is refused with 0x9A',
    metric: 'loggerhead_not_retained_total{reason="full"}, loggerhead_limit_reached_total{limit="RETAINED_MESSAGES_MAX"}',
  },
} as const satisfies Settings
