import { expect, test } from '@jest/globals'
import { pushSettings, readPushConfig } from '../../../../router/push/push-settings.ts'
import { readSettings } from '../../../../settings/setting.ts'

const read = (environment: Readonly<Record<string, string>>) => readPushConfig(readSettings(pushSettings, environment))

test('PU-05, PU-10: waits and rests are Event Grid’s unless an operator sets others', () => {
  expect(read({})).toMatchObject({
    schedule: [10_000, 30_000, 60_000, 300_000],
    probations: { busyMs: 10_000, socketErrorMs: 30_000, configurationMs: 300_000 },
    deadLetterPeriodMs: 172_800_000,
  })
  expect(read({ PUSH_RETRY_DELAYS: '100ms, 1s', PUSH_RESTS: '0s,0s,1m' })).toMatchObject({
    schedule: [100, 1_000],
    probations: { busyMs: 0, socketErrorMs: 0, configurationMs: 60_000 },
  })
})

test.each([
  [{ PUSH_RETRY_DELAYS: 'soon' }, 'PUSH_RETRY_DELAYS'],
  [{ PUSH_RETRY_DELAYS: '8d' }, 'PUSH_RETRY_DELAYS'],
  [{ PUSH_RETRY_DELAYS: Array.from({ length: 21 }, () => '1s').join() }, 'PUSH_RETRY_DELAYS'],
  [{ PUSH_RESTS: '1s,1s' }, 'PUSH_RESTS'],
  [{ PUSH_RESTS: '1s,1s,1s,1s' }, 'PUSH_RESTS'],
  [{ DEAD_LETTER_PERIOD: '-1d' }, 'DEAD_LETTER_PERIOD'],
  [{ DEAD_LETTER_PERIOD: '1d,2d' }, 'DEAD_LETTER_PERIOD'],
])('%j stops the start', (environment, variable) => {
  expect(() => read(environment)).toThrow(variable)
})
