/** How sockets come in: with a proxy's header before their first byte, and by turns at the TLS handshake. */
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterEach, describe, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { writePacket } from '../../../mqtt/writer.ts'
import { until } from '../../support/stack.ts'
import { testCertificates } from './certificates.ts'
import { type Environment, type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

const certificates = testCertificates()
let harness: Harness | null = null
const sockets: { destroy(): void }[] = []

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await harness?.stop()
  harness = null
})

async function start(environment: Environment): Promise<Harness> {
  harness = await startHarness(environment)
  return harness
}

function tcp(port: number, localAddress = '127.0.0.1'): Socket {
  const socket = connectTcp({ port, host: '127.0.0.1', localAddress })
  socket.on('error', () => {})
  sockets.push(socket)
  return socket
}

const closed = (socket: Socket): Promise<unknown> => (socket.closed ? Promise.resolve() : once(socket.resume(), 'close'))

/** A header for a connection from 203.0.113.`host`, and TLVs. */
function header(host: number, tlvs = ''): Buffer {
  const rest = Buffer.from(`cb0071${host.toString(16).padStart(2, '0')}7f0000010bb8075b${tlvs}`, 'hex')
  const length = Buffer.alloc(2)
  length.writeUInt16BE(rest.length)
  return Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a2111', 'hex'), length, rest])
}

/** The first bytes of a TLS client, which never goes on. */
async function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({ read: () => {}, write: (chunk: Buffer) => resolve(chunk) })
    connectTls({ socket: wire, servername: 'localhost' }).on('error', () => {})
  })
}

async function attach(socket: Socket, clientId: string): Promise<RawClient> {
  const client = new RawClient(socket, 5)
  client.send(connectPacket(clientId))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  return client
}

describe('behind a proxy', () => {
  const behind = { PROXY_PROTOCOL: 'mqtt, mqtts, ws, wss', PROXY_TRUSTED: '127.0.0.1, 2001:db8::/64' }
  const tls = { ...certificates.server, MQTTS_PORT: '0', WS_PORT: '0', WSS_PORT: '0' }

  test('the header is read before TLS and WebSocket on every listener, in single bytes too, and its address is the client’s from there on', async () => {
    const { process, router } = await start({ ...behind, ...tls })
    const addressOf = (clientId: string) => router.of('Attached', clientId)[0]?.remoteAddress

    const plain = tcp(process.ports.mqtt as number)
    await once(plain, 'connect')
    plain.setNoDelay(true)
    for (const byte of header(1, '0400020000')) await new Promise((done) => plain.write(Buffer.of(byte), done))
    await attach(plain, 'plain')
    expect(addressOf('plain')).toBe('203.0.113.1')

    const beneath = tcp(process.ports.mqtts as number)
    beneath.write(header(2))
    const secure: TLSSocket = connectTls({ socket: beneath, servername: 'localhost', ca: certificates.ca })
    sockets.push(secure)
    await attach(secure, 'secure')
    expect(addressOf('secure')).toBe('203.0.113.2')

    for (const [kind, host] of [
      ['ws', 3],
      ['wss', 4],
    ] as const) {
      const under = tcp(process.ports[kind] as number)
      under.write(header(host))
      const over = kind === 'ws' ? under : connectTls({ socket: under, servername: 'localhost', ca: certificates.ca })
      sockets.push(over)
      const webSocket = new WebSocket(`${kind}://localhost/mqtt`, 'mqtt', { createConnection: () => over })
      await once(webSocket, 'open')
      webSocket.send(writePacket(connectPacket(kind), 5))
      await router.until(() => router.of('Attached', kind).length === 1)
      expect(addressOf(kind)).toBe(`203.0.113.${host}`)
      webSocket.terminate()
    }
  })

  test('the limit per address is about clients, not about the proxy; a health check of the proxy counts as its own', async () => {
    const { port, reached } = await start({ ...behind, CONNECTIONS_PER_ADDRESS_MAX: '1' })
    const first = tcp(port)
    first.write(header(1))
    await attach(first, 'first')
    const second = tcp(port)
    second.write(header(2))
    await attach(second, 'second')
    const local = tcp(port)
    local.write(Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex'))
    await attach(local, 'local')
    const again = tcp(port)
    again.write(header(1))
    await closed(again)
    expect(await reached('CONNECTIONS_PER_ADDRESS_MAX')).toBe(1)
  })

  test('who is no proxy is closed before a byte is read', async () => {
    const { port, metric } = await start(behind)
    const stranger = tcp(port, '127.0.0.2')
    stranger.write(header(1))
    await closed(stranger)
    expect(await metric('loggerhead_proxy_refused_total', { reason: 'untrusted' })).toBe(1)
  })

  test('without a header, and with one that is malformed, the connection is closed', async () => {
    const { port, metric } = await start(behind)
    for (const bytes of [
      Buffer.from('101300044d5154540502', 'hex'),
      Buffer.from('PROXY TCP4 203.0.113.1 127.0.0.1 3000 1883\r\n'),
      Buffer.from('0d0a0d0b', 'hex'),
    ]) {
      const socket = tcp(port)
      socket.write(bytes)
      await closed(socket)
    }
    expect(await metric('loggerhead_proxy_refused_total', { reason: 'malformed' })).toBe(3)
  })

  test('PROXY_HEADER_TIMEOUT: a header that does not come, or not to its end, closes the connection', async () => {
    const { port, reached } = await start({ ...behind, PROXY_HEADER_TIMEOUT: '200' })
    const [silent, half] = [tcp(port), tcp(port)]
    half.write(header(1).subarray(0, 20))
    await Promise.all([closed(silent), closed(half)])
    expect(await reached('PROXY_HEADER_TIMEOUT')).toBe(2)
  })

  test('PROXY_HEADER_SIZE_MAX: a longer header closes the connection before it has come', async () => {
    const { port, reached } = await start({ ...behind, PROXY_HEADER_SIZE_MAX: '52' })
    const socket = tcp(port)
    socket.write(Buffer.from('0d0a0d0a000d0a515549540a21110040', 'hex'))
    await closed(socket)
    expect(await reached('PROXY_HEADER_SIZE_MAX')).toBe(1)
  })

  test('CONNECTIONS_MAX counts those whose header is awaited, and gives their place back', async () => {
    const { port, reached, process } = await start({ ...behind, CONNECTIONS_MAX: '1' })
    const silent = tcp(port)
    await harness?.router.until(() => process.connections() === 1)
    const second = tcp(port)
    await closed(second)
    expect(await reached('CONNECTIONS_MAX')).toBe(1)
    silent.destroy()
    await harness?.router.until(() => process.connections() === 0)
  })
})

test('without PROXY_PROTOCOL a header is no MQTT', async () => {
  const { port } = await start({})
  const socket = tcp(port)
  socket.write(header(1))
  await closed(socket)
})

test('TLS_HANDSHAKES_MAX: further sockets wait for their turn, and get it when one is done or gone', async () => {
  const { process, reached } = await start({ ...certificates.server, MQTTS_PORT: '0', TLS_HANDSHAKES_MAX: '1' })
  const port = process.ports.mqtts as number
  const silent = tcp(port)
  await once(silent, 'connect')
  // A ClientHello that never goes on: it holds the only turn.
  const stalled = tcp(port)
  stalled.write(await clientHello())
  await once(stalled, 'data')
  const secure = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: certificates.ca })
  sockets.push(secure)
  const client = new RawClient(secure, 5)
  client.send(connectPacket('patient'))
  await until('a socket waits for its turn', 60_000, async () => (await reached('TLS_HANDSHAKES_MAX')) === 1)
  expect(client.packets).toEqual([])
  stalled.destroy()
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  expect(await reached('TLS_HANDSHAKE_TIMEOUT')).toBe(0)
})

test('TLS_HANDSHAKE_TIMEOUT bounds the wait for a turn', async () => {
  const { process, reached } = await start({ ...certificates.server, MQTTS_PORT: '0', TLS_HANDSHAKES_MAX: '1', TLS_HANDSHAKE_TIMEOUT: '300' })
  const port = process.ports.mqtts as number
  const stalled = tcp(port)
  stalled.write(await clientHello())
  await once(stalled, 'data')
  const waiting = tcp(port)
  waiting.write(await clientHello())
  await Promise.all([closed(stalled), closed(waiting)])
  expect(await reached('TLS_HANDSHAKE_TIMEOUT')).toBe(2)
})
