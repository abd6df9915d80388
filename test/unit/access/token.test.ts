import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { checkToken, looksLikeToken, type TokenExpectation, type TokenVerdict } from '../../../access/token.ts'
import { keyOfCertificate, readKeySet, type VerificationKey } from '../../../access/verification-key.ts'
import { now } from './pki.ts'
import { audience, forgedToken, makeTokenIssuer, signedWithPublicKey } from './tokens.ts'

const issuer = makeTokenIssuer({ now })
const other = makeTokenIssuer({ now, kid: 'key-2' })
const keyOf = ({ kid, encodedCertificate }: { readonly kid: string; readonly encodedCertificate: string }): VerificationKey => {
  const key = keyOfCertificate(kid, encodedCertificate)
  if ('problem' in key) throw new Error(key.problem)
  return key
}
const expectation: TokenExpectation = {
  tokenIssuer: issuer.tokenIssuer,
  audiences: [audience],
  keys: [keyOf(issuer), keyOf(other)],
  leewayMs: 1000,
  attributesBytesMax: 4096,
}
const check = (token: string, but: Partial<TokenExpectation> = {}, at = now): Promise<TokenVerdict> => checkToken(token, { ...expectation, ...but }, at)
const rule = (verdict: TokenVerdict): string => (verdict.ok ? 'good' : verdict.rule)
const seconds = now / 1000

test('OJ-06 a token of the issuer, for this audience, in its time, is good; sub is the authentication name', async () => {
  expect(await check(await issuer.token())).toEqual({
    ok: true,
    claims: {
      issuer: issuer.tokenIssuer,
      audiences: [audience],
      authenticationName: 'device-1',
      attributes: {},
      expiresAt: now + 3_600_000,
      notBefore: now - 60_000,
      verifiedBy: keyOf(issuer).thumbprint,
    },
  })
})

test.each([
  ['one of a list', ['https://elsewhere', audience]],
  ['with a slash at the end', `${audience}/`],
] as const)('OJ-06 the audience may be %s', async (_what, aud) => {
  expect(rule(await check(await issuer.token({ aud })))).toBe('good')
  expect(rule(await check(await issuer.token({ aud }), { audiences: [`${audience}/`] }))).toBe('good')
})

test('OJ-05 kid picks the certificate; without one all are tried; ES256 is taken too', async () => {
  expect(rule(await check(await other.token()))).toBe('good')
  expect(rule(await check(await other.token({}, { kid: undefined })))).toBe('good')
  expect(rule(await check(await issuer.token({}, { kid: 'key-2' })))).toBe('signature')
  expect(rule(await check(await issuer.token({}, { kid: 'unknown' })))).toBe('kid')
  const curve = makeTokenIssuer({ now, kid: 'curve', algorithm: 'ES256' })
  expect(rule(await check(await curve.token(), { keys: [keyOf(curve)] }))).toBe('good')
})

test('OJ-07 strings, 32-bit integers and lists of strings become attributes; nothing else, and no registered claim', async () => {
  const claims = {
    type: 'vehicle',
    year: 2024,
    lowest: -(2 ** 31) + 1,
    tags: ['a', 'b'],
    none: [],
    jti: 'x',
    wide: 2 ** 31,
    ratio: 1.5,
    admin: true,
    nested: { a: 1 },
    mixed: ['a', 1],
    'https://claims/role': 'x',
    nothing: null,
  }
  const verdict = await check(await issuer.token(claims))
  expect(verdict.ok && { ...verdict.claims.attributes }).toEqual({ type: 'vehicle', year: 2024, lowest: -(2 ** 31) + 1, tags: ['a', 'b'], none: [] })
})

test.each([
  ['format', 'no token', 'abc'],
  ['format', 'claims that are no object', forgedToken({ alg: 'RS256' }, [1], () => Buffer.alloc(256))],
  [
    'algorithm',
    'alg none',
    forgedToken({ alg: 'none' }, { iss: issuer.tokenIssuer, sub: 'device-1', aud: audience, exp: seconds + 60 }, () => Buffer.alloc(0)),
  ],
  [
    'algorithm',
    'HS256 keyed with the public key',
    forgedToken({ alg: 'HS256' }, { iss: issuer.tokenIssuer, sub: 'device-1', aud: audience, exp: seconds + 60 }, signedWithPublicKey(issuer.publicKey)),
  ],
] as const)('OJ-05 %s: %s', async (expected, _what, token) => {
  expect(rule(await check(token))).toBe(expected)
})

test.each([
  ['issuer', 'another issuer', { iss: 'https://evil' }],
  ['issuer', 'no issuer', { iss: undefined }],
  ['issuer', 'the issuer with a slash at the end', { iss: `${issuer.tokenIssuer}/` }],
  ['audience', 'another audience', { aud: 'elsewhere' }],
  ['audience', 'no audience', { aud: undefined }],
  ['audience', 'an audience that only begins right', { aud: `${audience}.evil.com` }],
  ['time', 'expired', { exp: seconds - 1 }],
  ['time', 'no expiry', { exp: undefined }],
  ['time', 'an expiry that is no number', { exp: 'never' }],
  ['time', 'not yet valid', { nbf: seconds + 2 }],
  ['claims', 'no sub', { sub: undefined }],
  ['claims', 'an empty sub', { sub: '' }],
  ['claims', 'a reserved name', { sub: '$loggerhead' }],
  ['claims', 'control characters in the name', { sub: 'a\u0000b' }],
  ['claims', 'a name of 129 characters', { sub: 'x'.repeat(129) }],
  ['attributes', 'more attributes than fit', { text: 'x'.repeat(5000) }],
] as const)('OJ-06 %s: %s', async (expected, _what, claims) => {
  expect(rule(await check(await issuer.token(claims)))).toBe(expected)
})

test('OJ-06 the leeway is small, and goes both ways', async () => {
  const late = await issuer.token({ exp: seconds })
  expect(rule(await check(late, {}, now + 999))).toBe('good')
  expect(rule(await check(late, {}, now + 1000))).toBe('time')
  const early = await issuer.token({ nbf: seconds + 1 })
  expect(rule(await check(early))).toBe('good')
  expect(rule(await check(early, { leewayMs: 0 }))).toBe('time')
})

test('a token that was changed, or signed by a stranger with the right names, is refused', async () => {
  const [header, , signature] = (await issuer.token()).split('.')
  const [, payload] = (await issuer.token({ sub: 'admin' })).split('.')
  expect(rule(await check(`${header}.${payload}.${signature}`))).toBe('signature')
  expect(rule(await check(await makeTokenIssuer({ now }).token()))).toBe('signature')
})

test('without audiences no token is good, and the refusal says what to set', async () => {
  const verdict = await check(await issuer.token(), { audiences: [] })
  expect(verdict).toMatchObject({ ok: false, rule: 'audience', why: expect.stringContaining('TOKEN_AUDIENCES') })
})

test('a key counts only while its certificate is valid', async () => {
  expect(rule(await check(await issuer.token({ exp: seconds + 999_999 }), {}, now + 2 * 86_400_000))).toBe('kid')
})

test('a key set is read for its signing keys alone', () => {
  const jwk = (kid: string, rest: object = {}) => ({ ...issuer.publicKey.export({ format: 'jwk' }), kid, ...rest })
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
  const keys = [jwk('a'), jwk('enc', { use: 'enc' }), jwk('ps', { alg: 'PS256' }), { kty: 'oct', k: 'AAAA', kid: 'secret' }, weak, { kty: 'RSA' }, null]
  expect(readKeySet({ keys })?.map(({ kid, algorithm }) => [kid, algorithm])).toEqual([['a', 'RS256']])
  expect(readKeySet({})).toBeUndefined()
  expect(readKeySet(null)).toBeUndefined()
})

test('a certificate whose key cannot sign tokens is named as such', () => {
  expect(keyOfCertificate('a', 'nonsense')).toEqual({ problem: expect.stringContaining('PEM') })
})

test('only what has the shape of a token is looked at as one', async () => {
  expect(looksLikeToken(Buffer.from(await issuer.token()))).toBe(true)
  expect(looksLikeToken(Buffer.from(forgedToken({ alg: 'none' }, {}, () => Buffer.alloc(0))))).toBe(true)
  expect(looksLikeToken(Buffer.from('a.b.c'))).toBe(false)
  expect(looksLikeToken(Buffer.from('password'))).toBe(false)
})
