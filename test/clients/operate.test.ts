import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { OidcIssuer } from '../support/oidc-issuer.ts'
import { type Stack, startStack } from '../support/stack.ts'
import { JsClient } from './mqttjs.ts'

/** Live operation from outside: the HTTP API beside real clients, on two routers. */
describe('live operation', () => {
  let stack: Stack
  let issuer: OidcIssuer
  const login = createServer((request, response) => {
    const answer = issuer.answer(request.url ?? '/')
    response.writeHead(answer?.status ?? 404, { 'content-type': 'application/json' }).end(answer?.body)
  })
  beforeAll(async () => {
    await new Promise<void>((resolve) => login.listen(0, '127.0.0.1', resolve))
    issuer = await OidcIssuer.start(`http://127.0.0.1:${(login.address() as AddressInfo).port}/realm`)
    stack = await startStack({
      environment: {
        ROUTERS: '2',
        OIDC_ISSUER: issuer.issuer,
        OIDC_AUDIENCE: 'loggerhead',
        OIDC_ROLE_CLAIM: 'realm_access.roles',
        OIDC_ROLES: 'operator=fleet',
      },
    })
  }, 150_000)
  afterAll(async () => {
    await stack?.stop()
    login.close()
  })

  const connect = (clientId: string) =>
    JsClient.connect(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { protocolVersion: 5, clientId, clean: false, properties: { sessionExpiryInterval: 600 } })
  const session = (clientId: string) => stack.api('GET', `/namespaces/default/sessions/${encodeURIComponent(clientId)}`)
  // biome-ignore lint/suspicious/noExplicitAny: whatever the API answers
  const properties = async (clientId: string): Promise<any> => ((await session(clientId)).body as { properties: unknown }).properties

  async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + 60_000
    while (!(await condition())) {
      if (performance.now() > deadline) throw new Error(`${what}: not within 60 s`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  test('sessions of every shard are listed with what they have, connected or not', async () => {
    const ids = Array.from({ length: 8 }, (_, i) => `op/list ${i}`)
    const clients = await Promise.all(ids.map(connect))
    await Promise.all(clients.map((client, i) => client.subscribe(`op/${i}/+`)))
    const list = async (query: string) =>
      (
        (await stack.api('GET', `/namespaces/default/sessions?${query}`)).body as { value: { name: string; properties: Record<string, unknown> }[] }
      ).value.filter(({ name }) => name.startsWith('op/list'))
    // A shard that is between two routers at this moment tells of no queues.
    let listed: Awaited<ReturnType<typeof list>> = []
    await until('every queue is told of', async () => {
      listed = await list('$top=1000&connected=true')
      return listed.every(({ properties: told }) => told.queue !== undefined)
    })
    expect(listed.map(({ name }) => name)).toEqual(ids)
    for (const [i, { properties: told }] of listed.entries()) {
      expect(told).toMatchObject({ connected: true, gateway: 'gateway', subscriptions: [{ filter: `op/${i}/+`, qos: 1 }], queue: { messages: 0, inFlight: 0 } })
    }
    await clients[3]!.end()
    await until('it is offline', async () => (await list('$top=1000&connected=false')).length === 1)
    const publisher = await connect('op-publisher')
    for (let i = 0; i < 5; i++) await publisher.publish('op/3/x', 'hello')
    await until('its queue grows', async () => (await properties(ids[3]!)).queue?.messages === 5)
    expect(await properties(ids[3]!)).toMatchObject({ connected: false, queue: { messages: 5, bytes: expect.any(Number) } })
    await Promise.all([publisher, ...clients].map((client) => client.end()))
  })

  test('disconnect ends the connection with 0x98 and leaves the session; delete ends the session', async () => {
    for (const clientId of ['op-a', 'op-b', 'op-c', 'op:d/e']) {
      const path = `/namespaces/default/sessions/${encodeURIComponent(clientId)}`
      const client = await connect(clientId)
      await client.subscribe('op/kept')
      expect((await stack.api('POST', `${path}:disconnect`)).status).toBe(204)
      await client.closed()
      expect(client.closeCode).toBe(0x98)
      expect(await properties(clientId)).toMatchObject({ connected: false, subscriptions: [{ filter: 'op/kept' }] })
      expect((await stack.api('POST', `${path}:disconnect`)).status).toBe(409)
      const again = await connect(clientId)
      expect((await stack.api('DELETE', path)).status).toBe(204)
      await again.closed()
      expect(again.closeCode).toBe(0x98)
      expect((await session(clientId)).status).toBe(404)
      expect((await stack.api('DELETE', path)).status).toBe(404)
    }
  })

  test('retained messages of every shard are listed and looked at; what is cleared, by the API or by a client, is gone', async () => {
    const publisher = await connect('op-retainer')
    const topics = Array.from({ length: 8 }, (_, i) => `op/retained/${i}`)
    for (const topic of topics) await publisher.client.publishAsync(topic, `kept ${topic}`, { qos: 1, retain: true })
    const list = async () =>
      ((await stack.api('GET', '/namespaces/default/retainedMessages?topicFilter=op%2Fretained%2F%2B')).body as { value?: { name: string }[] }).value?.map(
        ({ name }) => name,
      )
    await until('all are retained', async () => (await list())?.length === topics.length)
    expect(await list()).toEqual(topics)
    const one = (await stack.api('GET', '/namespaces/default/retainedMessages/op%2Fretained%2F3')).body as { properties: Record<string, unknown> }
    expect(one.properties).toMatchObject({ qos: 1, publisher: 'op-retainer', payload: Buffer.from('kept op/retained/3').toString('base64') })
    const watcher = await connect('op-watcher')
    await watcher.subscribe('op/retained/3')
    expect((await stack.api('DELETE', '/namespaces/default/retainedMessages/op%2Fretained%2F3')).status).toBe(204)
    expect((await stack.api('GET', '/namespaces/default/retainedMessages/op%2Fretained%2F3')).status).toBe(404)
    expect((await stack.api('DELETE', '/namespaces/default/retainedMessages/op%2Fretained%2F3')).status).toBe(404)
    expect(await list()).toEqual(topics.filter((topic) => topic !== 'op/retained/3'))
    await watcher.until('the watcher got the empty message', () => watcher.arrived.some(({ payload }) => payload.length === 0))
    await watcher.end()
    await publisher.client.publishAsync('op/retained/4', '', { qos: 1, retain: true })
    await until('it is cleared', async () => (await list())?.length === topics.length - 2)
    await publisher.end()
  })

  test('a token of the OIDC issuer is taken through the front door with its role', async () => {
    const as = async (token: string, method: string, path: string) =>
      (await fetch(`${stack.url}/namespaces/default${path}`, { method, headers: { authorization: `Bearer ${token}` } })).status
    const operator = await issuer.sign({ sub: 'grace', realm_access: { roles: ['fleet', 'other'] } })
    expect([await as(operator, 'GET', '/sessions'), await as(operator, 'GET', '/apiKeys')]).toEqual([200, 403])
    expect(await as(await issuer.sign({ realm_access: { roles: ['fleet'] }, aud: 'other' }), 'GET', '/clients')).toBe(401)
    const client = await connect('op-token')
    expect(await as(operator, 'POST', '/sessions/op-token:disconnect')).toBe(204)
    await client.closed()
  })

  test('NT-03 with such a token events are published and received, whichever router is asked', async () => {
    const at = '/namespaces/default/topics/by-token'
    expect((await stack.api('PUT', at, {})).status).toBe(201)
    for (const name of ['one', 'two', 'three']) {
      expect((await stack.api('PUT', `${at}/eventSubscriptions/${name}`, { deliveryConfiguration: { deliveryMode: 'Queue' } })).status).toBe(201)
    }
    const post = (token: string, path: string, body?: object) =>
      fetch(`${stack.url}/topics/by-token${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/cloudevents+json' },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
    const event = { specversion: '1.0', id: '1', source: 's', type: 't' }
    const operator = await issuer.sign({ sub: 'grace', realm_access: { roles: ['fleet'] } }, { seconds: 600 })
    await until('the gateway knows the topic', async () => (await post(operator, ':publish', event)).status === 200)
    for (const name of ['one', 'two', 'three']) {
      const receive = `/eventsubscriptions/${name}:receive?maxWaitTime=10`
      await until(`${name} has an event`, async () => {
        const answer = await post(operator, receive)
        return answer.status === 200 && ((await answer.json()) as { readonly value: readonly unknown[] }).value.length > 0
      })
      for (const [claims, status] of [
        [{ realm_access: { roles: [] } }, 403],
        [{ realm_access: { roles: ['fleet'] }, aud: 'other' }, 401],
      ] as const) {
        expect((await post(await issuer.sign(claims), receive)).status).toBe(status)
        expect((await post(await issuer.sign(claims), ':publish', event)).status).toBe(status)
      }
    }
    expect((await stack.api('DELETE', at)).status).toBe(204)
  })

  test('the API tells of itself, takes an import through the front door beyond its bound of a body, and explains', async () => {
    expect((await (await fetch(`${stack.url}/openapi.json`)).json()) as object).toMatchObject({ openapi: '3.1.0' })
    const lines = Array.from({ length: 5000 }, (_, i) =>
      JSON.stringify({ name: `imported-${i}`, properties: { clientCertificateAuthentication: {}, description: 'x'.repeat(300), attributes: { number: i } } }),
    ).join('\n')
    expect(lines.length).toBeGreaterThan(1_048_576)
    const answer = await fetch(`${stack.url}/namespaces/default/clients:import`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/x-ndjson' },
      body: lines,
    })
    expect(JSON.parse((await answer.text()).trimEnd().split('\n').at(-1)!)).toEqual({ done: true, lines: 5000, created: 5000, updated: 0, failed: 0 })
    const asked = { client: 'imported-7', action: 'publish', topic: 'sample/x' }
    expect((await stack.api('POST', '/namespaces/default:explain', asked)).body).toMatchObject({ allowed: true, binding: 'samples-pub', template: 'sample/#' })
  })
})
