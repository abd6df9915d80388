import { expect, test } from '@jest/globals'
import { AddressSet, addressRule, parseRange, rangesOf } from '../../../model/ip-rules.ts'

test('ranges are read in CIDR notation, of both versions, and single addresses', () => {
  expect(parseRange('192.0.2.0/24')).toEqual({ address: '192.0.2.0', family: 'ipv4', prefix: 24 })
  expect(parseRange('2001:db8::/32')).toEqual({ address: '2001:db8::', family: 'ipv6', prefix: 32 })
  expect(parseRange('192.0.2.1')).toEqual({ address: '192.0.2.1', family: 'ipv4', prefix: 32 })
  expect(parseRange('::1')).toEqual({ address: '::1', family: 'ipv6', prefix: 128 })
  expect(parseRange('0.0.0.0/0')).toMatchObject({ prefix: 0 })
})

test.each([
  '',
  '192.0.2.0/33',
  '192.0.2.0/-1',
  '192.0.2.0/',
  '192.0.2.0/024',
  '192.0.2/24',
  '2001:db8::/129',
  'fe80::1%eth0',
  '192.0.2.0/24/8',
  'example.com',
  '/24',
])('“%s” is no range', (text) => {
  expect(parseRange(text)).toBeNull()
})

test('a set has the addresses of its ranges and nothing else', () => {
  const set = new AddressSet(rangesOf(['192.0.2.0/25', '2001:db8::/32', 'no range']))
  expect(['192.0.2.0', '192.0.2.127', '2001:db8::1', '2001:db8:ffff::'].map((address) => set.has(address))).toEqual([true, true, true, true])
  expect(['192.0.2.128', '192.0.3.0', '2001:db9::', '', 'no address'].map((address) => set.has(address))).toEqual([false, false, false, false, false])
})

test('NS-07: without rules everybody comes in, with rules those in a range', () => {
  expect(addressRule()('198.51.100.1')).toBe(true)
  expect(addressRule({ publicNetworkAccess: 'Enabled', inboundIpRules: [] })('198.51.100.1')).toBe(true)
  const rule = addressRule({ inboundIpRules: [{ ipMask: '192.0.2.0/24' }, { ipMask: '2001:db8::/32' }] })
  expect(['192.0.2.9', '2001:db8::9', '198.51.100.1', '2001:db9::9', '10.0.0.1'].map(rule)).toEqual([true, true, false, false, false])
})

test('NS-07: publicNetworkAccess Disabled leaves private addresses only, whatever the rules', () => {
  const rule = addressRule({ publicNetworkAccess: 'Disabled', inboundIpRules: [{ ipMask: '198.51.100.0/24' }] })
  expect(['127.0.0.1', '10.1.2.3', '172.31.0.1', '192.168.0.1', '169.254.1.1', '::1', 'fd00::1', 'fe80::1'].every(rule)).toBe(true)
  expect(['198.51.100.1', '172.32.0.1', '2001:db8::1'].some(rule)).toBe(false)
})
