import { expect, test } from '@jest/globals'
import { exportJWK } from 'jose'
import { examineToken, type TokenCheckOptions, tokenText } from '../../../cli/token-check.ts'
import { readClientAuthentication } from '../../../model/client-authentication.ts'
import { audience, makeTokenIssuer } from '../access/tokens.ts'

const now = Date.UTC(2030, 0, 1)
const issuer = makeTokenIssuer({ now })
const { tokenIssuer, kid, encodedCertificate } = issuer
const custom = { tokenIssuer, audiences: [audience], encodedIssuerCertificates: [{ kid, encodedCertificate }] }

const check = (token: string, authentication: object = { customJwtAuthentication: custom }, more: Partial<TokenCheckOptions> = {}) =>
  examineToken(token, {
    authentication: readClientAuthentication(authentication as { [field: string]: unknown }),
    tokenAudiences: [],
    leewayMs: 1000,
    now,
    fetchJson: () => Promise.reject(new Error('nothing is to be fetched')),
    ...more,
  })

test('OJ-06 OJ-07 a good token: as whom, with which attributes, by which method', async () => {
  const report = await check(await issuer.token({ type: 'vehicle' }))
  expect(report).toMatchObject({
    ok: true,
    method: 'CUSTOM-JWT',
    authenticationName: 'device-1',
    attributes: { type: 'vehicle' },
    expected: { audiences: [audience], keys: [kid] },
  })
  expect(report.rules.every(({ result }) => result === 'ok')).toBe(true)
  const text = tokenText(report)
  expect(text).toMatch(/^accepted by CUSTOM-JWT, as device-1\n/)
  expect(text).toContain('exp: 1893459600 (2030-01-01T01:00:00.000Z)')
})

test.each<[string, object, object | undefined]>([
  ['issuer', { iss: 'https://other.example' }, undefined],
  ['audience', { aud: 'elsewhere' }, undefined],
  ['kid', {}, { kid: 'key-2' }],
  ['time', { exp: Math.floor(now / 1000) - 10 }, undefined],
  ['claims', { sub: undefined }, undefined],
])('the rule %s that fails is named, those before it hold, those behind it were not reached', async (rule, claims, header) => {
  const report = await check(await issuer.token(claims as Readonly<Record<string, unknown>>, header as Readonly<Record<string, unknown>>))
  expect([report.ok, report.why]).toEqual([false, expect.stringMatching(new RegExp(`^${rule}: `))])
  const results = report.rules.map(({ result }) => result)
  const failed = report.rules.findIndex((each) => each.rule === rule)
  expect(results).toEqual(results.map((_, i) => (i < failed ? 'ok' : i === failed ? 'failed' : 'not reached')))
  expect(tokenText(report)).toMatch(new RegExp(`^refused: ${rule}: .*\\n.*✗ ${rule}`))
})

test('a signature of another key is refused by that rule', async () => {
  const other = makeTokenIssuer({ now })
  expect(await check(await other.token())).toMatchObject({ ok: false, why: expect.stringMatching(/^signature: /) })
})

test('EN-04 keys come from the issuer’s key set, by its metadata, and the audience of Entra is the default', async () => {
  const fetched: string[] = []
  const documents: Readonly<Record<string, unknown>> = {
    'https://issuer.example.com/metadata': { issuer: tokenIssuer, jwks_uri: 'https://issuer.example.com/keys' },
    'https://issuer.example.com/keys': { keys: [{ ...(await exportJWK(issuer.publicKey)), kid, alg: 'RS256' }] },
  }
  const fetchJson = async (url: string) => {
    fetched.push(url)
    return documents[url]
  }
  const oauth2JwtAuthentication = { tokenIssuer, openIdConfigurationUrl: 'https://issuer.example.com/metadata' }
  const report = await check(await issuer.token({ aud: 'https://eventgrid.azure.net' }), { oauth2JwtAuthentication }, { fetchJson })
  expect([report.ok, report.method, fetched]).toEqual([true, 'OAUTH2-JWT', Object.keys(documents)])
  const wrong = { ...oauth2JwtAuthentication, tokenIssuer: 'https://x.example' }
  await expect(check(await issuer.token(), { oauth2JwtAuthentication: wrong }, { fetchJson })).rejects.toThrow('is the document of another issuer')
})

test('what is no token, and a namespace that takes none, are said in a sentence', async () => {
  await expect(check('nonsense')).rejects.toThrow('this is no JSON web token')
  await expect(check(await issuer.token(), {})).rejects.toThrow('the namespace takes no tokens')
})
