import { expect, test } from '@jest/globals'
import { shownUrl } from '../../../access/shown-url.ts'
import { readGatewayConfig } from '../../../gateway/config.ts'
import { whyForbidden } from '../../../gateway/outgoing-request.ts'

const open = { hosts: [], plainOnLoopback: false }
const development = { hosts: [], plainOnLoopback: true }
const named = { hosts: ['hook.example.com', '*.keys.example.com', '127.0.0.1'], plainOnLoopback: false }

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

test('a bearer token without named hosts stops the start', () => {
  const environment = { MQTTS_PORT: 'off', WSS_PORT: 'off', WEBHOOK_TOKEN_FILE: '/token' }
  expect(() => readGatewayConfig(environment)).toThrow('WEBHOOK_TOKEN_FILE: needs OUTGOING_HOSTS')
  expect(readGatewayConfig({ ...environment, OUTGOING_HOSTS: 'A.example.com, b.example.com' }).outgoingHosts).toEqual(['a.example.com', 'b.example.com'])
})
