import { expect, test } from '@jest/globals'
import { type Authentication, authenticate, type Credentials, stillValid } from '../../../access/authenticate.ts'
import { hashPassword, verifyPassword } from '../../../access/password-hash.ts'
import type { RegistryView } from '../../../model/registry-view.ts'
import { makeAuthority, makeLeaf, now } from './pki.ts'
import { put, viewOf } from './registry.ts'

const password = Buffer.from('correct horse')
const passwordHash = await hashPassword(password, 14)
const otherHash = await hashPassword(Buffer.from('battery staple'), 14)
const device = (more: object = {}) => ({
  authenticationName: 'Device-1',
  clientCertificateAuthentication: {},
  passwordAuthentication: { passwordHash },
  ...more,
})
const judge = (view: RegistryView, credentials: Partial<Credentials>): Authentication => authenticate(view, { clientId: 'c', ...credentials }, { now })
const question = (answer: Authentication) => (answer.ok ? undefined : answer.question)

test('a hash is good for its password alone, and no two are the same', async () => {
  expect(passwordHash).toMatch(/^\$scrypt\$ln=14,r=8,p=1\$/)
  expect(await verifyPassword(password, passwordHash)).toBe(true)
  expect(await verifyPassword(Buffer.from('correct horsf'), passwordHash)).toBe(false)
  expect(await hashPassword(password, 14)).not.toBe(passwordHash)
})

test('what is no hash, or would cost more than is computed, is good for nothing', async () => {
  for (const text of ['', 'correct horse', passwordHash.replace('ln=14', 'ln=30'), passwordHash.replace('ln=14', 'ln=01'), passwordHash.slice(0, -1)]) {
    expect(await verifyPassword(password, text)).toBe(false)
  }
})

test('CL-02 a client with a password is asked about by name in any case, and let in under its registered one when it is right', () => {
  const view = viewOf({ clients: { d1: device() } })
  const asked = question(judge(view, { username: 'DEVICE-1', password }))
  expect(asked).toMatchObject({ about: 'password', client: 'd1', hash: passwordHash })
  const evidence = { about: 'password', client: 'd1', hash: passwordHash, isRight: true, why: 'wrong' } as const
  expect(judge(view, { evidence })).toMatchObject({ ok: true, principal: { authenticationName: 'Device-1', kind: 'registered' } })
  expect(judge(view, { evidence: { ...evidence, isRight: false } })).toMatchObject({ ok: false, reasonCode: 0x87, why: 'wrong' })
})

test('a name that nobody has, one without a password and a disabled one are looked into for as long, and refused whatever comes out', () => {
  const view = viewOf({ clients: { d1: device(), d2: { clientCertificateAuthentication: {} }, d3: device({ authenticationName: 'd3', state: 'Disabled' }) } })
  for (const username of ['nobody', 'd2', 'd3']) {
    const asked = question(judge(view, { username, password }))
    expect([username, asked]).toMatchObject([username, { about: 'password', client: undefined, hash: passwordHash }])
    const evidence = { about: 'password', client: undefined, hash: passwordHash, isRight: true, why: 'no' } as const
    expect(judge(view, { username, evidence }).ok).toBe(false)
  }
  // Nobody has a password, so that there is nothing to find out.
  expect(question(judge(viewOf({}), { username: 'nobody', password }))).toBeUndefined()
})

test('a certificate that is good needs no password, one that is not may be made up for by it', () => {
  const ca = makeAuthority('Factory CA')
  const view = viewOf({ clients: { d1: device() }, caCertificates: { factory: { encodedCertificate: ca.pem } } })
  expect(judge(view, { username: 'device-1', certificate: makeLeaf(ca, 'Device-1') }).ok).toBe(true)
  expect(question(judge(view, { username: 'device-1', certificate: makeLeaf(ca, 'other'), password }))).toMatchObject({ about: 'password', client: 'd1' })
  expect(question(judge(view, { username: 'device-1', certificate: makeLeaf(ca, 'other') }))).toBeUndefined()
})

test('beside a certificate that is worth nothing, too, a password is looked into for as long whether or not the name is there', () => {
  const stranger = makeLeaf(makeAuthority('nobody'), 'whatever')
  const view = viewOf({ clients: { d1: device(), d2: { clientCertificateAuthentication: {} }, d3: device({ authenticationName: 'd3', state: 'Disabled' }) } })
  for (const username of ['nobody', 'd2', 'd3']) {
    const asked = question(judge(view, { username, certificate: stranger, password }))
    expect([username, asked]).toMatchObject([username, { about: 'password', client: undefined, hash: passwordHash }])
    expect(question(judge(view, { username, certificate: stranger }))).toBeUndefined()
  }
})

test('a password is for the user name it comes with: neither a worthless certificate nor none names somebody in its place', () => {
  const view = viewOf({ clients: { d1: device(), a: device({ authenticationName: 'anonymous' }) } })
  put(view, 'namespace', 'default', {
    topicSpacesConfiguration: { clientAuthentication: { alternativeAuthenticationNameSources: ['ClientCertificateSubject'] } },
  })
  const certificate = makeLeaf(makeAuthority('nobody'), 'Device-1')
  expect(question(judge(view, { username: 'Device-1', certificate, password }))).toMatchObject({ client: 'd1' })
  for (const credentials of [{ certificate }, { certificate, username: '' }, {}]) {
    expect(question(judge(view, { ...credentials, password }))).toMatchObject({ about: 'password', client: undefined })
  }
})

test('a connection by password ends when the password is changed or taken away, or the client disabled', () => {
  const view = viewOf({ clients: { d1: device() } })
  const credentials: Credentials = {
    clientId: 'c',
    username: 'device-1',
    evidence: { about: 'password', client: 'd1', hash: passwordHash, isRight: true, why: 'no' },
  }
  const answer = judge(view, credentials)
  if (!answer.ok) throw new Error(answer.why)
  const after = (more: object) => {
    put(view, 'clients', 'd1', device(more))
    return stillValid(view, { credentials, principal: answer.principal }, { now }).ok
  }
  expect(after({ attributes: { a: 1 } })).toBe(true)
  expect(after({ passwordAuthentication: { passwordHash: otherHash } })).toBe(false)
  expect(after({ passwordAuthentication: undefined })).toBe(false)
  expect(after({ state: 'Disabled' })).toBe(false)
  expect(after({})).toBe(true)
})
