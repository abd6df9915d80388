/** Publishing and reading over HTTP, on one gateway: who may, what is answered, and what is bounded. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { mqttPaths } from '../../../registry/openapi-mqtt.ts'
import { decodeRecord } from '../../../schemas/codec.ts'
import { until } from '../../support/stack.ts'
import { audience, makeTokenIssuer } from '../../unit/access/tokens.ts'
import { type Environment, type Harness, openRegistry, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness | null = null
const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0)) close()
  await harness?.stop()
  harness = null
})

type Registry = Readonly<Record<string, object | null>>
async function start(environment: Environment = {}, registry: Registry = openRegistry): Promise<Harness> {
  harness = await startHarness(environment, { registry })
  return harness
}

const urlOf = ({ process }: Harness, path: string): string => `http://127.0.0.1:${process.ports.internal}${path}`
const publishing = (topic: string, rest = ''): string => `/mqtt/messages?topic=${encodeURIComponent(topic)}${rest}`

async function ask(running: Harness, path: string, options: RequestInit = {}) {
  const response = await fetch(urlOf(running, path), options)
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) as Readonly<Record<string, unknown>> }
}
const post = (running: Harness, topic: string, options: RequestInit = {}) =>
  ask(running, publishing(topic), { method: 'POST', body: Buffer.from('hello'), ...options })
const bearer = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } })

/** A request whose body comes when the test sends it. */
function slowly(running: Harness, path: string, headers: Readonly<Record<string, string>> = {}) {
  const sent = request(urlOf(running, path), { method: 'POST', headers })
  sent.on('error', () => {})
  closers.push(() => sent.destroy())
  sent.flushHeaders()
  const answered = once(sent, 'response').then(async ([response]: IncomingMessage[]) => {
    response?.resume()
    return response?.statusCode
  })
  answered.catch(() => {}) // the test may end the request itself
  return { sent, answered }
}

const hashed = (key: string): string => createHash('sha256').update(key).digest('hex')

test('HP-01 HP-03 HP-04: without credentials, whom MQTT lets in so publishes, is answered 204 once the message is in the log, and subscribers get it', async () => {
  const running = await start()
  const client = await RawClient.attached(running.port, connectPacket('subscriber'))
  closers.push(() => client.destroy())
  const filter = { filter: 'sample/#', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const
  client.send({ type: 'subscribe', packetId: 1, filters: [filter], properties: {} })
  await client.next('suback')
  const userProperties = Buffer.from('[{"unit":"C"},{"unit":"K"}]').toString('base64')
  const headers = {
    'content-type': 'text/plain',
    'mqtt-response-topic': 'answers%2F1',
    'mqtt-correlation-data': 'AQI=',
    'mqtt-user-properties': userProperties,
    'mqtt-message-expiry': '100',
    'mqtt-payload-format-indicator': '1',
  }
  const answer = await post(running, 'sample/ü', { headers })
  expect([answer.status, answer.text]).toEqual([204, ''])
  await running.router.until(() => running.router.of('Message').length === 1)
  const [record] = running.router.of('Message')
  expect(record).toMatchObject({
    topic: 'sample/ü',
    qos: 1,
    retain: false,
    clientId: 'anonymous',
    authenticationName: 'anonymous',
    session: -1,
    protocolVersion: 5,
  })
  const publish = await client.next('publish')
  expect(publish).toMatchObject({
    topic: 'sample/ü',
    payload: Buffer.from('hello'),
    properties: {
      contentType: 'text/plain',
      responseTopic: 'answers/1',
      correlationData: Buffer.from([1, 2]),
      payloadFormatIndicator: 1,
      userProperties: [
        ['unit', 'C'],
        ['unit', 'K'],
      ],
    },
  })
  await post(running, 'sample/empty', { body: null })
  expect((await client.next('publish', 2)).payload).toHaveLength(0)
  expect(await running.metric('loggerhead_mqtt_successful_published_messages_total', { protocol: 'http-publish', qos: '1' })).toBe(2)
  expect(await running.metric('loggerhead_mqtt_successful_published_messages_total')).toBe(2)
  expect(await running.metric('loggerhead_http_requests_total', { operation: 'publish', code: '204' })).toBe(2)
})

const issuer = makeTokenIssuer()
const { tokenIssuer, kid, encodedCertificate } = issuer
const believing = (more: object = {}) => ({
  topicSpacesConfiguration: {
    clientAuthentication: {
      customJwtAuthentication: { tokenIssuer, audiences: [audience], encodedIssuerCertificates: [{ kid, encodedCertificate }], ...more },
    },
  },
})
const closedRegistry: Registry = {
  'namespace/default': believing(),
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the registry's own variables
  'topicSpaces/own': { topicTemplates: ['own/${client.authenticationName}/#'] },
  'permissionBindings/own': { clientGroupName: '$all', topicSpaceName: 'own', permission: 'Publisher' },
  'permissionBindings/read': { clientGroupName: '$all', topicSpaceName: 'own', permission: 'Subscriber' },
}

test('HP-03: the object id of a token is the client id and its subject the name whose bindings count; without one the name is both', async () => {
  const running = await start({}, closedRegistry)
  const token = await issuer.token({ oid: '00000000-0000-0000-0000-000000000001' })
  expect((await post(running, 'own/device-1/a', bearer(token))).status).toBe(204)
  // Remembered now.
  expect((await post(running, 'own/device-1/a', bearer(token))).status).toBe(204)
  expect((await post(running, 'own/device-1/b', bearer(await issuer.token()))).status).toBe(204)
  const denied = await post(running, 'own/device-2/a', bearer(token))
  expect([denied.status, denied.json()]).toEqual([403, expect.objectContaining({ title: 'Forbidden', field: 'topic', value: 'own/device-2/a' })])
  await running.router.until(() => running.router.of('Message').length === 3)
  expect(running.router.of('Message').map(({ clientId, authenticationName }) => [clientId, authenticationName])).toEqual([
    ['00000000-0000-0000-0000-000000000001', 'device-1'],
    ['00000000-0000-0000-0000-000000000001', 'device-1'],
    ['device-1', 'device-1'],
  ])
  expect(await running.metric('loggerhead_publishes_dropped_total', { reason: 'unauthorized' })).toBe(1)
  expect(await running.metric('loggerhead_mqtt_failed_published_messages_total', { protocol: 'http-publish', error: 'AuthorizationError' })).toBe(1)
})

test('HP-03 HP-04: who shows nothing, a token of somebody else, an old one or no token at all is nobody, told nothing, and told of to auditors', async () => {
  const running = await start({}, closedRegistry)
  const stranger = makeTokenIssuer()
  const expired = Math.floor(Date.now() / 1000) - 3600
  const tokens = [
    await stranger.token(),
    await issuer.token({ exp: expired }),
    await issuer.token({ aud: 'elsewhere' }),
    await issuer.token({ iss: 'elsewhere' }),
    'secret',
    'lh_secret',
  ]
  const answers = [await post(running, 'own/device-1/a')]
  for (const token of tokens) answers.push(await post(running, 'own/device-1/a', bearer(token)))
  answers.push(await post(running, 'own/device-1/a', { headers: { authorization: 'Basic YTpi' } }))
  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(401))
  expect(answers.map(({ headers }) => headers.get('www-authenticate'))).toEqual(Array(8).fill('Bearer'))
  for (const { text } of answers) expect(text).not.toMatch(/signature|expired|secret/)
  const told = async () => {
    const found: string[] = []
    for (let partition = 0; partition < running.plan.partitions; partition++)
      for (const { value } of (await running.log.read(running.plan.names.lifecycle, partition, 0)).records) {
        const record = decodeRecord(value as Buffer)
        if (record.name === 'LifecycleEvent') found.push(`${record.value.type} ${record.value.data}`)
      }
    return found
  }
  await until('the refusal is a record', 60_000, async () => (await told()).length > 0)
  const [record = ''] = await told()
  expect(record).toMatch(/^Loggerhead\.ConnectRefused .*"transport":"http"/)
  expect(record).not.toContain('secret')
})

test('HP-03: a token that was good counts no more once the namespace does not believe its issuer, or its client is disabled', async () => {
  const running = await start({}, closedRegistry)
  const token = await issuer.token()
  const status = async () => (await post(running, 'own/device-1/a', bearer(token))).status
  expect(await status()).toBe(204)
  await running.put({ 'clients/device-1': { authenticationName: 'device-1', state: 'Disabled' } })
  await until('the client is disabled', 60_000, async () => (await status()) === 401)
  await running.put({ 'clients/device-1': null })
  await until('the client is gone', 60_000, async () => (await status()) === 204)
  await running.put({ 'namespace/default': believing({ tokenIssuer: 'https://other.example.com' }) })
  await until('the issuer is another', 60_000, async () => (await status()) === 401)
})

test('HP-03: an API key with the role operator publishes in its own name wherever clients may; a reader does not, and nobody where the broker writes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'loggerhead-http-'))
  closers.push(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'api-key'), 'the key of the owner')
  const running = await start(
    { API_KEY_FILE: join(folder, 'api-key') },
    {
      'apiKeys/app': { role: 'operator', hash: hashed('lh_operator') },
      'apiKeys/eye': { role: 'reader', hash: hashed('lh_reader') },
      'apiKeys/old': { role: 'operator', hash: hashed('lh_old'), expiresAt: 1 },
    },
  )
  expect((await post(running, 'any/topic', bearer('lh_operator'))).status).toBe(204)
  expect((await post(running, 'any/topic', bearer('the'))).status).toBe(401)
  expect((await post(running, 'any/topic', bearer('lh_reader'))).status).toBe(403)
  expect((await post(running, 'any/topic', bearer('lh_old'))).status).toBe(401)
  expect((await post(running, 'any/topic')).status).toBe(401)
  for (const topic of ['$SYS/broker/version', '$loggerhead/canary/0', '$share/g/a'])
    expect((await post(running, topic, bearer('lh_operator'))).status).toBe(403)
  expect((await post(running, '$own/alerts', bearer('lh_operator'))).status).toBe(204)
  expect((await ask(running, publishing('any/topic'), { method: 'POST', headers: { authorization: 'bearer  the key of the owner' } })).status).toBe(401)
  await running.router.until(() => running.router.of('Message').length === 2)
  expect(running.router.of('Message')[0]).toMatchObject({ clientId: '$loggerhead/api', authenticationName: 'apiKeys/app' })
})

test('an object id that could pass for a part of the broker, or for two lines, is no client id', async () => {
  const running = await start({}, closedRegistry)
  for (const oid of ['$loggerhead/api', 'a\nb', 'x'.repeat(257)]) {
    expect((await post(running, 'own/device-1/a', bearer(await issuer.token({ oid })))).status).toBe(401)
  }
})

test('what the API’s document has is there; what is not is 404, another method 405 with those that are possible, and paths do not look at case', async () => {
  const running = await start()
  expect((await ask(running, '/mqtt/nothing')).status).toBe(404)
  for (const [path, operations] of Object.entries(mqttPaths))
    for (const method of Object.keys(operations)) expect([path, (await ask(running, path, { method: method.toUpperCase() })).status]).toEqual([path, 400])
  const got = await ask(running, publishing('t'))
  expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST'])
  expect((await ask(running, '/MQTT/Messages?topic=t', { method: 'POST' })).status).toBe(204)
  const bad = await ask(running, '/mqtt/messages?topic=a%2F%23&api-version=2025-02-15-preview', { method: 'POST' })
  expect([bad.status, bad.headers.get('content-type'), bad.json()]).toMatchObject([
    400,
    'application/problem+json',
    { status: 400, field: 'topic', value: 'a/#' },
  ])
})

test('NS-07: addresses that the namespace does not let in are refused over HTTP too', async () => {
  const running = await start({}, { ...openRegistry, 'namespace/default': { inboundIpRules: [{ ipMask: '192.0.2.0/24', action: 'Allow' }] } })
  expect((await post(running, 't')).status).toBe(403)
  expect((await post(running, 't', { headers: { 'x-forwarded-for': '192.0.2.7', 'x-forwarded-proto': 'https' } })).status).toBe(204)
})

test('NM-02: the host names the namespace, as with MQTT', async () => {
  const running = await start()
  await running.addNamespace('other', ['other.example.com'], closedRegistry)
  expect((await post(running, 'own/device-1/a', { headers: { 'x-forwarded-host': 'other.example.com:8080' } })).status).toBe(401)
  const token = await issuer.token()
  const headers = { 'x-forwarded-host': 'OTHER.example.com', authorization: `Bearer ${token}` }
  expect((await post(running, 'own/device-1/a', { headers })).status).toBe(204)
  expect((await post(running, 'anything')).status).toBe(204)
})

test('MAXIMUM_PACKET_SIZE: a larger message is answered 413, announced or not, and nothing of it is in the log', async () => {
  const running = await start({ MAXIMUM_PACKET_SIZE: '4096' })
  expect((await post(running, 't', { body: Buffer.alloc(4096) })).status).toBe(204)
  expect((await post(running, 't', { body: Buffer.alloc(4097) })).status).toBe(413)
  expect((await post(running, 't', { body: Buffer.alloc(4096), headers: { 'content-type': 'a/b' } })).status).toBe(413)
  const { sent, answered } = slowly(running, publishing('t'))
  for (let i = 0; i < 5; i++) sent.write('x'.repeat(1000))
  expect(await answered).toBe(413)
  sent.end()
  expect(await running.reached('MAXIMUM_PACKET_SIZE')).toBe(3)
  await post(running, 't', { body: Buffer.from('last') })
  await running.router.until(() => running.router.of('Message').length === 2)
})

test('HTTP_BODY_TIMEOUT: a body that does not come is answered 408, and holds up nobody', async () => {
  const running = await start({ HTTP_BODY_TIMEOUT: '300' })
  const { sent, answered } = slowly(running, publishing('t'))
  sent.write('x')
  expect((await post(running, 't')).status).toBe(204)
  expect(await answered).toBe(408)
  expect(await running.reached('HTTP_BODY_TIMEOUT')).toBe(1)
})

test('HTTP_BODIES_BYTES_MAX: bodies without room are answered 503, and there is room again when one is done or gone', async () => {
  const running = await start({ HTTP_BODIES_BYTES_MAX: '1048576', MAXIMUM_PACKET_SIZE: '524288' })
  const held = [slowly(running, publishing('t')), slowly(running, publishing('t'))]
  for (const { sent } of held) sent.write('x'.repeat(520_000))
  await until('both are held', 60_000, async () => (await post(running, 't', { body: Buffer.alloc(500_000) })).status === 503)
  expect(await running.reached('HTTP_BODIES_BYTES_MAX')).toBeGreaterThanOrEqual(1)
  held[0]?.sent.end()
  expect(await held[0]?.answered).toBe(204)
  held[1]?.sent.destroy()
  await until('there is room', 60_000, async () => (await post(running, 't', { body: Buffer.alloc(500_000) })).status === 204)
  expect(await running.metric('loggerhead_http_requests_total', { code: '499' })).toBe(1)
})

test('HTTP_REQUESTS_MAX and RECEIVE_MAXIMUM: one too many at a time is answered 503, one too many of a client 429, each with Retry-After', async () => {
  const running = await start({ HTTP_REQUESTS_MAX: '3', RECEIVE_MAXIMUM: '2' })
  const held = [slowly(running, publishing('t')), slowly(running, publishing('t'))]
  for (const { sent } of held) sent.write('x')
  const answer = () => post(running, 't')
  await until('two are under way', 60_000, async () => (await answer()).status === 429)
  expect((await answer()).headers.get('retry-after')).toBe('1')
  expect(await running.reached('RECEIVE_MAXIMUM')).toBeGreaterThanOrEqual(1)
  const third = slowly(running, publishing('t'))
  await until('the third is answered', 60_000, async () => (await third.answered) === 429)
  await running.put({ 'apiKeys/app': { role: 'operator', hash: hashed('lh_operator') } })
  await until('the key is known', 60_000, async () => (await post(running, 't', bearer('lh_operator'))).status === 204)
  const other = slowly(running, publishing('t'), { authorization: 'Bearer lh_operator' })
  other.sent.write('x')
  await until('three are under way', 60_000, async () => (await answer()).status === 503)
  expect(await running.reached('HTTP_REQUESTS_MAX')).toBeGreaterThanOrEqual(1)
  for (const { sent, answered } of [...held, other]) {
    sent.end()
    expect(await answered).toBe(204)
  }
})

test('HP-05: above the rate of a client, or of the namespace with MQTT together, the answer is 429 with Retry-After, and it counts by Event Grid’s type', async () => {
  const running = await start({ SESSION_PUBLISHES_IN_PER_SECOND_MAX: '5', PUBLISHES_IN_PER_SECOND_MAX: '1000' })
  const answers = await Promise.all(Array.from({ length: 20 }, () => post(running, 't')))
  const refused = answers.filter(({ status }) => status === 429)
  expect(refused.length).toBeGreaterThanOrEqual(1)
  expect(refused.every(({ headers }) => Number(headers.get('retry-after')) >= 1)).toBe(true)
  expect(
    await running.metric('loggerhead_mqtt_throttling_enforcements_total', { throttle_type: 'IncomingPublishPacketsPerConnection' }),
  ).toBeGreaterThanOrEqual(1)
})

test('HTTP_PUBLISH_TIMEOUT: when the log does not answer the publisher is told 504, and that the message may still come', async () => {
  const running = await start({ HTTP_PUBLISH_TIMEOUT: '300', KAFKA_AWAY_REFUSE: '60000', REGISTRY_STALE: '60000', REGISTRY_LOST: '60000' })
  running.log.store.setAway(true)
  const answer = await post(running, 't')
  expect([answer.status, answer.text]).toEqual([504, expect.stringContaining('may still come')])
  running.log.store.setAway(false)
  expect(await running.reached('HTTP_PUBLISH_TIMEOUT')).toBe(1)
  await running.router.until(() => running.router.of('Message').length === 1)
})

test('HTTP_TOKENS_REMEMBERED_MAX: a token that had to make room is verified again', async () => {
  const running = await start({ HTTP_TOKENS_REMEMBERED_MAX: '1' }, closedRegistry)
  const [first, second] = [await issuer.token({ jti: '1' }), await issuer.token({ jti: '2' })]
  for (const token of [first, first, second, first]) expect((await post(running, 'own/device-1/a', bearer(token))).status).toBe(204)
  expect(await running.metric('loggerhead_authentications_total', { about: 'token', result: 'good' })).toBe(3)
  expect(await running.reached('HTTP_TOKENS_REMEMBERED_MAX')).toBe(2)
})

test('a gateway without a current registry, or that is being stopped, takes nothing over HTTP', async () => {
  const running = await start({ REGISTRY_STALE: '300' })
  running.holdRegistry(true)
  await until('the registry is stale', 60_000, async () => (await post(running, 't')).status === 503)
  running.holdRegistry(false)
  await until('it is current again', 60_000, async () => (await post(running, 't')).status === 204)
})

/** A router's HTTP, as far as retained messages go. */
async function startRouter(answer: (url: URL) => object | undefined): Promise<string> {
  const server: Server = createServer((asked, response) => {
    const body = answer(new URL(asked.url ?? '', 'http://router'))
    if (body) response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const told = (topic: string) => ({ topic, qos: 1, size: 3, lastModifiedTime: '2026-01-01T00:00:00.000Z' })

test('RE-06 RE-08: one retained message is its payload and headers; 404 when there is none, 403 without the right to subscribe, 503 when a shard is not told of', async () => {
  let isWhole = true
  const asked: string[] = []
  const router = await startRouter((url) => {
    asked.push(`${url.pathname}${url.search}`)
    const topic = url.searchParams.get('topic')
    const message = topic === 'own/device-1/kept' ? { ...told(topic), contentType: 'text/plain', payload: 'YWJj' } : null
    return { shards: 2, owned: isWhole ? [0, 1] : [0], message }
  })
  const running = await start({ ROUTER_URLS: router }, closedRegistry)
  const get = async (topic: string, token: string) => ask(running, `/mqtt/retainedMessages/message?topic=${encodeURIComponent(topic)}`, bearer(token))
  const token = await issuer.token()
  const kept = await get('own/device-1/kept', token)
  expect([kept.status, kept.text, kept.headers.get('content-type'), kept.headers.get('x-ms-mqtt-topic'), kept.headers.get('x-ms-mqtt-qos')]).toEqual([
    200,
    'abc',
    'text/plain',
    'own/device-1/kept',
    '1',
  ])
  expect((await get('own/device-1/none', token)).status).toBe(404)
  expect((await get('own/device-2/kept', token)).status).toBe(403)
  expect((await get('$loggerhead/canary/0', token)).status).toBe(403)
  expect((await get('own/device-1/#', token)).status).toBe(400)
  expect(asked).toEqual(['/retained/message?topic=own%2Fdevice-1%2Fkept', '/retained/message?topic=own%2Fdevice-1%2Fnone'])
  isWhole = false
  const partly = await get('own/device-1/kept', token)
  expect([partly.status, partly.headers.get('retry-after')]).toEqual([503, '2'])
})

test('RE-07 RE-08: a list comes in pages that the link leads through, for filters that the bearer may subscribe to', async () => {
  const topics = ['a', 'b', 'c', 'd', 'e'].map((name) => `own/device-1/${name}`)
  const router = await startRouter(({ searchParams }) => {
    const found = topics.filter((topic) => topic > (searchParams.get('after') ?? '')).slice(0, Number(searchParams.get('top')))
    return { shards: 1, owned: [0], messages: found.map(told) }
  })
  const running = await start({ ROUTER_URLS: router }, closedRegistry)
  const options = bearer(await issuer.token())
  const seen: string[] = []
  let next: string | null = urlOf(running, '/mqtt/retainedMessages?topicFilter=own/device-1/%2B&maxResults=2')
  while (next !== null) {
    const response: Response = await fetch(next, options)
    expect(response.status).toBe(200)
    const page = (await response.json()) as { readonly nextLink: string | null; readonly retainedMessages: readonly { readonly topic: string }[] }
    expect(page.retainedMessages.length).toBeLessThanOrEqual(2)
    seen.push(...page.retainedMessages.map(({ topic }) => topic))
    next = page.nextLink
  }
  expect(seen).toEqual(topics)
  expect((await ask(running, '/mqtt/retainedMessages?topicFilter=own/%2B/a', options)).status).toBe(403)
  const forged = Buffer.from('["own/#",2,""]').toString('base64url')
  expect((await ask(running, `/mqtt/retainedMessages?continuationToken=${forged}`, options)).status).toBe(403)
  expect((await ask(running, '/mqtt/retainedMessages', options)).status).toBe(400)
})

test('ROUTER_TIMEOUT and RE-08: a router that does not answer is waited for so long, and requests above the rate of SUBSCRIBE are answered 429', async () => {
  const router = await startRouter(() => undefined)
  const running = await start({ ROUTER_URLS: router, ROUTER_TIMEOUT: '200', SESSION_SUBSCRIBES_PER_SECOND_MAX: '1' })
  const answers = await Promise.all(Array.from({ length: 4 }, () => ask(running, '/mqtt/retainedMessages/message?topic=t')))
  const statuses = answers.map(({ status }) => status)
  expect(statuses).toContain(503)
  expect(statuses).toContain(429)
  expect(await running.reached('ROUTER_TIMEOUT')).toBe(statuses.filter((status) => status === 503).length)
})
