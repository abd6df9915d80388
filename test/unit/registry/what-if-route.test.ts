import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { loggedMessage } from '../../support/logged-message.ts'
import { ApiHarness, client, ownersKey } from './harness.ts'

const partitions = 4
const start = Date.parse('2026-01-31T12:00:00Z')
const from = '2026-01-31T00:00:00Z'
let api: ApiHarness

beforeEach(async () => {
  api = await ApiHarness.open({ KAFKA_PARTITIONS: String(partitions), HISTORY_STREAMS_MAX: '1' })
  await api.send('PUT', 'clients/pump', { body: client({ attributes: { type: 'pump' } }) })
  await api.send('PUT', 'clientGroups/pumps', { body: { query: 'attributes.type = "pump"' } })
  await api.send('PUT', 'topicSpaces/plant', { body: { topicTemplates: ['plant/#'] } })
  await api.send('PUT', 'permissionBindings/pumps-publish', { body: { clientGroupName: 'pumps', topicSpaceName: 'plant', permission: 'Publisher' } })
})
afterEach(() => api.close())

async function publish(topic: string, at: number, authenticationName = 'pump', clientId = 'p1', behind = ''): Promise<void> {
  const appender = await api.log.appender()
  const key = Buffer.from(topic)
  const value = encodeMessage(
    loggedMessage({
      clientId,
      receivedAt: at,
      topic,
      authenticationName,
      gateway: 'gateway-1',
      payload: Buffer.from('x'),
    }),
  )
  await appender.write({
    topic: api.topics.messages,
    partition: partitionOf(key, partitions),
    key,
    value: Buffer.concat([value, Buffer.from(behind)]),
    timestamp: at,
  })
  await appender.close()
}

async function refusePublish(topic: string, at: number, authenticationName = 'pump'): Promise<void> {
  const appender = await api.log.appender()
  const data = JSON.stringify({ clientAuthenticationName: authenticationName, topic, reasonCode: 0x87, more: 2 })
  const value = encodeRecord('LifecycleEvent', { id: topic, type: 'Loggerhead.PublishRefused', source: '', subject: '', time: at, data })
  const key = Buffer.from(authenticationName)
  await appender.write({ topic: api.topics.lifecycle, partition: partitionOf(key, partitions), key, value, timestamp: at })
  await appender.close()
}

const narrower = { kind: 'topicSpaces', name: 'plant', properties: { topicTemplates: ['plant/1/#', 'lab/#'] } }

async function ask(body: object): Promise<Record<string, never>> {
  const { status, text } = await api.send('POST', 'history:whatIf', { body })
  expect([status, text]).toEqual([200, expect.stringMatching(/\n$/)])
  return JSON.parse(text.trim().split('\n').at(-1) as string)
}

test('what was published and what was refused in the stretch is judged by the proposed registry, and nothing is written', async () => {
  await publish('plant/1/a', start)
  await publish('plant/2/a', start + 1_000)
  await publish('plant/2/a', start + 5_000)
  await publish('$loggerhead/canary/1', start, '$loggerhead', '$loggerhead/x')
  await refusePublish('lab/1', start + 2_000)
  await refusePublish('lab/2', start + 9_000)
  await refusePublish('lab/2', start + 2_000, 'stranger')
  const position = api.registry.view.position
  const report = await ask({ proposed: [narrower], from, to: new Date(start + 4_000).toISOString() })
  expect(report).toMatchObject({
    from: '2026-01-31T12:00:00.000Z',
    to: '2026-01-31T12:00:01.000Z',
    publishes: {
      judged: 2,
      refused: { count: 1, top: [{ authenticationName: 'pump', topic: 'plant/2/a', count: 1, first: `${partitionOf('plant/2/a', partitions)}:0` }] },
      allowed: { count: 1, top: [{ authenticationName: 'pump', topic: 'lab/1' }] },
    },
    // Two more that the first stands for, and three of somebody who may have come with anything.
    refusalsOfUnknownTopic: 5,
  })
  expect(api.registry.view.position).toBe(position)
  expect(api.registry.view.topicSpaces.get('plant')?.properties.topicTemplates).toEqual(['plant/#'])
})

test('what turns out to be no message is passed over, and breaks nothing off', async () => {
  await publish('plant/2/a', start)
  await publish('plant/2/a', start + 1, 'pump', 'p1', 'bytes behind the message')
  await publish('plant/2/a', start + 2)
  expect(await ask({ proposed: [narrower], from })).toMatchObject({ publishes: { judged: 2, refused: { count: 2 } } })
})

test('where retention has removed messages that were to be judged, the report says from when on none is missing', async () => {
  await publish('plant/2/a', start)
  await publish('plant/2/a', start + 1_000)
  expect(await ask({ proposed: [narrower], from })).not.toHaveProperty('since')
  api.store.truncate(api.topics.messages, partitionOf('plant/2/a', partitions), 1)
  expect(await ask({ proposed: [narrower], from })).toMatchObject({ publishes: { judged: 1 }, since: new Date(start + 1_000).toISOString() })
})

test('several proposals may refer to each other, and null is a resource that is gone', async () => {
  await publish('plant/1/a', start)
  const valves = { kind: 'clientGroups', name: 'valves', properties: { query: 'attributes.type = "valve"' } }
  const binding = {
    kind: 'permissionBindings',
    name: 'valves-publish',
    properties: { clientGroupName: 'valves', topicSpaceName: 'plant', permission: 'Publisher' },
  }
  const gone = { kind: 'permissionBindings', name: 'pumps-publish', properties: null }
  expect(await ask({ proposed: [gone, binding, valves], from })).toMatchObject({ publishes: { judged: 1, refused: { count: 1 } } })
  const valve = { kind: 'clients', name: 'pump', properties: client({ attributes: { type: 'valve' } }) }
  expect(await ask({ proposed: [gone, binding, valves, valve], from })).toMatchObject({ publishes: { judged: 1, refused: { count: 0 } } })
})

test.each<[string, object, RegExp]>([
  ['no proposal', { proposed: [] }, /proposed/],
  ['a kind that decides nothing', { proposed: [{ kind: 'routes', name: 'r', properties: {} }] }, /kind/],
  [
    'properties that PUT refuses',
    { proposed: [{ kind: 'clientGroups', name: 'odd', properties: { query: 'attributes. =' } }] },
    /proposed\[0\], clientGroups\/odd/,
  ],
  ['a field that is none', { proposed: [{ kind: 'topicSpaces', name: 'odd', properties: { templates: [] } }] }, /proposed\[0\]/],
  ['a place that is none', { proposed: [narrower], from: 'yesterday' }, /from/],
  ['an end before the beginning', { proposed: [narrower], from: '2:5', to: '2:4' }, /to: a place not before from; 2:4 is before 2:5/],
  ['a filter that is none', { proposed: [narrower], topicFilter: 'a/#/b' }, /topicFilter/],
])('%s is refused and named', async (_, body, detail) => {
  const { status, json } = await api.send('POST', 'history:whatIf', { body })
  expect([status, json.detail]).toEqual([400, expect.stringMatching(detail)])
})

test('it takes an operator, and its turn among the streams of the past', async () => {
  const { key } = (await api.send('PUT', 'apiKeys/reader', { body: { role: 'reader' } })).json.properties
  expect((await api.send('POST', 'history:whatIf', { body: { proposed: [narrower] }, key })).status).toBe(403)
  expect((await ask({ proposed: [narrower] })).publishes).toMatchObject({ judged: 0 })
  // The turn is given back each time.
  expect((await ask({ proposed: [narrower] })).publishes).toMatchObject({ judged: 0 })
})

test('it has a turn with all else that is told of the past, and reads no further when whoever asked has gone', async () => {
  for (let i = 0; i < 3; i++) await refusePublish('lab/1', start + i)
  const blocked: (() => void)[] = []
  const { read } = api.log
  api.log.read = async (...args) => {
    if (args[0] === api.topics.lifecycle) await new Promise<void>((resolve) => blocked.push(resolve))
    return read.call(api.log, args[0], args[1], args[2], 1)
  }
  const address = await api.app.listen({ port: 0, host: '127.0.0.1' })
  const leaving = new AbortController()
  const asking = fetch(`${address}/namespaces/default/history:whatIf`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ownersKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ proposed: [narrower], from }),
    signal: leaving.signal,
  }).then((answer) => answer.text())
  while (blocked.length < 1) await new Promise(setImmediate)
  expect((await api.send('GET', 'changes')).status).toBe(503)
  leaving.abort()
  await expect(asking).rejects.toThrow('abort')
  const connections = () => new Promise((resolve) => api.app.server.getConnections((_, count) => resolve(count)))
  while ((await connections()) !== 0) await new Promise(setImmediate)
  for (const resume of blocked.splice(0)) resume()
  // Whatever reads on is held for ever.
  while ((await api.send('GET', 'at/-PT0S/clients')).status !== 200) await new Promise(setImmediate)
  expect(blocked).toEqual([])
})
