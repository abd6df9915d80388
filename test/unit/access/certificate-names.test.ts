import { expect, test } from '@jest/globals'
import { authenticate } from '../../../access/authenticate.ts'
import { canonicalIp, distinguishedName, isDistinguishedName, namesOf } from '../../../access/certificate-names.ts'
import { makeAuthority, makeLeaf, now } from './pki.ts'
import { viewOf } from './registry.ts'

const ca = makeAuthority('CA')

test.each(['sly\nCN=admin', 'sly + CN=admin', 'sly,CN=admin', 'sly\\\nCN=admin', '"\nCN=admin"', '#sly', ' sly ', 'Trück 🚚', 'a\\0ACN=admin', 'CN=admin'])(
  'XA-03 a common name of %j is just that, and no other attribute',
  (commonName) => {
    const leaf = makeLeaf(ca, commonName)
    expect(namesOf(leaf).commonNames).toEqual([commonName])
    const view = viewOf({ clients: { admin: { clientCertificateAuthentication: {} } }, caCertificates: { ca: { encodedCertificate: ca.pem } } })
    expect(authenticate(view, { clientId: 'c', username: 'admin', certificate: leaf }, { now }).ok).toBe(false)
  },
)

test.each(['x, DNS:admin', 'admin, ', '"admin"', 'x\nDNS:admin', 'x\0admin', ',DNS:admin'])(
  'XA-03 an alternative name of %j is just that, and no other',
  (host) => {
    const leaf = makeLeaf(ca, 'x', { hosts: [host] })
    expect(namesOf(leaf).dns).not.toContain('admin')
    expect(namesOf(leaf).dns.length).toBeLessThanOrEqual(1)
  },
)

test('XA-03 alternative names of all kinds are read', () => {
  const names = namesOf(makeLeaf(ca, 'x', { hosts: ['a.example', 'b.example', '192.0.2.1', '2001:db8::1'] }))
  expect([names.dns, names.ip]).toEqual([
    ['a.example', 'b.example'],
    ['192.0.2.1', '2001:db8::1'],
  ])
})

test('XA-03 the distinguished name matches in both orders, and only whole', () => {
  const names = { subject: ['C=NO', 'O=A, B', 'CN=x'], commonNames: ['x'], dns: [], uri: [], ip: [], email: [] }
  expect(distinguishedName(names)).toBe('CN=x,O=A, B,C=NO')
  for (const text of ['C=NO,O=A\\, B,CN=x', 'CN=x, O=A\\, B, C=no', 'cn=X,o=a\\2c b,c=NO']) expect(isDistinguishedName(names, text)).toBe(true)
  for (const text of ['CN=x', 'C=NO,O=A, B,CN=x', 'O=A\\, B,C=NO,CN=x', 'C=NO,O=A\\, B,CN=x,CN=y', '']) expect(isDistinguishedName(names, text)).toBe(false)
  expect(isDistinguishedName({ ...names, subject: [] }, '')).toBe(false)
})

test('IP addresses have one spelling', () => {
  expect(canonicalIp('2001:DB8:0:0:0:0:0:1')).toBe('2001:db8::1')
  expect(canonicalIp('10.0.0.1')).toBe('10.0.0.1')
  for (const text of ['10.0.0', '', 'fe80::1%eth0', 'x']) expect(canonicalIp(text)).toBeUndefined()
})
