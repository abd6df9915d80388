import { expect, test } from '@jest/globals'
import { readConfig } from '../../../door/config.ts'

test('without any variable the door binds loopback on 8080', () => {
  const config = readConfig({})
  expect([config.bind, config.values.HTTP_PORT, config.production]).toEqual(['127.0.0.1', 8080, false])
})

test('production binds every address unless told otherwise', () => {
  expect(readConfig({ LOGGERHEAD_PROFILE: 'production' }).bind).toBeUndefined()
  expect(readConfig({ LOGGERHEAD_PROFILE: 'production', LOGGERHEAD_BIND: '10.0.0.1' }).bind).toBe('10.0.0.1')
})

test('services are named as given, else by their number', () => {
  const { gateways } = readConfig({ GATEWAY_URLS: 'http://a:1, http://b:2,edge=http://c:3' })
  expect(gateways.map(({ id, url }) => [id, url.origin])).toEqual([
    ['gateway', 'http://a:1'],
    ['gateway-2', 'http://b:2'],
    ['edge', 'http://c:3'],
  ])
})

test('canary addresses take names, IPv4 and IPv6', () => {
  const { canaries } = readConfig({ CANARY_ADDRESSES: 'gateway=127.0.0.1:1885,gateway-2=[::1]:1886,gateway-3=edge.local:1', INTERNAL_KEY_FILE: 'k' })
  expect(canaries).toEqual([
    { gateway: 'gateway', host: '127.0.0.1', port: 1885 },
    { gateway: 'gateway-2', host: '::1', port: 1886 },
    { gateway: 'gateway-3', host: 'edge.local', port: 1 },
  ])
})

test.each([
  ['HTTP_PORT', { HTTP_PORT: '80800' }],
  ['LOGGERHEAD_PROFILE', { LOGGERHEAD_PROFILE: 'prod' }],
  ['REGISTRY_URL', { REGISTRY_URL: '127.0.0.1:7001' }],
  ['GATEWAY_URLS', { GATEWAY_URLS: 'http://a:1,ftp://b' }],
  ['CANARY_ADDRESSES', { CANARY_ADDRESSES: '127.0.0.1:1885', INTERNAL_KEY_FILE: 'k' }],
  ['CANARY_ADDRESSES', { CANARY_ADDRESSES: 'gateway=a:0', INTERNAL_KEY_FILE: 'k' }],
  ['INTERNAL_KEY_FILE', { CANARY_ADDRESSES: 'gateway=a:1' }],
  ['HTTPS_PORT', { HTTPS_PORT: '8443' }],
])('a wrong %s stops the start with its name', (variable, environment) => {
  expect(() => readConfig(environment)).toThrow(new RegExp(`^${variable}: `))
})
