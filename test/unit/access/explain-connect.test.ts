import { expect, test } from '@jest/globals'
import { authenticate, type Credentials } from '../../../access/authenticate.ts'
import { explainConnect } from '../../../access/explain-connect.ts'
import { hashPassword } from '../../../access/password-hash.ts'
import { makeAuthority, makeLeaf, now } from './pki.ts'
import { type Registry, viewOf } from './registry.ts'
import { audience, makeTokenIssuer } from './tokens.ts'

const fleet = makeAuthority('Fleet CA')
const other = makeAuthority('Other CA')
const client = (more: object = {}) => ({ clientCertificateAuthentication: {}, attributes: { type: 'machine' }, ...more })

const registry: Registry = {
  caCertificates: { fleet: { encodedCertificate: fleet.pem } },
  clients: { m1: client({ authenticationName: 'Press-1' }), off: client({ state: 'Disabled' }) },
  clientGroups: { machines: { query: 'attributes.type = "machine"' } },
}
const view = viewOf(registry)
const explained = (credentials: Partial<Credentials>, of = view) => explainConnect(of, { clientId: 'c', ...credentials }, { now, attributesBytesMax: 4096 })

test('who is let in is told with client, groups, and until when', async () => {
  const certificate = makeLeaf(fleet, 'Press-1', { hosts: ['press.test'] })
  expect(await explained({ username: 'press-1', certificate })).toEqual({
    allowed: true,
    reason: 'its certificate or password is that of “Press-1”',
    reasonCode: 0,
    client: 'm1',
    authenticationName: 'Press-1',
    kind: 'registered',
    groups: ['$all', 'machines'],
    expiresAt: certificate.validToDate.toISOString(),
    certificate: {
      subject: ['CN=Press-1'],
      dns: ['press.test'],
      uri: [],
      ip: [],
      email: [],
      issuer: 'CN=Fleet CA',
      notBefore: certificate.validFromDate.toISOString(),
      notAfter: certificate.validToDate.toISOString(),
    },
  })
})

test.each<[string, Partial<Credentials>, RegExp]>([
  [
    'XA-02 a CA that is not registered',
    { username: 'press-1', certificate: makeLeaf(other, 'Press-1') },
    /no CA certificate is registered for the issuer “CN=Other CA”/,
  ],
  ['XA-02 a name that does not match', { username: 'press-1', certificate: makeLeaf(fleet, 'Press-2') }, /does not say “Press-1” where SubjectMatches/],
  ['CL-03 a disabled client', { username: 'off', certificate: makeLeaf(fleet, 'off') }, /the client “off” is disabled/],
  ['XA-04 no user name and no alternative source', { certificate: makeLeaf(fleet, 'Press-1') }, /names no alternativeAuthenticationNameSources/],
  ['a registered name without a certificate', { username: 'press-1' }, /is registered and must show its certificate/],
  ['a stranger', { username: 'nobody' }, /\$anonymous does not exist/],
])('%s is named as the reason, and it is what the gateway decides', async (_, credentials, reason) => {
  const told = await explained(credentials)
  expect(told).toMatchObject({ allowed: false, reason: expect.stringMatching(reason), reasonCode: 0x87, groups: [] })
  expect(authenticate(view, { clientId: 'c', ...credentials }, { now })).toMatchObject({ ok: false, why: told.reason, reasonCode: told.reasonCode })
  expect(told.certificate?.subject).toEqual(credentials.certificate ? [expect.stringMatching(/^CN=/)] : undefined)
})

test('who comes without a certificate is told that $anonymous lets it in', async () => {
  const open = viewOf({ ...registry, clientGroups: { $anonymous: {} } })
  expect(await explained({ username: 'guest' }, open)).toEqual({
    allowed: true,
    reason: 'the client group $anonymous lets in, without a certificate, “guest”',
    reasonCode: 0,
    authenticationName: 'guest',
    kind: 'anonymous',
    groups: ['$anonymous'],
  })
})

test('a password is checked', async () => {
  const passwordHash = await hashPassword(Buffer.from('correct horse'), 14)
  const withPassword = viewOf({ ...registry, clients: { m1: client({ authenticationName: 'Press-1', passwordAuthentication: { passwordHash } }) } })
  expect(await explained({ username: 'press-1', password: Buffer.from('correct horse') }, withPassword)).toMatchObject({ allowed: true, client: 'm1' })
  expect(await explained({ username: 'press-1', password: Buffer.from('wrong') }, withPassword)).toMatchObject({
    allowed: false,
    reason: 'the password is not that of “Press-1”',
  })
})

const tokens = makeTokenIssuer({ now })
const issuerSettings = { tokenIssuer: tokens.tokenIssuer, audiences: [audience] }
const withTokens = (customJwtAuthentication: object) =>
  viewOf({ ...registry, namespace: { default: { topicSpacesConfiguration: { clientAuthentication: { customJwtAuthentication } } } } })
const shown = (token: string) => ({ authenticationMethod: 'CUSTOM-JWT', authenticationData: Buffer.from(token) })

test('OJ-06 a token is judged by the certificates in the settings, and a refusal names its rule', async () => {
  const believing = withTokens({ ...issuerSettings, encodedIssuerCertificates: [{ kid: tokens.kid, encodedCertificate: tokens.encodedCertificate }] })
  expect(await explained(shown(await tokens.token()), believing)).toMatchObject({ allowed: true, reason: 'the token is that of “device-1”', kind: 'customJwt' })
  expect(await explained(shown(await tokens.token({ aud: 'elsewhere' })), believing)).toMatchObject({
    allowed: false,
    reason: expect.stringMatching(/^audience: /),
  })
})

test('what only the gateway can find out is said to be so', async () => {
  const elsewhere = withTokens({ ...issuerSettings, jwksUrl: 'https://login.example/keys' })
  expect(await explained(shown(await tokens.token()), elsewhere)).toMatchObject({
    allowed: false,
    reason: expect.stringContaining('https://login.example/keys'),
  })
  expect(await explained(shown(await tokens.token({ aud: 'elsewhere' })), elsewhere)).toMatchObject({ reason: expect.stringMatching(/^audience: /) })
  expect(await explained({ authenticationMethod: 'CUSTOM-JWT' }, elsewhere)).toMatchObject({ reason: expect.stringContaining('AUTH packet') })
  const webhook = viewOf({
    ...registry,
    namespace: { default: { topicSpacesConfiguration: { clientAuthentication: { webhookAuthentication: { endpointUrl: 'https://hook.example/' } } } } },
  })
  expect(await explained({ username: 'guest' }, webhook)).toMatchObject({
    allowed: false,
    reason: expect.stringContaining('asks the webhook https://hook.example/'),
  })
})

test('what is asked elsewhere is named without the query of its URL, where keys are', async () => {
  const withSettings = (clientAuthentication: object) => viewOf({ ...registry, namespace: { default: { topicSpacesConfiguration: { clientAuthentication } } } })
  const webhook = withSettings({ webhookAuthentication: { endpointUrl: 'https://hook.example/ask?code=s3cret' } })
  const { reason } = await explained({ username: 'guest' }, webhook)
  expect(reason).toContain('the webhook https://hook.example/ask about')
  for (const where of ['jwksUrl', 'openIdConfigurationUrl']) {
    const issuer = withTokens({ ...issuerSettings, [where]: 'https://login.example/keys?code=s3cret' })
    expect((await explained(shown(await tokens.token()), issuer)).reason).toContain('publishes it, https://login.example/keys, and')
  }
})
