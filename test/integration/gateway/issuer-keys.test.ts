/** Keys that an issuer publishes: fetched, kept, rotated, and bounded in every way. */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { audience, makeTokenIssuer, type TokenIssuer } from '../../unit/access/tokens.ts'
import { type Environment, type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'
import { WebStandIn } from './web-stand-in.ts'

const first = makeTokenIssuer({ kid: 'first' })
const second = makeTokenIssuer({ kid: 'second' })
const { tokenIssuer } = first
const keySet = (...issuers: readonly TokenIssuer[]) =>
  JSON.stringify({ keys: issuers.map(({ kid, publicKey }) => ({ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' })) })

let web: WebStandIn
let harness: Harness
beforeEach(async () => {
  web = await WebStandIn.start()
})
afterEach(async () => {
  await harness.stop()
  await web.close()
})

async function start(settings: object, environment: Environment = {}): Promise<void> {
  const customJwtAuthentication = { tokenIssuer, audiences: [audience], ...settings }
  harness = await startHarness(environment, {
    registry: { 'namespace/default': { topicSpacesConfiguration: { clientAuthentication: { customJwtAuthentication } } } },
  })
}

async function connect(token: string): Promise<number> {
  const client = await RawClient.open(harness.port)
  client.send(connectPacket('c', { properties: { authenticationMethod: 'CUSTOM-JWT', authenticationData: Buffer.from(token) } }))
  const { reasonCode } = await client.next('connack')
  client.destroy()
  return reasonCode
}

test('keys are fetched once and kept; a key that is not among them is looked for again, but not for every token that names one', async () => {
  web.answer = () => ({ body: keySet(first) })
  await start({ jwksUrl: `${web.url}/keys` }, { ISSUER_KEYS_BETWEEN: '60000' })
  expect(await connect(await first.token())).toBe(0)
  expect(await connect(await first.token())).toBe(0)
  for (let i = 0; i < 5; i++) expect(await connect(await second.token())).toBe(0x87)
  expect(web.asked.map(({ method, path }) => [method, path])).toEqual([['GET', '/keys']])
})

test('a rotated key is found when the first token names it', async () => {
  web.answer = () => ({ body: keySet(first) })
  await start({ jwksUrl: `${web.url}/keys` }, { ISSUER_KEYS_BETWEEN: '0' })
  expect(await connect(await first.token())).toBe(0)
  web.answer = () => ({ body: keySet(first, second) })
  expect(await connect(await second.token())).toBe(0)
  expect(web.asked).toHaveLength(2)
})

test('the issuer’s metadata lead to its keys, and metadata of another issuer lead nowhere', async () => {
  web.answer = ({ path }) => ({ body: path === '/keys' ? keySet(first) : JSON.stringify({ issuer: tokenIssuer, jwks_uri: `${web.url}/keys` }) })
  await start({ openIdConfigurationUrl: `${web.url}/.well-known/openid-configuration` }, { ISSUER_KEYS_BETWEEN: '0' })
  expect(await connect(await first.token())).toBe(0)
  web.answer = ({ path }) => ({ body: path === '/keys' ? keySet(second) : JSON.stringify({ issuer: 'https://evil', jwks_uri: `${web.url}/keys` }) })
  expect(await connect(await second.token())).toBe(0x87)
  expect(await connect(await first.token())).toBe(0)
})

test('certificates in the settings count without anything being fetched', async () => {
  await start({ jwksUrl: `${web.url}/keys`, encodedIssuerCertificates: [{ kid: first.kid, encodedCertificate: first.encodedCertificate }] })
  expect(await connect(await first.token())).toBe(0)
  expect(await connect(await first.token({ aud: 'elsewhere' }))).toBe(0x87)
  expect(web.asked).toHaveLength(0)
})

test.each([
  ['ISSUER_KEYS_TIMEOUT: keys that do not come in time', (): null => null, { ISSUER_KEYS_TIMEOUT: '100' }, 'ISSUER_KEYS_TIMEOUT'],
  ['ISSUER_KEYS_BYTES_MAX: a key set that is too large', () => ({ body: ' '.repeat(2000) }), { ISSUER_KEYS_BYTES_MAX: '1024' }, 'ISSUER_KEYS_BYTES_MAX'],
  ['something that is no key set', () => ({ body: '[]' }), {}, null],
  ['an HTTP error', () => ({ status: 500 }), {}, null],
] as const satisfies readonly (readonly [string, WebStandIn['answer'], Environment, string | null])[])(
  '%s is the gateway’s trouble and not the client’s fault: 0x88',
  async (_what, answer, environment, limit) => {
    web.answer = answer
    await start({ jwksUrl: `${web.url}/keys` }, environment)
    expect(await connect(await first.token())).toBe(0x88)
    expect(await harness.metric('loggerhead_issuer_keys_fetched_total', { result: 'failed' })).toBe(1)
    if (limit) expect(await harness.reached(limit)).toBe(1)
  },
)

test('a redirect is not followed', async () => {
  web.answer = ({ path }) => (path === '/keys' ? { status: 302, headers: { location: `${web.url}/elsewhere` } } : { body: keySet(first) })
  await start({ jwksUrl: `${web.url}/keys` })
  expect(await connect(await first.token())).toBe(0x88)
  expect(web.asked.map(({ path }) => path)).toEqual(['/keys'])
})

test('VOUCHED_ATTRIBUTES_MAX: more claims than that are refused', async () => {
  web.answer = () => ({ body: keySet(first) })
  await start({ jwksUrl: `${web.url}/keys` }, { VOUCHED_ATTRIBUTES_MAX: '100' })
  expect(await connect(await first.token({ text: 'x'.repeat(100) }))).toBe(0x87)
  expect(await harness.reached('VOUCHED_ATTRIBUTES_MAX')).toBe(1)
})

test('AUTHENTICATION_TIMEOUT, AUTHENTICATIONS_PENDING_MAX: who waits is bounded in time and number, and keeps nobody else waiting', async () => {
  web.answer = () => null
  await start({ jwksUrl: `${web.url}/keys` }, { AUTHENTICATION_TIMEOUT: '1000', AUTHENTICATIONS_PENDING_MAX: '1' })
  await harness.put({ 'clientGroups/$anonymous': {} })
  const waiting = connect(await first.token())
  const until = async (): Promise<void> => {
    while (web.open === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await until()
  expect(await connect(await first.token())).toBe(0x88)
  expect(await harness.reached('AUTHENTICATIONS_PENDING_MAX')).toBe(1)
  const anybody = await RawClient.attached(harness.port, connectPacket('anybody'))
  anybody.destroy()
  expect(await waiting).toBe(0x88)
  expect(await harness.reached('AUTHENTICATION_TIMEOUT')).toBe(1)
})
