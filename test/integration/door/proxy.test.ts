import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { closeAll, echo, freePort, listening, metric, openDoor, raw, slowRequest, until, upstream } from './fixtures.ts'

afterEach(closeAll)

test('each path goes to its service, with the method, the query, the body and the key as they came', async () => {
  const door = await openDoor({
    REGISTRY_URL: await upstream(echo('registry')),
    GATEWAY_URLS: await upstream(echo('gateway')),
    ROUTER_URLS: await upstream(echo('router')),
  })
  const put = await fetch(`${door.url}/namespaces/default/clients/a?x=1`, {
    method: 'PUT',
    body: '{"a":1}',
    headers: { authorization: 'Bearer key', 'content-type': 'application/json' },
  })
  expect(await put.json()).toMatchObject({
    name: 'registry',
    method: 'PUT',
    url: '/namespaces/default/clients/a?x=1',
    body: '{"a":1}',
    headers: { authorization: 'Bearer key', 'content-type': 'application/json', 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' },
  })
  expect(await (await fetch(`${door.url}/mqtt/messages?topic=a%2Fb`, { method: 'POST', body: 'x' })).json()).toMatchObject({
    name: 'gateway',
    url: '/mqtt/messages?topic=a%2Fb',
  })
  expect(await (await fetch(`${door.url}/topics/t:publish`, { method: 'POST' })).json()).toMatchObject({ name: 'gateway', body: '' })
  expect(await (await fetch(`${door.url}/topics/t/eventsubscriptions/s:receive`, { method: 'POST' })).json()).toMatchObject({ name: 'router' })
  const remove = await fetch(`${door.url}/namespaces/default/clients/a`, { method: 'DELETE' })
  expect(await remove.json()).toMatchObject({ method: 'DELETE', body: '' })
})

test('a client cannot pass for another by its headers', async () => {
  const door = await openDoor({ REGISTRY_URL: await upstream(echo('registry')) })
  const headers = { 'x-forwarded-for': '10.0.0.1', 'x-forwarded-proto': 'https', forwarded: 'for=10.0.0.1', 'x-real-ip': '10.0.0.1' }
  const seen = ((await (await fetch(`${door.url}/namespaces`, { headers })).json()) as { headers: Record<string, string> }).headers
  expect([seen['x-forwarded-for'], seen['x-forwarded-proto'], seen.forwarded, seen['x-real-ip']]).toEqual(['127.0.0.1', 'http', undefined, undefined])
})

test('each service goes on while another is down, and the hop that is down is named', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`
  const door = await openDoor({ REGISTRY_URL: nobody, GATEWAY_URLS: await upstream(echo('gateway')) })
  const down = await fetch(`${door.url}/namespaces/default/clients`)
  expect([down.status, down.headers.get('content-type'), down.headers.get('retry-after')]).toEqual([503, 'application/problem+json', '1'])
  expect(await down.json()).toMatchObject({ title: 'Service Unavailable', status: 503, hop: 'registry', detail: expect.stringContaining('ECONNREFUSED') })
  expect((await fetch(`${door.url}/mqtt/messages`, { method: 'POST', body: 'x' })).status).toBe(200)
  expect(await (await fetch(`${door.url}/topics/t/eventsubscriptions/s:receive`, { method: 'POST' })).json()).toMatchObject({
    hop: 'router',
    detail: expect.stringContaining('no router is configured'),
  })
  expect(await metric(door, 'loggerhead_door_upstream_failures_total{hop="registry",kind="connect"}')).toBe(1)
})

test('a publish goes to a gateway that is up, its body whole', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`
  const door = await openDoor({ GATEWAY_URLS: `${nobody},${await upstream(echo('gateway-2'))}` })
  const body = 'x'.repeat(300_000)
  for (let turn = 0; turn < 3; turn++) {
    const answer = (await (await fetch(`${door.url}/mqtt/messages`, { method: 'POST', body })).json()) as { name: string; body: string }
    expect([answer.name, answer.body === body]).toEqual(['gateway-2', true])
  }
})

test('a service that does not complete the connection within DOOR_CONNECT_TIMEOUT counts as down', async () => {
  // It accepts and then says nothing, so that the TLS handshake never ends.
  const mute = await listening(createTcpServer())
  const door = await openDoor({ GATEWAY_URLS: `https://${mute},${await upstream(echo('gateway-2'))}`, DOOR_CONNECT_TIMEOUT: '1000' })
  const answer = await fetch(`${door.url}/mqtt/messages`, { method: 'POST', body: 'x' })
  expect(await answer.json()).toMatchObject({ name: 'gateway-2', body: 'x' })
  expect(await metric(door, 'loggerhead_door_upstream_failures_total{hop="gateway",kind="connect"}')).toBe(1)
})

test('a service that breaks off is a 502, one that falls silent for DOOR_UPSTREAM_TIMEOUT a 504', async () => {
  const door = await openDoor({
    REGISTRY_URL: await upstream((request) => request.socket.destroy()),
    ROUTER_URLS: await upstream(() => {}),
    DOOR_UPSTREAM_TIMEOUT: '1000',
  })
  const broken = await fetch(`${door.url}/namespaces`, { method: 'POST', body: 'x' })
  expect([broken.status, await broken.json()]).toMatchObject([502, { hop: 'registry', detail: expect.stringContaining('registry broke off') }])
  const silent = await fetch(`${door.url}/topics/t/eventsubscriptions/s:receive`, { method: 'POST' })
  expect([silent.status, await silent.json()]).toMatchObject([504, { hop: 'router', detail: expect.stringContaining('no answer in 1000 ms') }])
  expect(await metric(door, 'loggerhead_door_upstream_failures_total{hop="router",kind="timeout"}')).toBe(1)
})

test('a request without effects that meets a connection closed meanwhile is asked again', async () => {
  // The service ends every connection after its first answer, without saying so.
  const answered = new WeakSet<object>()
  let requests = 0
  const registry = createServer((request, response) => {
    requests++
    if (answered.has(request.socket)) return request.socket.destroy()
    answered.add(request.socket)
    return response.end('{}')
  })
  const door = await openDoor({ REGISTRY_URL: `http://${await listening(registry)}` })
  expect((await fetch(`${door.url}/namespaces`)).status).toBe(200)
  expect((await fetch(`${door.url}/namespaces`)).status).toBe(200)
  expect(requests).toBe(3)
})

test('a connection is let go before its service closes it, as the service says in Keep-Alive: a request with effects would be lost in that moment', async () => {
  let closed = 0
  const registry = createServer((_, response) => response.setHeader('keep-alive', 'timeout=2').end('{}'))
  // Only the door ends it.
  registry.keepAliveTimeout = 0
  registry.on('connection', (socket) => socket.on('close', () => closed++))
  const door = await openDoor({ REGISTRY_URL: `http://${await listening(registry)}` })
  expect((await fetch(`${door.url}/namespaces`)).status).toBe(200)
  await until(() => closed === 1)
})

test('an answer streams: its beginning is here before its end is written', async () => {
  let late: ServerResponse | undefined
  const door = await openDoor({
    ROUTER_URLS: await upstream((_, response) => {
      response.write('first ')
      late = response
    }),
  })
  const answer = await fetch(`${door.url}/topics/t/eventsubscriptions/s:receive`, { method: 'POST' })
  const reader = answer.body?.getReader()
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('first ')
  late?.end('second')
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('second')
  expect((await reader?.read())?.done).toBe(true)
})

test('a request streams: its beginning reaches the service before its end is sent', async () => {
  let incoming: IncomingMessage | undefined
  const door = await openDoor({
    GATEWAY_URLS: await upstream((request, response) => {
      incoming = request
      request.on('end', () => response.end('done'))
    }),
  })
  const outgoing = slowRequest(`${door.url}/mqtt/messages`, {})
  outgoing.write('first')
  await until(() => incoming !== undefined)
  const [chunk] = (await once(incoming as IncomingMessage, 'data')) as [Buffer]
  expect(chunk.toString()).toBe('first')
  outgoing.end()
  expect(await outgoing.answer).toEqual({ status: 200, body: 'done' })
})

test('an answer that breaks off in the middle is not passed for a whole one', async () => {
  const door = await openDoor({
    REGISTRY_URL: await upstream((request, response) => {
      response.write('half')
      setImmediate(() => request.socket.destroy())
    }),
  })
  const answer = await fetch(`${door.url}/namespaces`)
  await expect(answer.text()).rejects.toThrow()
})

test('a client that leaves takes its request at the service with it', async () => {
  let gone = false
  const door = await openDoor({
    ROUTER_URLS: await upstream((_, response) => {
      response.on('close', () => {
        gone = true
      })
      leave.abort()
    }),
  })
  const leave = new AbortController()
  await expect(fetch(`${door.url}/topics/t/eventsubscriptions/s:receive`, { method: 'POST', signal: leave.signal })).rejects.toThrow()
  await until(() => gone)
  await until(async () => (await metric(door, 'loggerhead_door_requests_under_way{hop="router"}')) === 0)
})

test('a request to upgrade is an ordinary request', async () => {
  const door = await openDoor({ REGISTRY_URL: await upstream(echo('registry')) })
  const answer = await raw(door.url, 'GET /namespaces HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n')
  expect(answer).toMatch(/^HTTP\/1.1 200 /)
  expect(answer).not.toContain('"upgrade"')
})

test('100-continue is answered once the service is reached', async () => {
  const door = await openDoor({ GATEWAY_URLS: await upstream(echo('gateway')) })
  const head = 'POST /mqtt/messages HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n'
  expect(await raw(door.url, `${head}ab`)).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK.*"body":"ab"/s)
})

test('what is nobody’s is 404, what could climb out of a service’s paths 400', async () => {
  const door = await openDoor({ REGISTRY_URL: await upstream(echo('registry')) })
  expect((await fetch(`${door.url}/status`)).status).toBe(404)
  expect(await raw(door.url, 'GET /namespaces/../status HTTP/1.1\r\nhost: a\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /)
})

test('in production a key is taken from this machine; metrics are shown to it', async () => {
  const door = await openDoor({ LOGGERHEAD_PROFILE: 'production', REGISTRY_URL: await upstream(echo('registry')) })
  expect((await fetch(`${door.url}/namespaces`, { headers: { authorization: 'Bearer key' } })).status).toBe(200)
  expect(await (await fetch(`${door.url}/metrics`)).text()).toContain('loggerhead_door_requests_total{hop="registry",code="200"} 1')
})

test('a port in use is named with its setting', async () => {
  const taken = await openDoor({})
  await expect(openDoor({ HTTP_PORT: String(taken.ports.http) })).rejects.toThrow(
    `HTTP_PORT: port ${taken.ports.http} of 127.0.0.1 is in use by another program`,
  )
})
