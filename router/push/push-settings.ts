/** Settings of push delivery, and what they come to. */

import type { Probations } from '../../events/delivery-result.ts'
import type { RetrySchedule } from '../../events/retry-schedule.ts'
import { parseDuration } from '../../log/duration.ts'
import { SettingError, type Settings, type Values } from '../../settings/setting.ts'
import { type BucketConfig, bucketSettings, readBucketConfig } from './bucket-settings.ts'

const MiB = 1024 * 1024

export const pushSettings = {
  PUSH_TIMEOUT: {
    kind: 'number',
    default: 30_000,
    min: 100,
    max: 600_000,
    unit: 'ms',
    about: 'Time for a webhook’s answer, connecting included',
    outcome: 'the attempt has failed (TimedOut): its events are tried again, and the subscription rests for the first of PUSH_RESTS',
    metric: 'loggerhead_delivery_attempts_failed_total{error_type="TimedOut"}',
  },
  PUSH_REQUESTS_PER_SUBSCRIPTION: {
    kind: 'number',
    default: 8,
    min: 1,
    max: 1_000,
    unit: 'requests',
    about: 'Requests under way to one subscription’s webhook; a subscription may ask for fewer (maxConcurrentRequests)',
    outcome: 'further events wait until one of them is answered',
    metric: 'loggerhead_push_requests',
  },
  PUSH_REQUESTS_MAX: {
    kind: 'number',
    default: 512,
    min: 1,
    max: 100_000,
    unit: 'requests',
    about: 'Requests under way to all webhooks together; a subscription that has none may always send one, whatever the others do',
    outcome: 'subscriptions that have requests under way wait until some are answered',
    metric: 'loggerhead_push_requests',
  },
  PUSH_EVENTS_HELD_MAX: {
    kind: 'number',
    default: 5_000,
    min: 1,
    max: 1_000_000,
    unit: 'events',
    about: 'Events of one subscription that are read and not settled: waiting to be sent, sent again or written to the dead letters',
    outcome: 'further ones stay in the topic until some are settled',
    metric: 'loggerhead_push_events_held',
  },
  PUSH_BYTES_HELD_MAX: {
    kind: 'number',
    default: 4 * MiB,
    min: 65_536,
    max: 1024 * MiB,
    unit: 'bytes',
    about: 'Their bytes',
    outcome: 'further ones stay in the topic until some are settled',
    metric: 'loggerhead_push_bytes_held',
  },
  PUSH_RETRY_DELAYS: {
    kind: 'text',
    default: '10s,30s,1m,5m',
    about: 'Waits after the first failed attempt to deliver an event, the second and so on, the last one again and again; each up to a fifth longer by chance',
  },
  PUSH_RESTS: {
    kind: 'text',
    default: '10s,30s,5m',
    about:
      'How long a subscription rests after an attempt failed: because the webhook was busy or silent; because it could not be connected to; because somebody has to mend something (401, 403, 404, 410, its name, its address)',
  },
  DEAD_LETTER_FOLDER: {
    kind: 'text',
    default: '',
    about:
      'Folder below which subscriptions may have their dead letters written as files; empty: such dead letters wait for DEAD_LETTER_PERIOD, and are dropped then',
  },
  ...bucketSettings,
  DEAD_LETTER_PERIOD: {
    kind: 'text',
    default: '2d',
    about: 'How long writing a dead letter is tried, after 10 s, 1 min and every 5 min, before the event is dropped',
  },
} as const satisfies Settings

export interface PushConfig {
  readonly timeoutMs: number
  readonly requestsPerSubscription: number
  readonly requestsMax: number
  readonly eventsHeldMax: number
  readonly bytesHeldMax: number
  readonly schedule: RetrySchedule
  readonly probations: Probations
  /** Empty: none. */
  readonly deadLetterFolder: string
  /** Undefined: none. */
  readonly deadLetterStore: BucketConfig | undefined
  readonly deadLetterPeriodMs: number
}

const durationsMax = 20
const durationMax = 7 * 86_400_000

function durations(variable: string, text: string): readonly number[] {
  const parts = text.split(',').map((part) => parseDuration(part.trim()))
  if (parts.length > durationsMax || parts.some((ms) => ms === null || ms > durationMax)) {
    throw new SettingError(variable, `“${text}” is not up to ${durationsMax} lengths of time such as 10s,30s,1m,5m, each of 7d at most`)
  }
  return parts as readonly number[]
}

/** Throws SettingError. */
export function readPushConfig(values: Values<typeof pushSettings>): PushConfig {
  const rests = durations('PUSH_RESTS', values.PUSH_RESTS)
  const [busyMs, socketErrorMs, configurationMs, ...more] = rests
  if (busyMs === undefined || socketErrorMs === undefined || configurationMs === undefined || more.length > 0) {
    throw new SettingError('PUSH_RESTS', `“${values.PUSH_RESTS}” is not three lengths of time such as 10s,30s,5m`)
  }
  const deadLetterPeriodMs = parseDuration(values.DEAD_LETTER_PERIOD)
  if (deadLetterPeriodMs === null) throw new SettingError('DEAD_LETTER_PERIOD', `“${values.DEAD_LETTER_PERIOD}” is not a length of time such as 2d`)
  return {
    timeoutMs: values.PUSH_TIMEOUT,
    requestsPerSubscription: values.PUSH_REQUESTS_PER_SUBSCRIPTION,
    requestsMax: values.PUSH_REQUESTS_MAX,
    eventsHeldMax: values.PUSH_EVENTS_HELD_MAX,
    bytesHeldMax: values.PUSH_BYTES_HELD_MAX,
    schedule: durations('PUSH_RETRY_DELAYS', values.PUSH_RETRY_DELAYS) as unknown as RetrySchedule,
    probations: { busyMs, socketErrorMs, configurationMs },
    deadLetterFolder: values.DEAD_LETTER_FOLDER,
    deadLetterStore: readBucketConfig(values),
    deadLetterPeriodMs,
  }
}
