import { expect, test } from '@jest/globals'
import { type Authentication, authenticate, type Credentials, stillValid } from '../../../access/authenticate.ts'
import type { RegistryView } from '../../../model/registry-view.ts'
import { makeAuthority, makeLeaf, now } from './pki.ts'
import { put, viewOf } from './registry.ts'

const day = 86_400_000
const ca = makeAuthority('Factory CA')
const truck = makeLeaf(ca, 'Truck-1')
const scheme = (validationScheme: string, allowedThumbprints?: readonly string[]) => ({
  clientCertificateAuthentication: { validationScheme, ...(allowedThumbprints ? { allowedThumbprints } : {}) },
})

const factory = (client: object = {}) =>
  viewOf({
    clients: { t1: { authenticationName: 'Truck-1', attributes: { site: 'Oslo' }, ...scheme('SubjectMatchesAuthenticationName'), ...client } },
    caCertificates: { factory: { encodedCertificate: ca.pem } },
  })

const judge = (view: RegistryView, credentials: Partial<Credentials>, at = now): Authentication =>
  authenticate(view, { clientId: 'c', ...credentials }, { now: at })
const why = (answer: Authentication): string => (answer.ok ? 'let in' : `${answer.reasonCode.toString(16)} ${answer.why}`)

test('XA-02 a leaf signed by a registered CA with the name in its subject is let in, until it expires', () => {
  expect(judge(factory(), { username: 'Truck-1', certificate: truck })).toEqual({
    ok: true,
    principal: { clientName: 't1', authenticationName: 'Truck-1', attributes: { site: 'Oslo' }, kind: 'registered' },
    expiresAt: now + day,
  })
})

test('CL-02 names compare ignoring case and keep the case they were registered in', () => {
  const answer = judge(factory(), { username: 'tRUCK-1', certificate: truck })
  expect(answer.ok && answer.principal.authenticationName).toBe('Truck-1')
  const lower = judge(factory(), { username: 'Truck-1', certificate: makeLeaf(ca, 'truck-1') })
  expect(lower.ok).toBe(true)
})

test('XA-02 no CA registered, another CA of the same name, another name: nobody gets in', () => {
  const stranger = makeAuthority('Factory CA')
  const view = factory()
  expect(why(judge(view, { username: 'Truck-1', certificate: makeLeaf(stranger, 'Truck-1') }))).toContain(
    '87 no registered CA certificate of that name made the signature',
  )
  expect(why(judge(view, { username: 'Truck-1', certificate: makeLeaf(ca, 'Truck-2') }))).toContain('does not say “Truck-1”')
  expect(why(judge(view, { username: 'Truck-2', certificate: makeLeaf(ca, 'Truck-2') }))).toContain('no client is registered as “Truck-2”')
  put(view, 'caCertificates', 'factory')
  expect(why(judge(view, { username: 'Truck-1', certificate: truck }))).toContain('no CA certificate is registered for the issuer “CN=Factory CA”')
})

test('XA-01 several CAs of one name are tried: a renewed one stands beside the old', () => {
  const renewed = makeAuthority('Factory CA')
  const view = factory()
  put(view, 'caCertificates', 'renewed', { encodedCertificate: renewed.pem })
  expect(judge(view, { username: 'Truck-1', certificate: truck }).ok).toBe(true)
  expect(judge(view, { username: 'Truck-1', certificate: makeLeaf(renewed, 'Truck-1') }).ok).toBe(true)
})

test('XA-01 a CA certificate that is no CA, or out of date, lets nobody in', () => {
  const view = factory()
  const leafAsCa = makeLeaf(ca, 'Truck-1')
  put(view, 'caCertificates', 'factory', { encodedCertificate: leafAsCa.toString() })
  expect(judge(view, { username: 'Truck-1', certificate: truck }).ok).toBe(false)
  const old = makeAuthority('Old CA', { from: now - 2 * day, to: now - 1 })
  put(view, 'caCertificates', 'factory', { encodedCertificate: old.pem })
  expect(why(judge(view, { username: 'Truck-1', certificate: makeLeaf(old, 'Truck-1') }))).toContain('the CA certificate “factory” expired at')
  const soon = makeAuthority('Soon CA', { from: now + 1000 })
  put(view, 'caCertificates', 'factory', { encodedCertificate: soon.pem })
  expect(why(judge(view, { username: 'Truck-1', certificate: makeLeaf(soon, 'Truck-1') }))).toContain('is not valid before')
})

test('XA-01 only the direct issuer counts: what a client signs with its own certificate is worth nothing', () => {
  const sly = makeAuthority('Truck-1') // a client that plays CA
  expect(judge(factory(), { username: 'Truck-1', certificate: makeLeaf(sly, 'Truck-1') }).ok).toBe(false)
  const slyer = { ...sly, commonName: 'Factory CA' } // and names the CA as the issuer
  expect(judge(factory(), { username: 'Truck-1', certificate: makeLeaf(slyer, 'Truck-1') }).ok).toBe(false)
})

test('XA-02 an expired and a not yet valid certificate are refused', () => {
  const view = factory()
  expect(why(judge(view, { username: 'Truck-1', certificate: truck }, now + day))).toContain('the client certificate expired at')
  expect(why(judge(view, { username: 'Truck-1', certificate: truck }, now - 2 * day))).toContain('is not valid before')
})

test('XA-02 a server’s certificate of the same CA is no client’s', () => {
  expect(why(judge(factory(), { username: 'Truck-1', certificate: makeLeaf(ca, 'Truck-1', { use: 'server' }) }))).toContain('without clientAuth')
})

test('CL-03 a disabled client is refused', () => {
  expect(why(judge(factory({ state: 'Disabled' }), { username: 'Truck-1', certificate: truck }))).toContain('is disabled')
})

test('XT-01 a thumbprint matches by SHA-1 or SHA-256 and needs no CA', () => {
  const self = makeLeaf(makeAuthority('nobody'), 'whatever')
  for (const thumbprint of [self.fingerprint, self.fingerprint256, self.fingerprint256.replaceAll(':', '').toLowerCase()]) {
    const view = factory(scheme('ThumbprintMatch', ['00'.repeat(20), thumbprint]))
    expect(judge(view, { username: 'Truck-1', certificate: self }).ok).toBe(true)
    expect(why(judge(view, { username: 'Truck-1', certificate: truck }))).toContain('thumbprint')
    expect(judge(view, { username: 'Truck-1', certificate: self }, now + 2 * day).ok).toBe(false)
  }
  const half = factory(scheme('ThumbprintMatch', [self.fingerprint256.slice(0, 59)]))
  expect(judge(half, { username: 'Truck-1', certificate: self }).ok).toBe(false)
})

test('XT-02 one certificate serves many clients, told apart by their user names', () => {
  const shared = makeLeaf(makeAuthority('nobody'), 'whatever')
  const view = factory(scheme('ThumbprintMatch', [shared.fingerprint256]))
  put(view, 'clients', 't2', { authenticationName: 'Truck-2', ...scheme('ThumbprintMatch', [shared.fingerprint256]) })
  for (const username of ['Truck-1', 'Truck-2']) {
    expect(judge(view, { username, certificate: shared })).toMatchObject({ ok: true, principal: { authenticationName: username } })
  }
})

test('XT-03 without a user name, a certificate that is known by its thumbprint names the client by the alternative sources', () => {
  const self = makeLeaf(makeAuthority('nobody'), 'Truck-1')
  const view = factory(scheme('ThumbprintMatch', [self.fingerprint]))
  expect(judge(view, { certificate: self }).ok).toBe(false)
  put(view, 'namespace', 'default', {
    topicSpacesConfiguration: { clientAuthentication: { alternativeAuthenticationNameSources: ['ClientCertificateSubject'] } },
  })
  expect(judge(view, { certificate: self })).toMatchObject({ ok: true, principal: { authenticationName: 'Truck-1' } })
})

test('XA-04, SE-02 without a user name the certificate names the client, by the sources of the namespace in order', () => {
  const view = factory()
  expect(why(judge(view, { certificate: truck }))).toContain('names no alternativeAuthenticationNameSources')
  const sources = (...alternativeAuthenticationNameSources: string[]) =>
    put(view, 'namespace', 'default', { topicSpacesConfiguration: { clientAuthentication: { alternativeAuthenticationNameSources } } })
  sources('ClientCertificateSubject')
  expect(judge(view, { certificate: truck }).ok).toBe(true)
  sources('ClientCertificateEmail', 'ClientCertificateSubject') // an empty field falls to the next
  expect(judge(view, { certificate: truck, username: '' }).ok).toBe(true)
  sources('ClientCertificateDns')
  expect(why(judge(view, { certificate: truck }))).toContain('none of the fields')
  sources('ClientCertificateSubject')
  expect(why(judge(view, { certificate: makeLeaf(ca, 'unknown') }))).toContain('no client is registered under a name')
})

test('without a certificate anybody gets in while $anonymous exists, under the user name or “anonymous”', () => {
  const view = factory()
  expect(why(judge(view, {}))).toContain('$anonymous does not exist')
  put(view, 'clientGroups', '$anonymous', {})
  expect(judge(view, {})).toEqual({ ok: true, principal: { clientName: 'anonymous', authenticationName: 'anonymous', attributes: {}, kind: 'anonymous' } })
  expect(judge(view, { username: 'bob', password: Buffer.from('x') })).toMatchObject({ ok: true, principal: { authenticationName: 'bob', kind: 'anonymous' } })
  expect(judge(view, { username: '' })).toMatchObject({ ok: true, principal: { authenticationName: 'anonymous' } })
})

test('a registered name needs its certificate, and a certificate a registered name, $anonymous or not', () => {
  const view = factory()
  put(view, 'clientGroups', '$anonymous', {})
  expect(why(judge(view, { username: 'TRUCK-1' }))).toContain('is registered and must show its certificate')
  expect(why(judge(view, { username: 'bob', certificate: truck }))).toContain('no client is registered as “bob”')
  put(view, 'clients', 'a', { authenticationName: 'Anonymous', ...scheme('SubjectMatchesAuthenticationName') })
  expect(judge(view, {}).ok).toBe(false)
})

test('names and client ids of Loggerhead’s own are taken from nobody without the key', () => {
  const view = factory()
  put(view, 'clientGroups', '$anonymous', {})
  const own = { clientId: '$loggerhead/canary', username: '$loggerhead', password: Buffer.from('secret') }
  expect(authenticate(view, own, { now, internalKey: 'secret' })).toMatchObject({ ok: true, principal: { kind: 'internal' } })
  expect(authenticate(view, own, { now, internalKey: Buffer.from('secret') }).ok).toBe(true)
  for (const internalKey of ['secre', 'secret!', '', undefined]) expect(authenticate(view, own, { now, internalKey }).ok).toBe(false)
  expect(authenticate(view, { ...own, password: undefined }, { now, internalKey: 'secret' }).ok).toBe(false)
  expect(authenticate(view, { ...own, password: Buffer.alloc(0) }, { now, internalKey: '' }).ok).toBe(false)
  expect(authenticate(view, { ...own, clientId: 'x' }, { now, internalKey: 'secret' }).ok).toBe(false)
  expect(judge(view, { clientId: '$loggerhead/x', username: 'bob' }).ok).toBe(false)
  expect(judge(view, { clientId: '$loggerhead/x', username: 'Truck-1', certificate: truck }).ok).toBe(false)
  for (const username of ['$Loggerhead', '$all', '$']) expect(judge(view, { username }).ok).toBe(false)
})

test('an authentication method that is not known is refused as such, and never falls back', () => {
  const view = factory()
  put(view, 'clientGroups', '$anonymous', {})
  expect(judge(view, { authenticationMethod: 'OAUTH2-JWT' })).toMatchObject({ ok: false, reasonCode: 0x8c })
  expect(judge(view, { authenticationMethod: '', certificate: truck, username: 'Truck-1' })).toMatchObject({ ok: false, reasonCode: 0x8c })
})

const connect = (view: RegistryView, credentials: Partial<Credentials>) => {
  const whole = { clientId: 'c', ...credentials }
  const answer = authenticate(view, whole, { now })
  if (!answer.ok) throw new Error(answer.why)
  return { credentials: whole, principal: answer.principal }
}

test.each<[string, (view: RegistryView) => void, string]>([
  ['the client is deleted', (view) => put(view, 'clients', 't1'), 'no client is registered'],
  [
    'the client is disabled',
    (view) => put(view, 'clients', 't1', { authenticationName: 'Truck-1', state: 'Disabled', ...scheme('SubjectMatchesAuthenticationName') }),
    'disabled',
  ],
  ['the CA is removed', (view) => put(view, 'caCertificates', 'factory'), 'no CA certificate'],
  ['the scheme is changed', (view) => put(view, 'clients', 't1', { authenticationName: 'Truck-1', ...scheme('DnsMatchesAuthenticationName') }), 'does not say'],
  [
    'a thumbprint is demanded',
    (view) => put(view, 'clients', 't1', { authenticationName: 'Truck-1', ...scheme('ThumbprintMatch', ['00'.repeat(20)]) }),
    'thumbprint',
  ],
  [
    'another resource takes the name',
    (view) => {
      put(view, 'clients', 't1')
      put(view, 'clients', 't2', { authenticationName: 'Truck-1', ...scheme('SubjectMatchesAuthenticationName') })
    },
    '',
  ],
])('LC-05 a connection ends when %s', (_title, change, expected) => {
  const view = factory()
  const connection = connect(view, { username: 'Truck-1', certificate: truck })
  expect(stillValid(view, connection, { now }).ok).toBe(true)
  change(view)
  const answer = stillValid(view, connection, { now })
  expect(answer).toMatchObject({ ok: false, reasonCode: 0x87, disconnectionReason: 'ClientAuthenticationError' })
  expect(!answer.ok && answer.why).toContain(expected)
})

test('a connection ends when its certificate expires, and $anonymous’ members when the group or their name goes', () => {
  const view = factory()
  put(view, 'clientGroups', '$anonymous', {})
  const connection = connect(view, { username: 'Truck-1', certificate: truck })
  expect(stillValid(view, connection, { now: now + day - 1 }).ok).toBe(true)
  expect(stillValid(view, connection, { now: now + day }).ok).toBe(false)
  const bob = connect(view, { username: 'bob' })
  expect(stillValid(view, bob, { now })).toEqual({ ok: true, principal: bob.principal })
  put(view, 'clients', 'bob', { ...scheme('SubjectMatchesAuthenticationName') })
  expect(stillValid(view, bob, { now }).ok).toBe(false)
  put(view, 'clients', 'bob')
  put(view, 'clientGroups', '$anonymous')
  expect(stillValid(view, bob, { now }).ok).toBe(false)
})

test('a connection goes on with the new attributes, and with the same principal when nothing changed', () => {
  const view = factory()
  const connection = connect(view, { username: 'Truck-1', certificate: truck })
  const same = stillValid(view, connection, { now })
  expect(same.ok && same.principal).toBe(connection.principal)
  put(view, 'clients', 't1', { authenticationName: 'Truck-1', attributes: { site: 'Bergen' }, ...scheme('SubjectMatchesAuthenticationName') })
  const changed = stillValid(view, connection, { now })
  expect(changed.ok && changed.principal.attributes).toEqual({ site: 'Bergen' })
})
