import { request } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import type { Packet } from '../../../mqtt/packet.ts'
import { Parser } from '../../../mqtt/parser.ts'
import { writePacket } from '../../../mqtt/writer.ts'
import { testCertificates } from './certificates.ts'
import { type Harness, startHarness } from './harness.ts'
import { connectPacket } from './raw-client.ts'

let harness: Harness
let url: string
let secureUrl: string
beforeAll(async () => {
  harness = await startHarness({ WS_PORT: '0', WSS_PORT: '0', ...testCertificates().server, MAXIMUM_PACKET_SIZE: '65536' })
  url = `ws://127.0.0.1:${harness.process.ports.ws}/mqtt`
  secureUrl = `wss://127.0.0.1:${harness.process.ports.wss}/mqtt`
})
afterAll(() => harness.stop())

/** Opens, and collects packets; resolves with the close code too. */
async function open(address: string, options: object = {}) {
  const socket = new WebSocket(address, 'mqtt', { rejectUnauthorized: false, ...options })
  const packets: Packet[] = []
  const parser = new Parser({ sender: 'server', version: 5, maximumPacketSize: 1_000_000 })
  let frames = 0
  socket.on('message', (data: Buffer) => {
    frames++
    parser.parse(data, (packet) => packets.push(packet))
  })
  const closed = new Promise<number>((resolve) => socket.on('close', resolve))
  await new Promise((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
    socket.once('unexpected-response', (_request, response) => reject(new Error(`HTTP ${response.statusCode}`)))
  })
  const next = async (type: Packet['type'], count = 1): Promise<Packet> => {
    const deadline = Date.now() + 60_000
    for (;;) {
      const found = packets.filter((packet) => packet.type === type)[count - 1]
      if (found) return found
      if (Date.now() > deadline) throw new Error(`no ${type} ${count}`)
      await Promise.race([new Promise((resolve) => socket.once('message', resolve)), closed, new Promise((resolve) => setTimeout(resolve, 100))])
    }
  }
  return { socket, packets, closed, next, frames: () => frames }
}

const bytes = (packet: Packet): Buffer => writePacket(packet, 5)
const publish = (packetId: number): Packet => ({ type: 'publish', topic: 'ws/x', payload: Buffer.from('p'), qos: 1, dup: false, retain: false, packetId })
const subscribe: Packet = {
  type: 'subscribe',
  packetId: 1,
  filters: [{ filter: 'ws/#', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 }],
  properties: {},
}

test.each(['ws', 'wss'])(
  'TR-02: %s: packets across frames and several in a frame arrive, and deliveries come back, all under the subprotocol mqtt [MQTT-6.0.0-2, -4]',
  async (kind) => {
    const client = await open(kind === 'ws' ? url : secureUrl)
    const connect = bytes(connectPacket(`over-${kind}`))
    expect(client.socket.protocol).toBe('mqtt')
    for (const byte of connect) client.socket.send(Buffer.from([byte]))
    await client.next('connack')
    client.socket.send(Buffer.concat([bytes(subscribe), bytes(publish(1)), bytes(publish(2))]))
    await client.next('puback', 2)
    await client.next('publish', 2)
    expect(harness.router.of('Attached', `over-${kind}`)[0]).toMatchObject({ transport: kind, remoteAddress: '127.0.0.1' })
    client.socket.close()
    expect(await client.closed).toBe(1005)
    await harness.router.until(() => harness.router.of('Detached', `over-${kind}`).length === 1)
    expect(harness.router.of('Detached', `over-${kind}`)[0]).toMatchObject({ keepWill: true })
  },
)

test('what one turn of the event loop has for a client leaves in one frame', async () => {
  const client = await open(url)
  client.socket.send(bytes(connectPacket('gathered')))
  await client.next('connack')
  const before = client.frames()
  client.socket.send(Buffer.concat(Array.from({ length: 50 }, (_, i) => bytes(publish(i + 1)))))
  await client.next('puback', 50)
  expect(client.frames() - before).toBeLessThanOrEqual(5)
  client.socket.terminate()
})

test('a text frame is refused with close code 1003, and all that comes is in binary frames [MQTT-6.0.0-1]', async () => {
  const client = await open(url)
  const binary: boolean[] = []
  client.socket.on('message', (_data, isBinary: boolean) => binary.push(isBinary))
  client.socket.send(bytes(connectPacket('binary')))
  await client.next('connack')
  expect(binary).toEqual([true])
  client.socket.send('text')
  expect(await client.closed).toBe(1003)
})

test('compression is not agreed to, and a frame larger than a packet may be is refused', async () => {
  const client = await open(url, { perMessageDeflate: true })
  expect(client.socket.extensions).toBe('')
  client.socket.on('error', () => {})
  client.socket.send(Buffer.alloc(65_536 * 3))
  expect(await client.closed).toBe(1009)
})

test.each([
  ['another path', '/other', ['mqtt'], undefined, 404],
  ['no subprotocol', '/mqtt', [], undefined, 400],
  ['another subprotocol', '/mqtt', ['mqttv3.1'], undefined, 400],
  ['a foreign origin', '/mqtt', ['mqtt'], 'https://evil.example', 403],
] as const)('%s is refused over HTTP', async (_what, path, protocols, origin, status) => {
  const socket = new WebSocket(`ws://127.0.0.1:${harness.process.ports.ws}${path}`, [...protocols], origin ? { origin } : {})
  const answer = await new Promise<number | undefined>((resolve) => {
    socket.on('unexpected-response', (_request, response) => resolve(response.statusCode))
    socket.on('open', () => resolve(101))
    socket.on('error', () => {})
  })
  expect(answer).toBe(status)
})

test("a page of the listener's own host may connect, and those of WS_ORIGINS where it is set", async () => {
  const own = await open(url, { origin: `http://127.0.0.1:${harness.process.ports.ws}` })
  own.socket.terminate()
  const other = await startHarness({ WS_PORT: '0', WS_ORIGINS: 'https://good.example, https://better.example' }, { router: false })
  const otherUrl = `ws://127.0.0.1:${other.process.ports.ws}/mqtt`
  const good = await open(otherUrl, { origin: 'https://better.example' })
  good.socket.terminate()
  await expect(open(otherUrl, { origin: `http://127.0.0.1:${other.process.ports.ws}` })).rejects.toThrow('HTTP 403')
  await other.stop()
})

test('a plain HTTP request is told to upgrade, on another path 404', async () => {
  const ask = (path: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      request({ port: harness.process.ports.ws, path }, (response) => resolve(response.statusCode))
        .on('error', reject)
        .end()
    })
  expect(await ask('/mqtt')).toBe(426)
  expect(await ask('/')).toBe(404)
})

test('bytes that are no HTTP are closed', async () => {
  const socket = connect({ port: harness.process.ports.ws as number, host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.write(Buffer.from([0x10, 0x0c, 0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 60, 0, 0, 0x0a, 0x0a]))
  await new Promise((resolve) => socket.on('close', resolve))
})

test('a client that does not read its WebSocket holds up nobody and is dropped from', async () => {
  const slow = await open(url)
  slow.socket.send(
    Buffer.concat([
      bytes(connectPacket('ws-slow')),
      bytes({ ...subscribe, filters: [{ filter: 'ws/#', qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 }] } as Packet),
    ]),
  )
  await slow.next('suback')
  slow.socket.pause()
  const publisher = await open(url)
  publisher.socket.send(bytes(connectPacket('ws-publisher')))
  await publisher.next('connack')
  for (let i = 1; i <= 300; i++) {
    publisher.socket.send(bytes({ type: 'publish', topic: 'ws/large', payload: Buffer.alloc(60_000), qos: 1, dup: false, retain: false, packetId: 1 }))
    await publisher.next('puback', i)
  }
  expect(await harness.metric('loggerhead_deliveries_dropped_total', { reason: 'slow' })).toBeGreaterThan(0)
  slow.socket.terminate()
  publisher.socket.terminate()
})
