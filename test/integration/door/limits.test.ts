import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { closeAll, closing, echo, metric, type OpenDoor, openDoor, raw, slowRequest, until, upstream } from './fixtures.ts'

afterEach(closeAll)

const refused = (door: OpenDoor, reason: string): Promise<number> => metric(door, `loggerhead_door_refused_total{reason="${reason}"}`)

test('a body larger than DOOR_BODY_MAX is refused by its declared length before any service sees it', async () => {
  let seen = 0
  const door = await openDoor({ GATEWAY_URLS: await upstream(() => seen++), DOOR_BODY_MAX: '1024' })
  const answer = await raw(door.url, 'POST /mqtt/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\n\r\n')
  expect(answer).toMatch(/^HTTP\/1.1 413 .*connection: close.*DOOR_BODY_MAX/is)
  expect([seen, await refused(door, 'body')]).toEqual([0, 1])
})

test('a body of unknown length is cut off at DOOR_BODY_MAX, and the service sees an aborted request', async () => {
  let received = 0
  let aborted = false
  const door = await openDoor({
    GATEWAY_URLS: await upstream((request) => {
      request.on('error', () => {
        aborted = true
      })
      request.on('data', (chunk: Buffer) => {
        received += chunk.length
      })
    }),
    DOOR_BODY_MAX: '1024',
  })
  const outgoing = slowRequest(`${door.url}/mqtt/messages`, { 'transfer-encoding': 'chunked' })
  outgoing.write('x'.repeat(1024))
  await until(() => received === 1024)
  outgoing.write('x')
  expect(await outgoing.answer).toMatchObject({ status: 413, body: expect.stringContaining('1024 bytes') })
  await until(() => aborted)
})

test('a body of exactly DOOR_BODY_MAX passes', async () => {
  const door = await openDoor({ GATEWAY_URLS: await upstream(echo('gateway')), DOOR_BODY_MAX: '1024' })
  expect((await fetch(`${door.url}/mqtt/messages`, { method: 'POST', body: 'x'.repeat(1024) })).status).toBe(200)
})

test('headers larger than DOOR_HEADERS_MAX are 431', async () => {
  const door = await openDoor({ REGISTRY_URL: await upstream(echo('registry')), DOOR_HEADERS_MAX: '1024' })
  expect(await raw(door.url, `GET /namespaces HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(2000)}\r\n\r\n`)).toMatch(/^HTTP\/1.1 431 .*DOOR_HEADERS_MAX/s)
  expect(await refused(door, 'headers')).toBe(1)
})

test('what is not HTTP is 400', async () => {
  const door = await openDoor({})
  expect(await raw(door.url, Buffer.from([0x10, 0x0c, 0, 4, 77, 81, 84, 84, 5, 2, 0, 60, 0, 0]))).toMatch(/^HTTP\/1.1 400 /)
  expect(await refused(door, 'malformed')).toBe(1)
})

test('headers that take longer than DOOR_HEADERS_TIMEOUT are 408', async () => {
  const door = await openDoor({ DOOR_HEADERS_TIMEOUT: '100', DOOR_REQUEST_TIMEOUT: '100' })
  expect(await raw(door.url, 'GET /namespaces HTTP/1.1\r\nhost:')).toMatch(/^HTTP\/1.1 408 /)
  expect(await refused(door, 'slow')).toBe(1)
})

test('a request that takes longer than DOOR_REQUEST_TIMEOUT to arrive is 408, and lets its service go', async () => {
  let aborted = false
  const door = await openDoor({
    GATEWAY_URLS: await upstream((request) => {
      request.on('error', () => {
        aborted = true
      })
      request.resume()
    }),
    // The service sees the request before its time is over.
    DOOR_HEADERS_TIMEOUT: '2000',
    DOOR_REQUEST_TIMEOUT: '2000',
  })
  expect(await raw(door.url, 'POST /mqtt/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf')).toMatch(/^HTTP\/1.1 408 /)
  await until(() => aborted)
})

test('a connection on which nothing moves for DOOR_SOCKET_TIMEOUT is closed', async () => {
  const door = await openDoor({ DOOR_SOCKET_TIMEOUT: '100' })
  expect(await raw(door.url, '')).toBe('')
  expect(await refused(door, 'idle')).toBe(1)
})

test('one connection more than DOOR_CONNECTIONS_MAX is closed at once, and there is room again when one ends', async () => {
  const door = await openDoor({ DOOR_CONNECTIONS_MAX: '2' })
  const held = [0, 1].map(() => connect(door.ports.http ?? 0, '127.0.0.1'))
  closing(() => held.map((socket) => socket.destroy()))
  await Promise.all(held.map((socket) => once(socket, 'connect')))
  expect(await raw(door.url, '')).toBe('')
  expect(await refused(door, 'connections')).toBe(1)
  held[0]?.destroy()
  await until(async () => /^HTTP\/1.1 404 /.test(await raw(door.url, 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')))
})

test('more than DOOR_REQUESTS_PER_HOP_MAX waiting at one service are 503, and hold up no other service', async () => {
  let waiting = 0
  const door = await openDoor({
    ROUTER_URLS: await upstream(() => waiting++),
    REGISTRY_URL: await upstream(echo('registry')),
    DOOR_REQUESTS_PER_HOP_MAX: '3',
  })
  const leave = new AbortController()
  const receive = `${door.url}/topics/t/eventsubscriptions/s:receive`
  const pulls = [1, 2, 3].map(() => fetch(receive, { method: 'POST', signal: leave.signal }).catch(() => 'left'))
  await until(() => waiting === 3)
  const fourth = await fetch(receive, { method: 'POST' })
  expect([fourth.status, await fourth.json()]).toMatchObject([503, { hop: 'router' }])
  expect(await refused(door, 'busy')).toBe(1)
  expect((await fetch(`${door.url}/namespaces`)).status).toBe(200)
  leave.abort()
  expect(await Promise.all(pulls)).toEqual(['left', 'left', 'left'])
})
