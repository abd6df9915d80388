import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { keyChecker } from '../../../../access/api-keys.ts'
import { PullApi, type PullApiOptions } from '../../../../router/subscriptions/pull-api.ts'
import { SubscriptionWorld } from './world.ts'

const ownersKey = 'correct-horse-battery'
let world: SubscriptionWorld
const servers: Server[] = []
let url: string
let limits: string[]
let counted: string[]
let refused: unknown[]

async function serve(options: Partial<PullApiOptions> = {}): Promise<string> {
  const api = new PullApi({
    subscriptions: world.subscriptions,
    registry: world.api.registry.follower,
    others: [],
    isOwnersKey: keyChecker(ownersKey),
    bearerOf: async (token) => ({ by: 'oidc/ada', role: token === 'a.good.one' ? 'operator' : 'reader' }),
    isProduction: false,
    receivesMax: 100,
    metrics: {
      settled: (_labels, action, events) => counted.push(`${action} ${events}`),
      failed: ({ topic, event_subscription }, action, { error, error_type }) =>
        counted.push(`${action} of ${topic}/${event_subscription}: ${error}, ${error_type}`),
    },
    onLimit: (limit) => limits.push(limit),
    onRefused: ({ status }, address) => refused.push([status, address]),
    onError: () => {},
    now: () => world.time,
    ...options,
  })
  const server = createServer((request, response) => {
    if (!api.handle(request, response)) response.writeHead(404).end()
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

beforeEach(async () => {
  limits = []
  counted = []
  refused = []
  world = await SubscriptionWorld.open()
  await world.subscribe('alarms')
  url = await serve()
})
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  await world.close()
})

interface Asked {
  readonly body?: unknown
  readonly authorization?: string
  readonly method?: string
  readonly to?: string
  readonly signal?: AbortSignal
}

async function ask(action: string, { body, authorization = `SharedAccessKey ${ownersKey}`, method = 'POST', to = url, signal }: Asked = {}) {
  const answer = await fetch(`${to}/topics/doors/eventsubscriptions/${action}`, {
    method,
    headers: { ...(authorization === '' ? {} : { authorization }), 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    ...(signal ? { signal } : {}),
  })
  // biome-ignore lint/suspicious/noExplicitAny: whatever is answered
  return { status: answer.status, json: (await answer.json()) as any }
}

test('events are received, and acknowledged, released, renewed and rejected, in the documented shapes', async () => {
  await world.publish('1', { data: '{"n":12345678901234567890}' })
  const answer = await fetch(`${url}/topics/doors/eventsubscriptions/alarms:receive?maxEvents=10&api-version=2024-06-01`, {
    method: 'POST',
    headers: { authorization: `SharedAccessKey ${ownersKey}` },
  })
  const text = await answer.text()
  // Numbers beyond JavaScript's stay what they are.
  expect(text).toContain('"data":{"n":12345678901234567890}')
  const { value } = JSON.parse(text)
  expect(value).toMatchObject([{ brokerProperties: { deliveryCount: 1 }, event: { id: '1', source: 'test', type: 'opened', specversion: '1.0' } }])
  const lockTokens = [value[0].brokerProperties.lockToken]
  expect(await ask('alarms:renewLock', { body: { lockTokens } })).toEqual({ status: 200, json: { failedLockTokens: [], succeededLockTokens: lockTokens } })
  expect((await ask('alarms:release?releaseDelayInSeconds=0', { body: { lockTokens } })).json.succeededLockTokens).toEqual(lockTokens)
  expect((await ask('alarms:acknowledge', { body: { lockTokens: [...lockTokens, 'x'] } })).json).toEqual({
    failedLockTokens: [
      { lockToken: lockTokens[0], error: { code: 'TokenLost', message: expect.any(String) } },
      { lockToken: 'x', error: { code: 'BadToken', message: expect.any(String) } },
    ],
    succeededLockTokens: [],
  })
  const again = (await ask('alarms:receive')).json.value
  expect((await ask('alarms:reject', { body: { lockTokens: [again[0].brokerProperties.lockToken] } })).status).toBe(200)
  expect(counted).toEqual([
    'renewLock 1',
    'release 1',
    'acknowledge 0',
    'acknowledge of doors/alarms: ClientError, TokenLost',
    'acknowledge of doors/alarms: ClientError, BadToken',
    'reject 1',
  ])
  expect(world.counts).toMatchObject({ received: 2, matched: 1, filtered: 0 })
})

test.each([
  ['alarms:receive?maxEvents=0', 'maxEvents'],
  ['alarms:receive?maxEvents=101', 'maxEvents'],
  ['alarms:receive?maxEvents=x', 'maxEvents'],
  ['alarms:receive?maxWaitTime=9', 'maxWaitTime'],
  ['alarms:receive?maxWaitTime=121', 'maxWaitTime'],
  ['alarms:release?releaseDelayInSeconds=5', 'releaseDelayInSeconds'],
])('what is out of bounds is refused: %s', async (action, field) => {
  expect(await ask(action, { body: { lockTokens: ['x'] } })).toMatchObject({ status: 400, json: { field, error: { code: 'BadRequest' } } })
})

test.each<[unknown]>([['x'], [{}], [{ lockTokens: [] }], [{ lockTokens: [1] }], [{ lockTokens: Array.from({ length: 1001 }, () => 'x') }]])(
  'a body that holds no lock tokens, or too many, is refused',
  async (body) => {
    expect((await ask('alarms:acknowledge', { body })).status).toBe(400)
  },
)

test('a body larger than is ever needed is refused', async () => {
  expect((await ask('alarms:acknowledge', { body: 'x'.repeat(300_000) })).status).toBe(413)
})

test('NT-03 a key is needed, with the role operator', async () => {
  const keyOf = async (role: string) => (await world.api.send('PUT', `apiKeys/${role}s`, { body: { role } })).json.properties.key
  const [reader, operator] = [await keyOf('reader'), await keyOf('operator')]
  await world.publish('1')
  for (const authorization of ['', 'Basic x', 'SharedAccessKey wrong', `SharedAccessKey lh_${'x'.repeat(43)}`]) {
    expect((await ask('alarms:receive', { authorization })).status).toBe(401)
  }
  expect((await ask('alarms:receive', { authorization: `SharedAccessKey ${reader}` })).status).toBe(403)
  expect(counted).toEqual([
    ...Array.from({ length: 4 }, () => 'receive of doors/alarms: AuthenticationError, Unauthorized'),
    'receive of doors/alarms: AuthorizationError, Forbidden',
  ])
  expect(refused).toEqual([...Array.from({ length: 4 }, () => [401, '127.0.0.1']), [403, '127.0.0.1']])
  expect((await ask('alarms:receive', { authorization: `Bearer ${operator}` })).json.value).toHaveLength(1)
})

test('NT-03 a token of the issuer with the role operator receives', async () => {
  await world.publish('1')
  expect((await ask('alarms:receive', { authorization: 'Bearer a.weak.one' })).status).toBe(403)
  expect((await ask('alarms:receive', { authorization: 'Bearer a.good.one' })).json.value).toHaveLength(1)
})

test('what is not there is 404, another method 405, and a subscription that is pushed is no queue', async () => {
  expect((await ask('nobody:receive')).status).toBe(404)
  expect((await ask('alarms:destroy')).status).toBe(404)
  expect((await ask('alarms:receive', { method: 'PUT' })).status).toBe(405)
  const destination = { endpointType: 'WebHook', properties: { endpointUrl: 'https://hooks.example.com/' } }
  await world.api.send('PUT', 'topics/doors/eventSubscriptions/pushed', { body: { deliveryConfiguration: { deliveryMode: 'Push', push: { destination } } } })
  expect((await ask('pushed:receive')).status).toBe(400)
  // What nobody made has no series.
  expect(counted).toEqual(['receive of doors/alarms: ClientError, MethodNotAllowed', 'receive of doors/pushed: ClientError, BadRequest'])
})

test('NT-07 a subscription that has expired is not there any more', async () => {
  await world.subscribe('brief', {}, { expirationTimeUtc: new Date(Date.now() + 60_000).toISOString() })
  world.time = Date.now() + 61_000
  expect((await ask('brief:receive')).status).toBe(404)
})

test('at PULL_RECEIVES_MAX a further request is answered with 503', async () => {
  const to = await serve({ receivesMax: 1 })
  const gone = new AbortController()
  const waiting = ask('alarms:receive', { to, signal: gone.signal }).catch(() => undefined)
  let refused = await ask('alarms:receive?maxEvents=0', { to })
  for (let i = 0; i < 100 && refused.status !== 503; i++) refused = await ask('alarms:receive?maxEvents=0', { to })
  expect([refused.status, limits[0]]).toEqual([503, 'PULL_RECEIVES_MAX'])
  gone.abort()
  await waiting
})

test('a router that does not own the subscription hands the request on to the one that does, once', async () => {
  await world.publish('1')
  const stranger = { owns: () => false, find: () => undefined }
  const id = 'router'
  const first = await serve({
    subscriptions: stranger,
    others: [
      { id, url: new URL('http://127.0.0.1:1') },
      { id, url: new URL(await serve({ subscriptions: stranger })) },
      { id, url: new URL(url) },
    ],
  })
  const received = await ask('alarms:receive', { to: first })
  expect(received.json.value).toHaveLength(1)
  const lockTokens = [received.json.value[0].brokerProperties.lockToken]
  expect((await ask('alarms:acknowledge', { to: first, body: { lockTokens } })).json.succeededLockTokens).toEqual(lockTokens)
  expect((await ask('alarms:receive', { to: first, authorization: '' })).status).toBe(401)
  const alone = await serve({ subscriptions: stranger })
  counted = []
  expect((await ask('alarms:receive', { to: alone })).status).toBe(503)
  expect(counted).toEqual(['receive of doors/alarms: ServiceError, ServiceUnavailable'])
})

test('another router that hangs keeps nobody from settling events for long', async () => {
  const hanging = createServer(() => {})
  servers.push(hanging)
  await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve))
  const id = 'router'
  const to = await serve({
    subscriptions: { owns: () => false, find: () => undefined },
    others: [
      { id, url: new URL(`http://127.0.0.1:${(hanging.address() as AddressInfo).port}`) },
      { id, url: new URL(url) },
    ],
    handOnTimeoutMs: 5_000,
  })
  await world.publish('1')
  const lockTokens = [(await ask('alarms:receive')).json.value[0].brokerProperties.lockToken]
  expect((await ask('alarms:acknowledge', { to, body: { lockTokens } })).json.succeededLockTokens).toEqual(lockTokens)
})
