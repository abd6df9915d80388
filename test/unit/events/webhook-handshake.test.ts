import { expect, test } from '@jest/globals'
import { deliveryOriginHeaders, handshakeHeaders, readConsent } from '../../../events/webhook-handshake.ts'

const origin = 'events.example.com'
const allowed = { 'webhook-allowed-origin': origin }

test('PU-02, CloudEvents webhook 4.1: the request names who asks, and how often it would come', () => {
  expect(handshakeHeaders(origin, null)).toEqual({ 'webhook-request-origin': origin })
  expect(handshakeHeaders(origin, 120)).toEqual({ 'webhook-request-origin': origin, 'webhook-request-rate': '120' })
})

test('PU-02, CloudEvents webhook 4.1.2: every delivery names it too', () => {
  expect(deliveryOriginHeaders(origin)).toEqual({ origin, 'webhook-request-origin': origin })
})

test.each([
  [200, allowed, null],
  [204, { 'webhook-allowed-origin': '*' }, null],
  [200, { 'webhook-allowed-origin': ' Events.Example.COM ' }, null],
  [200, { ...allowed, 'webhook-allowed-rate': '*' }, null],
  [200, { ...allowed, 'webhook-allowed-rate': '100' }, 100],
])('CloudEvents webhook 4.2: HTTP %i with %j is consent', (status, headers, perMinute) => {
  expect(readConsent(status, headers, origin)).toEqual({ isGiven: true, perMinute })
})

test.each([
  [200, {}, 'no header WebHook-Allowed-Origin'],
  [200, { allow: 'POST' }, 'no header WebHook-Allowed-Origin'],
  [405, {}, 'HTTP 405'],
  [301, allowed, 'HTTP 301'],
  [500, allowed, 'HTTP 500'],
  [200, { 'webhook-allowed-origin': 'other.example.com' }, 'other.example.com'],
  [200, { 'webhook-allowed-origin': `${origin}, *` }, 'neither'],
  [200, { 'webhook-allowed-origin': '' }, 'neither'],
  [200, { ...allowed, 'webhook-allowed-rate': '0' }, 'WebHook-Allowed-Rate'],
  [200, { ...allowed, 'webhook-allowed-rate': '-5' }, 'WebHook-Allowed-Rate'],
  [200, { ...allowed, 'webhook-allowed-rate': '1.5' }, 'WebHook-Allowed-Rate'],
  [200, { ...allowed, 'webhook-allowed-rate': 'many' }, 'WebHook-Allowed-Rate'],
])('CloudEvents webhook 4.2: HTTP %i with %j is none', (status, headers, why) => {
  const consent = readConsent(status, headers, origin)
  expect(consent).toMatchObject({ isGiven: false, why: expect.stringContaining(why) })
})
