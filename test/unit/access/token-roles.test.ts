import { expect, test } from '@jest/globals'
import { TokenRefused } from '../../../access/token-refused.ts'
import { bearerOf, isTrustedUrl, type OidcSettings, readOidcSettings } from '../../../access/token-roles.ts'
import { readRegistryConfig } from '../../../registry/config.ts'

const read = (environment: Readonly<Record<string, string>>) => readOidcSettings(readRegistryConfig({ API_KEY_FILE: 'unused', ...environment }))
const good = { OIDC_ISSUER: 'https://login.example/realm', OIDC_AUDIENCE: 'loggerhead, other' }
const settings = (more: Readonly<Record<string, string>> = {}): OidcSettings => read({ ...good, ...more })!

test('without an issuer no token is taken', () => {
  expect(read({})).toBeUndefined()
})

test('the settings are read, and a wrong one is named', () => {
  expect(settings({ OIDC_ROLES: 'owner=admins,owner=root,reader=staff', OIDC_ROLE_CLAIM: 'realm_access.roles' })).toMatchObject({
    issuer: 'https://login.example/realm',
    audiences: ['loggerhead', 'other'],
    roleClaim: ['realm_access', 'roles'],
    roles: { reader: ['staff'], operator: [], owner: ['admins', 'root'] },
  })
  expect(settings({ OIDC_ROLE_CLAIM: 'https://example.com/roles' }).roleClaim).toEqual(['https://example.com/roles'])
  for (const [environment, variable] of [
    [{ ...good, OIDC_ISSUER: 'login.example' }, 'OIDC_ISSUER'],
    [{ ...good, OIDC_ISSUER: 'http://login.example' }, 'OIDC_ISSUER'],
    [{ ...good, OIDC_ISSUER: 'https://login.example?x' }, 'OIDC_ISSUER'],
    [{ ...good, OIDC_ISSUER: 'http://127.0.0.1:9', LOGGERHEAD_PROFILE: 'production' }, 'OIDC_ISSUER'],
    [{ ...good, OIDC_AUDIENCE: ' , ' }, 'OIDC_AUDIENCE'],
    [{ ...good, OIDC_ROLES: 'king=x' }, 'OIDC_ROLES'],
    [{ ...good, OIDC_ROLES: 'reader' }, 'OIDC_ROLES'],
    [{ ...good, OIDC_ROLE_CLAIM: 'a..b' }, 'OIDC_ROLE_CLAIM'],
  ] as const)
    expect(() => read(environment)).toThrow(expect.objectContaining({ variable }))
})

test('keys come over https, or in development over http from this machine', () => {
  for (const url of ['http://127.0.0.1:9/x', 'http://localhost/', 'http://[::1]:80/'])
    expect([isTrustedUrl(url, true), isTrustedUrl(url, false)]).toEqual([true, false])
  for (const url of ['http://127.evil.example/', 'http://login.example/', 'https://user:secret@login.example/', 'file:///etc/passwd', 'x'])
    expect(isTrustedUrl(url, true)).toBe(false)
  expect(isTrustedUrl('https://login.example/', false)).toBe(true)
})

test.each<[string, object, Readonly<Record<string, string>>, object | number]>([
  ['a list', { roles: ['operator'] }, {}, { by: 'oidc/ada', role: 'operator' }],
  ['the highest of several', { roles: ['reader', 'owner', 'other'] }, {}, { by: 'oidc/ada', role: 'owner' }],
  ['words in a text', { scope: 'openid mqtt.read' }, { OIDC_ROLE_CLAIM: 'scope', OIDC_ROLES: 'reader=mqtt.read' }, { by: 'oidc/ada', role: 'reader' }],
  ['a claim within a claim', { a: { b: ['x'] } }, { OIDC_ROLE_CLAIM: 'a.b', OIDC_ROLES: 'reader=x' }, { by: 'oidc/ada', role: 'reader' }],
  ['none of the values', { roles: ['Reader'] }, {}, 403],
  ['no claim', {}, {}, 403],
  ['a claim that is no list', { roles: { reader: true } }, {}, 403],
  ['a claim of the prototype', { roles: 'x' }, { OIDC_ROLE_CLAIM: 'constructor.name', OIDC_ROLES: 'owner=Object' }, 403],
  ['no subject', { sub: '', roles: ['owner'] }, {}, 401],
])('roles: %s', (_, claims, environment, expected) => {
  const call = () => bearerOf({ sub: 'ada', ...claims }, settings(environment))
  if (typeof expected === 'object') expect(call()).toEqual(expected)
  else expect(call).toThrow(expect.objectContaining({ constructor: TokenRefused, status: expected }))
})

test('a subject stands in records as text that is safe in headers and logs', () => {
  const by = (sub: string) => bearerOf({ sub, roles: ['reader'] }, settings()).by
  expect(by('auth0|ada@x.example')).toBe('oidc/auth0|ada@x.example')
  expect(by('a b\r\nc%é\ud800')).toBe('oidc/a%20b%0D%0Ac%25%C3%A9%EF%BF%BD')
  expect(by('x'.repeat(10_000)).length).toBe(205)
})
