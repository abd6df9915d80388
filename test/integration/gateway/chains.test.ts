/** Chains that clients send, and certificates that are revoked while their clients are connected. */
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { until } from '../../support/stack.ts'
import { type Issued, issue, makeIssuer, revocationList } from '../../unit/access/chain-pki.ts'
import { testCertificates } from './certificates.ts'
import { type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'
import { WebStandIn } from './web-stand-in.ts'

const certificates = testCertificates()
const at = { now: Date.now() }
const root = await makeIssuer('Root', at)
const middle = await makeIssuer('Middle', at, root)
const fetched = await makeIssuer('Fetched', at)

let harness: Harness
let web: WebStandIn
beforeAll(async () => {
  web = await WebStandIn.start()
  const empty = await revocationList(fetched, [], at)
  web.answer = () => ({ body: empty })
  harness = await startHarness(
    { MQTTS_PORT: '0', ...certificates.server, CRL_REFRESH: '1000', CRL_RETRY: '250', CRL_TIMEOUT: '500', CRL_BYTES_MAX: '2048' },
    {
      registry: {
        'caCertificates/root': { encodedCertificate: root.pem },
        'caCertificates/fetched': { encodedCertificate: fetched.pem, revocationListUrl: `${web.url}/list` },
        'clients/device': { clientCertificateAuthentication: {} },
      },
    },
  )
})
afterAll(async () => {
  await harness.stop()
  await web.close()
})

async function open(options: ConnectionOptions): Promise<RawClient & { readonly tls: TLSSocket }> {
  const socket = connect({ port: harness.process.ports.mqtts as number, host: '127.0.0.1', servername: 'localhost', ca: certificates.ca, ...options })
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  return Object.assign(new RawClient(socket, 5), { tls: socket })
}

async function answerTo(pair: ConnectionOptions, clientId = 'c'): Promise<number> {
  const client = await open(pair)
  client.send(connectPacket(clientId, { username: 'device' }))
  const { reasonCode } = await client.next('connack')
  client.destroy()
  return reasonCode
}

const withChain = ({ cert, key }: Issued, ...chain: readonly string[]) => ({ key, cert: [cert, ...chain].join('') })

test('XA-01 a root is enough when the client sends what stands between, and a resumed session needs it no more', async () => {
  const leaf = await issue('device', middle, at)
  expect(await answerTo(withChain(leaf))).toBe(0x87)
  const pair = withChain(leaf, middle.pem)
  const first = await open(pair)
  const session = new Promise<Buffer>((resolve) => first.tls.once('session', resolve))
  first.send(connectPacket('resumes', { username: 'device' }))
  expect(await first.next('connack')).toMatchObject({ reasonCode: 0 })
  const ticket = await session
  first.destroy()
  const second = await open({ ...pair, session: ticket })
  expect(second.tls.isSessionReused()).toBe(true)
  second.send(connectPacket('resumes', { username: 'device' }))
  expect(await second.next('connack')).toMatchObject({ reasonCode: 0 })
  second.destroy()
})

test('a list that is put into the registry ends the connections of the revoked with 0x87 ClientAuthenticationError, and keeps them out', async () => {
  const revoked = withChain(await issue('device', root, at))
  const { serialNumber, ...other } = await issue('device', root, at)
  const client = await open(revoked)
  client.send(connectPacket('revoked', { username: 'device' }))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  const serial = (client.tls.getCertificate() as { serialNumber: string }).serialNumber
  const bystander = await open({ cert: other.cert, key: other.key })
  bystander.send(connectPacket('bystander', { username: 'device' }))
  await bystander.next('connack')
  await harness.put({ 'caCertificates/root': { encodedCertificate: root.pem, encodedRevocationList: await revocationList(root, [serial], at) } })
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  await harness.router.until(() => harness.router.of('Detached', 'revoked').length === 1)
  expect(harness.router.of('Detached', 'revoked')[0]).toMatchObject({ reason: 'ClientAuthenticationError' })
  expect(await answerTo(revoked)).toBe(0x87)
  bystander.send({ type: 'pingreq' })
  await bystander.next('pingresp')
  bystander.destroy()
})

test('CRL_TIMEOUT, CRL_BYTES_MAX: a list is fetched again and again, and while that fails the one before counts', async () => {
  const revoked = await issue('device', fetched, at)
  const client = await open(withChain(revoked))
  client.send(connectPacket('fetched', { username: 'device' }))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  const list = await revocationList(fetched, [revoked.serialNumber], at)
  web.answer = () => ({ body: list })
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  for (const [answer, limit] of [
    [{ body: ' '.repeat(3000) }, 'CRL_BYTES_MAX'],
    [null, 'CRL_TIMEOUT'],
    [{ body: await revocationList(root, [], at) }, null],
  ] as const) {
    web.answer = () => answer
    const failures = () => harness.metric('loggerhead_revocation_lists_fetched_total', { result: 'failed' })
    const before = await failures()
    // One that was under way may fail for the reason of before.
    await until(`a fetch fails: ${limit}`, 60_000, async () => (await failures()) > before && (limit === null || (await harness.reached(limit)) > 0))
    expect(await answerTo(withChain(revoked))).toBe(0x87)
  }
})
