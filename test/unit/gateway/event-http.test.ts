import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { keyChecker } from '../../../access/api-keys.ts'
import type { EventAccess } from '../../../access/event-access.ts'
import { originOf } from '../../../access/request-origin.ts'
import { readGatewayConfig } from '../../../gateway/config.ts'
import { EventHttp } from '../../../gateway/events/event-http.ts'
import { EventPublisher } from '../../../gateway/events/event-publisher.ts'
import { ByteBudget } from '../../../gateway/http/byte-budget.ts'
import { type HttpProblem, sendProblem } from '../../../gateway/http/http-problem.ts'
import type { GatewayMetrics } from '../../../gateway/metrics.ts'
import type { EventFailure } from '../../../telemetry/event-failure.ts'
import { ApiHarness, ownersKey } from '../registry/harness.ts'

const event = { specversion: '1.0', id: '1', source: '/doors', type: 'door.opened', subject: 'front', data: { open: true } }
const kafkaTopic = 'loggerhead.default.topic.doors'
let api: ApiHarness
let server: Server
let reached: string[]
let counted: string[]
let refused: unknown[]
let pendingBytes: number | undefined
let bearerOf: EventAccess['bearerOf']

async function serve(environment: Readonly<Record<string, string>> = {}): Promise<void> {
  const appender = await api.log.appender()
  const publisher = new EventPublisher({ appender, topics: api.topics, view: api.registry.view, now: () => 1_700_000_000_000 })
  const http = new EventHttp({
    publisher: {
      publish: (topic, events) => publisher.publish(topic, events),
      hasTopic: (topic) => publisher.hasTopic(topic),
      get pendingBytes() {
        return pendingBytes ?? publisher.pendingBytes
      },
    },
    config: readGatewayConfig({ MQTTS_PORT: 'off', WSS_PORT: 'off', ...environment }),
    metrics: {
      reached: (limit: string) => reached.push(limit),
      events: {
        published: (topic: string, events: number) => counted.push(`${events} in ${topic}`),
        failed: (topic: string, events: number, { error, error_type }: EventFailure) => counted.push(`${events} not in “${topic}”: ${error}, ${error_type}`),
      },
    } as unknown as GatewayMetrics,
    budget: new ByteBudget(() => 10_000_000),
    now: () => performance.now(),
    onRefused: ({ status, isForAddress = false }, address) => refused.push([status, address, isForAddress]),
    access: () => ({ view: api.registry.view, isOwnersKey: keyChecker(ownersKey), bearerOf, isProduction: false, now: Date.now() }),
  })
  server = createServer((request, response) => {
    const topic = /^\/topics\/([^/]+):publish/.exec(request.url ?? '')?.[1] ?? ''
    const origin = originOf(request.socket.remoteAddress ?? '', request.headers)
    http.publish({ topic, request, response, origin }).catch((error: HttpProblem) => sendProblem(response, error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
}

beforeEach(async () => {
  reached = []
  counted = []
  refused = []
  pendingBytes = undefined
  bearerOf = undefined
  api = await ApiHarness.open()
  await api.send('PUT', 'topics/doors', { body: { partitions: 1 } })
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await api.close()
})

async function publish(body: unknown, headers: Readonly<Record<string, string>> = {}, topic = 'doors') {
  const { port } = server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/topics/${topic}:publish?api-version=2024-06-01`, {
    method: 'POST',
    headers: { authorization: `SharedAccessKey ${ownersKey}`, 'content-type': 'application/cloudevents+json; charset=utf-8', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  // biome-ignore lint/suspicious/noExplicitAny: whatever is answered
  return { status: answer.status, json: (await answer.json()) as any }
}

test('NT-04 what was published is in the topic before it is answered, in the Kafka binding, keyed by its subject', async () => {
  await serve()
  expect(await publish(event)).toEqual({ status: 200, json: {} })
  const { records } = await api.log.read(kafkaTopic, 0, 0)
  expect(records.map(({ key, value, timestamp }) => [key?.toString(), value?.toString(), timestamp])).toEqual([['front', '{"open":true}', 1_700_000_000_000]])
  expect(Object.fromEntries((records[0]?.headers ?? []).map(({ name, value }) => [name, value?.toString()]))).toEqual({
    ce_specversion: '1.0',
    ce_id: '1',
    ce_source: '/doors',
    ce_type: 'door.opened',
    ce_subject: 'front',
    'content-type': 'application/json',
  })
  expect(counted).toEqual(['1 in doors'])
})

test('NT-04 no key is 401, a missing topic 410, a bad event 400 with its field, more than a MiB 403', async () => {
  await serve()
  expect((await publish(event, { authorization: 'SharedAccessKey wrong' })).status).toBe(401)
  expect(refused).toEqual([[401, '127.0.0.1', false]])
  expect((await publish(event, {}, 'windows')).status).toBe(410)
  expect(await publish({ ...event, type: '' })).toMatchObject({ status: 400, json: { field: 'type' } })
  expect((await publish({ ...event, data: 'x'.repeat(1_048_577) })).status).toBe(403)
  expect((await api.log.endOffsets(kafkaTopic)).get(0)).toBe(0)
  expect(counted).toEqual([
    '1 not in “doors”: AuthenticationError, Unauthorized',
    '1 not in “”: ClientError, Gone', // a topic that there is none of makes no series
    '1 not in “doors”: ClientError, BadRequest',
    '1 not in “doors”: QuotaExceeded, Forbidden',
  ])
})

test('NT-03 a key with the role reader may not publish, one with the role operator may', async () => {
  await serve()
  const keyOf = async (role: string) => (await api.send('PUT', `apiKeys/${role}s`, { body: { role } })).json.properties.key
  expect((await publish(event, { authorization: `SharedAccessKey ${await keyOf('reader')}` })).status).toBe(403)
  expect((await publish(event, { authorization: `Bearer ${await keyOf('operator')}` })).status).toBe(200)
})

test('NT-03 a token of the issuer whose role is enough publishes, another does not', async () => {
  bearerOf = async (token) => ({ by: 'oidc/ada', role: token === 'a.good.one' ? 'operator' : 'reader' })
  await serve()
  expect((await publish(event, { authorization: 'Bearer a.good.one' })).status).toBe(200)
  expect(await publish(event, { authorization: 'Bearer a.weak.one' })).toMatchObject({ status: 403, json: { detail: expect.stringContaining('oidc/ada') } })
  expect(counted).toEqual(['1 in doors', '1 not in “doors”: AuthorizationError, Forbidden'])
})

test('at KAFKA_BYTES_WAITING_MAX a request is refused before its body is read', async () => {
  await serve({ KAFKA_BYTES_WAITING_MAX: '1048576' })
  pendingBytes = 1_048_577
  expect((await publish(event)).status).toBe(503)
  expect(reached).toEqual(['KAFKA_BYTES_WAITING_MAX'])
})

test('when Kafka does not answer within HTTP_PUBLISH_TIMEOUT it is 504', async () => {
  await serve({ HTTP_PUBLISH_TIMEOUT: '100' })
  api.store.setAway(true)
  expect((await publish(event)).status).toBe(504)
  expect(reached).toEqual(['HTTP_PUBLISH_TIMEOUT'])
  api.store.setAway(false)
})

test('events of a request with a traceparent are in its trace, unless they have one of their own', async () => {
  await serve()
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const own = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const headers = { 'content-type': 'application/cloudevents-batch+json; charset=utf-8', traceparent, tracestate: 'vendor=1' }
  expect((await publish([event, { ...event, id: '2', traceparent: own }], headers)).status).toBe(200)
  expect((await publish({ ...event, id: '3' }, { traceparent: 'nonsense' })).status).toBe(200)
  const { records } = await api.log.read(kafkaTopic, 0, 0)
  const traces = records.map((record) => record.headers.filter(({ name }) => /trace/.test(name)).map(({ name, value }) => `${name}=${String(value)}`))
  expect(traces).toEqual([[`ce_traceparent=${traceparent}`, 'ce_tracestate=vendor=1'], [`ce_traceparent=${own}`], []])
})
