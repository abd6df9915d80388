import { expect, test } from '@jest/globals'
import { type DeliveryAnswer, judgeDelivery, retryAfterMs } from '../../../events/delivery-result.ts'

const now = Date.parse('2026-01-01T00:00:00Z')
const judged = (answer: DeliveryAnswer) => {
  const { result, fate, probationMs } = judgeDelivery(answer, now)
  return [result, fate, probationMs / 1000]
}

test.each([200, 201, 202, 203, 204])('PU-04: %i is a delivery', (status) => {
  expect(judged({ status })).toEqual(['Success', 'delivered', 0])
})

test.each([
  [400, 'BadRequest', 0],
  [401, 'Unauthorized', 300],
  [403, 'Forbidden', 300],
  [404, 'NotFound', 300],
  [413, 'PayloadTooLarge', 0],
  [414, 'UriTooLong', 0],
])('PU-06, PU-10: %i is not tried again: %s, and the subscription rests for %i s', (status, result, seconds) => {
  expect(judged({ status })).toEqual([result, 'undeliverable', seconds])
})

test.each([
  [100, 'Failed', 0],
  [205, 'Failed', 0],
  [206, 'Failed', 0],
  [301, 'Redirected', 0],
  [302, 'Redirected', 0],
  [307, 'Redirected', 0],
  [308, 'Redirected', 0],
  [405, 'Failed', 0],
  [408, 'TimedOut', 10],
  [409, 'Failed', 0],
  [410, 'Disabled', 300],
  [415, 'Failed', 0],
  [422, 'Failed', 0],
  [429, 'Busy', 10],
  [500, 'Failed', 0],
  [502, 'Failed', 0],
  [503, 'Busy', 10],
  [504, 'TimedOut', 10],
  [599, 'Failed', 0],
])('PU-04, PU-10: %i is tried again: %s, and the subscription rests for %i s', (status, result, seconds) => {
  expect(judged({ status })).toEqual([result, 'retry', seconds])
})

test.each([
  ['timeout', 'TimedOut', 10],
  ['network', 'SocketError', 30],
  ['tooLarge', 'SocketError', 30],
  ['resolution', 'ResolutionError', 300],
  ['forbidden', 'AddressForbidden', 300],
])('PU-10: no answer (%s) is tried again: %s, and the subscription rests for %i s', (failed, result, seconds) => {
  expect(judged({ failed })).toEqual([result, 'retry', seconds])
})

test.each([
  [408, 120_000],
  [503, 30_000],
  [500, 0],
])('PU-06: after %i the next attempt waits for %i ms at least', (status, ms) => {
  expect(judgeDelivery({ status }, now).retryAfterMs).toBe(ms)
})

test.each([
  ['7', 7_000],
  [' 7 ', 7_000],
  ['0', 0],
  ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
  ['Wed, 31 Dec 2025 23:59:00 GMT', 0],
  ['999999999', 3_600_000],
  ['-1', 0],
  ['soon', 0],
  ['', 0],
  [undefined, 0],
])('Retry-After: %j is %i ms', (text, ms) => {
  expect(retryAfterMs(text, now)).toBe(ms)
})

test('CloudEvents webhook 2.2: a webhook that is asked too much is left alone for as long as it says', () => {
  expect(judgeDelivery({ status: 429, retryAfter: '90' }, now)).toMatchObject({ retryAfterMs: 90_000, probationMs: 90_000 })
  expect(judgeDelivery({ status: 429, retryAfter: '1' }, now)).toMatchObject({ retryAfterMs: 1_000, probationMs: 10_000 })
  expect(judgeDelivery({ status: 500, retryAfter: '90' }, now)).toMatchObject({ retryAfterMs: 0, probationMs: 0 })
})
