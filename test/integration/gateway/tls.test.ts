import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { testCertificates } from './certificates.ts'
import { type Harness, openRegistry, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

const certificates = testCertificates()
const strangers = testCertificates()
let harness: Harness
let port: number

const registered = (authenticationName: string, state: 'Enabled' | 'Disabled' = 'Enabled') => ({
  authenticationName,
  state,
  clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' },
  attributes: {},
})

beforeAll(async () => {
  harness = await startHarness(
    { MQTTS_PORT: '0', ...certificates.server },
    {
      registry: {
        ...openRegistry,
        'caCertificates/test': { encodedCertificate: certificates.ca },
        'clients/device': registered('device'),
        'clients/short': registered('short'),
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the registry's own variables
        'topicSpaces/own': { topicTemplates: ['device/${client.authenticationName}/#'] },
        'permissionBindings/own-pub': { clientGroupName: '$all', topicSpaceName: 'own', permission: 'Publisher' },
        'permissionBindings/own-sub': { clientGroupName: '$all', topicSpaceName: 'own', permission: 'Subscriber' },
      },
    },
  )
  port = harness.process.ports.mqtts as number
})
afterAll(() => harness.stop())

async function open(options: ConnectionOptions): Promise<RawClient & { readonly tls: TLSSocket }> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: certificates.ca, ...options })
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve)
    socket.once('error', reject)
  })
  return Object.assign(new RawClient(socket, 5), { tls: socket })
}

const subscribe = (filters: readonly string[]) =>
  ({
    type: 'subscribe',
    packetId: 1,
    filters: filters.map((filter) => ({ filter, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 }) as const),
    properties: {},
  }) as const
const publish = (topic: string, packetId: number) =>
  ({ type: 'publish', topic, payload: Buffer.alloc(0), qos: 1, dup: false, retain: false, packetId }) as const

test('TR-01, TR-03: a client with a certificate of the registered CA is who it says, and may what the registry says', async () => {
  const client = await open(certificates.client('device'))
  client.send(connectPacket('device-1', { username: 'device' }))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  expect(harness.router.of('Attached', 'device-1')[0]).toMatchObject({ authenticationName: 'device', transport: 'tls' })
  client.send(subscribe(['device/device/#', 'device/other/#', '#']))
  expect((await client.next('suback')).reasonCodes).toEqual([1, 0x87, 0x87])
  client.send(publish('device/other/x', 1), publish('device/device/x', 2))
  await client.next('puback', 2)
  expect(client.of('puback').map(({ packetId, reasonCode }) => [packetId, reasonCode])).toEqual([
    [1, 0x87],
    [2, 0],
  ])
  client.destroy()
})

test.each([
  ['a certificate of a CA that nobody registered', () => strangers.client('device'), 'device'],
  ['a certificate of another name', () => certificates.client('somebody'), 'device'],
  ['an expired certificate', () => certificates.client('device', -60_000), 'device'],
  ['no certificate for a registered name', () => ({}), 'device'],
] as const)('%s is refused with 0x87', async (_what, pair, username) => {
  const client = await open(pair())
  client.send(connectPacket('refused', { username }))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0x87 })
  await client.closed()
})

test('without a certificate the group $anonymous lets in, over TLS as well', async () => {
  const client = await open({})
  client.send(connectPacket('anonymous'))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  client.destroy()
})

test('TR-03: TLS below 1.2 is not spoken', async () => {
  await expect(open({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })).rejects.toThrow()
})

test('a resumed TLS session is the same client', async () => {
  const pair = certificates.client('device')
  const first = await open(pair)
  const session = new Promise<Buffer>((resolve) => first.tls.once('session', resolve))
  first.send(connectPacket('resumes', { username: 'device' }))
  await first.next('connack')
  const ticket = await session
  first.destroy()
  const second = await open({ ...pair, session: ticket })
  second.send(connectPacket('resumes', { username: 'device' }))
  expect(await second.next('connack')).toMatchObject({ reasonCode: 0 })
  second.destroy()
})

test('a certificate that ends ends its connection with 0x87 ClientAuthenticationError', async () => {
  const client = await open(certificates.client('short', 5000))
  client.send(connectPacket('short-lived', { username: 'short' }))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  await harness.router.until(() => harness.router.of('Detached', 'short-lived').length === 1)
  expect(harness.router.of('Detached', 'short-lived')[0]).toMatchObject({ reason: 'ClientAuthenticationError' })
})

test('a disabled client, and then a removed CA, end what they allowed; others stay', async () => {
  const bystander = await RawClient.attached(harness.port, connectPacket('bystander'))
  const pair = certificates.client('device')
  const client = await open(pair)
  client.send(connectPacket('revoked', { username: 'device' }))
  await client.next('connack')
  await harness.put({ 'clients/device': registered('device', 'Disabled') })
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  await harness.put({ 'clients/device': registered('device') })
  const again = await open(pair)
  again.send(connectPacket('revoked', { username: 'device' }))
  // The gateway may not have read of the client's return yet.
  if ((await again.next('connack')).reasonCode === 0) {
    await harness.put({ 'caCertificates/test': null })
    expect(await again.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
    await harness.put({ 'caCertificates/test': { encodedCertificate: certificates.ca } })
  }
  bystander.send({ type: 'pingreq' })
  await bystander.next('pingresp')
  bystander.destroy()
})

test('a withdrawn permission stops publishing on the next message', async () => {
  const client = await open(certificates.client('device'))
  client.send(connectPacket('withdrawn', { username: 'device' }))
  await client.next('connack')
  client.send(publish('device/device/x', 1))
  expect(await client.next('puback')).toMatchObject({ reasonCode: 0 })
  const version = harness.process.gateway.registryVersion
  await harness.put({ 'permissionBindings/own-pub': null })
  await harness.router.until(() => harness.process.gateway.registryVersion > version)
  client.send(publish('device/device/x', 2))
  expect(await client.next('puback', 2)).toMatchObject({ packetId: 2, reasonCode: 0x87 })
  await harness.put({ 'permissionBindings/own-pub': { clientGroupName: '$all', topicSpaceName: 'own', permission: 'Publisher' } })
  client.destroy()
})

test('a new server certificate is shown to new clients and drops nobody', async () => {
  const standing = await open({})
  standing.send(connectPacket('standing'))
  await standing.next('connack')
  const before = standing.tls.getPeerX509Certificate()?.fingerprint256
  certificates.renew()
  const deadline = Date.now() + 60_000
  for (;;) {
    const fresh = await open({})
    const shown = fresh.tls.getPeerX509Certificate()?.fingerprint256
    fresh.destroy()
    if (shown !== before) break
    if (Date.now() > deadline) throw new Error('the old certificate is still shown')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  standing.send({ type: 'pingreq' })
  await standing.next('pingresp')
  standing.destroy()
})
