import { expect, test } from '@jest/globals'
import { deadLetter, deadLetterPath } from '../../../events/dead-letter.ts'

test('PU-14: a dead letter is the event, the headers it would have had, and why it is one', () => {
  const event = { specversion: '1.0', id: '1', source: 's', type: 't' }
  const at = Date.parse('2026-01-02T03:04:05.678Z')
  const given = {
    event,
    source: { partition: 1, offset: 7 },
    reason: 'Undeliverable due to client error',
    deliveryCount: 3,
    lastResult: 'Unauthorized',
    publishedAt: at,
    lastAttemptAt: at + 1,
    headers: { 'x-a': 'b' },
  }
  expect(deadLetter(given)).toEqual({
    event,
    customDeliveryProperties: { 'x-a': 'b' },
    deadletterProperties: {
      deadletterreason: 'Undeliverable due to client error',
      deliveryattempts: 3,
      deliveryresult: 'Unauthorized',
      publishutc: '2026-01-02T03:04:05.678Z',
      deliveryattemptutc: '2026-01-02T03:04:05.679Z',
    },
    source: { partition: 1, offset: 7 },
  })
})

test('PU-14: an event that was never tried has no result', () => {
  const given = {
    event: {},
    source: { partition: 0, offset: 0 },
    reason: 'Time to live was exceeded',
    deliveryCount: 0,
    lastResult: null,
    publishedAt: 0,
    lastAttemptAt: null,
    headers: {},
  }
  expect(deadLetter(given)).toEqual({
    event: {},
    deadletterProperties: { deadletterreason: 'Time to live was exceeded', deliveryattempts: 0, publishutc: '1970-01-01T00:00:00.000Z' },
    source: { partition: 0, offset: 0 },
  })
})

test('PU-13: months, days and hours have no leading zeros', () => {
  const guid = '480b2295-0c38-40d0-b25a-f34b30aac1a9'
  expect(deadLetterPath('default', 'alerts', 'ops', Date.parse('2026-09-03T02:59:59Z'), guid)).toBe(`default/alerts/ops/2026/9/3/2/${guid}.json`)
})
