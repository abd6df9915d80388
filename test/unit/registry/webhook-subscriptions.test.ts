/** Subscriptions that push: what their webhook must have said, and what can be done to them. */
import { afterEach, expect, test } from '@jest/globals'
import type { RouterAnswer } from '../../../proto/routers.ts'
import { deleteCommand } from '../../../registry/resources.ts'
import { badRequest } from '../../../registry/violations.ts'
import { ApiHarness } from './harness.ts'

let api: ApiHarness
afterEach(() => api.close())

const path = 'topics/doors/eventSubscriptions/alarms'
const url = 'https://hooks.example.com/doors?code=s3cret'
const webhook = (more: object = {}, rest: object = {}) => ({
  deliveryConfiguration: { deliveryMode: 'Push', push: { destination: { endpointType: 'WebHook', properties: { endpointUrl: url, ...more } } } },
  ...rest,
})

async function open(routers?: (method: string, path: string) => readonly RouterAnswer[]) {
  const world = { asked: [] as [string, number | null][], isRefused: false }
  api = await ApiHarness.open({}, { ask: async (method, path) => routers?.(method, path) ?? [] }, undefined, async (_at, url, perMinute) => {
    world.asked.push([url, perMinute])
    if (world.isRefused) throw badRequest([{ field: 'endpointUrl', rule: 'it has not agreed' }])
    return { origin: 'loggerhead.local', perMinute: 100 }
  })
  await api.send('PUT', 'topics/doors', { body: {} })
  return world
}
const put = (body: object, query = '') => api.send('PUT', `${path}${query}`, { body })
const stored = () => api.registry.view.eventSubscriptions.get('doors/alarms')?.properties

test('PU-02: a webhook is asked when a subscription is made, and its word is kept', async () => {
  const world = await open()
  expect((await put(webhook({ maxRequestsPerMinute: 600 }))).status).toBe(201)
  expect(world.asked).toEqual([[url, 600]])
  expect(stored()?.consent).toEqual({ origin: 'loggerhead.local', perMinute: 100 })
  expect((await api.send('GET', path)).json.properties.consent).toBeUndefined()
})

test('PU-02: without its word there is no subscription', async () => {
  const world = await open()
  world.isRefused = true
  expect((await put(webhook())).json).toMatchObject({ status: 400, detail: expect.stringContaining('it has not agreed') })
  expect(stored()).toBeUndefined()
})

test('PU-02: it is asked again for another URL only, and not for what is wrong anyway or a dry run', async () => {
  const world = await open()
  await put(webhook(), '?dryRun=true')
  await put(webhook({ maxEventsPerBatch: 0 }))
  await put(webhook({}, { filtersConfiguration: { filters: [{ operatorType: 'BoolEquals', key: 'a' }] } }))
  expect(world.asked).toEqual([])
  await put(webhook())
  await put(webhook({ maxEventsPerBatch: 10 }))
  const { json } = await api.send('GET', path)
  await put(json)
  expect(world.asked).toHaveLength(1)
  await put(webhook({ endpointUrl: 'https://hooks.example.com/other' }))
  expect(world.asked).toHaveLength(2)
  world.isRefused = true
  expect((await put(webhook())).status).toBe(400)
  expect(stored()?.deliveryConfiguration).toMatchObject({ push: { destination: { properties: { endpointUrl: 'https://hooks.example.com/other' } } } })
})

/** What is decided next is decided behind a deletion. */
function deleteBeforeNext(): void {
  const { registry } = api
  const change = registry.change.bind(registry)
  registry.change = async (command) => {
    registry.change = change
    await change(deleteCommand({ kind: 'eventSubscriptions', name: 'doors/alarms', author: { by: 'another' } }))
    return change(command)
  }
}

test('PU-02: what is deleted while it is put has no word of its webhook: it is to be put again', async () => {
  const world = await open()
  await put(webhook())
  deleteBeforeNext()
  expect(await put(webhook({ maxEventsPerBatch: 10 }))).toMatchObject({ status: 409, json: { detail: expect.stringContaining('ask again') } })
  expect(stored()).toBeUndefined()
  expect((await put(webhook({ maxEventsPerBatch: 10 }))).status).toBe(201)
  expect(world.asked).toHaveLength(2)
  expect(stored()?.consent).toBeDefined()
})

test('what is deleted while it is put begins anew', async () => {
  await open()
  const queue = { deliveryConfiguration: { deliveryMode: 'Queue' } }
  await put(queue)
  const before = stored()?.start
  deleteBeforeNext()
  expect((await put(queue)).status).toBe(201)
  expect(stored()?.start.id).not.toBe(before?.id)
})

test('a subscription is paused and resumed, by an action or by what is written, and stays so until then', async () => {
  await open()
  await put(webhook())
  expect((await api.send('POST', `${path}:pause`)).json).toMatchObject({ name: 'alarms', properties: { deliveryState: 'Paused' } })
  await put(webhook({ maxEventsPerBatch: 10 }))
  expect(stored()).toMatchObject({ deliveryState: 'Paused', consent: { origin: 'loggerhead.local' } })
  expect((await api.send('POST', `${path}:resume`)).json.properties.deliveryState).toBeUndefined()
  await put(webhook({}, { deliveryState: 'Paused' }))
  expect(stored()?.deliveryState).toBe('Paused')
  await put(webhook({}, { deliveryState: 'Active' }))
  expect(stored()?.deliveryState).toBeUndefined()
  const queue = { deliveryConfiguration: { deliveryMode: 'Queue', queue: {} }, deliveryState: 'Paused' }
  expect((await put(queue)).json).toMatchObject({ status: 400, field: 'properties.deliveryState' })
})

test('actions are of subscriptions that are there, and no others than the four', async () => {
  await open()
  expect((await api.send('POST', `${path}:pause`)).status).toBe(404)
  await put(webhook())
  expect((await api.send('POST', `${path}:explode`)).status).toBe(404)
  expect((await api.send('POST', path)).status).toBe(404)
  await put({ deliveryConfiguration: { deliveryMode: 'Queue', queue: {} } })
  expect((await api.send('POST', `${path}:pause`)).status).toBe(409)
})

test('a subscription is rewound by the owner of its shard: to a time, or to an offset', async () => {
  const asked: string[] = []
  await open((method, path) => {
    asked.push(`${method} ${path}`)
    return [
      { router: 'router', status: 421, body: {} },
      { router: 'router-2', status: 200, body: { positions: { 0: 7 } } },
    ]
  })
  await put(webhook())
  expect((await api.send('POST', `${path}:rewind`, { body: { time: '2026-01-01T00:00:00Z' } })).json).toEqual({ positions: { 0: 7 } })
  await api.send('POST', `${path}:rewind`, { body: { partition: 2, offset: 9 } })
  await api.send('POST', `${path}:redrive`)
  expect(asked).toEqual([
    'POST /subscriptions/doors/alarms/rewind?time=1767225600000',
    'POST /subscriptions/doors/alarms/rewind?partition=2&offset=9',
    'POST /subscriptions/doors/alarms/redrive?',
  ])
})

test('a subscription is rewound to a time in another zone, or to a duration back from now', async () => {
  const asked: string[] = []
  await open((_method, path) => {
    asked.push(path)
    return [{ router: 'router', status: 200, body: { positions: {} } }]
  })
  await put(webhook())
  const at = () => Number(/time=(\d+)$/.exec(asked.at(-1) ?? '')?.[1])
  await api.send('POST', `${path}:rewind`, { body: { time: '2026-01-01T01:00:00+01:00' } })
  expect(at()).toBe(1767225600000)
  for (const action of ['rewind', 'redrive']) {
    const before = Date.now()
    expect((await api.send('POST', `${path}:${action}`, { body: { time: '-PT10M' } })).status).toBe(200)
    expect(at()).toBeGreaterThanOrEqual(before - 600_000)
    expect(at()).toBeLessThanOrEqual(Date.now() - 600_000)
  }
})

test.each([
  {},
  { time: 'yesterday' },
  { time: '10' },
  { time: '0:10' },
  { time: '2026-02-30T00:00:00Z' },
  { partition: 1 },
  { offset: 1 },
  { time: '2026-01-01T00:00:00Z', partition: 1, offset: 1 },
  { to: 'start' },
])('a rewind to %j is refused', async (body) => {
  await open(() => [{ router: 'router', status: 200, body: {} }])
  await put(webhook())
  expect((await api.send('POST', `${path}:rewind`, { body })).status).toBe(400)
})

test('without an owner an action is to be asked for again; what the owner refuses is told', async () => {
  let answer: RouterAnswer = { router: 'router', status: 421, body: {} }
  await open(() => [answer])
  await put(webhook())
  expect((await api.send('POST', `${path}:redrive`)).status).toBe(503)
  answer = { router: 'router', status: 409, body: { detail: 'there are no dead letters' } }
  expect((await api.send('POST', `${path}:redrive`)).json).toMatchObject({ status: 409, detail: 'there are no dead letters' })
})

test('dead letters go to a Kafka topic, a folder or a bucket, each named by its own name', async () => {
  await open()
  const to = (deadLetterDestination: object) => {
    const { deliveryConfiguration } = webhook()
    const push = { ...deliveryConfiguration.push, deadLetterDestinationWithResourceIdentity: { deadLetterDestination } }
    return put({ deliveryConfiguration: { deliveryMode: 'Push', push } })
  }
  expect((await to({ endpointType: 'Folder', properties: { folderName: 'ops' } })).status).toBe(201)
  for (const folderName of ['../etc', '.hidden', 'a/b', '']) {
    expect((await to({ endpointType: 'Folder', properties: { folderName } })).status).toBe(400)
  }
  expect((await to({ endpointType: 'S3Bucket', properties: { bucketName: 'dead.letters-1' } })).status).toBe(200)
  for (const bucketName of ['a', 'Dead', 'a/b', '../etc', 'a..b', '-a-', '']) {
    expect((await to({ endpointType: 'S3Bucket', properties: { bucketName } })).status).toBe(400)
  }
  expect((await to({ endpointType: 'S3Bucket', properties: { bucketName: 'dead', folderName: 'ops' } })).status).toBe(400)
  expect((await to({ endpointType: 'Folder', properties: { topicName: 'dead' } })).status).toBe(400)
  expect((await to({ endpointType: 'KafkaTopic', properties: { folderName: 'ops' } })).status).toBe(400)
})
