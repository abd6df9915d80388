/** Two namespaces behind one set of listeners: which one a client gets to, and that nothing goes from one to the other. */
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { until } from '../../support/stack.ts'
import { testCertificates } from './certificates.ts'
import { type Harness, type NamespaceHarness, openRegistry, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

/** Two authorities of one name: only their keys tell them apart. */
const home = testCertificates('Same CA')
const factory = testCertificates('Same CA')
const hostFolder = mkdtempSync(join(tmpdir(), 'host-certificates-'))
const homeHost = 'mqtt.home.example'
const factoryHost = 'mqtt.factory.example'

const registry = (ca: string) => ({
  ...openRegistry,
  'caCertificates/fleet': { encodedCertificate: ca },
  'clients/device': {
    authenticationName: 'device',
    state: 'Enabled',
    clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' },
    attributes: {},
  },
  'permissionBindings/all-pub': { clientGroupName: '$all', topicSpaceName: 'everything', permission: 'Publisher' },
  'permissionBindings/all-sub': { clientGroupName: '$all', topicSpaceName: 'everything', permission: 'Subscriber' },
})

let harness: Harness
let other: NamespaceHarness

beforeAll(async () => {
  factory.serverOf(factoryHost, hostFolder)
  harness = await startHarness(
    {
      MQTTS_PORT: '0',
      WS_PORT: '0',
      WSS_PORT: '0',
      TLS_HOST_CERTS: hostFolder,
      NAMESPACE_LISTENERS: 'factory=mqtt:0',
      NAMESPACE_CONNECTIONS_MAX: '5',
      ...home.server,
    },
    { registry: registry(home.ca) },
  )
  await harness.put({ 'namespaces/default': { state: 'Active', life: 1, partitions: 2, hostNames: [homeHost] } })
  other = await harness.addNamespace('factory', [factoryHost], registry(factory.ca))
})
afterAll(() => harness.stop())

async function open(servername: string | undefined, options: ConnectionOptions = {}): Promise<RawClient & { readonly tls: TLSSocket }> {
  const socket = connect({ port: harness.process.ports.mqtts, host: '127.0.0.1', rejectUnauthorized: false, ...(servername && { servername }), ...options })
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve)
    socket.once('error', reject)
  })
  return Object.assign(new RawClient(socket, 5), { tls: socket })
}

async function attach(servername: string, clientId: string, options: ConnectionOptions, username?: string): Promise<RawClient & { readonly tls: TLSSocket }> {
  const client = await open(servername, options)
  client.send(connectPacket(clientId, username === undefined ? {} : { username }))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  return client
}

const subscribe = {
  type: 'subscribe',
  packetId: 1,
  filters: [{ filter: '#', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 }],
  properties: {},
} as const
const publish = (payload: string, packetId: number) =>
  ({ type: 'publish', topic: 'line/1', payload: Buffer.from(payload), qos: 1, dup: false, retain: false, packetId }) as const

test('the same client id on the same topic in two namespaces: neither hears of the other or takes it over (NS-01, NS-02)', async () => {
  const [here, there] = [await attach(homeHost, 'twin', home.client('device'), 'device'), await attach(factoryHost, 'twin', factory.client('device'), 'device')]
  for (const client of [here, there]) client.send(subscribe)
  await Promise.all([here.next('suback'), there.next('suback')])
  here.send(publish('from home', 2))
  there.send(publish('from the factory', 2))
  await Promise.all([here.next('publish'), there.next('publish')])
  expect([here, there].map((client) => client.of('publish').map(({ payload }) => payload.toString()))).toEqual([['from home'], ['from the factory']])
  expect([harness.router.of('Attached', 'twin').length, other.router.of('Attached', 'twin').length]).toEqual([1, 1])
  for (const client of [here, there]) client.destroy()
})

test.each([
  ['of the home namespace', homeHost, () => factory.client('device')],
  ['of the other', factoryHost, () => home.client('device')],
] as const)('a certificate whose CA is registered elsewhere is refused at the host name %s, the CAs’ names being the same', async (_what, host, pair) => {
  const client = await open(host, pair())
  client.send(connectPacket('stranger', { username: 'device' }))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0x87 })
  await client.closed()
})

test('each host name shows its own certificate, the others that of TLS_CERT (NS-09)', async () => {
  const shown = async (host: string | undefined): Promise<string | undefined> => {
    const client = await open(host)
    const subject = client.tls.getPeerX509Certificate()?.subject
    client.destroy()
    return subject
  }
  expect([await shown(factoryHost), await shown(homeHost), await shown(undefined)]).toEqual([`CN=${factoryHost}`, 'CN=localhost', 'CN=localhost'])
  const added = 'second.factory.example'
  factory.serverOf(added, hostFolder)
  await harness.put({ 'namespaces/factory': { state: 'Active', life: 1, partitions: 1, hostNames: [factoryHost, added] } })
  await other.router.until(() => harness.process.gatewayOf('factory') !== undefined)
  for (const deadline = Date.now() + 60_000; (await shown(added)) !== `CN=${added}`; ) expect(Date.now()).toBeLessThan(deadline)
})

test.each(['TLSv1.2', 'TLSv1.3'] as const)('a %s session begun with one namespace is resumed there and nowhere else', async (version) => {
  const pair = { ...home.client('device'), minVersion: version, maxVersion: version }
  const first = await open(homeHost, pair)
  // TLS 1.3 gives tickets after the handshake, 1.2 within it.
  const session = version === 'TLSv1.2' ? first.tls.getSession() : new Promise<Buffer>((resolve) => first.tls.once('session', resolve))
  first.send(connectPacket('resumes', { username: 'device' }))
  await first.next('connack')
  const ticket = await session
  first.destroy()
  const again = await open(homeHost, { ...pair, session: ticket })
  const elsewhere = await open(factoryHost, { ...pair, session: ticket })
  expect([again.tls.isSessionReused(), elsewhere.tls.isSessionReused()]).toEqual([true, false])
  again.send(connectPacket('resumes', { username: 'device' }))
  elsewhere.send(connectPacket('resumes', { username: 'device' }))
  expect([(await again.next('connack')).reasonCode, (await elsewhere.next('connack')).reasonCode]).toEqual([0, 0x87])
  again.destroy()
})

test('a plain listener of a namespace, and a WebSocket by its Host header or its server name, lead there', async () => {
  const plain = new RawClient(connectTcp({ port: harness.process.ports['mqtt:factory'] as number, host: '127.0.0.1' }), 5)
  plain.send(connectPacket('plain'))
  await plain.next('connack')
  const webSocket = async (url: string, options: object, clientId: string): Promise<WebSocket> => {
    const socket = new WebSocket(url, 'mqtt', { rejectUnauthorized: false, ...options })
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    socket.send(
      Buffer.concat([Buffer.from([0x10, 13 + clientId.length]), Buffer.from([0, 4, 77, 81, 84, 84, 5, 2, 0, 0, 0, 0, clientId.length]), Buffer.from(clientId)]),
    )
    await new Promise((resolve) => socket.once('message', resolve))
    return socket
  }
  const { ws, wss } = harness.process.ports
  const sockets = [
    await webSocket(`ws://127.0.0.1:${ws}/mqtt`, { headers: { host: `${factoryHost}:80` } }, 'by-host'),
    await webSocket(`wss://127.0.0.1:${wss}/mqtt`, { servername: factoryHost, headers: { host: homeHost } }, 'by-sni'),
  ]
  for (const clientId of ['plain', 'by-host', 'by-sni']) {
    expect([clientId, other.router.of('Attached', clientId).length, harness.router.of('Attached', clientId).length]).toEqual([clientId, 1, 0])
  }
  plain.destroy()
  for (const socket of sockets) socket.terminate()
})

test('NAMESPACE_CONNECTIONS_MAX: a full namespace closes who comes, and the other lets in', async () => {
  const crowd = await Promise.all(Array.from({ length: 5 }, (_, i) => attach(factoryHost, `crowd-${i}`, factory.client('device'), 'device')))
  await (await open(factoryHost)).closed()
  expect(await harness.metric('loggerhead_limit_reached_total', { limit: 'NAMESPACE_CONNECTIONS_MAX', namespace: 'factory' })).toBe(1)
  const here = await attach(homeHost, 'elsewhere', home.client('device'), 'device')
  for (const client of [...crowd, here]) client.destroy()
})

test('/status and /metrics tell the namespaces apart', async () => {
  const ask = async (path: string) => await fetch(`http://127.0.0.1:${harness.process.ports.internal}${path}`)
  expect(await (await ask('/status')).json()).toMatchObject({ ok: true, namespaces: { factory: { ok: true, shardsWithoutRouter: [] } } })
  const lines = (await (await ask('/metrics')).text()).split('\n')
  expect(lines.filter((line) => line.startsWith('# TYPE loggerhead_connections '))).toEqual(['# TYPE loggerhead_connections gauge'])
  for (const namespace of ['default', 'factory']) expect(lines.some((line) => line.startsWith(`loggerhead_connections{namespace="${namespace}"}`))).toBe(true)
  expect(
    lines.some(
      (line) => line.startsWith('loggerhead_process_start_time_seconds') || line.startsWith('loggerhead_limit_reached_total{limit="CONNECTIONS_MAX"}'),
    ),
  ).toBe(true)
})

test('a namespace without a router keeps nobody of another waiting', async () => {
  await harness.addNamespace('silent', ['silent.example'], openRegistry, false)
  const waiting = await open('silent.example')
  waiting.send(connectPacket('waits'))
  const client = await attach(factoryHost, 'goes-on', factory.client('device'), 'device')
  client.send(subscribe, publish('through', 2))
  expect((await client.next('publish')).payload.toString()).toBe('through')
  expect(waiting.packets).toEqual([])
  for (const each of [client, waiting]) each.destroy()
})

test('the clients of a namespace that is deleted are closed with 0x98 Administrative action; the others stay', async () => {
  const [here, there] = [
    await attach(homeHost, 'stays', home.client('device'), 'device'),
    await attach(factoryHost, 'goes', factory.client('device'), 'device'),
  ]
  await harness.put({ 'namespaces/factory': { state: 'Deleting', life: 1, partitions: 1, hostNames: [] } })
  expect(await there.next('disconnect')).toMatchObject({ reasonCode: 0x98 })
  await there.closed()
  here.send({ type: 'pingreq' })
  await here.next('pingresp')
  here.destroy()
})

test('in production who names no known host is refused before the handshake, as soon as there has been a second namespace (NS-02, NS-09)', async () => {
  const strict = await startHarness(
    { LOGGERHEAD_PROFILE: 'production', KAFKA_REPLICATION: '3', MQTT_PORT: 'off', MQTTS_PORT: '0', WS_PORT: '0', ...home.server },
    { registry: registry(home.ca) },
  )
  try {
    const { mqtts, ws } = strict.process.ports
    const attempt = (servername: string) =>
      new Promise<string>((resolve) => {
        const socket = connect({ port: mqtts, host: '127.0.0.1', rejectUnauthorized: false, ...(servername && { servername }) })
        socket.once('secureConnect', () => resolve('let in')).once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
        socket.once('close', () => resolve('closed'))
      })
    expect([await attempt('anything.example'), await attempt('')]).toEqual(['let in', 'let in'])
    await strict.put({ 'namespaces/default': { state: 'Active', life: 1, partitions: 2, hostNames: [homeHost] } })
    await strict.put({ 'namespaces/factory': { state: 'Deleted', life: 1, partitions: 1, hostNames: [] } })
    await until('the gateway knows', 60_000, async () => (await attempt('anything.example')) !== 'let in')
    expect(await attempt('anything.example')).toBe('ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
    expect(await attempt('')).toMatch(/^ERR_SSL_.*MISSING_EXTENSION/)
    expect(await attempt(homeHost)).toBe('let in')
    const upgrade = new WebSocket(`ws://127.0.0.1:${ws}/mqtt`, 'mqtt')
    const [response] = (await once(upgrade, 'unexpected-response').then(([, answer]) => [answer])) as [{ readonly statusCode: number }]
    expect(response.statusCode).toBe(421)
    expect(await strict.metric('loggerhead_namespace_refused_total', { reason: 'unknownHost' })).toBeGreaterThanOrEqual(3)
  } finally {
    await strict.stop()
  }
})

test('TLS_HANDSHAKE_TIMEOUT ends a ClientHello that does not come to its end; what is none is closed at once', async () => {
  const slow = await startHarness({ MQTTS_PORT: '0', TLS_HANDSHAKE_TIMEOUT: '500', ...home.server }, { registry: registry(home.ca) })
  try {
    await slow.put({ 'namespaces/default': { state: 'Active', life: 1, partitions: 2, hostNames: [homeHost] } })
    const begun = (bytes: readonly number[]) => {
      const socket = connectTcp({ port: slow.process.ports.mqtts as number, host: '127.0.0.1' }).on('error', () => {})
      socket.write(Buffer.from(bytes))
      return once(socket.resume(), 'close')
    }
    await Promise.all([begun([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]), begun([0x10, 12, 0, 4])])
    expect(await slow.reached('TLS_HANDSHAKE_TIMEOUT')).toBe(1)
  } finally {
    await slow.stop()
  }
})
