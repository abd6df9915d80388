/** The authentication webhook: what it is asked, what its word means, and what happens without one. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect } from 'node:tls'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { ConnectPacket } from '../../../mqtt/packet.ts'
import { testCertificates } from './certificates.ts'
import { type Environment, type Harness, openRegistry, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'
import { WebStandIn } from './web-stand-in.ts'

const certificates = testCertificates()
let web: WebStandIn
let harness: Harness
beforeEach(async () => {
  web = await WebStandIn.start()
})
afterEach(async () => {
  await harness.stop()
  await web.close()
})

const namespace = (endpointUrl: string) => ({ topicSpacesConfiguration: { clientAuthentication: { webhookAuthentication: { endpointUrl } } } })
const allow = (rest: object = {}) => ({ body: JSON.stringify({ decision: 'allow', clientAuthenticationName: 'guest-1', ...rest }) })

async function start(environment: Environment = {}, endpointUrl = `${web.url}/authenticate?code=s3cret`): Promise<void> {
  harness = await startHarness(
    { MQTTS_PORT: '0', ...certificates.server, ...environment },
    {
      registry: {
        ...openRegistry,
        'namespace/default': namespace(endpointUrl),
        'clients/known': { authenticationName: 'known', clientCertificateAuthentication: {} },
        'clientGroups/guests': { query: 'attributes.type = "guest"' },
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the registry's own variables
        'topicSpaces/own': { topicTemplates: ['${client.attributes.floor}/${client.authenticationName}/#'] },
        'permissionBindings/own': { clientGroupName: 'guests', topicSpaceName: 'own', permission: 'Publisher' },
      },
    },
  )
}

async function answerTo(packet: ConnectPacket): Promise<number> {
  const client = await RawClient.open(harness.port, packet.protocolVersion)
  client.send(packet)
  const { reasonCode, properties = {} } = await client.next('connack')
  if (reasonCode !== 0) expect(properties).toEqual({})
  client.destroy()
  return reasonCode
}

async function overTls(options: ConnectionOptions): Promise<RawClient> {
  const socket = connect({ port: harness.process.ports.mqtts as number, host: '127.0.0.1', servername: 'localhost', ca: certificates.ca, ...options })
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  return new RawClient(socket, 5)
}

test('webhook: it is posted what the client shows, and its attributes are the client’s', async () => {
  web.answer = () => allow({ attributes: { type: 'guest', floor: 'f1', wide: 2 ** 40, vip: true } })
  await start()
  const pair = certificates.client('stranger')
  const client = await overTls(pair)
  client.send(connectPacket('hook-1', { username: 'guest', password: Buffer.from('p\u00e4ss') }))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  const [asked] = web.asked
  expect(asked).toMatchObject({ method: 'POST', path: '/authenticate?code=s3cret' })
  expect(asked?.headers).toMatchObject({ 'content-type': 'application/json' })
  expect(asked?.headers.authorization).toBeUndefined()
  expect(JSON.parse(asked?.body ?? '')).toEqual({
    clientId: 'hook-1',
    userName: 'guest',
    password: Buffer.from('p\u00e4ss').toString('base64'),
    clientCertificate: pair.cert,
    // The client's TLS library sends the certificates above its own that it knows.
    clientCertificateChain: certificates.ca,
  })
  expect(harness.router.of('Attached', 'hook-1')[0]).toMatchObject({
    authenticationName: 'guest-1',
    vouchedBy: 'webhook',
    attributes: { type: 'guest', floor: 'f1' },
  })
  const publish = (topic: string, packetId: number) =>
    ({ type: 'publish', topic, payload: Buffer.alloc(0), qos: 1, dup: false, retain: false, packetId }) as const
  client.send(publish('f1/guest-1/x', 1), publish('f2/guest-1/x', 2))
  await client.next('puback', 2)
  expect(client.of('puback').map(({ reasonCode }) => reasonCode)).toEqual([0, 0x87])
  client.destroy()
})

test('webhook: method and data of MQTT 5 go to it, user name and password of 3.1.1 too; who is in the registry does not', async () => {
  web.answer = () => allow()
  await start()
  expect(await answerTo(connectPacket('m', { properties: { authenticationMethod: 'OWN', authenticationData: Buffer.from([1, 2]) } }))).toBe(0)
  expect(JSON.parse(web.asked[0]?.body ?? '')).toEqual({ clientId: 'm', authenticationMethod: 'OWN', authenticationData: 'AQI=' })
  expect(await answerTo(connectPacket('u', { protocolVersion: 4, username: 'guest' }))).toBe(0)
  expect(JSON.parse(web.asked[1]?.body ?? '')).toEqual({ clientId: 'u', userName: 'guest' })
  expect(await answerTo(connectPacket('k', { username: 'Known', password: Buffer.from('x') }))).toBe(0x87)
  expect(web.asked).toHaveLength(2)
  // One connection served both.
  expect(web.connections).toBe(1)
})

test('webhook: deny is 0x87, also for a client of the registry that is disabled; without a word it is 0x88', async () => {
  await start()
  web.answer = () => ({ body: JSON.stringify({ decision: 'deny', errorReason: 'unknown\ndevice' }) })
  expect(await answerTo(connectPacket('c', { username: 'guest' }))).toBe(0x87)
  const bad = [
    { status: 500 },
    { status: 204 },
    { body: 'no JSON' },
    { body: '{}' },
    { body: '{"decision":"perhaps"}' },
    { body: '{"decision":"allow"}' },
    { body: '{"decision":"allow","clientAuthenticationName":"$loggerhead"}' },
    { body: '{"decision":"allow","clientAuthenticationName":"x","expiration":"soon"}' },
    { status: 302, headers: { location: `${web.url}/elsewhere` } },
  ]
  for (const answer of bad) {
    web.answer = () => answer
    expect([answer, await answerTo(connectPacket('c', { username: 'guest' }))]).toEqual([answer, 0x88])
  }
  expect(web.asked).toHaveLength(1 + bad.length)
  expect(await harness.metric('loggerhead_mqtt_successful_webhook_authentication_requests_total', { decision: 'deny' })).toBe(1)
  expect(await harness.metric('loggerhead_mqtt_failed_webhook_authentication_requests_total', { status_code: '500' })).toBe(1)
})

test('webhook: values that would widen a topic filter match nothing', async () => {
  await start()
  for (const floor of ['+', '#', 'f1/+', '']) {
    web.answer = () => allow({ attributes: { type: 'guest', floor } })
    const client = await RawClient.attached(harness.port, connectPacket('wide', { username: 'guest' }))
    client.send({ type: 'publish', topic: 'f1/guest-1/x', payload: Buffer.alloc(0), qos: 1, dup: false, retain: false, packetId: 1 })
    expect(await client.next('puback')).toMatchObject({ reasonCode: 0x87 })
    client.destroy()
  }
})

test('webhook: the decision ends at its expiration, with 0x87 ClientAuthenticationError', async () => {
  web.answer = () => allow({ expiration: Date.now() / 1000 + 3 })
  await start()
  const client = await RawClient.attached(harness.port, connectPacket('expires', { username: 'guest' }))
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  await harness.router.until(() => harness.router.of('Detached', 'expires').length === 1)
  expect(harness.router.of('Detached', 'expires')[0]).toMatchObject({ reason: 'ClientAuthenticationError' })
})

test('WEBHOOK_TIMEOUT: without an answer in time it is 0x88, and nobody else waits', async () => {
  web.answer = () => null
  await start({ WEBHOOK_TIMEOUT: '300' })
  const waiting = answerTo(connectPacket('slow', { username: 'guest' }))
  while (web.open === 0) await new Promise((resolve) => setImmediate(resolve))
  expect(await answerTo(connectPacket('known-1', { username: 'known' }))).toBe(0x87)
  expect(await waiting).toBe(0x88)
  expect(await harness.reached('WEBHOOK_TIMEOUT')).toBe(1)
})

test('WEBHOOK_CONCURRENCY_MAX: no more requests than that are under way, the others have their turn', async () => {
  web.answer = () => null
  await start({ WEBHOOK_CONCURRENCY_MAX: '2' })
  const answers = ['a', 'b', 'c', 'd'].map((clientId) => answerTo(connectPacket(clientId, { username: 'guest' })))
  while (web.open < 2) await new Promise((resolve) => setImmediate(resolve))
  web.answer = () => allow()
  web.answerOpen(JSON.stringify({ decision: 'deny' }))
  expect((await Promise.all(answers)).sort()).toEqual([0, 0, 0x87, 0x87])
  expect(web.openMax).toBe(2)
  expect(await harness.reached('WEBHOOK_CONCURRENCY_MAX')).toBe(2)
})

test('WEBHOOK_RESPONSE_MAX: a longer answer is none', async () => {
  web.answer = () => allow({ padding: 'x'.repeat(300) })
  await start({ WEBHOOK_RESPONSE_MAX: '256' })
  expect(await answerTo(connectPacket('c', { username: 'guest' }))).toBe(0x88)
  expect(await harness.reached('WEBHOOK_RESPONSE_MAX')).toBe(1)
})

test('webhook: the bearer token of the deployment is sent, to hosts that it names and to no other', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'webhook-')), 'token')
  writeFileSync(file, 'bearer-1\n')
  web.answer = () => allow()
  await start({ WEBHOOK_TOKEN_FILE: file, OUTGOING_HOSTS: '127.0.0.1' })
  expect(await answerTo(connectPacket('c', { username: 'guest' }))).toBe(0)
  expect(web.asked[0]?.headers.authorization).toBe('Bearer bearer-1')
  const version = harness.process.gateway.registryVersion
  await harness.put({ 'namespace/default': namespace(web.url.replace('127.0.0.1', 'localhost')) })
  await harness.router.until(() => harness.process.gateway.registryVersion > version)
  expect(await answerTo(connectPacket('c', { username: 'guest' }))).toBe(0x88)
  expect(web.asked).toHaveLength(1)
})
