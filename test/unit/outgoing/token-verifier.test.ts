import { afterEach, expect, test } from '@jest/globals'
import { UnsecuredJWT } from 'jose'
import { readOidcSettings } from '../../../access/token-roles.ts'
import { looksLikeToken, TokenVerifier } from '../../../outgoing/token-verifier.ts'
import { callerByToken } from '../../../registry/callers.ts'
import { readRegistryConfig } from '../../../registry/config.ts'
import { OidcIssuer } from '../../support/oidc-issuer.ts'
import { ApiHarness, client } from '../registry/harness.ts'

const address = 'https://login.example/realm'
const settings = readOidcSettings(readRegistryConfig({ API_KEY_FILE: 'unused', OIDC_ISSUER: address, OIDC_AUDIENCE: 'loggerhead', OIDC_TIMEOUT: '100' }))!

async function given() {
  const issuer = await OidcIssuer.start(address)
  const clock = { now: Date.now() }
  const timeouts: string[] = []
  const verifier = new TokenVerifier({ settings, fetch: issuer.fetch, now: () => clock.now, onTimeout: () => timeouts.push('OIDC_TIMEOUT') })
  return { issuer, clock, timeouts, verifier }
}
const problem = (status: number, text: RegExp) => expect.objectContaining({ status, message: expect.stringMatching(text) })

test('a good token’s claims are believed; the keys are fetched once', async () => {
  const { issuer, verifier } = await given()
  const token = await issuer.sign({ roles: ['owner'] })
  expect(looksLikeToken(token)).toBe(true)
  expect(await Promise.all([verifier.verify(token), verifier.verify(token)])).toMatchObject([{ sub: 'ada' }, { sub: 'ada', roles: ['owner'] }])
  await verifier.verify(await issuer.sign({}))
  expect(issuer.fetched).toEqual(['/realm/.well-known/openid-configuration', '/realm/keys'])
})

test.each<[string, (issuer: OidcIssuer) => Promise<string> | string, RegExp]>([
  ['another issuer', (issuer) => issuer.sign({ iss: 'https://evil.example' }), /iss: it is not of the issuer/],
  ['another audience', (issuer) => issuer.sign({ aud: ['other'] }), /aud: /],
  ['no audience', (issuer) => issuer.sign({ aud: undefined }), /aud: /],
  ['an end that is past', (issuer) => issuer.sign({}, { seconds: -61 }), /exp: it expired at \d{4}-/],
  ['a beginning to come', (issuer) => issuer.sign({ nbf: Math.floor(Date.now() / 1000) + 3600 }), /nbf: /],
  ['no subject', (issuer) => issuer.sign({ sub: undefined }), /sub: /],
  [
    'a key of somebody else',
    async (issuer) => (await OidcIssuer.start(address)).sign({}, { key: { ...(await OidcIssuer.start(address)).newest, kid: issuer.newest.kid } }),
    /signature/,
  ],
  ['no signature', () => new UnsecuredJWT({ iss: address, sub: 'ada', aud: 'loggerhead' }).setExpirationTime('1m').encode(), /./],
  [
    'a changed claim',
    async (issuer) => {
      const [header, , signature] = (await issuer.sign({ roles: ['reader'] })).split('.')
      const claims = { iss: address, sub: 'ada', aud: 'loggerhead', exp: Math.floor(Date.now() / 1000) + 60, roles: ['owner'] }
      return [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
    },
    /signature/,
  ],
  ['nonsense', () => 'a.b.c', /no JSON web token/],
  ['endless length', () => `a.${'b'.repeat(10_000)}.c`, /more than 8192 characters/],
])('a token with %s is refused with 401, and the rule named', async (_, make, why) => {
  const { issuer, verifier } = await given()
  await expect(verifier.verify(await make(issuer))).rejects.toEqual(problem(401, why))
})

test('what is not the issuer’s makes no fetch', async () => {
  const { issuer, verifier } = await given()
  for (const token of ['a.b.c', await issuer.sign({ iss: 'x' })]) await expect(verifier.verify(token)).rejects.toMatchObject({ status: 401 })
  expect(issuer.fetched).toEqual([])
})

test('rotation: a key that is not known yet is fetched, but not at every token that names an unknown one', async () => {
  const { issuer, clock, verifier } = await given()
  const old = await issuer.sign({}, { seconds: 3600 })
  await verifier.verify(old)
  await issuer.rotate()
  // A stranger cannot make the registry ask the issuer at will.
  await expect(verifier.verify(await issuer.sign({}))).rejects.toEqual(problem(401, /kid: the issuer has no such key/))
  expect(issuer.fetched.length).toBe(2)
  // Kept keys grow old.
  clock.now += settings.keysMaxAgeMs
  expect(await verifier.verify(await issuer.sign({}, { seconds: 3600 }))).toMatchObject({ sub: 'ada' })
  await expect(verifier.verify(old)).rejects.toMatchObject({ status: 401 })
})

test.each<[string, OidcIssuer['fault'], RegExp]>([
  ['an error', { status: 500 }, /500 from/],
  ['a redirection', { status: 302 }, /302 from/],
  ['no JSON', { body: '<html>' }, /JSON/],
  ['another issuer’s document', { discovery: { issuer: 'https://evil.example' } }, /of another issuer/],
  ['keys over plain HTTP', { discovery: { jwks_uri: 'http://login.example/keys' } }, /no jwks_uri with https/],
  ['no end', { body: 'x'.repeat(300_000) }, /more than 262144 bytes/],
])('an issuer that answers with %s is 503, and is left alone for a while', async (_, fault, why) => {
  const { issuer, clock, verifier } = await given()
  const token = await issuer.sign({})
  issuer.fault = fault
  await expect(verifier.verify(token)).rejects.toEqual(problem(503, why))
  const { length } = issuer.fetched
  await expect(verifier.verify(token)).rejects.toEqual(problem(503, why))
  expect(issuer.fetched.length).toBe(length)
  issuer.fault = {}
  clock.now += 5_000
  expect(await verifier.verify(token)).toMatchObject({ sub: 'ada' })
})

test('limit OIDC_TIMEOUT: an issuer that does not answer is given up on, and counted', async () => {
  const { issuer, timeouts, verifier } = await given()
  issuer.fault = { hangs: true }
  await expect(verifier.verify(await issuer.sign({}))).rejects.toEqual(problem(503, /no answer within 100 ms/))
  expect(timeouts).toEqual(['OIDC_TIMEOUT'])
})

let api: ApiHarness | undefined
afterEach(async () => {
  await api?.close()
  api = undefined
})

test('the API takes a token with its role beside keys, and says under what name a change was made', async () => {
  const { issuer, verifier } = await given()
  api = await ApiHarness.open({}, undefined, (token) => callerByToken(verifier.bearerOf(token)))
  const reader = await issuer.sign({ roles: ['reader'] })
  const operator = await issuer.sign({ sub: 'grace', roles: ['operator'] })
  expect((await api.send('GET', 'clients', { key: reader })).status).toBe(200)
  expect((await api.send('PUT', 'clients/a', { key: reader, body: client() })).json).toMatchObject({
    status: 403,
    detail: 'this takes the role operator; oidc/ada has the role reader',
  })
  expect((await api.send('PUT', 'clients/a', { key: operator, body: client() })).json).toMatchObject({ by: 'oidc/grace' })
  expect((await api.send('GET', 'apiKeys', { key: operator })).status).toBe(403)
  expect((await api.send('GET', 'clients', { key: await issuer.sign({ roles: [] }) })).status).toBe(403)
  expect((await api.send('GET', 'clients', { key: await issuer.sign({ aud: 'x', roles: ['owner'] }) })).json).toMatchObject({
    status: 401,
    detail: expect.stringMatching(/aud/),
  })
  expect((await api.send('GET', 'clients')).status).toBe(200)
})

test('without an issuer a token is a wrong key', async () => {
  const { issuer } = await given()
  api = await ApiHarness.open()
  expect((await api.send('GET', 'clients', { key: await issuer.sign({ roles: ['owner'] }) })).json).toMatchObject({ status: 401, detail: 'the key is wrong' })
})
