import { expect, test } from '@jest/globals'
import { isLoopback, refuseKey } from '../../../door/peer.ts'

test.each(['127.0.0.1', '127.9.8.7', '::1', '::ffff:127.0.0.1'])('%s is this machine', (address) => {
  expect(isLoopback(address)).toBe(true)
})

test.each(['10.0.0.1', '128.0.0.1', '::2', '::ffff:10.0.0.1', 'fe80::1', undefined])('%s is another machine', (address) => {
  expect(isLoopback(address)).toBe(false)
})

test('in production a key from another machine over plain HTTP is refused, and why is said', () => {
  expect(refuseKey({ address: '192.0.2.7', encrypted: false }, true, 'Bearer k')).toMatch(/plain HTTP/)
})

test.each([
  ['over TLS', { address: '192.0.2.7', encrypted: true }, true, 'Bearer k'],
  ['from this machine', { address: '::1', encrypted: false }, true, 'Bearer k'],
  ['in development', { address: '192.0.2.7', encrypted: false }, false, 'Bearer k'],
  ['without a key', { address: '192.0.2.7', encrypted: false }, true, undefined],
])('%s the request goes on', (_, peer, production, authorization) => {
  expect(refuseKey(peer, production, authorization)).toBeNull()
})
