// biome-ignore-all lint/suspicious/noTemplateCurlyInString: enrichments look like template strings and are none
import { afterEach, expect, test } from '@jest/globals'
import { namespaceRouteName, routesOf } from '../../../model/routes.ts'
import type { Routers } from '../../../proto/routers.ts'
import { readRegistryConfig } from '../../../registry/config.ts'
import { putCommand } from '../../../registry/resources.ts'
import { ApiHarness } from './harness.ts'

let api: ApiHarness
const open = async (environment: Record<string, string> = {}, routers?: Routers): Promise<void> => {
  api = await ApiHarness.open({ KAFKA_PARTITIONS: '2', ...environment }, routers)
}
afterEach(() => api.close())

const put = (rest: string, body: object = {}) => api.send('PUT', rest, { body })
const kafka = (more: object = {}) => ({ target: { kafkaTopic: 'analytics' }, ...more })
const fieldsOf = async (body: object): Promise<readonly string[]> =>
  ((await put('routes/doors', body)).json.violations ?? []).map(({ field }: { field: string }) => field.replace('properties.', ''))

test('a route has its documented properties and defaults, and stands with the other resources', async () => {
  await open()
  const answer = await put('routes/doors', kafka())
  expect(answer).toMatchObject({ status: 201, json: { id: '/namespaces/default/routes/doors', type: 'Microsoft.EventGrid/namespaces/routes' } })
  expect(answer.json.properties).toEqual({
    topicFilters: ['#'],
    conditions: [],
    target: { kafkaTopic: 'analytics' },
    format: 'cloudEventsBinary',
    key: 'mqttTopic',
    enrichments: { static: [], dynamic: [] },
    sealed: 'keep',
  })
  const whole = {
    topicFilters: ['doors/+/open', 'gates/#'],
    conditions: [{ operatorType: 'StringBeginsWith', key: 'subject', values: ['doors/'] }],
    target: { topic: 'alarms' },
    format: 'cloudEventsStructured',
    key: 'authenticationName',
    enrichments: {
      static: [{ key: 'site', value: 'north', valueType: 'String' }],
      dynamic: [{ key: 'kind', value: '${client.attributes.type}' }],
    },
    sealed: 'open',
    onDeadEnd: 'drop',
    description: 'Alarms of doors',
  }
  const second = await put('routes/doors', whole)
  expect(second).toMatchObject({ status: 200, json: { properties: whole, warnings: ['properties.target.topic: there is no namespace topic “alarms” yet'] } })
  const read = await api.send('GET', 'routes/doors')
  expect((await put('routes/doors', read.json)).status).toBe(200)
  expect((await api.send('GET', 'routes')).json.value).toHaveLength(1)
  expect((await put('routes/doors?dryRun=true', kafka())).json).toMatchObject({ dryRun: true, change: 'update' })
  expect((await api.send('DELETE', 'routes/doors')).status).toBe(204)
  expect((await api.send('GET', 'routes/doors')).status).toBe(404)
})

test('a route begins behind what stood in the log when it was made, whatever is changed of it later', async () => {
  await open()
  const appender = await api.log.appender()
  const publish = () => appender.write({ topic: api.topics.messages, partition: 1, key: Buffer.from('a'), value: Buffer.from('m'), timestamp: 0 })
  await publish()
  await put('routes/doors', kafka())
  await publish()
  await put('routes/doors', kafka({ format: 'raw' }))
  expect(api.registry.view.routes.get('doors')?.properties).toMatchObject({ format: 'raw', from: [0, 1] })
})

test('a route that is put while it is being deleted, and the namespace’s own, begin anew, and not with all that the log holds', async () => {
  await open()
  const appender = await api.log.appender()
  const publish = () => appender.write({ topic: api.topics.messages, partition: 1, key: Buffer.from('a'), value: Buffer.from('m'), timestamp: 0 })
  await put('routes/doors', kafka())
  await put('', routing())
  await publish()
  const answers = await Promise.all([api.send('DELETE', 'routes/doors'), put('routes/doors', kafka())])
  expect(answers.map(({ status }) => status)).toEqual([204, 201])
  expect(api.registry.view.routes.get('doors')?.properties.from).toEqual([0, 1])
  await publish()
  const both = await Promise.all([put('', { topicSpacesConfiguration: {} }), put('', routing())])
  expect(both.map(({ status }) => status)).toEqual([200, 200])
  expect(api.registry.view.namespace?.properties.routing?.from).toEqual([0, 2])
})

test('where a new route begins has to be known: without that it is a conflict, and not a route of everything', async () => {
  await open()
  for (const [kind, name, properties] of [
    ['routes', 'doors', kafka()],
    ['namespace', 'default', routing()],
  ] as const) {
    const command = putCommand({ kind, name, properties, limits: readRegistryConfig({ API_KEY_FILE: 'key' }), author: { by: 'test' }, found: {}, warnings: [] })
    expect(() => command.decide(api.registry.view, 0)).toThrow('ask again')
  }
})

test('what is wrong with a route is said field by field', async () => {
  await open()
  expect(await fieldsOf({})).toEqual(['target'])
  expect(await fieldsOf(kafka({ target: {} }))).toEqual(['target'])
  expect(await fieldsOf(kafka({ target: { topic: 'alarms', kafkaTopic: 'analytics' } }))).toEqual(['target'])
  expect(await fieldsOf(kafka({ target: { topic: 'alarms', cluster: 'lake' } }))).toEqual(['target.cluster'])
  expect((await put('routes/lake', kafka({ target: { kafkaTopic: 'analytics', cluster: 'lake' } }))).json.properties.target).toEqual({
    kafkaTopic: 'analytics',
    cluster: 'lake',
  })
  expect(await fieldsOf(kafka({ topicFilters: ['a/#/b', '$share/g/a', 'ok'] }))).toEqual(['topicFilters[0]', 'topicFilters[1]'])
  expect(await fieldsOf(kafka({ topicFilters: [] }))).toEqual(['topicFilters'])
  expect(await fieldsOf(kafka({ conditions: [{ operatorType: 'NumberIn', key: 'data.x', values: ['a'] }] }))).toEqual(['conditions[0].values[0]'])
  expect(await fieldsOf(kafka({ enrichments: { dynamic: [{ key: 'Kind', value: 'x' }] } }))).toEqual([
    'enrichments.dynamic[0].key',
    'enrichments.dynamic[0].value',
  ])
  for (const more of [{ format: 'xml' }, { key: 'none' }, { onDeadEnd: 'wait' }, { sealed: 'shut' }, { unknown: 1 }])
    expect((await put('routes/doors', kafka(more))).status).toBe(400)
})

test('a route writes to none of the topics that the broker lives on, nor to Kafka’s own, nor outside ROUTE_KAFKA_TOPICS', async () => {
  await open({ ROUTE_KAFKA_TOPICS: 'analytics, lake.*' })
  const answerTo = (kafkaTopic: string) => put('routes/doors', { target: { kafkaTopic } })
  const to = async (kafkaTopic: string) => (await answerTo(kafkaTopic)).status
  for (const name of [
    'loggerhead.default.registry',
    'loggerhead.other.messages',
    'loggerhead.other.topic.doors',
    '__consumer_offsets',
    'a b',
    'lake',
    'others',
  ])
    expect([name, await to(name)]).toEqual([name, 400])
  for (const name of ['loggerhead.default.registry', 'others']) expect((await answerTo(name)).json.field).toBe('properties.target.kafkaTopic')
  for (const name of ['analytics', 'lake.doors', 'lake.']) expect([name, await to(name)]).toEqual([name, name === 'x' ? 400 : name === 'analytics' ? 201 : 200])
})

test('at ROUTES_MAX one route more is refused', async () => {
  await open({ ROUTES_MAX: '1' })
  expect((await put('routes/doors', kafka())).status).toBe(201)
  expect((await put('routes/windows', kafka())).status).toBe(400)
  expect(api.limits).toEqual(['ROUTES_MAX'])
})

test('the status of a route is what the routers tell, the worst shard first', async () => {
  const told = (shard: number, more: object = {}) => ({ route: 'doors', shard, state: 'Running', position: 10, lag: 2, routed: 5, failed: 0, ...more })
  const held = told(0, { state: 'Held', unopened: 3, error: 'TopicNotFoundError', detail: 'the topic analytics does not exist', since: 0 })
  let isThere = true
  const answers = [
    { router: 'a', status: 200, body: { routes: [told(1), { ...told(0), route: 'other' }] } },
    { router: 'b', status: 200, body: { routes: [held] } },
    { router: 'c', status: 0, body: undefined },
  ]
  await open({}, { ask: async (_, path) => (isThere && path === '/routes' ? answers : []) })
  await put('routes/doors', kafka())
  const { route: _, ...shard1 } = told(1)
  const { route: __, ...shard0 } = held
  const status = {
    state: 'Held',
    error: 'TopicNotFoundError',
    detail: 'the topic analytics does not exist',
    lag: 4,
    routed: 10,
    failed: 0,
    // A router of an earlier version does not tell.
    unopened: 3,
    shards: [{ ...shard0, since: '1970-01-01T00:00:00.000Z' }, shard1],
  }
  expect((await api.send('GET', 'routes/doors')).json.status).toEqual(status)
  expect((await api.send('GET', 'routes')).json.value[0].status).toEqual(status)
  isThere = false
  expect((await api.send('GET', 'routes/doors')).json.status).toMatchObject({ state: 'Unknown', shards: [] })
})

const azureId = '/subscriptions/1/resourceGroups/g/providers/Microsoft.EventGrid/namespaces/default/topics/alarms'
const routing = (more: object = {}) => ({ topicSpacesConfiguration: { routeTopicResourceId: azureId, ...more } })

test('RT-01 RT-03 the namespace’s own route setting is kept, read back and honoured as one route among the others', async () => {
  await open()
  await put('topics/alarms')
  const routingEnrichments = {
    static: [{ key: 'site', value: 'north', valueType: 'String' }],
    dynamic: [{ key: 'device', value: '${client.authenticationName}' }],
  }
  const answer = await put('', routing({ routingEnrichments, routingIdentityInfo: { type: 'SystemAssigned' } }))
  expect(answer.status).toBe(201)
  expect(answer.json.warnings).toEqual(['properties.topicSpacesConfiguration.routingIdentityInfo means something to Azure only: it is kept and does nothing'])
  const { json } = await api.send('GET', '')
  expect(json.properties.topicSpacesConfiguration).toMatchObject({
    routeTopicResourceId: azureId,
    routingEnrichments,
    routingIdentityInfo: { type: 'SystemAssigned' },
  })
  expect((await put('', json)).status).toBe(200)
  expect(routesOf(api.registry.view).get(namespaceRouteName)).toMatchObject({
    target: { topic: 'alarms' },
    topicFilters: ['#'],
    format: 'cloudEventsBinary',
    enrichments: routingEnrichments,
    from: [0, 0],
    onDeadEnd: 'hold',
  })
  expect((await api.send('GET', 'routes/$namespace')).json).toMatchObject({ name: '$namespace', properties: { target: { topic: 'alarms' } } })
  expect((await api.send('GET', 'routes')).json.value.map(({ name }: { name: string }) => name)).toEqual(['$namespace'])
  expect((await api.send('DELETE', 'routes/$namespace')).status).toBe(409)
  expect((await put('routes/$namespace', kafka())).status).toBe(400)
  await put('', { topicSpacesConfiguration: {} })
  expect(routesOf(api.registry.view).size).toBe(0)
})

test('RT-02 the namespace’s route goes to a topic of its own, said by Azure’s id or ours', async () => {
  await open()
  const status = async (routeTopicResourceId: string) => (await put('', { topicSpacesConfiguration: { routeTopicResourceId } })).status
  expect(await status('/namespaces/default/topics/alarms')).toBe(201)
  for (const id of ['alarms', '/namespaces/other/topics/alarms', '/subscriptions/1/resourceGroups/g/providers/Microsoft.EventGrid/topics/custom'])
    expect([id, await status(id)]).toEqual([id, 400])
  const wrong = await put('', routing({ routingEnrichments: { static: [{ key: 'id', value: 'x' }] } }))
  expect(wrong.json).toMatchObject({ status: 400, field: 'properties.topicSpacesConfiguration.routingEnrichments.static[0].key' })
  const alone = await put('', { topicSpacesConfiguration: { routingEnrichments: {} } })
  expect(alone.json.warnings).toEqual(['properties.topicSpacesConfiguration.routingEnrichments does nothing without routeTopicResourceId and was left out'])
})

test('RT-05 in the preset eventgrid a route drops at a dead end, unless it says otherwise', async () => {
  await open()
  await put('', { ...routing(), limits: { preset: 'eventgrid' } })
  await put('routes/doors', kafka())
  await put('routes/held', kafka({ onDeadEnd: 'hold' }))
  const onDeadEnd = [...routesOf(api.registry.view)].map(([name, route]) => [name, route.onDeadEnd])
  expect(Object.fromEntries(onDeadEnd)).toEqual({ [namespaceRouteName]: 'drop', doors: 'drop', held: 'hold' })
})
