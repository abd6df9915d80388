import { expect, test } from '@jest/globals'
import { keyChecker } from '../../../access/api-keys.ts'
import { isTooOpen, originOf } from '../../../access/request-origin.ts'
import { readBearer } from '../../../registry/bearer.ts'

test.each<[string, string, Record<string, string>, { address: string; isEncrypted: boolean }]>([
  ['no front door', '192.0.2.1', {}, { address: '192.0.2.1', isEncrypted: false }],
  ['the front door on loopback', '127.0.0.1', { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'https' }, { address: '192.0.2.1', isEncrypted: true }],
  ['the front door, mapped', '::ffff:127.0.0.1', { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'http' }, { address: '192.0.2.1', isEncrypted: false }],
  [
    'the front door in an internal network',
    '172.18.0.4',
    { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'https' },
    { address: '192.0.2.1', isEncrypted: true },
  ],
  ['a stranger who says so', '192.0.2.1', { 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'https' }, { address: '192.0.2.1', isEncrypted: false }],
  ['a chain: the last hop is what the door saw', '127.0.0.1', { 'x-forwarded-for': '127.0.0.1, 192.0.2.1' }, { address: '192.0.2.1', isEncrypted: false }],
])('where a request comes from: %s', (_title, remote, headers, expected) => {
  expect(originOf(remote, headers)).toEqual(expected)
})

test('in production a key is taken over HTTPS or from loopback only', () => {
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) expect(isTooOpen({ address, isEncrypted: false }, true)).toBe(false)
  for (const address of ['10.0.0.1', '192.0.2.1', '', 'localhost', '::ffff:10.0.0.1']) expect(isTooOpen({ address, isEncrypted: false }, true)).toBe(true)
  expect(isTooOpen({ address: '192.0.2.1', isEncrypted: true }, true)).toBe(false)
  expect(isTooOpen({ address: '192.0.2.1', isEncrypted: false }, false)).toBe(false)
})

test('a key that came in the clear is refused, right or wrong', () => {
  const origin = { address: '192.0.2.1', isEncrypted: false }
  expect(() => readBearer({ authorization: 'Bearer right' }, origin, true)).toThrow('plain HTTP')
  expect(readBearer({ authorization: 'Bearer right' }, { ...origin, isEncrypted: true }, true)).toBe('right')
})

test('keys of any length compare', () => {
  const isKey = keyChecker('right')
  expect([isKey('right'), isKey('righ'), isKey('right '), isKey('')]).toEqual([true, false, false, false])
})
