import { expect, test } from '@jest/globals'
import { shownUrl } from '../../../access/shown-url.ts'
import { readGatewayConfig } from '../../../gateway/config.ts'
import { AddressSet, rangesOf } from '../../../model/ip-rules.ts'
import { whyAddressForbidden, whyForbidden } from '../../../outgoing/outgoing-policy.ts'

const none = new AddressSet([])
const open = { hosts: [], addresses: none, plainOnLoopback: false }
const development = { hosts: [], addresses: none, plainOnLoopback: true }
const named = { hosts: ['hook.example.com', '*.keys.example.com', '127.0.0.1', '10.0.0.1'], addresses: none, plainOnLoopback: false }
const ranges = { hosts: [], addresses: new AddressSet(rangesOf(['10.1.0.0/16', 'fd00::/8', '169.254.0.0/16'])), plainOnLoopback: false }

test.each([
  ['https://hook.example.com/a', open, true],
  ['http://hook.example.com/a', open, false],
  ['http://hook.example.com/a', development, false],
  ['http://127.0.0.1:8000/a', development, true],
  ['http://localhost:8000/a', development, true],
  ['http://[::1]:8000/a', development, true],
  ['http://127.0.0.1:8000/a', open, false],
  ['https://127.0.0.1/a', open, false],
  ['https://127.0.0.1/a', named, true],
  ['https://0.0.0.0/a', open, false],
  ['https://0.1.2.3/a', open, false],
  ['https://0/a', open, false],
  ['https://[::]/a', open, false],
  ['https://[::1]/a', open, false],
  ['https://[::ffff:0.0.0.0]/a', open, false],
  ['https://[::ffff:127.0.0.1]/a', open, false],
  ['https://169.254.169.254/latest/meta-data', open, false],
  ['https://169.254.169.254/latest/meta-data', development, false],
  ['https://[fe80::1]/a', open, false],
  ['https://[::ffff:169.254.169.254]/a', open, false],
  ['https://10.0.0.1/a', open, false],
  ['https://10.0.0.1/a', development, false],
  ['https://10.0.0.1/a', named, true],
  ['https://172.16.0.1/a', open, false],
  ['https://192.168.1.1/a', open, false],
  ['https://100.64.0.1/a', open, false],
  ['https://198.18.0.1/a', open, false],
  ['https://224.0.0.1/a', open, false],
  ['https://255.255.255.255/a', open, false],
  ['https://[fd12::1]/a', open, false],
  ['https://[64:ff9b::7f00:1]/a', open, false],
  ['https://[2002:7f00:1::]/a', open, false],
  ['https://[::ffff:10.0.0.1]/a', open, false],
  ['https://0x7f.1/a', open, false],
  ['https://2130706433/a', open, false],
  ['https://93.184.215.14/a', open, true],
  ['https://[2606:2800:21f::1]/a', open, true],
  ['https://10.1.2.3/a', ranges, true],
  ['https://10.2.2.3/a', ranges, false],
  ['https://[::ffff:10.1.2.3]/a', ranges, true],
  ['https://[fd12::1]/a', ranges, true],
  ['https://169.254.169.254/a', ranges, false],
  ['https://[fd00:ec2::254]/a', ranges, false],
  ['https://hook.example.com/a', named, true],
  ['https://HOOK.example.com/a', named, true],
  ['https://a.keys.example.com/a', named, true],
  ['https://keys.example.com/a', named, false],
  ['https://evilkeys.example.com/a', named, false],
  ['https://hook.example.com.evil.com/a', named, false],
  ['https://user:password@hook.example.com/a', open, false],
  ['ftp://hook.example.com/a', open, false],
  ['file:///etc/passwd', open, false],
  ['no URL', open, false],
] as const)('%s may be asked under %j: %s', (url, policy, isAllowed) => {
  expect(whyForbidden(url, policy) === undefined).toBe(isAllowed)
})

test('a URL stands in the log without its query, where keys are', () => {
  expect(shownUrl('https://hook.example.com/a?code=s3cret')).toBe('https://hook.example.com/a')
})

test.each([
  ['10.0.0.5', 'hook.example.com', open, 'private'],
  ['10.0.0.5', 'hook.example.com', named, undefined],
  ['10.0.0.5', 'a.keys.example.com', named, undefined],
  ['10.1.0.5', 'other.example.com', ranges, undefined],
  ['127.0.0.1', 'hook.example.com', named, undefined],
  ['127.0.0.1', 'a.keys.example.com', named, 'own'],
  ['127.0.0.1', 'hook.example.com', development, undefined],
  ['169.254.169.254', 'hook.example.com', named, 'link-local'],
] as const)('%s that the name %s stands for, under %j: %s', (address, host, policy, why) => {
  const told = whyAddressForbidden(address, host, policy)
  if (why === undefined) expect(told).toBeUndefined()
  else expect(told).toContain(why)
})

test('a bearer token without named hosts stops the start', () => {
  const environment = { MQTTS_PORT: 'off', WSS_PORT: 'off', WEBHOOK_TOKEN_FILE: '/token' }
  expect(() => readGatewayConfig(environment)).toThrow('WEBHOOK_TOKEN_FILE: needs OUTGOING_HOSTS')
  expect(readGatewayConfig({ ...environment, OUTGOING_HOSTS: 'A.example.com, b.example.com' }).outgoing.hosts).toEqual(['a.example.com', 'b.example.com'])
})

test('a wrong range stops the start', () => {
  expect(() => readGatewayConfig({ MQTTS_PORT: 'off', WSS_PORT: 'off', OUTGOING_ADDRESSES: '10.0.0.0/33' })).toThrow(
    'OUTGOING_ADDRESSES: “10.0.0.0/33” is neither an address nor a range',
  )
})
