/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of templates */
import { generateKeyPairSync } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { issueCertificate } from '../../../access/certificates.ts'
import { MemoryLog, MemoryStore } from '../../../log/memory-log.ts'
import { planTopics, topicSpecs } from '../../../log/topics.ts'
import type { Routers } from '../../../proto/routers.ts'
import { createApi } from '../../../registry/api.ts'
import { type RegistryConfig, readRegistryConfig } from '../../../registry/config.ts'
import { seedDevelopmentSamples } from '../../../registry/development-samples.ts'
import type { Namespaces } from '../../../registry/namespaces.ts'
import { Registry } from '../../../registry/registry.ts'
import { decodeRecord } from '../../../schemas/codec.ts'
import { namespacesOf } from './namespaces-of.ts'

const key = 'correct-horse-battery'
const day = 86_400_000

let store: MemoryStore
let log: MemoryLog
let registry: Registry
let app: FastifyInstance
let limits: string[]
let routers: Routers
let failures: unknown[]
let namespaces: Namespaces
let clock: { offset: number; now(): number }

async function open(environment: Record<string, string> = {}): Promise<void> {
  const config = readRegistryConfig({ API_KEY_FILE: 'unused', REGISTRY_STALE_MAX: '600000', ...environment })
  await openWith(config)
}

async function openWith(config: RegistryConfig): Promise<void> {
  const { names } = planTopics({ ...config, KAFKA_REPLICATION: 3 }, 'default', 'development')
  const options = { log, topics: names, namespace: 'default', clock, writeTimeoutMs: config.REGISTRY_WRITE_TIMEOUT, requestsMax: config.REGISTRY_REQUESTS_MAX }
  const onLimit = (limit: string) => limits.push(limit)
  registry = await Registry.start({ ...options, onLimit, onFailed: (error) => failures.push(error) })
  namespaces = namespacesOf({ log, registry, config, routers, onLimit, clock })
  app = createApi({
    namespaces,
    key,
    askWebhook: async () => ({ origin: 'loggerhead.local', perMinute: null }),
    config,
    health: () => log.health(),
    onLimit,
    onRequest: () => {},
    onError: (error) => failures.push(error),
  })
}

beforeEach(async () => {
  store = new MemoryStore()
  log = new MemoryLog(store)
  limits = []
  routers = { ask: async () => [] }
  failures = []
  clock = { offset: 0, now: () => Date.now() + clock.offset }
  await log.createTopics(topicSpecs(planTopics(readRegistryConfig({ API_KEY_FILE: 'unused' }), 'default', 'development')))
  await open()
})

afterEach(async () => {
  await app.close()
  await namespaces.close()
  await registry.close()
  await log.close()
})

const path = (rest: string) => `/namespaces/default${rest === '' ? '' : `/${rest}`}`

async function send(method: 'GET' | 'PUT' | 'DELETE', rest: string, body?: object, headers: Record<string, string> = {}) {
  const request: InjectOptions = { method, url: path(rest), headers: { authorization: `Bearer ${key}`, ...headers }, ...(body ? { payload: body } : {}) }
  const answer = await app.inject(request)
  // biome-ignore lint/suspicious/noExplicitAny: whatever the API answers
  const json = answer.body === '' ? undefined : (answer.json() as Record<string, any>)
  return { status: answer.statusCode, json, headers: answer.headers }
}

const client = (more: object = {}) => ({ clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' }, ...more })

async function givenBinding() {
  await send('PUT', 'clientGroups/machines', { query: 'attributes.type = "machine"' })
  await send('PUT', 'topicSpaces/telemetry', { topicTemplates: ['machines/${client.authenticationName}/#'] })
  return send('PUT', 'permissionBindings/machines-pub', { clientGroupName: 'machines', topicSpaceName: 'telemetry', permission: 'Publisher' })
}

test('a resource is written, read, listed and deleted; its answer has Event Grid’s shape', async () => {
  const put = await send('PUT', 'clients/Truck-1', client({ attributes: { site: 'Oslo', lines: ['a'], floor: -1 }, description: 'x' }))
  expect(put.status).toBe(201)
  expect(put.json).toMatchObject({
    id: '/namespaces/default/clients/Truck-1',
    name: 'Truck-1',
    type: 'Microsoft.EventGrid/namespaces/clients',
    properties: {
      authenticationName: 'Truck-1',
      state: 'Enabled',
      clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' },
      attributes: { site: 'Oslo', lines: ['a'], floor: -1 },
      description: 'x',
    },
    by: 'api-key',
  })
  expect(put.json!.etag).toBe(put.headers.etag)
  const get = await send('GET', 'clients/Truck-1')
  expect([get.status, get.json]).toEqual([200, put.json])
  expect((await send('GET', 'clients')).json).toEqual({ value: [put.json] })
  expect((await send('PUT', 'clients/Truck-1', client())).status).toBe(200)
  expect((await send('DELETE', 'clients/Truck-1')).status).toBe(204)
  expect((await send('GET', 'clients/Truck-1')).status).toBe(404)
  expect((await send('DELETE', 'clients/Truck-1')).status).toBe(404)
})

test('an answer sent back as it is, wrapped in properties, is accepted; createdAt stays', async () => {
  const put = await send('PUT', 'clients/a', client())
  clock.offset = 5000
  const again = await send('PUT', 'clients/a', put.json)
  expect(again.status).toBe(200)
  expect(again.json!.createdAt).toBe(put.json!.createdAt)
  expect(again.json!.updatedAt > put.json!.updatedAt).toBe(true)
})

test('fields that only Azure knows are left out with a warning; other unknown ones are refused', async () => {
  const put = await send('PUT', 'clients/a', { properties: client({ provisioningState: 'Succeeded' }), systemData: {} })
  expect(put.status).toBe(201)
  expect(put.json!.warnings).toEqual([
    'systemData means something to Azure only and was left out',
    'properties.provisioningState means something to Azure only and was left out',
  ])
  expect(put.json!.properties.provisioningState).toBeUndefined()
  expect((await send('PUT', 'clients/a', client({ atributes: {} }))).json).toMatchObject({
    status: 400,
    field: 'properties.atributes',
    rule: 'is no field of this resource',
  })
  expect((await send('PUT', 'clients/a', { properties: client(), attributes: {} })).json).toMatchObject({ status: 400, field: 'attributes' })
  expect((await send('PUT', 'clients/a', { properties: client(), name: 'b' })).json).toMatchObject({ status: 400, field: 'name', value: 'b' })
})

test.each<[string, string, object, number, object]>([
  ['CL-01', 'clients/a%20b', client(), 400, { field: 'name', value: 'a b' }],
  ['CL-01', `clients/${'a'.repeat(129)}`, client(), 400, { field: 'name' }],
  ['CL-02', 'clients/a', client({ authenticationName: '' }), 400, { field: 'properties.authenticationName' }],
  ['CL-02', 'clients/a', client({ authenticationName: 'x'.repeat(129) }), 400, { field: 'properties.authenticationName' }],
  [
    'CL-02',
    'clients/a',
    client({ authenticationName: 'a\0b' }),
    400,
    { field: 'properties.authenticationName', rule: 'must be text without control characters' },
  ],
  ['CL-02', 'clients/a', client({ authenticationName: '$LOGGERHEAD' }), 400, { field: 'properties.authenticationName', rule: 'is reserved' }],
  ['CL-03', 'clients/a', client({ state: 'On' }), 400, { field: 'properties.state', value: 'On', rule: 'must be one of Enabled, Disabled' }],
  ['CL-04', 'clients/a', {}, 400, { field: 'properties.clientCertificateAuthentication', rule: 'is required' }],
  ['CL-05', 'clients/a', client({ attributes: { 'a-b': 'x' } }), 400, { field: 'properties.attributes.a-b' }],
  ['CL-05', 'clients/a', client({ attributes: JSON.parse('{"__proto__": "x"}') }), 400, {}],
  ['CL-05', 'clients/a', client({ attributes: { a: true } }), 400, { field: 'properties.attributes.a', value: true }],
  ['CL-05', 'clients/a', client({ attributes: { a: 1.5 } }), 400, { field: 'properties.attributes.a' }],
  ['CL-05', 'clients/a', client({ attributes: { a: ['x', 1] } }), 400, { field: 'properties.attributes.a' }],
  ['CL-05', 'clients/a', client({ attributes: { a: 'x'.repeat(4096) } }), 400, { field: 'properties.attributes' }],
  [
    'XT-01',
    'clients/a',
    { clientCertificateAuthentication: { validationScheme: 'ThumbprintMatch' } },
    400,
    { field: 'properties.clientCertificateAuthentication.allowedThumbprints' },
  ],
  [
    'XT-01',
    'clients/a',
    { clientCertificateAuthentication: { validationScheme: 'ThumbprintMatch', allowedThumbprints: ['00'.repeat(20), 'xyz'] } },
    400,
    { field: 'properties.clientCertificateAuthentication.allowedThumbprints[1]', value: 'xyz' },
  ],
  [
    'XT-01',
    'clients/a',
    { clientCertificateAuthentication: { allowedThumbprints: ['00'.repeat(20)] } },
    400,
    { field: 'properties.clientCertificateAuthentication.allowedThumbprints' },
  ],
  ['CG-01', 'clientGroups/ab', { query: 'attributes.a = 1' }, 400, { field: 'name', value: 'ab', rule: '3 to 50 letters, digits and “-”' }],
  ['CG-01', 'clientGroups/$everyone', { query: 'attributes.a = 1' }, 400, { field: 'name' }],
  ['CG-02', 'clientGroups/$all', { query: 'attributes.a = 1' }, 409, {}],
  ['CG-07', 'clientGroups/abc', { query: 'attributes.a like 1' }, 400, { field: 'properties.query', value: 'attributes.a like 1' }],
  ['CG-01', 'clientGroups/abc', {}, 400, { field: 'properties.query', rule: 'is required' }],
  ['TS-01', 'topicSpaces/a_b', { topicTemplates: ['a'] }, 400, { field: 'name' }],
  ['TS-01', 'topicSpaces/abc', { topicTemplates: [] }, 400, { field: 'properties.topicTemplates' }],
  ['TS-02', 'topicSpaces/abc', { topicTemplates: ['ok', 'a/#/b'] }, 400, { field: 'properties.topicTemplates[1]', value: 'a/#/b' }],
  ['TS-05', 'topicSpaces/abc', { topicTemplates: ['${principal.name}'] }, 400, { field: 'properties.topicTemplates[0]' }],
  [
    'PB-01',
    'permissionBindings/abc',
    { clientGroupName: '$all', topicSpaceName: 'none', permission: 'Publisher' },
    400,
    { field: 'properties.topicSpaceName' },
  ],
  [
    'PB-01',
    'permissionBindings/abc',
    { clientGroupName: 'none', topicSpaceName: 'none', permission: 'Publisher' },
    400,
    { field: 'properties.clientGroupName' },
  ],
  ['PB-01', 'permissionBindings/abc', { clientGroupName: '$all', topicSpaceName: 'x', permission: 'Both' }, 400, { field: 'properties.permission' }],
  ['XA-01', 'caCertificates/abc', { encodedCertificate: 'nonsense' }, 400, { field: 'properties.encodedCertificate' }],
])('%s: PUT %s is refused, and the problem names field, value and rule', async (_row, rest, body, status, expected) => {
  const answer = await send('PUT', rest, body)
  expect(answer.json).toMatchObject({ status, ...expected })
  expect(answer.headers['content-type']).toContain('application/problem+json')
  expect(registry.view.position).toBe(2) // nothing but the fence and the marker of a new log was written
})

test('CL-02 authenticationName stays as it was, and is unique ignoring case', async () => {
  await send('PUT', 'clients/a', client({ authenticationName: 'Alice' }))
  expect((await send('PUT', 'clients/a', client({ authenticationName: 'alice' }))).json).toMatchObject({ status: 409, field: 'properties.authenticationName' })
  expect((await send('PUT', 'clients/a', client({ description: 'name left out' }))).json!.properties.authenticationName).toBe('Alice')
  expect((await send('PUT', 'clients/b', client({ authenticationName: 'ALICE' }))).json).toMatchObject({ status: 409, value: 'ALICE' })
  expect((await send('PUT', 'clients/alice', client())).status).toBe(409)
  await send('DELETE', 'clients/a')
  expect((await send('PUT', 'clients/b', client({ authenticationName: 'ALICE' }))).status).toBe(201)
})

test('CL-02 of many clients that ask for one name at the same time one gets it', async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => send('PUT', `clients/c${i}`, client({ authenticationName: i % 2 ? 'Alice' : 'ALICE' }))),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(19).fill(409)])
  expect(registry.view.clients.size).toBe(1)
})

test('XT-01 thumbprints are taken with or without separators and kept in one spelling', async () => {
  const sha1 = Array(20).fill('ab').join(':')
  const put = await send('PUT', 'clients/a', {
    clientCertificateAuthentication: { validationScheme: 'ThumbprintMatch', allowedThumbprints: [sha1, 'cd'.repeat(32)] },
  })
  expect(put.json!.properties.clientCertificateAuthentication.allowedThumbprints).toEqual(['AB'.repeat(20), 'CD'.repeat(32)])
})

test('CG-02 $all can be seen, and neither written nor deleted', async () => {
  expect((await send('GET', 'clientGroups/$all')).status).toBe(200)
  expect((await send('GET', 'clientGroups/%24all')).status).toBe(200)
  expect((await send('GET', 'clientGroups')).json!.value.map((group: { name: string }) => group.name)).toEqual(['$all'])
  expect((await send('DELETE', 'clientGroups/$all')).status).toBe(409)
})

test('PB-01 a group or space in use cannot be deleted, and the problem names who uses it', async () => {
  expect((await givenBinding()).status).toBe(201)
  for (const used of ['clientGroups/machines', 'topicSpaces/telemetry']) {
    const answer = await send('DELETE', used)
    expect(answer.json).toMatchObject({ status: 409, detail: expect.stringContaining('machines-pub') })
  }
  await send('DELETE', 'permissionBindings/machines-pub')
  for (const used of ['clientGroups/machines', 'topicSpaces/telemetry']) expect((await send('DELETE', used)).status).toBe(204)
})

test('$anonymous can be deleted while bindings name it, and made again', async () => {
  await seedDevelopmentSamples({ registry, namespace: 'default', limits: readRegistryConfig({ API_KEY_FILE: 'x' }), ca: undefined })
  expect((await send('GET', 'clientGroups/$anonymous')).status).toBe(200)
  expect((await send('DELETE', 'clientGroups/$anonymous')).status).toBe(204)
  expect((await send('PUT', 'clientGroups/$anonymous', { query: 'attributes.a = 1' })).json).toMatchObject({ status: 400, field: 'properties.query' })
  expect((await send('PUT', 'clientGroups/$anonymous', {})).status).toBe(201)
})

const authority = (validTo: number, use: 'ca' | 'client' = 'ca') => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const validity = { notBefore: new Date(Date.now() - 10 * day), notAfter: new Date(validTo) }
  return issueCertificate({ commonName: 'Test CA', publicKey, signingKey: privateKey, use, ...validity })
}

test('XA-01 a CA certificate is taken as PEM, as its base64 body, or as base64 of the PEM', async () => {
  const pem = authority(Date.now() + day)
  const body = pem.replace(/-----[^-]+-----/g, '').replaceAll('\n', '')
  for (const encodedCertificate of [pem, body, Buffer.from(pem).toString('base64'), `\r\n${pem.replaceAll('\n', '\r\n')}`]) {
    const put = await send('PUT', 'caCertificates/test-ca', { encodedCertificate })
    expect(put.json!.properties.encodedCertificate.trim()).toBe(pem.trim())
    expect(put.json!.properties.expiryTimeInUtc).toMatch(/^\d{4}-.*Z$/)
  }
})

test('XA-01 what is no single, valid CA certificate is refused with what it should be', async () => {
  const pem = authority(Date.now() + day)
  const rules: Record<string, string> = {
    [authority(Date.now() + day, 'client')]: 'must be a CA certificate',
    [authority(Date.now() - day)]: 'must not have expired',
    [pem + pem]: 'must be exactly one PEM block',
    [`${pem}-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----`]: 'must hold no private key',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----': 'must be an X.509 certificate',
  }
  for (const [encodedCertificate, rule] of Object.entries(rules)) {
    const answer = await send('PUT', 'caCertificates/test-ca', { encodedCertificate })
    expect(answer.json).toMatchObject({ status: 400, field: 'properties.encodedCertificate' })
    expect(answer.json!.rule).toContain(rule)
    expect(answer.json!.value).toBeUndefined() // a key pasted by mistake is not echoed
  }
})

test('NS-04 the namespace’s own settings are written and read at the namespace', async () => {
  expect((await send('GET', '')).json!.properties).toMatchObject({ topicSpacesConfiguration: { customDomains: [] }, partitions: 4 })
  const body = {
    topicSpacesConfiguration: {
      state: 'Enabled',
      maximumSessionExpiryInHours: 8,
      maximumClientSessionsPerAuthenticationName: 3,
      clientAuthentication: { alternativeAuthenticationNameSources: ['ClientCertificateDns', 'ClientCertificateSubject'] },
    },
  }
  const put = await send('PUT', '', body)
  expect(put.status).toBe(201)
  expect(put.json!.warnings).toEqual(['properties.topicSpacesConfiguration.state means something to Azure only and was left out'])
  expect(registry.view.namespace!.properties).toEqual({
    maximumSessionExpiryInHours: 8,
    maximumClientSessionsPerAuthenticationName: 3,
    alternativeAuthenticationNameSources: ['ClientCertificateDns', 'ClientCertificateSubject'],
  })
  expect((await send('GET', '')).json!.properties.topicSpacesConfiguration.maximumSessionExpiryInHours).toBe(8)
  expect((await send('PUT', '', { topicSpacesConfiguration: { maximumSessionExpiryInHours: 0 } })).json).toMatchObject({
    status: 400,
    field: 'properties.topicSpacesConfiguration.maximumSessionExpiryInHours',
    value: 0,
  })
})

test('NS-07 the namespace’s rules for addresses are written, read and checked; INBOUND_IP_RULES_MAX bounds them, the preset at 16', async () => {
  const rules = (count: number) => Array.from({ length: count }, (_, i) => ({ ipMask: `10.0.${i}.0/24`, action: 'Allow' }))
  const body = {
    publicNetworkAccess: 'Enabled',
    inboundIpRules: [
      { ipMask: '192.0.2.0/24', action: 'Allow' },
      { ipMask: '2001:db8::/32', action: 'Allow' },
    ],
  }
  expect((await send('PUT', '', body)).json).toMatchObject({ properties: body })
  expect((await send('GET', '')).json!.properties).toMatchObject(body)
  for (const ipMask of ['192.0.2.0/33', 'example.com', '']) {
    const field = 'properties.inboundIpRules[0].ipMask'
    expect((await send('PUT', '', { inboundIpRules: [{ ipMask, action: 'Allow' }] })).json).toMatchObject({ status: 400, field, value: ipMask })
  }
  expect((await send('PUT', '', { inboundIpRules: [{ ipMask: '192.0.2.0/24', action: 'Deny' }] })).json).toMatchObject({ status: 400 })
  expect((await send('PUT', '', { publicNetworkAccess: 'SecuredByPerimeter' })).json).toMatchObject({ status: 400 })
  expect((await send('PUT', '', { limits: { preset: 'eventgrid' }, inboundIpRules: rules(16) })).status).toBe(200)
  expect((await send('PUT', '', { limits: { preset: 'eventgrid' }, inboundIpRules: rules(17) })).json).toMatchObject({
    status: 400,
    field: 'properties.inboundIpRules',
  })
  expect((await send('PUT', '', { inboundIpRules: rules(257) })).json).toMatchObject({ status: 400, rule: 'at most 256 (INBOUND_IP_RULES_MAX), there are 257' })
  expect(limits).toContain('INBOUND_IP_RULES_MAX')
})

test('ETag: a change may ask for the state it saw, or for none', async () => {
  const first = await send('PUT', 'clients/a', client(), { 'if-none-match': '*' })
  expect(first.status).toBe(201)
  expect((await send('PUT', 'clients/a', client(), { 'if-none-match': '*' })).status).toBe(412)
  const { etag } = first.json!
  const second = await send('PUT', 'clients/a', client(), { 'if-match': etag })
  expect(second.status).toBe(200)
  expect((await send('PUT', 'clients/a', client(), { 'if-match': etag })).status).toBe(412)
  expect((await send('DELETE', 'clients/a', undefined, { 'if-match': etag })).status).toBe(412)
  expect((await send('PUT', 'clients/b', client(), { 'if-match': '*' })).status).toBe(412)
  expect((await send('GET', 'clients/a', undefined, { 'if-none-match': `W/${second.json!.etag}` })).status).toBe(304)
  expect((await send('DELETE', 'clients/a', undefined, { 'if-match': `"x", ${second.json!.etag}` })).status).toBe(204)
})

test('ETag: of ten changes that saw the same state one succeeds', async () => {
  const { etag } = (await send('PUT', 'clientGroups/abc', { query: 'attributes.a = 1' })).json!
  const answers = await Promise.all(Array.from({ length: 10 }, () => send('PUT', 'clientGroups/abc', { query: 'attributes.a = 2' }, { 'if-match': etag })))
  expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array<number>(9).fill(412)])
})

test('lists come in pages, each with the link to the next', async () => {
  await Promise.all(Array.from({ length: 7 }, (_, i) => send('PUT', `clients/c${i}`, client())))
  const first = await send('GET', 'clients?$top=3')
  expect(first.json!.value.map(({ name }: { name: string }) => name)).toEqual(['c0', 'c1', 'c2'])
  const answer = await app.inject({ url: first.json!.nextLink, headers: { authorization: `Bearer ${key}` } })
  expect(answer.json().value.map(({ name }: { name: string }) => name)).toEqual(['c3', 'c4', 'c5'])
  const last = await app.inject({ url: answer.json().nextLink, headers: { authorization: `Bearer ${key}` } })
  expect(last.json()).toMatchObject({ value: [{ name: 'c6' }] })
  expect(last.json().nextLink).toBeUndefined()
  expect((await send('GET', 'clients?$top=0')).json).toMatchObject({ status: 400, field: '$top' })
})

test('401 without the key, whatever is asked; nothing else is told', async () => {
  for (const authorization of ['', 'Bearer', 'Bearer wrong', `Basic ${key}`, `Bearer ${key}x`, `Bearer ${key.slice(1)}`]) {
    const answer = await app.inject({ url: path('clients'), headers: { authorization } })
    expect(answer.statusCode).toBe(401)
    expect(answer.headers['www-authenticate']).toBe('Bearer')
    expect(answer.json()).toMatchObject({ status: 401, title: 'Unauthorized' })
  }
  expect((await app.inject({ url: '/namespaces/other/clients' })).statusCode).toBe(401)
  expect((await app.inject({ url: '/namespaces/other/clients', headers: { authorization: `Bearer ${key}` } })).statusCode).toBe(404)
  expect((await app.inject({ method: 'PUT', url: path('clients/a'), payload: client() })).statusCode).toBe(401)
})

test('bad bodies are problems too', async () => {
  const put = (payload: string, type = 'application/json') =>
    app.inject({ method: 'PUT', url: path('clients/a'), payload, headers: { authorization: `Bearer ${key}`, 'content-type': type } })
  expect((await put('{')).statusCode).toBe(400)
  expect((await put('')).json()).toMatchObject({ status: 400, field: 'properties' })
  expect((await put('[]')).json()).toMatchObject({ status: 400, field: 'properties' })
  expect((await put('null')).statusCode).toBe(400)
  expect((await put('{"properties": null}')).json()).toMatchObject({ status: 400, field: 'properties' })
  expect((await put('{"__proto__": {"x": 1}}')).statusCode).toBe(400)
  expect((await put('a=b', 'application/x-www-form-urlencoded')).json()).toMatchObject({ status: 415 })
  expect((await put(JSON.stringify(client({ description: 'x'.repeat(300_000) })))).json()).toMatchObject({ status: 413 })
  expect(limits).toContain('REGISTRY_BODY_MAX')
  expect(failures).toEqual([])
})

test('a request without a body may name the type that its body would have', async () => {
  await send('PUT', 'clients/a', client())
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  expect((await app.inject({ method: 'DELETE', url: path('clients/a'), headers })).statusCode).toBe(204)
  expect((await send('GET', 'clients/a')).status).toBe(404)
})

test('LC-03, LC-04: changes of clients become life cycle events; every change says who made it, before and after', async () => {
  await send('PUT', 'clients/c', client({ authenticationName: 'Alice', attributes: { x: 1 } }))
  await send('DELETE', 'clients/c')
  const names = planTopics(readRegistryConfig({ API_KEY_FILE: 'unused' }), 'default', 'development').names
  const stretches = await log.readMany(names.lifecycle, new Map([0, 1, 2, 3].map((partition) => [partition, 0])))
  const events = stretches
    .flatMap(({ records }) => records)
    .map(({ key: recordKey, value }) => {
      const { name, value: event } = decodeRecord(value!)
      if (name !== 'LifecycleEvent') throw new Error(name)
      return { key: recordKey!.toString(), ...event, data: JSON.parse(event.data) as Record<string, unknown> }
    })
  expect(events.filter(({ key: recordKey }) => recordKey === 'Alice')).toMatchObject([
    {
      type: 'Microsoft.EventGrid.MQTTClientCreatedOrUpdated',
      subject: 'clients/c',
      source: '/namespaces/default',
      data: { namespaceName: 'default', clientName: 'c', clientAuthenticationName: 'Alice', state: 'Enabled', attributes: { x: 1 } },
    },
    { type: 'Microsoft.EventGrid.MQTTClientDeleted', data: { namespaceName: 'default', clientName: 'c', clientAuthenticationName: 'Alice' } },
  ])
  expect(events.filter(({ key: recordKey }) => recordKey === 'clients/c')).toMatchObject([
    { type: 'Loggerhead.RegistryResourceChanged', data: { by: 'api-key', before: null, after: { authenticationName: 'Alice' } } },
    { data: { before: { authenticationName: 'Alice' }, after: null } },
  ])
})

test.each<[string, string, number, () => Promise<unknown>]>([
  ['CLIENTS_MAX', 'clients/more', 2, () => Promise.all(['clients/one', 'clients/two'].map((rest) => send('PUT', rest, client())))],
  ['CLIENT_GROUPS_MAX', 'clientGroups/more', 1, () => send('PUT', 'clientGroups/one', { query: 'attributes.a = 1' })],
  ['TOPIC_SPACES_MAX', 'topicSpaces/more', 1, () => send('PUT', 'topicSpaces/one', { topicTemplates: ['a'] })],
  ['PERMISSION_BINDINGS_MAX', 'permissionBindings/more', 1, givenBinding],
  ['CA_CERTIFICATES_MAX', 'caCertificates/more', 1, () => send('PUT', 'caCertificates/one', { encodedCertificate: authority(Date.now() + day) })],
  ['TOPIC_TEMPLATES_MAX', 'topicSpaces/more', 1, async () => {}],
])('limit %s: PUT %s beyond %d is refused and counted', async (limit, rest, value, given) => {
  await app.close()
  await registry.close()
  await open({ [limit]: String(value) })
  await given()
  const bodies: Record<string, object> = {
    clients: client(),
    clientGroups: { query: 'attributes.a = 1' },
    topicSpaces: { topicTemplates: ['a', 'b'] },
    permissionBindings: { clientGroupName: '$all', topicSpaceName: 'telemetry', permission: 'Publisher' },
    caCertificates: { encodedCertificate: authority(Date.now() + day) },
  }
  const answer = await send('PUT', rest, bodies[rest.split('/')[0]!])
  expect(answer.json).toMatchObject({ status: 400, rule: expect.stringContaining('at most') })
  expect(limits).toContain(limit)
})

test('limit CLIENT_ATTRIBUTES_MAX is counted', async () => {
  await send('PUT', 'clients/a', client({ attributes: { a: 'x'.repeat(4096) } }))
  expect(limits).toEqual(['CLIENT_ATTRIBUTES_MAX'])
})

test('invariant 1: while Kafka is away a change is answered with 503 and never with 2xx; REGISTRY_WRITE_TIMEOUT, REGISTRY_REQUESTS_MAX and REGISTRY_STALE_MAX count', async () => {
  await app.close()
  await registry.close()
  await open({ REGISTRY_WRITE_TIMEOUT: '100', REGISTRY_REQUESTS_MAX: '2' })
  store.setAway(true)
  const first = send('PUT', 'clients/a', client())
  await new Promise(setImmediate) // it is under way; these wait behind it
  const answers = await Promise.all([first, ...Array.from({ length: 4 }, (_, i) => send('PUT', `clientGroups/abc${i}`, { query: 'attributes.a = 1' }))])
  expect(answers.map(({ status }) => status)).toEqual([503, 503, 503, 503, 503])
  expect(answers[0]!.headers['retry-after']).toBe('2')
  expect(limits.sort()).toEqual(['REGISTRY_REQUESTS_MAX', 'REGISTRY_REQUESTS_MAX', ...Array<string>(3).fill('REGISTRY_WRITE_TIMEOUT')])
  clock.offset = 1_200_000
  expect((await send('GET', 'clients')).status).toBe(503)
  expect(limits).toContain('REGISTRY_STALE_MAX')
  store.setAway(false)
  await registry.follower.reached(registry.view.position)
  clock.offset = 0
  const after = await send('PUT', 'clients/b', client())
  expect(after.status).toBe(201)
  // What waited and was refused before it was decided is never written.
  expect([...registry.view.clientGroups.keys()]).toEqual([])
})

test('invariant 6: a registry that another one has replaced can write no more, and ends', async () => {
  const before = { app, registry }
  await open()
  expect((await send('PUT', 'clients/new', client())).status).toBe(201)
  const stale = await before.app.inject({ method: 'PUT', url: path('clients/old'), payload: client(), headers: { authorization: `Bearer ${key}` } })
  expect(stale.statusCode).toBe(503)
  expect(failures).toHaveLength(1)
  expect([...registry.view.clients.keys()]).toEqual(['new'])
  await before.app.close()
  await before.registry.close()
})

test('the development samples are written once: what an operator deletes stays deleted', async () => {
  const ca = authority(Date.now() + day)
  const options = () => ({ registry, namespace: 'default', limits: readRegistryConfig({ API_KEY_FILE: 'x' }), ca })
  await seedDevelopmentSamples(options())
  expect([...registry.view.clientGroups.keys(), ...registry.view.clients.keys(), ...registry.view.topicSpaces.keys()]).toEqual([
    '$anonymous',
    'sample_client',
    'everything',
    'samples',
  ])
  expect(registry.view.permissionBindings.size).toBe(5)
  await send('DELETE', 'clientGroups/$anonymous')
  await send('DELETE', 'clients/sample_client')
  await app.close()
  await registry.close()
  await open()
  const { position } = registry.view
  await seedDevelopmentSamples(options())
  expect(registry.view.position).toBe(position)
  const renewed = authority(Date.now() + 2 * day)
  await seedDevelopmentSamples({ ...options(), ca: renewed })
  expect(registry.view.caCertificates.get('development')?.properties.encodedCertificate).toBe(renewed)
  await send('DELETE', 'caCertificates/development')
  await seedDevelopmentSamples(options())
  expect(registry.view.caCertificates.size).toBe(0)
})
