import { X509Certificate } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { authenticate, stillValid } from '../../../access/authenticate.ts'
import { isOlder, readRevocationList } from '../../../access/certificate-structure.ts'
import {
  type CertificateOptions,
  forServersOnly,
  type Issuer,
  issue,
  makeIssuer,
  mildNameConstraints,
  nameConstraints,
  revocationList,
  signsNothing,
} from './chain-pki.ts'
import { now } from './pki.ts'
import { put, viewOf } from './registry.ts'

const day = 86_400_000
const at = { now }
const root = await makeIssuer('Root', at)
const middle = await makeIssuer('Middle', at, root)
const device = await issue('device', middle, at)
const parsed = (pem: string): X509Certificate => new X509Certificate(pem)

function registry(...authorities: readonly { readonly pem: string; readonly encodedRevocationList?: string }[]) {
  const certificates = authorities.map(({ pem, ...rest }, i) => [`ca-${i}`, { encodedCertificate: pem, ...rest }])
  return viewOf({ clients: { device: { clientCertificateAuthentication: {} } }, caCertificates: Object.fromEntries(certificates) })
}

function judge(view: ReturnType<typeof registry>, leaf: { readonly cert: string }, chain: readonly { readonly pem: string }[], context: object = {}): string {
  const credentials = { clientId: 'c', username: 'device', certificate: parsed(leaf.cert), certificateChain: chain.map(({ pem }) => parsed(pem)) }
  const answer = authenticate(view, credentials, { now, ...context })
  return answer.ok ? 'let in' : answer.why
}

test('XA-01 the registered CA may be an intermediate, and the client need not send it', () => {
  expect(judge(registry(middle), device, [])).toBe('let in')
  expect(judge(registry(middle), device, [middle])).toBe('let in')
})

test('the registered CA may be a root above an intermediate that the client sends, in any order and beside others', async () => {
  expect(judge(registry(root), device, [middle])).toBe('let in')
  expect(judge(registry(root), device, [])).toBe('no CA certificate is registered for the issuer “CN=Middle”')
  const lower = await makeIssuer('Lower', at, middle)
  const below = await issue('device', lower, at)
  expect(judge(registry(root), below, [root, middle, lower])).toBe('let in')
  expect(judge(registry(root), below, [lower])).toBe('no CA certificate is registered for the issuer “CN=Middle”')
})

test.each<[string, CertificateOptions, RegExp]>([
  ['that has expired', { now, to: now }, /the intermediate “CN=Middle” expired/],
  ['that is not valid yet', { now, from: now + 1000 }, /the intermediate “CN=Middle” is not valid before/],
  ['that is no CA', { now, isCa: false }, /no CA certificate is registered for the issuer “CN=Middle”/],
  ['with name constraints', { now, extensions: [nameConstraints] }, /the extension 2\.5\.29\.30, which is not kept to/],
  ['with name constraints that are not critical', { now, extensions: [mildNameConstraints] }, /the extension 2\.5\.29\.30/],
  ['whose constraints cannot be read', { now, pathLength: 2 ** 33 }, /the intermediate “CN=Middle” has constraints that cannot be read/],
  ['for servers only', { now, extensions: [forServersOnly] }, /is not for issuers of client certificates/],
])('an intermediate %s vouches for nobody', async (_what, options, why) => {
  const bad = await makeIssuer('Middle', options, root)
  expect(judge(registry(root), await issue('device', bad, at), [bad])).toMatch(why)
})

test('path lengths are kept to, of the registered CA and of those that are sent', async () => {
  const short = await makeIssuer('Short', { now, pathLength: 0 })
  const under = await makeIssuer('Under', at, short)
  expect(judge(registry(short), await issue('device', under, at), [under])).toBe('the CA certificate “ca-0” allows no 1 issuers below itself')
  expect(judge(registry(short), await issue('device', short, at), [])).toBe('let in')
  const limited = await makeIssuer('Limited', { now, pathLength: 0 }, root)
  const lower = await makeIssuer('Lower', at, limited)
  expect(judge(registry(root), await issue('device', lower, at), [lower, limited])).toBe(
    'the intermediate “CN=Limited” allows 0 issuers below itself, and there are 1',
  )
})

test.each<[string, object, object, RegExp]>([
  ['has revoked the device', {}, {}, /the CA “ca-0” has revoked the certificate/],
  ['has no current list, under CRL_STALE=refuse', { next: now - 1, serials: [] }, { staleLists: 'refuse' }, /CRL_STALE/],
])('a registered CA that %s is not got around by sending it along below a registered root', async (_what, list, context, why) => {
  const { serials = [device.serialNumber], ...options } = list as { readonly serials?: readonly string[] }
  const view = registry({ ...middle, encodedRevocationList: await revocationList(middle, serials, { ...at, ...options }) }, root)
  const crossSigned = await makeIssuer('Middle', { now, keys: middle.keys }, root)
  for (const chain of [[], [middle], [crossSigned], [root, crossSigned, middle]]) expect(judge(view, device, chain, context)).toMatch(why)
})

test.each<[string, CertificateOptions, RegExp]>([
  ['has expired', { now, to: now }, /the CA certificate “ca-0” expired/],
  ['is not valid yet', { now, from: now + 1000 }, /the CA certificate “ca-0” is not valid before/],
  ['allows no issuers below itself', { now, pathLength: 0 }, /the CA certificate “ca-0” allows no 1 issuers below itself/],
  ['may not sign certificates by its key usage', { now, extensions: [signsNothing] }, /the CA certificate “ca-0” does not sign such certificates/],
])('a registered CA that %s is not got around by a certificate of its key that the root has issued without that limit', async (_what, options, why) => {
  const limited = await makeIssuer('Middle', { ...options, keys: middle.keys }, root)
  const lower = await makeIssuer('Lower', at, middle)
  const below = await issue('device', lower, at)
  const view = registry(limited, root)
  expect(judge(view, below, [lower])).toMatch(why)
  expect(judge(view, below, [lower, middle])).toMatch(why)
  // The same CA registered once more, without the limit, is fit.
  expect(judge(registry(limited, root, middle), below, [lower])).toBe('let in')
})

test('a chain of another CA with the right names is worth nothing', async () => {
  const evilRoot = await makeIssuer('Root', at)
  const evil = await makeIssuer('Middle', at, evilRoot)
  const forged = await issue('device', evil, at)
  expect(judge(registry(root), forged, [evil, evilRoot])).toMatch(
    /no registered CA certificate of that name made the signature|no CA certificate is registered/,
  )
  expect(judge(registry(root), forged, [middle])).not.toBe('let in')
  // A device that plays CA, with its own good certificate in the chain.
  const sly: Issuer = { name: 'device', pem: device.cert, keys: evil.keys }
  expect(judge(registry(root), await issue('device', sly, at), [{ pem: device.cert }, middle])).not.toBe('let in')
})

test('the connection lasts as long as the shortest-lived certificate of its chain', async () => {
  const soon = await makeIssuer('Middle', { now, to: now + 5000 }, root)
  const leaf = await issue('device', soon, at)
  const answer = authenticate(
    registry(root),
    { clientId: 'c', username: 'device', certificate: parsed(leaf.cert), certificateChain: [parsed(soon.pem)] },
    { now },
  )
  expect(answer).toMatchObject({ ok: true, expiresAt: now + 5000 })
})

test('a revoked certificate, and one of a revoked intermediate, are refused, and connections of them end', async () => {
  const other = await issue('device', middle, at)
  const view = registry({ ...middle, encodedRevocationList: await revocationList(middle, [device.serialNumber], at) })
  expect(judge(view, device, [])).toContain('the CA “ca-0” has revoked the certificate')
  expect(judge(view, other, [])).toBe('let in')
  const above = registry({ ...root, encodedRevocationList: await revocationList(root, [middle.serialNumber], at) })
  expect(judge(above, other, [middle])).toContain('has revoked the certificate')
  const standing = registry(middle)
  const credentials = { clientId: 'c', username: 'device', certificate: parsed(device.cert) }
  const before = authenticate(standing, credentials, { now })
  if (!before.ok) throw new Error(before.why)
  put(standing, 'caCertificates', 'ca-0', { encodedCertificate: middle.pem, encodedRevocationList: await revocationList(middle, [device.serialNumber], at) })
  expect(stillValid(standing, { credentials, principal: before.principal }, { now })).toMatchObject({
    ok: false,
    disconnectionReason: 'ClientAuthenticationError',
    why: expect.stringContaining('revoked'),
  })
})

test('a list counts for its CA under whatever name that is registered, also when its certificate was renewed', async () => {
  const renewed = await makeIssuer('Middle', { now, keys: middle.keys }, root)
  const other = await issue('device', middle, at)
  const encodedRevocationList = await revocationList(middle, [device.serialNumber], at)
  for (const again of [middle, renewed]) {
    for (const view of [registry(again, { ...middle, encodedRevocationList }), registry({ ...middle, encodedRevocationList }, again)]) {
      expect(judge(view, device, [])).toContain('has revoked the certificate')
      expect(judge(view, other, [], { staleLists: 'refuse' })).toBe('let in')
    }
    const overdue = { ...middle, encodedRevocationList: await revocationList(middle, [], { now, next: now - 1 }) }
    expect(judge(registry(again, overdue), other, [], { staleLists: 'refuse' })).toContain('CRL_STALE')
  }
  const namesake = await makeIssuer('Middle', at, root)
  const ofNamesake = registry(middle, { ...namesake, encodedRevocationList: await revocationList(namesake, [device.serialNumber], at) })
  expect(judge(ofNamesake, device, [])).toBe('let in')
})

test('CRL_STALE: an overdue list goes on to count, or keeps everybody of its CA out', async () => {
  const overdue = await revocationList(middle, [device.serialNumber], { now, next: now - 1 })
  const view = registry({ ...middle, encodedRevocationList: overdue })
  const other = await issue('device', middle, at)
  expect(judge(view, device, [])).toContain('has revoked')
  expect(judge(view, other, [])).toBe('let in')
  expect(judge(view, other, [], { staleLists: 'refuse' })).toContain('CRL_STALE')
  const fresh = readRevocationList(Buffer.from(await revocationList(middle, [], at)), parsed(middle.pem))
  if ('problem' in fresh) throw new Error(fresh.problem)
  expect(judge(view, other, [], { staleLists: 'refuse', fetchedLists: new Map([['ca-0', fresh]]) })).toBe('let in')
})

test('of two lists the one made earlier is older; within a second it is the one with the lower number, where both have one', async () => {
  const read = async (options: object) => {
    const list = readRevocationList(Buffer.from(await revocationList(middle, [], { now, ...options })), parsed(middle.pem))
    if ('problem' in list) throw new Error(list.problem)
    return list
  }
  const made = now - 5000
  const [plain, second, third] = [await read({ made }), await read({ made, number: 2 }), await read({ made, number: 3 })]
  const restarted = await read({ made: now, number: 1 })
  expect([plain.number, second.number]).toEqual([undefined, 2n])
  expect([isOlder(second, third), isOlder(third, second), isOlder(second, second)]).toEqual([true, false, false])
  expect([isOlder(plain, third), isOlder(third, plain)]).toEqual([false, false])
  expect([isOlder(third, restarted), isOlder(restarted, third)]).toEqual([true, false])
})

test('a list is read in PEM, DER and base64, and only as its CA signed it', async () => {
  const pem = await revocationList(middle, ['0a0b', device.serialNumber], at)
  const der = Buffer.from(pem.replaceAll(/-----[A-Z0-9 ]+-----|\s/g, ''), 'base64')
  const issuer = parsed(middle.pem)
  const read = readRevocationList(Buffer.from(pem), issuer)
  expect(read).toMatchObject({ thisUpdate: now - day, nextUpdate: now + day })
  expect('serials' in read && read.serials.has('A0B')).toBe(true)
  expect(readRevocationList(der, issuer)).toEqual(read)
  expect(readRevocationList(Buffer.from(der.toString('base64')), issuer)).toEqual(read)
  expect(readRevocationList(der, parsed(root.pem))).toEqual({ problem: 'must be signed by this CA' })
  const changed = Buffer.from(der)
  const position = changed.indexOf(Buffer.from('0a0b', 'hex'))
  changed[position] = 0x0c
  expect(readRevocationList(changed, issuer)).toEqual({ problem: 'must be signed by this CA' })
  for (const bad of ['', 'nonsense', root.pem, der.subarray(0, 40)]) expect(readRevocationList(Buffer.from(bad), issuer)).toHaveProperty('problem')
})
