import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { makeAuthority, makeLeaf } from '../access/pki.ts'
import { ApiHarness, client } from './harness.ts'

let api: ApiHarness
beforeEach(async () => {
  api = await ApiHarness.open()
})
afterEach(() => api.close())

const day = 86_400_000
const validity = { from: Date.now() - day, to: Date.now() + day }

test('connect is judged by certificate, user name and client id; XA-02', async () => {
  const fleet = makeAuthority('Fleet CA', validity)
  const certificate = makeLeaf(fleet, 'm1', validity).toString()
  await api.send('PUT', 'clients/m1', { body: client() })
  const ask = async (more: object) => (await api.send('POST', ':explain', { body: { action: 'connect', client: 'm1', ...more } })).json
  expect(await ask({ certificate })).toMatchObject({ allowed: false, reason: expect.stringMatching(/no CA certificate is registered/), reasonCode: 0x87 })
  await api.send('PUT', 'caCertificates/fleet', { body: { encodedCertificate: fleet.pem } })
  expect(await ask({ certificate })).toMatchObject({ allowed: true, client: 'm1', groups: ['$all'], certificate: { subject: ['CN=m1'] } })
  expect(await ask({ certificate, clientId: '$loggerhead/x' })).toMatchObject({ allowed: false, reason: expect.stringMatching(/reserved/) })
  expect(await ask({})).toMatchObject({ allowed: false, reason: expect.stringMatching(/must show its certificate/) })
  expect(await ask({ authenticationMethod: 'SCRAM' })).toMatchObject({ allowed: false, reasonCode: 0x8c })
})

test.each<[string, object, readonly string[]]>([
  ['a publish without topic and client', { action: 'publish' }, ['client', 'topic']],
  ['a publish with a certificate', { action: 'publish', client: 'a', topic: 't', certificate: 'x' }, ['certificate']],
  ['a connect with a topic', { action: 'connect', topic: 't' }, ['topic']],
  ['a certificate that is none', { action: 'connect', certificate: 'x' }, ['certificate']],
  ['a private key', { action: 'connect', certificate: '-----BEGIN PRIVATE KEY-----\nx' }, ['certificate']],
  ['no action', { client: 'a' }, ['action']],
  ['an action that is none', { action: 'fly' }, ['action']],
])('%s is refused, naming the field', async (_, body, fields) => {
  const { status, json } = await api.send('POST', ':explain', { body })
  expect([status, json.violations.map(({ field }: { field: string }) => field)]).toEqual([400, fields])
  expect(JSON.stringify(json)).not.toContain('PRIVATE KEY')
})

test('a reader may not find passwords or tokens out by asking', async () => {
  const { json } = await api.send('PUT', 'apiKeys/reader', { body: { role: 'reader' } })
  const { key } = json.properties
  const status = async (body: object) => (await api.send('POST', ':explain', { body, key })).status
  expect(await status({ action: 'connect', client: 'a' })).toBe(200)
  expect(await status({ action: 'connect', client: 'a', password: 'guess' })).toBe(403)
  expect(await status({ action: 'connect', authenticationMethod: 'CUSTOM-JWT', authenticationData: 'guess' })).toBe(403)
})
