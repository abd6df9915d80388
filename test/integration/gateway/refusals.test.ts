/** What a gateway does about what it refuses: records for auditors, and delays for who guesses. */
import { once } from 'node:events'
import { connect } from 'node:tls'
import { afterEach, expect, test } from '@jest/globals'
import { decodeRecord } from '../../../schemas/codec.ts'
import { until } from '../../support/stack.ts'
import { type ClientPair, testCertificates } from './certificates.ts'
import { type Environment, type Harness, openRegistry, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness | null = null
const clients: RawClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await harness?.stop()
  harness = null
})

async function start(environment: Environment, registry: Readonly<Record<string, object | null>> = {}): Promise<Harness> {
  harness = await startHarness(environment, { registry: { ...openRegistry, ...registry } })
  return harness
}

async function open(port: number, version: 4 | 5 = 5): Promise<RawClient> {
  const client = await RawClient.open(port, version)
  clients.push(client)
  return client
}

/** Registered, so that nobody without its certificate is it. */
const victim = {
  'clients/victim': { authenticationName: 'victim', clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' } },
}
const secret = Buffer.from('the password of victim')
const as = (name: string, clientId = name) => connectPacket(clientId, { username: name, password: secret })

interface Told {
  readonly type: string
  readonly subject: string
  readonly data: Readonly<Record<string, unknown>>
}

async function told({ log, plan }: Harness): Promise<readonly Told[]> {
  const found: Told[] = []
  for (let partition = 0; partition < plan.partitions; partition++) {
    for (const { value } of (await log.read(plan.names.lifecycle, partition, 0)).records) {
      const record = decodeRecord(value as Buffer)
      if (record.name === 'LifecycleEvent') found.push({ ...record.value, data: JSON.parse(record.value.data) })
    }
  }
  return found
}

const space = { 'topicSpaces/everything': { topicTemplates: ['open/#'] } }
const publish = (packetId: number, qos: 0 | 1 = 1) =>
  ({ type: 'publish', topic: 'closed/x', payload: Buffer.from('payload of the publish'), qos, dup: false, retain: false, packetId }) as const

test('a refused connect, publish and subscription are records in lifecycle, counted per client and address, without password and payload', async () => {
  const running = await start({}, { ...victim, ...space })
  const stranger = await open(running.port)
  stranger.send(as('victim'))
  expect(await stranger.next('connack')).toMatchObject({ reasonCode: 0x87 })
  const client = await RawClient.attached(running.port, connectPacket('device'))
  clients.push(client)
  const filter = { filter: 'closed/#', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const
  client.send({ type: 'subscribe', packetId: 1, filters: [filter, filter], properties: {} }, publish(2), publish(3), publish(0, 0), { type: 'pingreq' })
  expect(await client.next('suback')).toMatchObject({ reasonCodes: [0x87, 0x87] })
  expect(await client.next('puback', 2)).toMatchObject({ reasonCode: 0x87 })
  await client.next('pingresp')
  expect(await running.metric('loggerhead_publishes_dropped_total', { reason: 'unauthorized' })).toBe(3)
  await until('the records are in the log', 60_000, async () => (await told(running)).length === 3)
  const first = await told(running)
  expect(first.map(({ type, subject }) => [type, subject]).toSorted()).toEqual([
    ['Loggerhead.ConnectRefused', 'clients/victim/sessions/victim'],
    ['Loggerhead.PublishRefused', 'clients/anonymous/sessions/device'],
    ['Loggerhead.SubscribeRefused', 'clients/anonymous/sessions/device'],
  ])
  const common = { namespaceName: 'default', remoteAddress: '127.0.0.1', transport: 'tcp', gateway: 'gateway', reasonCode: 0x87, more: 0 }
  for (const { data } of first) expect(data).toMatchObject(common)
  expect(first.find(({ type }) => type === 'Loggerhead.PublishRefused')?.data).toMatchObject({ topic: 'closed/x', clientAuthenticationName: 'anonymous' })
  // The rest of the minute is told when it is over, at the latest when the gateway stops.
  await running.process.stop()
  const all = await told(running)
  expect(all.filter(({ type }) => type === 'Loggerhead.PublishRefused').map(({ data }) => data.more)).toEqual([0, 1])
  expect(all.filter(({ type }) => type === 'Loggerhead.SubscribeRefused').map(({ data }) => data.more)).toEqual([0, 0])
  for (const text of [secret.toString(), 'payload of the publish']) expect(JSON.stringify(all)).not.toContain(text)
  expect(await running.metric('loggerhead_audit_records_total', { outcome: 'written' })).toBe(5)
})

test('REFUSALS_TOLD_MAX: a crowd of names becomes one record more', async () => {
  const running = await start({ REFUSALS_TOLD_MAX: '2', FAILED_CONNECT_DELAY_MAX: '0' }, { 'clientGroups/$anonymous': null })
  for (let i = 0; i < 6; i++) {
    const client = await open(running.port)
    client.send(as(`name-${i}`))
    await client.next('connack')
  }
  await running.process.stop()
  expect((await told(running)).map(({ data }) => data.more).toSorted()).toEqual([0, 0, 0, 2])
  expect(await running.reached('REFUSALS_TOLD_MAX')).toBe(4)
})

test('FAILED_CONNECT_DELAY_MAX: who guesses waits for the refusal, one guess at a time, and the right client gets in meanwhile without delay', async () => {
  const running = await start({ FAILED_CONNECT_DELAY_MAX: '60000' }, victim)
  for (let i = 0; i < 3; i++) {
    const client = await open(running.port)
    client.send(as('victim'))
    expect(await client.next('connack')).toMatchObject({ reasonCode: 0x87 })
  }
  for (let i = 0; i < 20; i++) running.process.gateway.failedConnects.failed('elsewhere', 'victim', Date.now())
  const guess = await open(running.port)
  guess.send(as('victim'))
  await until('the refusal is put off', 60_000, async () => (await running.reached('FAILED_CONNECT_DELAY_MAX')) === 1)
  const second = await open(running.port)
  second.send(as('victim'))
  expect(await second.next('connack')).toMatchObject({ reasonCode: 0x9f })
  const other = await open(running.port)
  other.send(as('somebody'))
  expect(await other.next('connack')).toMatchObject({ reasonCode: 0 })
  expect(guess.packets).toEqual([])
})

test('FAILED_CONNECT_DELAY_MAX: who hangs up waits as well', async () => {
  const running = await start({ FAILED_CONNECT_DELAY_MAX: '60000' }, victim)
  for (let i = 0; i < 20; i++) running.process.gateway.failedConnects.failed('elsewhere', 'victim', Date.now())
  const guess = await open(running.port)
  guess.send(as('victim'))
  await until('the refusal is put off', 60_000, async () => (await running.reached('FAILED_CONNECT_DELAY_MAX')) === 1)
  guess.destroy()
  await until('the gateway has seen it go', 60_000, async () => (await running.metric('loggerhead_connections')) === 0)
  const next = await open(running.port)
  next.send(as('victim'))
  expect(await next.next('connack')).toMatchObject({ reasonCode: 0x9f })
})

test('FAILED_CONNECT_DELAY_MAX: a worthless certificate does not skip the line, and a good one is not in it, with a password or without', async () => {
  const certificates = testCertificates()
  const running = await start(
    { FAILED_CONNECT_DELAY_MAX: '60000', MQTTS_PORT: '0', ...certificates.server },
    { ...victim, 'caCertificates/test': { encodedCertificate: certificates.ca } },
  )
  const overTls = async (pair: ClientPair) => {
    const socket = connect({ port: running.process.ports.mqtts as number, host: '127.0.0.1', servername: 'localhost', ca: certificates.ca, ...pair })
    await once(socket, 'secureConnect')
    const client = new RawClient(socket, 5)
    clients.push(client)
    return client
  }
  for (let i = 0; i < 20; i++) running.process.gateway.failedConnects.failed('elsewhere', 'victim', Date.now())
  const worthless = testCertificates().client('victim')
  const guess = await overTls(worthless)
  guess.send(as('victim'))
  await until('the refusal is put off', 60_000, async () => (await running.reached('FAILED_CONNECT_DELAY_MAX')) === 1)
  const second = await overTls(worthless)
  second.send(as('victim'))
  expect(await second.next('connack')).toMatchObject({ reasonCode: 0x9f })
  for (const [clientId, packet] of [
    ['beside', as('victim', 'beside')],
    ['alone', connectPacket('alone', { username: 'victim' })],
  ] as const) {
    const client = await overTls(certificates.client('victim'))
    client.send(packet)
    expect([clientId, await client.next('connack')]).toMatchObject([clientId, { reasonCode: 0 }])
  }
})

test.each([5, 4] as const)('FAILED_CONNECT_DELAY_MAX: the refusal that was put off comes in the end (version %i)', async (version) => {
  const running = await start({ FAILED_CONNECT_DELAY_MAX: '300' }, victim)
  for (let i = 0; i < 20; i++) running.process.gateway.failedConnects.failed('elsewhere', 'victim', Date.now())
  const guess = await open(running.port, version)
  guess.send({ ...as('victim'), protocolVersion: version })
  expect(await guess.next('connack')).toMatchObject({ reasonCode: 0x87 })
  await guess.closed()
  expect(await running.reached('FAILED_CONNECT_DELAY_MAX')).toBe(1)
})
