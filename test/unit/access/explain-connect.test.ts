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
const explained = (credentials: Partial<Credentials>, of = view) => explainConnect(of, { clientId: 'c', ...credentials }, { now })

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

test('a token is checked with the keys in the namespace’s settings, and a refusal names the rule', async () => {
  const issuer = makeTokenIssuer({ now })
  const { tokenIssuer, kid, encodedCertificate } = issuer
  const settings = (more: object) => ({
    topicSpacesConfiguration: { clientAuthentication: { customJwtAuthentication: { tokenIssuer, audiences: [audience], ...more } } },
  })
  const present = async (more: object, claims: Readonly<Record<string, unknown>> = {}) =>
    explained(
      { authenticationMethod: 'CUSTOM-JWT', authenticationData: Buffer.from(await issuer.token(claims)) },
      viewOf({ namespace: { default: settings(more) } }),
    )
  const known = { encodedIssuerCertificates: [{ kid, encodedCertificate }] }
  expect(await present(known)).toMatchObject({ allowed: true, authenticationName: 'device-1', kind: 'customJwt', groups: ['$all'] })
  expect(await present(known, { aud: 'elsewhere' })).toMatchObject({ allowed: false, reasonCode: 0x87, reason: expect.stringMatching(/^audience: /) })
  expect(await present({ jwksUrl: 'https://issuer.example.com/keys' })).toMatchObject({
    allowed: false,
    reason: expect.stringContaining('where the issuer publishes it'),
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
