/** The host name in a TLS client's first bytes, as real clients send them and as nobody should. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'
import { expect, test } from '@jest/globals'
import { clientHelloMax, readClientHello, refusalAlert } from '../../../gateway/client-hello.ts'

/** What a TLS client of Node's sends first. */
async function firstBytes(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  return bytes
}

/** The handshake message of one record, as several records. */
function split(record: Buffer, sizes: readonly number[]): Buffer {
  const message = record.subarray(5)
  const parts: Buffer[] = []
  let at = 0
  for (const size of [...sizes, message.length]) {
    const part = message.subarray(at, at + size)
    if (part.length > 0) parts.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part)
    at += size
  }
  return Buffer.concat(parts)
}

/** A ClientHello with these bytes where its extensions are. */
function helloWith(extensions: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32), Buffer.from([0, 0, 2, 0x13, 1, 1, 0]), extensions])
  const message = Buffer.concat([Buffer.from([1, 0, body.length >> 8, body.length & 255]), body])
  return Buffer.concat([Buffer.from([22, 3, 1, message.length >> 8, message.length & 255]), message])
}

test.each(['TLSv1.2', 'TLSv1.3'] as const)('a %s client is asked for no more than its first message', async (version) => {
  const bytes = await firstBytes({ servername: 'MQTT.Factory.example', minVersion: version, maxVersion: version })
  expect(readClientHello(bytes)).toEqual({ is: 'hello', host: 'mqtt.factory.example' })
  for (let length = 0; length < bytes.length; length++) expect(readClientHello(bytes.subarray(0, length))).toEqual({ is: 'partial' })
  expect(readClientHello(Buffer.concat([bytes, Buffer.from('anything')]))).toEqual({ is: 'hello', host: 'mqtt.factory.example' })
})

test('a client that names no host says so', async () => {
  expect(readClientHello(await firstBytes({}))).toEqual({ is: 'hello', host: null })
  expect(readClientHello(helloWith(Buffer.alloc(0)))).toEqual({ is: 'hello', host: null })
})

test('a message over several records is one', async () => {
  const bytes = await firstBytes({ servername: 'factory.example' })
  expect(readClientHello(split(bytes, [4, 1, 100]))).toEqual({ is: 'hello', host: 'factory.example' })
  expect(readClientHello(split(bytes, new Array(30).fill(4)))).toEqual({ is: 'malformed' })
})

test.each([
  ['an MQTT CONNECT', Buffer.from([0x10, 0x0c, 0, 4, 0x4d])],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n')],
  ['another handshake message', Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
  ['an empty record', Buffer.from([22, 3, 1, 0, 0])],
  ['a record above its most', Buffer.from([22, 3, 1, 0xff, 0xff])],
  ['a message above its most', Buffer.from([22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff])],
  ['extensions that end behind the message', helloWith(Buffer.from([0, 9, 0, 0]))],
  ['a name that ends behind its extension', helloWith(Buffer.from([0, 9, 0, 0, 0, 5, 0, 3, 0, 0, 9]))],
])('%s is malformed', (_what, bytes) => {
  expect(readClientHello(bytes)).toEqual({ is: 'malformed' })
})

test('no bytes whatever make it throw or ask for more than its bound', async () => {
  const bytes = await firstBytes({ servername: 'factory.example' })
  for (let at = 0; at < bytes.length; at++) {
    for (const value of [0, 1, 127, 255]) {
      const changed = Buffer.from(bytes)
      changed[at] = value
      expect(['partial', 'hello', 'malformed']).toContain(readClientHello(changed).is)
    }
  }
  const endless = split(Buffer.concat([Buffer.alloc(5), Buffer.from([1, 0, clientHelloMax >> 8, 0]), Buffer.alloc(2 * clientHelloMax)]), [clientHelloMax])
  expect(readClientHello(endless).is).not.toBe('partial')
})

test('a refusal is a fatal alert: unrecognized_name, or missing_extension', () => {
  expect([...refusalAlert('a.example')]).toEqual([21, 3, 3, 0, 2, 2, 112])
  expect([...refusalAlert(null)]).toEqual([21, 3, 3, 0, 2, 2, 109])
})
